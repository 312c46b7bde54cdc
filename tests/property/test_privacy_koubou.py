"""Whatever stands in any column of Koubou's database: only what a rule allows leaves, and nothing is raised."""

from __future__ import annotations

import tempfile
from base64 import b64encode
from pathlib import Path
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from koubou_rows import START_S, Koubou, Watching, stamp
from planted import found

TASK_COLUMNS: Final = (
    *("task_id", "content", "status", "priority", "result", "created_by", "assigned_to", "created_at", "updated_at"),
)
WORKER_COLUMNS: Final = (
    *("worker_id", "status", "current_task", "tasks_completed", "tasks_failed", "last_heartbeat", "created_at"),
)

secrets = st.builds("{}-{:012x}".format, st.sampled_from(["PROMPT ", "秘密の", "Zoë"]), st.integers(1 << 40, 1 << 47))


def anything(secret: str) -> st.SearchStrategy[Any]:
    """Return what SQLite can hold, with the secret in texts and blobs, also already encoded; none is a plain name."""
    raw = secret.encode()
    texts = [secret, f"task_1 {secret}", f"worker {secret}", f"{secret} 2026-11-20 04:17:51", f"{secret}\n"]
    texts += [f"pending {secret}", "+" + raw.hex(), "+" + b64encode(raw).decode(), "pending", "busy"]
    blobs = [raw, secret.encode("utf-16"), b"\xff" + raw, secret.encode("utf-8") + b"\0"]
    numbers = [0, 1, -1, 2**62, 1.5, float("inf"), 1e300]
    return st.sampled_from([*texts, *blobs, *numbers, None])


@st.composite
def tasks(draw: st.DrawFn, secret: str) -> dict[str, Any]:
    """Return a row that holds the secret wherever it may stand, and in some columns anything."""
    row = {
        "task_id": draw(st.sampled_from(["task_1", "task_2", secret, f"x {secret}"])),
        "content": secret,
        "status": draw(st.sampled_from(["pending", "in_progress", "processing", "completed", "failed", "cancelled"])),
        "priority": draw(st.integers(1, 10)),
        "result": secret,
        "created_by": secret,
        "assigned_to": draw(st.sampled_from([None, "worker_0", secret])),
        "created_at": stamp(START_S + draw(st.integers(0, 100))),
        "updated_at": stamp(START_S + draw(st.integers(0, 100))),
    }
    return row | draw(st.dictionaries(st.sampled_from(TASK_COLUMNS), anything(secret), max_size=3))


@st.composite
def workers(draw: st.DrawFn, secret: str) -> dict[str, Any]:
    """Return a row of the other table, likewise."""
    row = {
        "worker_id": draw(st.sampled_from(["worker_0", "worker_1", secret])),
        "status": draw(st.sampled_from(["idle", "busy", "working", "offline", secret])),
        "current_task": draw(st.sampled_from([None, "task_1", secret])),
        "tasks_completed": secret,
        "last_heartbeat": stamp(START_S + draw(st.integers(0, 100))),
    }
    return row | draw(st.dictionaries(st.sampled_from(WORKER_COLUMNS), anything(secret), max_size=2))


def replace(table: str, row: dict[str, Any]) -> tuple[str, list[Any]]:
    places = ", ".join("?" * len(row))
    return f"INSERT OR REPLACE INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_secret_in_any_column_leaves_in_no_form(data: st.DataObject) -> None:
    """Neither what would be sent nor what the state file would keep nor the audit holds it; nothing is raised."""
    secret = data.draw(secrets)
    with tempfile.TemporaryDirectory() as folder:
        koubou = Koubou(Path(folder) / "koubou.db")
        watching = Watching(koubou)
        audits: list[str] = []
        for _ in range(data.draw(st.integers(1, 3))):
            rows = [replace("task_master", row) for row in data.draw(st.lists(tasks(secret), max_size=4))]
            rows += [replace("workers", row) for row in data.draw(st.lists(workers(secret), max_size=3))]
            koubou.now += data.draw(st.sampled_from([1, 200]))
            koubou.run(*rows)
            watching.look().tick()
            audits += [str(policy.drain_audit()) for policy in watching.feed.policies]
            if data.draw(st.booleans()):
                watching = watching.restarted()
        watching.feed.close()
        left = b"\n".join(sent.raw for sent in watching.sents.values())
        kept = b"\n".join([*watching.known.values(), *watching.kept.values(), str(audits).encode()])
    assert found([secret], left + kept) == []


def test_the_test_above_means_something() -> None:
    """A secret that is a plain name leaves where the policy lets names leave."""
    with tempfile.TemporaryDirectory() as folder:
        koubou = Koubou(Path(folder) / "koubou.db")
        koubou.create("task_1", assigned_to="PROMPT-8b5297b75092", status="completed")
        watching = Watching(koubou).look()
        watching.feed.close()
    assert found(["PROMPT-8b5297b75092"], watching.sent.raw) != []
