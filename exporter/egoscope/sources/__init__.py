"""Sources: log files, databases and what stands in them, up to where a line or row becomes a redacted record."""
