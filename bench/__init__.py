"""Measures what `docs/performance.md` says; programs, never timed tests."""
