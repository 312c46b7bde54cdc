"""The `egoscope` command."""

from egoscope.cli.main import app

__all__ = ["app"]
