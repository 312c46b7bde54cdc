"""A believable, deterministic ego-mcp log with planted secrets, for trying, tests and benchmarks."""

from egoscope.demo.canaries import canaries
from egoscope.demo.life import generate
from egoscope.demo.lines import DemoLine, LineKind
from egoscope.demo.settings import LINES_PER_CALL, DemoSettings
from egoscope.demo.writing import Summary, write_history, write_live

__all__ = [
    "LINES_PER_CALL",
    "DemoLine",
    "DemoSettings",
    "LineKind",
    "Summary",
    "canaries",
    "generate",
    "write_history",
    "write_live",
]
