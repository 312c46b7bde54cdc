"""The version is told however it is asked for."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from egoscope import __version__
from egoscope.cli import app


@pytest.mark.parametrize("asked", ["--version", "version"])
def test_the_version_is_printed_and_nothing_else(asked: str) -> None:
    result = CliRunner().invoke(app, [asked])
    assert (result.exit_code, result.output) == (0, f"{__version__}\n")
