"""Figures that several screens show the same way. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from egoscope.cli import palette
from egoscope.cli.monitor_text import cost, count, plain
from egoscope.cli.screens.frame import GOOD
from egoscope.convert.semconv import OTHER
from egoscope.query.cost import usd

if TYPE_CHECKING:
    from collections.abc import Iterable

    from egoscope.cli.screens.frame import Frame
    from egoscope.query.answers import Outcome


def cost_text(known_usd: float, unknown: int, style: str = "") -> Text:
    """Write a cost; where the price of `unknown` calls is not known it says so."""
    return Text(cost(known_usd, unknown), palette.WARNING if unknown and not known_usd else style)


def total_usd(amounts: Iterable[float]) -> float:
    """Add costs exactly."""
    return usd(amounts)


def failed_text(errors: int, unfinished: int) -> Text:
    """Write how many did not end well."""
    failed = errors + unfinished
    return Text(count(failed), f"bold {palette.ERROR}" if errors else palette.WARNING) if failed else Text("0", "dim")


def outcome_line(errors: int, unfinished: int, width: int) -> Text:
    """Say what went wrong, in at most `width` cells where that can be."""
    if not errors and not unfinished:
        return Text("none failed", "dim")
    failed = f"{count(errors)} failed" if errors else ""
    if not unfinished:
        return Text(failed, palette.ERROR)
    for words in (f"{count(unfinished)} unfinished", f"{count(unfinished)} unfin."):
        line = Text(failed, palette.ERROR)
        line.append(", " if failed else "").append(words, palette.WARNING)
        if line.cell_len <= width:
            return line
    return Text(f"{count(errors + unfinished)} not ok", palette.ERROR)


def running_text(running: int, frame: Frame) -> Text:
    """Say how many run."""
    if not running:
        return Text(f"{frame.glyphs.dot} none running", "dim")
    return Text(f"{frame.glyphs.dot} {count(running)} running", f"bold {GOOD}")


OUTCOME_STYLES: dict[Outcome, str] = {"ok": GOOD, "error": f"bold {palette.ERROR}", "unfinished": palette.WARNING}


def outcome_text(outcome: Outcome, error_type: str | None = None) -> Text:
    """Write how it ended; the error's type where it is known."""
    word = "" if outcome == "ok" else outcome
    if outcome == "error" and error_type and error_type != OTHER:
        word = plain(error_type)
    return Text(word or "ok", "dim" if outcome == "ok" else OUTCOME_STYLES[outcome])
