"""What `egoscope doctor` looks at: one check a function, findings out. Nothing here writes, prints or sees settings."""
