"""`egoscope convert`: the whole conversion of files, without sending: one OTLP/JSON export request a line."""

from __future__ import annotations

import base64
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from google.protobuf.json_format import MessageToDict

from egoscope.convert import semconv as s
from egoscope.convert.catalogue import REDACTIONS
from egoscope.convert.ids import Ids, instance_id
from egoscope.convert.instance import InstanceConversion, InstanceState, Telemetry
from egoscope.delivery.key import load_key
from egoscope.delivery.ledger import Ledger
from egoscope.errors import ConfigError, SourceError
from egoscope.otlp.client import Signal
from egoscope.otlp.requests import Request, encode_telemetry
from egoscope.otlp.split import REQUESTS
from egoscope.pipeline import convert_lines, file_resource
from egoscope.sources.ego_mcp import SOURCE
from egoscope.sources.tail import Tail
from egoscope.wiring import build_format, sidecar_resource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from egoscope.config import Settings
    from egoscope.sources.base import TailedFile
    from egoscope.sources.ego_mcp import EgoMcpFormat

_NO_CLOCK_NS: Final = 4_102_444_800 * 10**9  # 2100: nothing is in the future of a recorded file
_UNKNOWN_NS: Final = 0  # OTLP: the time is unknown
_FOREVER_NS: Final = 2**62


def run_convert(source: str, path: str, out: Path, settings: Settings) -> str:
    """Convert every file that `path` names into `out`; return the summary for people.

    Deterministic: the same bytes and key give the same files, wherever the log stands.
    """
    if source not in ("ego-mcp", SOURCE):
        raise ConfigError(f"--source {source}: not known; this egoscope reads ego-mcp")
    key = load_key(settings.key_path, state_exists=(settings.state_dir / "state.db").exists())
    log_format = build_format(key, settings.policy_dir)
    tail = Tail(
        [path],
        derive_id=lambda _device, _inode, head: instance_id(key, 0, 0, head),
        max_line_bytes=settings.max_line_mib * 1024 * 1024,
    )
    files = sorted(tail.scan(), key=lambda file: file.checkpoint.path)
    if not files:
        problems = "; ".join(f"{one.path}: {one.reason}" for one in tail.problems()) or f"{path}: nothing to read"
        raise SourceError(f"no log to convert: {problems}")
    out.mkdir(parents=True, exist_ok=True)
    ledger = Ledger({}, [])
    counts: Counter[str] = Counter()
    newest_ns = 0
    with ExitStack() as stack:
        outputs = {signal: stack.enter_context((out / f"{signal}.jsonl").open("wb")) for signal in Signal}
        for file in files:
            conversion = InstanceConversion(Ids(key, file.checkpoint.source), InstanceState(), [])
            for telemetry in _telemetry(log_format, conversion, file, settings.batch_kib * 1024, ledger, counts):
                _count(counts, telemetry)
                _write(outputs, encode_telemetry(telemetry, file_resource(file.checkpoint, ())))
            for policy in log_format.policies:
                ledger.redacted(policy.source, policy.drain_audit())
            newest_ns = max(newest_ns, conversion.newest_ns)
        _write(outputs, encode_telemetry(ledger.drain(newest_ns // 1_000_000), sidecar_resource(settings, key)))
    tail.close()
    summary = {"files": len(files), **counts, "fields": _fields(ledger)}
    (out / "summary.json").write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return _sentence(summary)


def _telemetry(
    log_format: EgoMcpFormat,
    conversion: InstanceConversion,
    file: TailedFile,
    batch_bytes: int,
    ledger: Ledger,
    counts: Counter[str],
) -> Iterator[Telemetry]:
    while (lines := file.read(batch_bytes)) is not None:
        unparsable = convert_lines(log_format, conversion, lines, now_ns=_NO_CLOCK_NS, fallback_ns=_UNKNOWN_NS)
        ledger.unparsable(SOURCE, unparsable)
        counts["lines"] += len(lines.lines) + lines.oversized
        counts["unparsable"] += unparsable.total()
        yield conversion.drain()
    conversion.expire(_FOREVER_NS)
    yield conversion.drain()


def _count(counts: Counter[str], telemetry: Telemetry) -> None:
    counts["spans"] += len(telemetry.spans)
    counts["log_records"] += len(telemetry.logs)
    counts["points"] += sum(len(batch.points) for batch in telemetry.points)


def _write(outputs: Mapping[Signal, BinaryIO], requests: list[Request]) -> None:
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


def _sentence(summary: dict[str, Any]) -> str:
    actions: Counter[str] = Counter()
    for field in summary["fields"]:
        actions[field[s.ACTION]] += field["count"]
    done = ", ".join(f"{count} {action}" for action, count in sorted(actions.items()))
    return (
        f"{summary['lines']} lines of {summary['files']} file(s): {summary['spans']} calls, "
        f"{summary['log_records']} log records, {summary['points']} points; "
        f"{summary['unparsable']} unparsable. Values: {done}."
    )
