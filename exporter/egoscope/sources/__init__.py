"""Sources: files and what stands in them, up to the point where a line becomes a redacted record."""
