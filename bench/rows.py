"""From what was measured to rows of the table, each beside its goal (design, section 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.report import Row

if TYPE_CHECKING:
    from bench.counts import Counts
    from bench.footprint import Idle, Memory
    from bench.freshness import Delays, Freshness
    from bench.throughput import Throughput

NO_TEMPO = "not measured: no tempo on this machine"
_FRESH = "p50 < 0.3 s, p95 < 0.6 s, p99 < 1 s"


def of_throughput(found: Throughput) -> list[Row]:
    """Lines per CPU-second against filelog and against bare parsing."""
    sidecar = found.lines_a_second(lambda turn: turn.sidecar)
    filelog = found.lines_a_second(lambda turn: turn.filelog)
    floor = found.lines_a_second(lambda turn: turn.floor)
    against_filelog, against_floor = found.against_filelog, found.against_floor
    return [
        Row(
            "lines per CPU-second, full way",
            "1.2x filelog",
            f"{sidecar:,.0f} (filelog {filelog:,.0f})",
            f"{against_filelog:.2f}x",
            against_filelog >= 1.2,
        ),
        Row(
            "CPU time against `orjson.loads` alone",
            "at most 6.5x",
            f"`orjson.loads` {floor:,.0f} lines per CPU-second",
            f"{against_floor:.1f}x",
            against_floor <= 6.5,
        ),
    ]


def of_freshness(found: Freshness, *, while_reading: str = "") -> list[Row]:
    """From written to visible, in each back end."""
    behind = f", {while_reading}" if while_reading else ""
    enough = not while_reading or found.unread_bytes > 0
    rows = [
        _delays(f"written line → Loki query{behind}", found.loki, enough=enough),
        _delays(f"written line → Prometheus query{behind}", found.prometheus, enough=enough),
    ]
    if not while_reading:
        rows.append(_delays_of_traces("→ trace by id", found.by_id, 0.6))
        rows.append(_delays_of_traces("→ found by TraceQL search", found.by_search, 12))
    return rows


def of_memory(found: Memory) -> Row:
    """Peak and growth."""
    flat = found.slope_mib < 1
    return Row(
        f"resident memory, {found.log_bytes / 1e6:,.0f} MB log, one line of 16 MiB",
        "< 100 MiB, flat",
        f"peak {found.peak_mib:.0f} MiB, at start {found.at_start_mib:.0f}, at the end {found.at_end_mib:.0f}, "
        f"{found.slope_mib:+.1f} MiB per 100 MB",
        f"{found.peak_mib / 100:.2f}x",
        found.peak_mib < 100 and flat,
    )


def of_idle(found: Idle) -> Row:
    """CPU while nothing happens."""
    measured = f"{found.share:.2%} over {found.seconds:.0f} s"
    return Row(
        "idle, one quiet file", "< 0.5 % of a core", measured, f"{found.share / 0.005:.2f}x", found.share < 0.005
    )


def of_counts(found: Counts) -> Row:
    """Back ends against the log."""
    measured = (
        f"{found.lines_in_loki:,} of {found.lines:,} lines in Loki, {found.calls_in_prometheus:,} of {found.calls:,} "
        f"calls in Prometheus ({found.pairs} pairs of tool and outcome)"
    )
    return Row("counts against the log itself", "equal", measured, "", found.equal)


def _delays(what: str, delays: Delays, *, enough: bool) -> Row:
    p50, p95, p99 = (delays.percentile(percent) for percent in (50, 95, 99))
    reached = p50 < 0.3 and p95 < 0.6 and p99 < 1
    text = f"p50 {p50:.3f} s, p95 {p95:.3f} s, p99 {p99:.3f} s"
    if not enough:
        text += " (the backlog was read before the end)"
    return Row(what, _FRESH, text, f"{p95 / 0.6:.2f}x", reached if enough else None)


def _delays_of_traces(what: str, delays: Delays | None, goal_s: float) -> Row:
    if delays is None:
        return Row(what, f"p95 < {goal_s:g} s", NO_TEMPO)
    p95 = delays.percentile(95)
    return Row(what, f"p95 < {goal_s:g} s", f"p95 {p95:.3f} s", f"{p95 / goal_s:.2f}x", p95 < goal_s)
