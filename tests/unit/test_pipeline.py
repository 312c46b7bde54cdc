"""The order of things: read, convert, commit, and only then send; a full disk or a full outbox loses nothing."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from converted import KEY, Sent, scalars
from ego_lines import START_MS, completed, invoked, said
from koubou_rows import Koubou

from egoscope.config import load_settings
from egoscope.delivery.ledger import Ledger
from egoscope.delivery.outbox import Outbox
from egoscope.delivery.state import StateFile
from egoscope.feeds import build_feeds, build_format
from egoscope.otlp.client import Signal
from egoscope.pipeline import Pipeline
from egoscope.sources.base import FileCheckpoint
from egoscope.sources.ego_mcp import SOURCE
from egoscope.sources.lines import LineFeed
from egoscope.sources.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALLS = 400
LINES = [line for number in range(CALLS) for line in (invoked(number * 100), completed(number * 100 + 40))]


class Rig:
    """A pipeline with a state file of its own, a log to read and a clock that a test sets."""

    def __init__(self, folder: Path, *, limit_bytes: int = 1 << 28) -> None:
        self.log = folder / "ego-mcp-2026-11-20.log"
        self.log.touch()
        self.now_ns = (START_MS + 10**7) * 1_000_000
        self.state = StateFile(folder / "state.db")
        self.outbox = Outbox(self.state, limit_bytes=limit_bytes)
        self.tail = Tail([str(self.log)], derive_id=lambda _device, _inode, _head: "i1", known=self._known())
        self.pipeline = Pipeline(
            feeds=[LineFeed(self.tail, build_format(KEY, None), key=KEY)],
            state=self.state,
            outbox=self.outbox,
            ledger=Ledger(self.state.ledger(), []),
            sidecar_resource=(("service.name", "egoscope"),),
            clock_ns=lambda: self.now_ns,
            batch_bytes=16 * 1024,
            keepalive_ns=0,
            on_commit=lambda: None,
        )

    def _known(self) -> list[FileCheckpoint]:
        return self.state.checkpoints(SOURCE, FileCheckpoint)

    def write(self, *lines: bytes) -> None:
        """Append lines to the log."""
        with self.log.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))

    def read_all(self) -> None:
        """Read until there is nothing more to do."""
        while self.pipeline.run_once():
            pass

    def fill_disk(self) -> None:
        """Let the state file not grow by a single page."""
        pages = self.state.db.execute("PRAGMA page_count").fetchone()[0]
        self.state.db.execute(f"PRAGMA max_page_count = {pages}")

    def empty_disk(self) -> None:
        """Let it grow again."""
        self.state.db.execute("PRAGMA max_page_count = 1000000")

    def committed(self) -> Sent:
        """Return everything of the log that stands in the outbox."""
        sent = Sent()
        rows = self.state.db.execute("SELECT signal, data FROM outbox WHERE source = 'i1' ORDER BY id")
        for signal, data in rows.fetchall():
            sent.add(Signal(signal), data)
        return sent

    def offsets(self) -> list[int]:
        """Return the offset of each line that stands in the outbox."""
        return [int(scalars(log.attributes)["log.file.record_offset"]) for log in self.committed().logs]

    def close(self) -> None:
        """Let go of the files, as at an end without a farewell."""
        self.tail.close()
        self.state.close()


def offsets_of(*lines: bytes) -> list[int]:
    """Return where each line starts."""
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    return starts[:-1]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Return a pipeline on an empty log."""
    with closing(Rig(tmp_path)) as made:
        yield made


def test_every_line_is_committed_once(rig: Rig) -> None:
    """In as many batches as it takes, and nothing more when nothing was written."""
    rig.write(*LINES)
    rig.read_all()
    rig.read_all()
    assert rig.offsets() == offsets_of(*LINES)
    assert len(rig.committed().spans) == CALLS


@pytest.mark.parametrize("looks", [1, 2, 5])
def test_a_stop_after_any_commit_loses_nothing_and_doubles_nothing(tmp_path: Path, looks: int) -> None:
    """A new pipeline goes on where the last commit stands; totals, ids and pairs included."""
    with closing(Rig(tmp_path)) as first:
        first.write(*LINES)
        for _ in range(looks):
            first.pipeline.run_once()
        assert 0 < len(first.offsets()) < len(LINES)
    with closing(Rig(tmp_path)) as second:
        second.read_all()
        assert second.offsets() == offsets_of(*LINES)
        committed = second.committed()
        assert len({span.span_id for span in committed.spans}) == CALLS
        assert committed.total("ego.calls") == CALLS


def test_while_the_disk_is_full_the_batch_is_kept_and_nothing_is_read(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so once, without content, and goes on by itself when there is room; nothing twice."""
    rig.write(*LINES[:4])
    rig.read_all()
    rig.fill_disk()
    rig.write(*LINES[4:])
    with caplog.at_level(logging.INFO):
        assert not any([rig.pipeline.run_once() for _ in range(50)][-3:])
        assert rig.pipeline.stuck
        before = rig.offsets()
        assert rig.pipeline.run_once() is False
        assert rig.offsets() == before
        rig.empty_disk()
        rig.read_all()
    assert not rig.pipeline.stuck
    assert rig.offsets() == offsets_of(*LINES)
    assert rig.committed().total("ego.calls") == CALLS
    assert [record.message for record in caplog.records if "state file" in record.message] == [
        "the state file cannot be written: is the disk full? reading is paused",
        "the state file can be written again",
    ]


def test_the_farewell_on_a_full_disk_does_not_forget_the_batch_that_waits(rig: Rig) -> None:
    """`finish` commits what waits first; what it cannot commit stays where it is."""
    rig.write(*LINES[:4])
    rig.read_all()
    rig.fill_disk()
    rig.write(*LINES[4:])
    while rig.pipeline.run_once():
        pass
    assert rig.pipeline.stuck
    rig.pipeline.finish()
    rig.empty_disk()
    rig.pipeline.finish()
    rig.read_all()
    assert rig.offsets() == offsets_of(*LINES)


def test_a_restart_on_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """What could not be committed is read again, and the ledger counts it once."""
    with closing(Rig(tmp_path)) as first:
        first.write(b"no record", *LINES[:4])
        first.read_all()
        first.fill_disk()
        first.write(b"no record", *LINES[4:])
        first.read_all()
        assert first.pipeline.stuck
    with closing(Rig(tmp_path)) as second:
        second.read_all()
        assert second.offsets() == offsets_of(b"no record", *LINES[:4], b"no record", *LINES[4:])
        ledger = second.state.ledger().items()
        assert [total for (name, _), total in ledger if name == "egoscope.lines.unparsable"] == [2]


def test_at_the_bound_of_the_outbox_reading_stops_and_the_lag_shows(tmp_path: Path) -> None:
    """Where requests are taken away it goes on, and every line is there once."""
    with closing(Rig(tmp_path, limit_bytes=100_000)) as rig:
        rig.write(*LINES)
        rig.read_all()
        assert rig.pipeline.paused
        assert rig.pipeline.unread_bytes > 0
        seen: list[int] = []
        for _ in range(100):
            seen += rig.offsets()
            for (one,) in rig.state.db.execute("SELECT id FROM outbox").fetchall():
                rig.outbox.delete(one)
            rig.read_all()
            if not rig.outbox.waiting().requests:
                break
        assert seen == offsets_of(*LINES)
        assert not rig.pipeline.paused


def test_a_call_that_never_ends_expires_though_nothing_is_written_any_more(rig: Rig) -> None:
    """By the clock, once everything written until then was read."""
    rig.pipeline._keepalive_ns = 10**15  # pyright: ignore[reportPrivateUsage]
    rig.now_ns = START_MS * 1_000_000
    rig.write(invoked(0))
    rig.read_all()
    for (one,) in rig.state.db.execute("SELECT id FROM outbox").fetchall():
        rig.outbox.delete(one)
    rig.now_ns += 901 * 10**9 + 2 * 10**9
    rig.read_all()
    (span,) = rig.committed().spans
    assert scalars(span.attributes)["ego.outcome"] == "unfinished"


def test_a_series_is_kept_alive_only_up_to_what_was_read_and_only_behind_an_empty_outbox(rig: Rig) -> None:
    """A point later than an unread line would push that line's count behind its time."""
    rig.pipeline._keepalive_ns = 10**15  # pyright: ignore[reportPrivateUsage]
    rig.now_ns = START_MS * 1_000_000 + 60 * 10**9
    rig.write(said(0, "Routing tool call"))
    rig.read_all()
    rig.now_ns += 60 * 10**9
    rig.read_all()
    series = [points for (name, _), points in rig.committed().points.items() if name == "ego.log.lines"]
    assert [points[-1][0] for points in series] == [START_MS]
    for (one,) in rig.state.db.execute("SELECT id FROM outbox").fetchall():
        rig.outbox.delete(one)
    rig.now_ns += 60 * 10**9
    rig.read_all()
    series = [points for (name, _), points in rig.committed().points.items() if name == "ego.log.lines"]
    assert [points[-1] for points in series] == [(rig.now_ns // 1_000_000 - 1000, 1)]


class KoubouRig:
    """A pipeline that follows a Koubou's database with the clock that Koubou has."""

    def __init__(self, koubou: Koubou, state_path: Path) -> None:
        self.koubou, self.state = koubou, StateFile(state_path)
        settings = load_settings(koubou_path=str(koubou.path), EGO_MCP_LOG_PATH=str(state_path.parent / "none"))
        self.feeds = build_feeds(settings, KEY, self.state)
        self.outbox = Outbox(self.state, limit_bytes=1 << 28)
        self.pipeline = Pipeline(
            feeds=self.feeds,
            state=self.state,
            outbox=self.outbox,
            ledger=Ledger(self.state.ledger(), []),
            sidecar_resource=(("service.name", "egoscope"),),
            clock_ns=lambda: int(koubou.now * 1e9),
            batch_bytes=16 * 1024,
            keepalive_ns=24 * 3600 * 10**9,
            on_commit=lambda: None,
        )
        self.pipeline.resume()

    def stands(self, after_s: float) -> set[tuple[str, str]]:
        """Send what waits, let time pass, and return what is told to stand by then: metric, state."""
        for (one,) in self.state.db.execute("SELECT id FROM outbox").fetchall():
            self.outbox.delete(one)
        self.koubou.now += after_s
        while self.pipeline.run_once():
            pass
        sent = Sent()
        for signal, data in self.state.db.execute("SELECT signal, data FROM outbox ORDER BY id").fetchall():
            sent.add(Signal(signal), data)
        return {
            (name, str(dict(labels)["state"]))
            for (name, labels), points in sent.points.items()
            if name in {"task.workers", "task.open"} and points[-1][1]
        }

    def close(self) -> None:
        """Let go of the files, as at an end without a farewell."""
        for feed in self.feeds:
            feed.close()
        self.state.close()


def test_what_stands_in_a_database_is_told_as_long_as_it_is_there(tmp_path: Path) -> None:
    """However long nothing was written, also after a restart; of one that is gone nothing is known."""
    koubou = Koubou(tmp_path / "koubou.db")
    koubou.now = time.time()  # who looks at a file's age has no other clock
    koubou.register("worker_0")
    koubou.create("task_1")
    day_s, stands = 86_400, {("task.workers", "lost"), ("task.open", "pending")}
    with closing(KoubouRig(koubou, tmp_path / "state.db")) as rig:
        rig.stands(0)
        rig.stands(120)
        assert rig.stands(60) == stands
        assert rig.stands(3 * day_s) == stands
    with closing(KoubouRig(koubou, tmp_path / "state.db")) as rig:
        rig.stands(2)
        assert rig.stands(60) == stands
        for file in tmp_path.glob("koubou.db*"):
            file.unlink()
        rig.stands(2)
        assert rig.stands(60) == set()
