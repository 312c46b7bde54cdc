"""The embedded store: requests in one SQLite file, and the queries of the terminal monitor."""
