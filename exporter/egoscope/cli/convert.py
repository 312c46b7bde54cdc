"""`egoscope convert`: the whole conversion, without sending: one OTLP/JSON export request a line."""

from __future__ import annotations

import base64
from collections import Counter
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from google.protobuf.json_format import MessageToDict

from egoscope.cli.convert_kinds import databases_in, is_database, what_fits
from egoscope.convert import semconv as s
from egoscope.convert.catalogue import REDACTIONS
from egoscope.delivery.key import load_key
from egoscope.delivery.ledger import Ledger
from egoscope.delivery.state import is_empty
from egoscope.doctor.readonly import read_only
from egoscope.errors import ConfigError, SourceError, StateError
from egoscope.feeds import CONVERTIBLE
from egoscope.otlp.client import Signal
from egoscope.otlp.requests import Request, encode_telemetry
from egoscope.otlp.split import REQUESTS
from egoscope.sources.discovery import printable
from egoscope.sources.ego_mcp import SOURCE as EGO_MCP
from egoscope.wiring import sidecar_resource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from egoscope.config import Settings
    from egoscope.convert.conversion import Conversion
    from egoscope.model.telemetry import Attribute
    from egoscope.sources.feed import Feed, Unit

_NO_CLOCK_NS: Final = 4_102_444_800 * 10**9  # 2100: nothing is in the future of a recorded file
_UNKNOWN_NS: Final = 0  # OTLP: the time is unknown
_FOREVER_NS: Final = 2**62
_SUMMARY: Final = "summary"
SOURCES: Final = tuple(name for name in CONVERTIBLE if name != EGO_MCP)
"""What `--source` may be; the name that ego-mcp has in telemetry is taken, too."""
_WORDS: Final[dict[str, tuple[str, str, str]]] = dict.fromkeys(("ego-mcp", EGO_MCP), ("lines", "file(s)", "calls"))


def run_convert(source: str, path: str, out: Path, settings: Settings) -> str:
    """Convert everything that `path` names into `out`; return the summary for people.

    Deterministic: the same bytes and key give the same files, wherever the log or database stands. Raises SourceError
    where it is no such source: nothing of it could be read.
    """
    if source not in CONVERTIBLE:
        raise ConfigError(f"--source {source}: not known; this egoscope reads {', '.join(SOURCES)}")
    key = load_key(settings.key_path, state_exists=_holds_anything(settings.state_dir / "state.db"))
    with closing(CONVERTIBLE[source](path, settings, key)) as feed:
        units = sorted(feed.scan(), key=lambda unit: unit.checkpoint.path)
        if feed.source == EGO_MCP:
            _refuse_databases([one.checkpoint.path for one in units] or databases_in(path), source, settings)
        if not units:
            problems = [f"{one.path}: {one.reason}" for one in feed.problems()] or [f"{path}: nothing to read"]
            fitting = dict.fromkeys(what_fits(one, source, settings) for one in databases_in(path))
            raise SourceError(f"nothing to convert: {'; '.join([*problems, *filter(None, fitting)])}")
        with ExitStack() as stack:
            outputs = _open_all(out, stack)
            summary = _convert(feed, units, outputs, settings, sidecar_resource(settings, key))
            outputs[_SUMMARY].write(orjson.dumps(summary, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if summary["lines"] and not summary["spans"] and summary["unparsable"] >= summary["lines"]:
        lines, _, _ = _words(source)
        raise SourceError(
            f"{path}: none of {summary['lines']} {lines} could be read as {source}'s; is it the right file, and the "
            f"right --source ({', '.join(SOURCES)})?"
        )
    return _sentence(source, summary)


def _refuse_databases(paths: Sequence[str], source: str, settings: Settings) -> None:
    """Raise SourceError for the first database among what was given as logs."""
    for path in filter(is_database, paths):
        fitting = what_fits(path, source, settings) or f"say whose with --source ({', '.join(SOURCES)})"
        raise SourceError(f"{printable(path)}: is a SQLite database, no log of ego-mcp; {fitting}")


def _open_all(out: Path, stack: ExitStack) -> dict[str, BinaryIO]:
    """Open the files to write, a signal each and the summary's, by name. Raises ConfigError where it cannot be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        files = {**{signal: f"{signal}.jsonl" for signal in Signal}, _SUMMARY: "summary.json"}
        return {name: stack.enter_context((out / file).open("wb")) for name, file in files.items()}
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise ConfigError(f"--out {out}: cannot be written to ({reason}); name another directory")


def _holds_anything(state_path: Path) -> bool:
    """Whether anything was made with a key; what cannot be looked into may hold it."""
    if not state_path.exists() or not state_path.stat().st_size:
        return False
    try:
        return not read_only(state_path, is_empty)
    except StateError:
        return True


def _convert(
    feed: Feed,
    units: Sequence[Unit],
    outputs: Mapping[str, BinaryIO],
    settings: Settings,
    sidecar: Sequence[Attribute],
) -> dict[str, Any]:
    ledger = Ledger({}, [])
    counts: Counter[str] = Counter(
        dict[str, int].fromkeys(("lines", "unparsable", "spans", "log_records", "points"), 0)
    )
    newest_ns = 0
    for unit in units:
        newest_ns = max(newest_ns, _convert_unit(feed, unit, settings.batch_kib * 1024, ledger, counts, outputs))
    _write(outputs, encode_telemetry(ledger.drain(newest_ns // 1_000_000), sidecar))
    return {"files": len(units), **counts, "fields": _fields(ledger)}


def _convert_unit(
    feed: Feed,
    unit: Unit,
    batch_bytes: int,
    ledger: Ledger,
    counts: Counter[str],
    outputs: Mapping[str, BinaryIO],
) -> int:
    """Write what one file or database becomes; return the time of its newest record."""
    conversion: Conversion | None = None
    while (content := unit.read(batch_bytes)) is not None:
        conversion = conversion or feed.conversion(unit.checkpoint, feed.state_type(), [])
        unparsable = feed.convert(conversion, content, now_ns=_NO_CLOCK_NS, fallback_ns=_UNKNOWN_NS)
        ledger.unparsable(feed.source, unparsable)
        counts["lines"] += content.count
        counts["unparsable"] += unparsable.total()
        _told(feed, unit, conversion, counts, outputs)
    if conversion is None:
        return 0
    conversion.expire(_FOREVER_NS)
    _told(feed, unit, conversion, counts, outputs)
    for policy in feed.policies:
        ledger.redacted(policy.source, policy.drain_audit())
    return conversion.newest_ns


def _told(
    feed: Feed, unit: Unit, conversion: Conversion, counts: Counter[str], outputs: Mapping[str, BinaryIO]
) -> None:
    telemetry = conversion.drain()
    counts["spans"] += len(telemetry.spans)
    counts["log_records"] += len(telemetry.logs)
    counts["points"] += sum(len(batch.points) for batch in telemetry.points)
    _write(outputs, encode_telemetry(telemetry, feed.resource(unit.checkpoint)))


def _write(outputs: Mapping[str, BinaryIO], requests: list[Request]) -> None:
    for request in requests:
        outputs[request.signal].write(orjson.dumps(to_otlp_json(request)) + b"\n")


def to_otlp_json(request: Request) -> dict[str, Any]:
    """Return the OTLP/JSON form of a request: lower camel case, integers for enums, ids in hex."""
    message = REQUESTS[request.signal]()
    message.ParseFromString(request.data)
    body = MessageToDict(message, use_integers_for_enums=True)
    _hex_ids(body)
    return body


def _hex_ids(node: Any) -> None:  # noqa: ANN401 (JSON)
    """OTLP/JSON writes ids in hex where protobuf's JSON mapping has base64."""
    if isinstance(node, list):
        for one in cast("list[Any]", node):
            _hex_ids(one)
    elif isinstance(node, dict):
        for name, value in cast("dict[str, Any]", node).items():
            if name in ("traceId", "spanId", "parentSpanId"):
                node[name] = base64.b64decode(value).hex()
            else:
                _hex_ids(value)


def _fields(ledger: Ledger) -> list[dict[str, Any]]:
    """Return what was done with each field, by source, field, action and reason; never a value."""
    return [
        {**dict(attributes), "count": total}
        for (metric, attributes), total in sorted(ledger.totals.items())
        if metric == REDACTIONS.name
    ]


def _words(source: str) -> tuple[str, str, str]:
    return _WORDS.get(source, ("rows", "database(s)", "spans"))


def _sentence(source: str, summary: dict[str, Any]) -> str:
    actions: Counter[str] = Counter()
    for field in summary["fields"]:
        actions[field[s.ACTION]] += field["count"]
    done = ", ".join(f"{count} {action}" for action, count in sorted(actions.items()))
    lines, files, calls = _words(source)
    return (
        f"{summary['lines']} {lines} of {summary['files']} {files}: {summary['spans']} {calls}, "
        f"{summary['log_records']} log records, {summary['points']} points; "
        f"{summary['unparsable']} unparsable. Values: {done or 'none'}."
    )
