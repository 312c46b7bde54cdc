"""Settings of all tests: few hypothesis examples by default; `EGOSCOPE_EXAMPLES=1000` looks longer."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from tests.stack.selection import VARIABLE, choose

settings.register_profile("egoscope", max_examples=int(os.environ.get("EGOSCOPE_EXAMPLES", "25")), deadline=None)
settings.load_profile("egoscope")


def pytest_report_header() -> str:
    """Say how the servers of tests/stack run, and why so."""
    try:
        return f"stack: {choose()}"
    except ValueError as error:
        raise pytest.UsageError(f"{VARIABLE}: {error}; it may be auto, processes or containers") from error
