"""`egoscope convert`: exactly what would be sent, the same every time, and no secret in any of its files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from converted import KEY
from ego_lines import FEELING, completed, invoked
from planted import found
from recorded import RUNS, canaries_of, log_of
from typer.testing import CliRunner

from egoscope.cli import app
from egoscope.delivery.state import StateFile
from egoscope.feeds import CONVERTIBLE
from tests.pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FILES = ("traces.jsonl", "metrics.jsonl", "logs.jsonl", "summary.json")


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a key; and let nothing of this machine's settings be heard."""
    monkeypatch.setenv("EGOSCOPE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "key"
    path.write_bytes(KEY)
    path.chmod(0o600)
    return path


def convert(*arguments: Path | str) -> tuple[int, str]:
    """Run the command; return its exit code and what it said."""
    result = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    assert not result.exception or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def requests(path: Path) -> list[dict[str, Any]]:
    """Return the requests of one file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize(("run", "calls"), RUNS.items())
def test_all_calls_of_a_recorded_run_and_no_secret(run: str, calls: int, tmp_path: Path, key_file: Path) -> None:
    """Traces, metrics, logs, summary and what is printed."""
    log, out = log_of(run), tmp_path / "out"
    code, said = convert(log, "--out", out, "--key-file", key_file)
    assert code == 0
    spans = [
        span
        for request in requests(out / "traces.jsonl")
        for resource in request["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert len(spans) == calls
    assert f"{calls} calls" in said
    summary = json.loads((out / "summary.json").read_bytes())
    assert (summary["spans"], summary["unparsable"]) == (calls, 0)
    assert summary["lines"] == summary["log_records"] == log.read_bytes().count(b"\n")
    written = b"\n".join((out / name).read_bytes() for name in FILES)
    assert found(canaries_of(run), written + said.encode()) == []
    assert sorted(one.name for one in out.iterdir()) == sorted(FILES)


def test_the_summary_names_fields_of_the_policy_only(tmp_path: Path, key_file: Path) -> None:
    """An unknown field's name can be private too: it is counted as (unknown)."""
    log = tmp_path / "ego-mcp-2026-11-20.log"
    said = {"a_wish_of_my_own": 0.5, "tool_output": "x", "person_id": "someone", **FEELING}
    log.write_bytes(completed(1, "remember", **said) + b"\n")
    assert convert(log, "--out", tmp_path / "out", "--key-file", key_file)[0] == 0
    fields = json.loads((tmp_path / "out" / "summary.json").read_bytes())["fields"]
    counted = {(one["field"], one["action"], one["reason"]): one["count"] for one in fields}
    assert counted["(unknown)", "dropped", "not_in_policy"] == 1
    assert counted["tool_output", "dropped", "private_field"] == 1
    assert counted["person_id", "pseudonymised", "allowed"] == 1
    assert counted["valence", "kept", "allowed"] == 1
    assert b"a_wish_of_my_own" not in b"".join((tmp_path / "out" / name).read_bytes() for name in FILES)


def test_the_same_log_and_key_give_the_same_files_wherever_the_log_stands(tmp_path: Path, key_file: Path) -> None:
    """Byte for byte; and another key gives other ids and pseudonyms."""
    lines = b"".join(line + b"\n" for line in (invoked(0), completed(40, person_id="someone", trust_level=0.5)))
    outputs: list[list[bytes]] = []
    for name in ("one", "two", "three"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "ego-mcp-2026-11-20.log").write_bytes(lines)
        if name == "three":
            key_file.write_bytes(KEY[::-1])
        assert convert(folder, "--out", folder / "out", "--key-file", key_file)[0] == 0
        outputs.append([(folder / "out" / file).read_bytes() for file in FILES])
    assert outputs[0] == outputs[1]
    assert [one == other for one, other in zip(outputs[0], outputs[2], strict=True)] == [False, False, False, True]


def test_ids_are_hex_and_numbers_are_as_otlp_json_has_them(tmp_path: Path, key_file: Path) -> None:
    """Lower camel case, 64-bit integers as strings, enumerations as numbers."""
    log = tmp_path / "ego-mcp-2026-11-20.log"
    log.write_bytes(invoked(0) + b"\n" + completed(40) + b"\n")
    convert(log, "--out", tmp_path / "out", "--key-file", key_file)
    (request,) = requests(tmp_path / "out" / "traces.jsonl")
    (span,) = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (len(bytes.fromhex(span["traceId"])), len(bytes.fromhex(span["spanId"]))) == (16, 8)
    assert span["kind"] == 2
    assert isinstance(span["startTimeUnixNano"], str)


def test_a_directory_gives_one_instance_a_file(tmp_path: Path, key_file: Path) -> None:
    """And an empty file is nothing to fail on."""
    for day, at in ((20, 0), (21, 1000)):
        (tmp_path / f"ego-mcp-2026-11-{day}.log").write_bytes(invoked(at) + b"\n" + completed(at + 40) + b"\n")
    (tmp_path / "ego-mcp-2026-11-22.log").touch()
    assert convert(tmp_path, "--out", tmp_path / "out", "--key-file", key_file)[0] == 0
    instances = {
        attribute["value"]["stringValue"]
        for request in requests(tmp_path / "out" / "traces.jsonl")
        for attribute in request["resourceSpans"][0]["resource"]["attributes"]
        if attribute["key"] == "service.instance.id"
    }
    assert len(instances) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["nowhere", "--out", "out"], "nowhere: names no file", id="no such log"),
        pytest.param(["nowhere", "--out", "out", "--source", "diary"], "diary: not known", id="no such source"),
    ],
)
def test_what_cannot_be_converted_is_said_in_a_sentence(key_file: Path, arguments: list[str], sentence: str) -> None:
    """Exit code 2 and no traceback; nothing is written."""
    code, said = convert(*arguments, "--key-file", key_file)
    assert code == 2
    assert sentence in said
    assert not (key_file.parent / "out").exists()


@pytest.mark.parametrize("given", ["the file", "its directory", "a glob"])
@pytest.mark.parametrize(
    ("kind", "table"),
    [
        pytest.param("kagura", "executions (id, agent_name, started_at)", id="Kagura's"),
        pytest.param("illumo", "spans (span_id, start_time)", id="illumo's"),
        pytest.param("tracerdb", 'spans (span_id, start, "end")', id="a tracer's"),
        pytest.param("koubou", "task_master (task_id, status, created_at)", id="Koubou's"),
    ],
)
def test_a_database_is_not_read_as_a_log_but_its_source_is_named(
    tmp_path: Path, key_file: Path, kind: str, table: str, given: str
) -> None:
    path = tmp_path / "agents" / "some.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"CREATE TABLE {table}")
    named = {"the file": path, "its directory": path.parent, "a glob": path.parent / "s*"}[given]
    code, said = convert(named, "--out", tmp_path / "out", "--key-file", key_file)
    assert code == 2
    assert said == f"egoscope: {path}: is a SQLite database, no log of ego-mcp; give it with --source {kind}\n"
    assert not (tmp_path / "out").exists()


def test_a_database_of_no_known_kind_gets_all_kinds_named(tmp_path: Path, key_file: Path) -> None:
    """Also one that another source was named for."""
    with closing(sqlite3.connect(tmp_path / "other.db")) as db, db:
        db.execute("CREATE TABLE recipes (name)")
    for source in ("ego-mcp", "kagura"):
        given = (tmp_path / "other.db", "--out", tmp_path / "out", "--key-file", key_file, "--source", source)
        code, said = convert(*given)
        assert code == 2
        assert "has none of the tables that --source kagura, illumo, tracerdb or koubou reads" in said
    assert not (tmp_path / "out").exists()


def test_a_database_given_as_another_kind_is_told_its_own(tmp_path: Path, key_file: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as db, db:
        db.execute("CREATE TABLE executions (id, agent_name, started_at)")
    given = (tmp_path / "other.db", "--out", tmp_path / "out", "--key-file", key_file, "--source", "koubou")
    code, said = convert(*given)
    assert code == 2
    assert "give it with --source kagura" in said


def test_logs_beside_databases_are_converted(tmp_path: Path, key_file: Path) -> None:
    """As in a demo's directory: of one that is named as a whole the logs are read."""
    (tmp_path / "ego-mcp-2026-11-20.log").write_bytes(invoked(0) + b"\n" + completed(40) + b"\n")
    sqlite3.connect(tmp_path / "telemetry.db").close()
    assert convert(tmp_path, "--out", tmp_path / "out", "--key-file", key_file)[0] == 0


def test_where_no_line_can_be_read_it_is_no_success(tmp_path: Path, key_file: Path) -> None:
    """What was given is no log of ego-mcp's, such as /etc/passwd."""
    (tmp_path / "passwd").write_bytes(b"root:x:0:0:root:/root:/bin/bash\n" * 3)
    code, said = convert(tmp_path / "passwd", "--out", tmp_path / "out", "--key-file", key_file)
    assert code == 2
    assert "none of 3 lines could be read as ego-mcp's" in said
    assert "--source" in said
    assert "root" not in said.replace(str(tmp_path), "")


def test_a_log_of_which_some_lines_cannot_be_read_is_converted(tmp_path: Path, key_file: Path) -> None:
    (tmp_path / "ego-mcp-2026-11-20.log").write_bytes(b"half a li\n" + invoked(0) + b"\n" + completed(40) + b"\n")
    code, said = convert(tmp_path, "--out", tmp_path / "out", "--key-file", key_file)
    assert (code, "1 unparsable" in said) == (0, True)


def test_half_a_line_waits(tmp_path: Path, key_file: Path) -> None:
    (tmp_path / "ego-mcp-2026-11-20.log").write_bytes(invoked(0))
    code, said = convert(tmp_path, "--out", tmp_path / "out", "--key-file", key_file)
    assert code == 0
    assert "0 lines of 1 file(s): 0 calls" in said
    assert said.endswith("Values: none.\n")


@pytest.mark.parametrize("out", ["a file", "below a file"])
def test_a_place_that_takes_no_files_is_named_with_its_option(tmp_path: Path, key_file: Path, out: str) -> None:
    (tmp_path / "ego-mcp-2026-11-20.log").write_bytes(invoked(0) + b"\n" + completed(40) + b"\n")
    taken = tmp_path / "taken"
    taken.touch()
    place = taken if out == "a file" else taken / "out"
    code, said = convert(tmp_path, "--out", place, "--key-file", key_file)
    assert code == 2
    assert said.startswith(f"egoscope: --out {place}: cannot be written to (")
    assert said.endswith("); name another directory\n")


def test_a_file_that_cannot_be_replaced_is_said_in_a_sentence(tmp_path: Path, key_file: Path) -> None:
    (tmp_path / "ego-mcp-2026-11-20.log").write_bytes(invoked(0) + b"\n" + completed(40) + b"\n")
    (tmp_path / "out" / "summary.json").mkdir(parents=True)
    code, said = convert(tmp_path, "--out", tmp_path / "out", "--key-file", key_file)
    assert code == 2
    assert f"--out {tmp_path / 'out'}: cannot be written to (Is a directory)" in said


def test_help_names_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so does the README."""
    monkeypatch.setenv("COLUMNS", "300")
    said = CliRunner().invoke(app, ["convert", "--help"]).output
    row = next(line for line in (ROOT / "README.md").read_text().splitlines() if "`egoscope convert " in line)
    for source in ("ego-mcp", *(name for name in CONVERTIBLE if name != "ego_mcp")):
        assert source in said
        assert f"`{source}`" in row


@pytest.mark.parametrize("running", [False, True], ids=["state file at rest", "state file in use"])
def test_a_state_file_in_which_nothing_is_kept_asks_for_no_key(
    tmp_path: Path, key_file: Path, *, running: bool
) -> None:
    """A start that was killed before it made its key leaves one: the key is made, and the file left as it is."""
    (tmp_path / "ego-mcp-2026-11-20.log").write_bytes(invoked(0) + b"\n" + completed(40) + b"\n")
    key_file.unlink()
    path = tmp_path / "state" / "state.db"
    with closing(StateFile(path)) as state:
        if not running:
            state.close()
        before = path.read_bytes()
        code, said = convert(tmp_path, "--out", tmp_path / "out", "--key-file", key_file)
        assert code == 0, said
        assert path.read_bytes() == before
    assert key_file.stat().st_size == 32


def test_state_whose_key_is_gone_is_refused(tmp_path: Path, key_file: Path) -> None:
    """Whatever is converted with a new key would have other ids than what was sent."""
    (tmp_path / "ego-mcp-2026-11-20.log").write_bytes(invoked(0) + b"\n" + completed(40) + b"\n")
    key_file.unlink()
    with closing(StateFile(tmp_path / "state" / "state.db")) as state, state.transaction() as db:
        db.execute("INSERT INTO ledger VALUES ('lines', 1)")
    code, said = convert(tmp_path, "--out", tmp_path / "out", "--key-file", key_file)
    assert code == 2
    assert "put it back from a backup" in said
    assert not key_file.exists()
    (tmp_path / "state" / "state.db").write_bytes(b"no database" * 100)
    assert convert(tmp_path, "--out", tmp_path / "out", "--key-file", key_file)[0] == 2
    assert not key_file.exists()
