"""A machine's name as a label: there where it is set, absent where it is not, and no count changes when it is set."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.stack.servers import wait_for
from tests.stack.sidecar import append, now_line, sidecar_on

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.stack.servers import Stack
    from tests.stack.sidecar import SidecarProcess

METRIC: Final = "ego_calls_total"
CALLS: Final = 5
SILENT_S: Final = 20.0
"""A series that was silent for longer than 15 s says first what it had; else its first step is in no range."""


def told(stack: Stack, instance: str) -> set[str | None]:
    """Return the names of machines that a log file's series have; None: a series that has no such label."""
    return {one.get("host_name") for one in stack.prometheus.series(f'{METRIC}{{instance="{instance}"}}')}


def counted(stack: Stack, instance: str) -> float | None:
    # To an end half a minute ahead: what was told a moment ago is in it, whatever the clocks say.
    selector = f'{METRIC}{{instance="{instance}"}}'
    return stack.prometheus.value(f"sum(increase({selector}[1h] anchored))", at=time.time() + 30)


def following(stack: Stack, directory: Path, name: str | None) -> AbstractContextManager[SidecarProcess]:
    """Return a sidecar that is not running yet, on the state that there is."""
    if name is None:
        return sidecar_on(directory, stack.collector.endpoint)
    return sidecar_on(directory, stack.collector.endpoint, host_name=name)


def write_calls(sidecar: SidecarProcess, *, ahead_s: float = 0.0) -> None:
    log = sidecar.logs / "ego-mcp-live.log"
    begun = now_line(ahead_s=ahead_s, tool_name="recall", tool_args={})
    ended = now_line("Tool execution completed", ahead_s=ahead_s, tool_name="recall")
    append(log, now_line("Logging initialized", ahead_s=ahead_s), *(CALLS * [begun, ended]))
    if not sidecar.alive:
        sidecar.start()
    sidecar.wait_until_drained()


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(None, None, id="nobody named the machine: no label"),
        pytest.param("studio", "studio", id="the machine has a name"),
        pytest.param(None, "studio", id="the name is set later"),
        pytest.param("studio", "attic", id="the name is changed"),
    ],
)
def test_a_name_is_a_label_and_changes_no_count(
    stack: Stack, tmp_path: Path, first: str | None, then: str | None
) -> None:
    """Series go on under the new name from the total they had; after a silence ranges count as the log does."""
    with following(stack, tmp_path, first) as sidecar:
        write_calls(sidecar)
        (instance,) = sidecar.instances().values()
        assert told(stack, instance) == {first}
    with following(stack, tmp_path, then) as sidecar:
        write_calls(sidecar, ahead_s=SILENT_S)
        wait_for(lambda: then in told(stack, instance), what="it is told under its name")
        assert told(stack, instance) == {first, then}
        assert counted(stack, instance) == 2 * CALLS
