"""Rows into a CSV, JSON or Parquet file, page by page. The file is there whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import os
from enum import StrEnum
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import orjson

from egoscope.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

Rows = list[dict[str, Any]]

COLUMNS: Final[Mapping[str, Mapping[str, type]]] = {
    "executions": {
        "trace_id": str,
        "span_id": str,
        "agent": str,
        "start": dt.datetime,
        "end": dt.datetime,
        "duration_s": float,
        "outcome": str,
        "error_type": str,
        "input_tokens": int,
        "output_tokens": int,
        "cost_usd": float,
        "model_calls": int,
        "tool_calls": int,
        "tags": dict,
    },
    "costs": {
        "day": dt.date,
        "agent": str,
        "model": str,
        "calls": int,
        "input_tokens": int,
        "output_tokens": int,
        "cost_usd": float,
        "calls_of_unknown_price": int,
    },
    "flows": {
        "trace_id": str,
        "span_id": str,
        "flow": str,
        "start": dt.datetime,
        "end": dt.datetime,
        "duration_s": float,
        "outcome": str,
        "error_type": str,
    },
    "tasks": {
        "task_id": str,
        "trace_id": str,
        "worker": str,
        "priority": int,
        "outcome": str,
        "created": dt.datetime,
        "ended": dt.datetime,
        "duration_s": float,
    },
    "workers": {
        "name": str,
        "instance": str,
        "state": str,
        "since": dt.datetime,
        "task_id": str,
        "last_heartbeat": dt.datetime,
        "completed": int,
        "failed": int,
        "cancelled": int,
    },
}
"""The columns of each export, in their order. What is not known is empty, or null."""


class What(StrEnum):
    """What is exported."""

    EXECUTIONS = "executions"
    COSTS = "costs"
    FLOWS = "flows"
    TASKS = "tasks"
    WORKERS = "workers"


class Format(StrEnum):
    """What files can be written."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


@contextlib.contextmanager
def writing(file_format: Format, out: Path, columns: Mapping[str, type]) -> Generator[Callable[[Rows], None]]:
    """Yield what takes rows; the file appears under its name when all went well, and nothing is left where not.

    Raises `ConfigError` where it cannot be written, or what writes it is not installed.
    """
    make = _MAKERS[file_format]
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        file = part.open("xb")
    except OSError as error:
        reason = error.strerror
    else:
        try:
            with file:
                with make(file, columns) as write:
                    yield write
                file.flush()
                os.fsync(file.fileno())
            part.replace(out)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return
    raise ConfigError(f"--out {out}: cannot be written ({reason}); name a file in a directory that is there")


@contextlib.contextmanager
def _csv(file: BinaryIO, columns: Mapping[str, type]) -> Generator[Callable[[Rows], None]]:
    text = TextIOWrapper(file, "utf-8", newline="")
    writer = csv.DictWriter(text, list(columns))
    writer.writeheader()

    def write(rows: Rows) -> None:
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)

    yield write
    text.detach()  # flushes; the file is closed by whoever opened it


@contextlib.contextmanager
def _json(file: BinaryIO, columns: Mapping[str, type]) -> Generator[Callable[[Rows], None]]:  # noqa: ARG001 (as the others)
    """One array, a row a line."""
    file.write(b"[")
    before = b"\n"

    def write(rows: Rows) -> None:
        nonlocal before
        for row in rows:
            file.write(before + orjson.dumps(row, option=orjson.OPT_UTC_Z))
            before = b",\n"

    yield write
    file.write(b"\n]\n")


@contextlib.contextmanager
def _parquet(file: BinaryIO, columns: Mapping[str, type]) -> Generator[Callable[[Rows], None]]:
    try:
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError("--format parquet: needs pyarrow; install it with pip install 'egoscope[parquet]'") from None
    types: dict[type, Any] = {
        str: arrow.string(),
        int: arrow.int64(),
        float: arrow.float64(),
        dt.datetime: arrow.timestamp("us", tz="UTC"),
        dt.date: arrow.date32(),
        dict: arrow.string(),  # JSON
    }
    schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()])
    texts = [name for name, kind in columns.items() if kind is dict]

    def write(rows: Rows) -> None:
        flat = [{**row, **{name: _object(row[name]) for name in texts}} for row in rows]
        writer.write_table(arrow.Table.from_pylist(flat, schema=schema))

    with parquet.ParquetWriter(file, schema) as writer:
        yield write


_MAKERS: Final = {Format.CSV: _csv, Format.JSON: _json, Format.PARQUET: _parquet}


def _cell(value: object) -> object:
    match value:
        case dt.datetime():
            return value.isoformat().replace("+00:00", "Z")
        case dict():
            return _object(value)  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return value


def _object(value: Mapping[str, Any]) -> str | None:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() if value else None
