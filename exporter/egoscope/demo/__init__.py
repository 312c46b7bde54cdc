"""Believable, deterministic sources with planted secrets, for trying, tests and benchmarks."""

from egoscope.demo.canaries import canaries
from egoscope.demo.databases import DatabaseSummary, write_some_past
from egoscope.demo.illumo import illumo_canaries, write_illumo_history, write_illumo_live
from egoscope.demo.kagura import kagura_canaries, write_kagura_history, write_kagura_live
from egoscope.demo.koubou import koubou_canaries, write_koubou_history, write_koubou_live
from egoscope.demo.life import generate
from egoscope.demo.lines import DemoLine, LineKind
from egoscope.demo.settings import LINES_PER_CALL, DatabaseSettings, DemoSettings
from egoscope.demo.writing import Summary, write_history, write_live

__all__ = [
    "LINES_PER_CALL",
    "DatabaseSettings",
    "DatabaseSummary",
    "DemoLine",
    "DemoSettings",
    "LineKind",
    "Summary",
    "canaries",
    "generate",
    "illumo_canaries",
    "kagura_canaries",
    "koubou_canaries",
    "write_history",
    "write_illumo_history",
    "write_illumo_live",
    "write_kagura_history",
    "write_kagura_live",
    "write_koubou_history",
    "write_koubou_live",
    "write_live",
    "write_some_past",
]
