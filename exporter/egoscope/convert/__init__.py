"""Conversion: redacted records in; spans, log records and points out. Pure."""
