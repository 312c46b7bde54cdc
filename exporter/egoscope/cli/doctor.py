"""`egoscope doctor`: look at everything that could be wrong, and say in words what is, and what to do.

The checks stand in `egoscope.doctor`; here settings become their arguments, and findings become lines.
"""

from __future__ import annotations

import queue
import threading
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from egoscope.cli.check import run_check
from egoscope.cli.setting_names import NOT_HERE, names_set, odd_names
from egoscope.cli.stores import demo_dir, stack_is_named
from egoscope.convert.ids import subkey
from egoscope.delivery.key import load_key
from egoscope.doctor import backends, clock, collector, databases, koubou, local, places, processes, state, store
from egoscope.doctor.finding import Finding, Mark, counted, fail, ok, skip, warn
from egoscope.errors import ConfigError, StateError
from egoscope.feeds import NO_KEY, build_row_format, database_patterns
from egoscope.sources.discovery import Discovery
from egoscope.sources.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from egoscope.config import Settings

_MIB: Final = 1024 * 1024
NETWORK_S: Final = 2.0
"""How long the checks of servers may take; all run at once."""

_STYLES: Final = {Mark.OK: "green", Mark.WARN: "yellow", Mark.FAIL: "bold red", Mark.SKIP: "dim"}
_SERVERS: Final = "Collector, Prometheus, Loki, Tempo"
_COLLECTOR_ONLY: Final = "not asked: requests go to the embedded store (EGOSCOPE_BACKEND=embedded)"
_NONE_NEEDED: Final = "none is there and no setting names one: egoscope start needs none, and fills the embedded store"
_NO_STORE_EITHER: Final = "none is needed by egoscope start, which shows all in the terminal"

Section = tuple[str, list[Finding]]


def run_doctor(settings: Settings) -> int:
    """Print every finding; return 0 where nothing FAILs, else 1. Changes nothing anywhere."""
    sections = list(examine(settings, time.time()))
    show(sections, Console(highlight=False, emoji=False, markup=False))
    return int(any(finding.mark is Mark.FAIL for _, findings in sections for finding in findings))


def examine(settings: Settings, now_s: float) -> Iterator[Section]:
    """Return all findings by section; `now_s` is Unix time. The servers are asked while the rest is looked at."""
    asked, sockets = (_Asked(checks(settings), NETWORK_S) for checks in (_server_checks, _socket_checks))
    limit_bytes = settings.outbox_limit_mib * _MIB
    view = state.view_state(settings.state_dir / "state.db")
    owner = local.lock_owner(settings.state_dir / "state.lock")
    demo_owner = local.lock_owner(demo_dir(settings) / "state.lock") if owner is None else None
    store_path = _store_path(settings)
    ready_page = f"http://{settings.health_host}:{settings.health_port}/readyz" if settings.health_port else None
    known, trouble = (None, view) if isinstance(view, Finding) else (view, None)
    holds_anything = not known.is_empty if known else trouble is None or trouble.mark is not Mark.SKIP

    yield "settings", list(_settings(settings))
    yield "logs", [*places.check_places(settings.patterns, now_s), *_tailing(settings, known, owner, now_s)]
    if any(database_patterns(settings).values()):
        yield "databases", list(_databases(settings, now_s))
    if settings.worker_processes or settings.worker_pid_files:
        named = settings.worker_processes, settings.worker_pid_files
        yield "worker processes", list(processes.check_processes(*named, settings.proc_path, settings.least_workers))
    yield (
        "state",
        [
            *local.check_state_dir(settings.state_dir, outbox_limit_bytes=limit_bytes),
            local.check_key(settings.key_path, state_exists=holds_anything),
            *local.check_sidecar(
                owner or demo_owner, ready_page, may_be_start=settings.backend == "embedded" or _is_there(store_path)
            ),
            *([skip("demo", _playing(settings))] if demo_owner else ()),
            *([trouble] if trouble else ()),
            *(state.check_reading(known) if known else ()),
            *(state.check_outbox(known, limit_bytes=limit_bytes, now_s=now_s) if known else ()),
        ],
    )
    yield "servers", [*_servers(settings, store_path, asked.findings(), now_s), *sockets.findings()]


def _servers(settings: Settings, store_path: Path, found: Sequence[Finding], now_s: float) -> Iterator[Finding]:
    """Judge the servers, or the embedded store where that is what is used."""
    none_there = all(one.is_absent or one.mark in (Mark.WARN, Mark.SKIP) for one in found)
    if settings.backend == "embedded":
        yield from store.check_store(store_path, now_s)
        yield skip(_SERVERS, _COLLECTOR_ONLY)
    elif not none_there or stack_is_named(settings):
        yield from found
    elif _is_there(store_path):
        yield from store.check_store(store_path, now_s)
        yield skip(_SERVERS, _NONE_NEEDED)
    else:
        yield from found
        yield skip(_SERVERS, _NO_STORE_EITHER)


def _store_path(settings: Settings) -> Path:
    """Return where the embedded store is: the demo's, where that is the only one."""
    demo_store = demo_dir(settings) / settings.store_path.name
    return demo_store if _is_there(demo_store) and not _is_there(settings.store_path) else settings.store_path


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # another user's
        return False


def _playing(settings: Settings) -> str:
    return f"egoscope start plays it, for it found no log; its state is in {demo_dir(settings)}"


def _settings(settings: Settings) -> Iterator[Finding]:
    try:
        for line in run_check(settings).splitlines():
            subject, _, sentence = line.partition(": ")
            yield ok(subject, sentence)
    except (ConfigError, OSError) as error:
        yield fail("settings", str(error), "mend it, then run egoscope check")
    odd, composes = odd_names(names_set())
    for one in odd:
        yield warn(*one)
    for name in composes:
        yield skip(name, NOT_HERE)


def _databases(settings: Settings, now_s: float) -> Iterator[Finding]:
    """Look into the databases of other agents."""
    try:
        for source, patterns in database_patterns(settings).items():
            if patterns:
                row_format = build_row_format(source, settings, NO_KEY)
                option = f"EGOSCOPE_{source.upper()}_PATH"
                yield from databases.check_databases(option, patterns, row_format, now_s)
    except (ConfigError, OSError) as error:
        yield skip("databases", f"not looked at, for {error}")


def _tailing(settings: Settings, view: state.StateView | None, owner: int | None, now_s: float) -> Iterator[Finding]:
    """Look at the files as the sidecar does, with its checkpoints, and follow nothing."""
    fingerprint_key = _fingerprint_key(settings) if view else None
    tail = Tail(
        settings.patterns,
        derive_id=lambda device, inode, head: blake2b(b"%d %d " % (device, inode) + head, digest_size=16).hexdigest(),
        known=view.checkpoints if view and fingerprint_key else (),
        fingerprint_key=fingerprint_key or b"",
    )
    try:
        tail.scan()
        yield from places.check_problems(tail.problems())
        if view and fingerprint_key:
            yield from state.check_lag(tail.files(), running=owner is not None)
    finally:
        tail.close()
    seen = Discovery(settings.patterns).look()
    yield from clock.check_newest_line(list(seen.files.values()), now_s)


def _fingerprint_key(settings: Settings) -> bytes | None:
    """Return what the sidecar keys its fingerprints with; None where there is no usable key (`check_key` says why)."""
    try:
        return subkey(load_key(settings.key_path, state_exists=True), "fingerprints")  # so it is never made here
    except StateError:
        return None


def _server_checks(settings: Settings) -> Sequence[Callable[[], Iterable[Finding]]]:
    """Return the checks that wait for a network, in the order in which they are shown."""
    if settings.backend == "embedded":
        return ()
    endpoint = settings.collector_endpoint
    secrets = {"ca_file": settings.collector_ca_file, "token_file": settings.collector_token_file}
    urls = (settings.prometheus_url, settings.loki_url, settings.collector_health_url)
    return (
        lambda: collector.check_secrets(endpoint, tls=settings.collector_tls, **secrets),
        lambda: collector.check_collector(endpoint, tls=settings.collector_tls, **secrets),
        lambda: collector.check_collector_health(settings.collector_health_url),
        lambda: backends.check_prometheus(settings.prometheus_url),
        lambda: backends.check_second_layer(settings.prometheus_url),
        lambda: backends.check_loki(settings.loki_url),
        lambda: backends.check_tempo(settings.tempo_url),
        lambda: clock.check_clock(urls),
    )


def _socket_checks(settings: Settings) -> Sequence[Callable[[], Iterable[Finding]]]:
    """Return the checks of what sources are asked over a network."""
    if (url := settings.koubou_url) is None:
        return ()
    return (lambda: koubou.check_socket(url, is_followed=bool(settings.koubou_path)),)


class _Asked:
    """Checks that run at once, each in a thread of its own that nobody waits for longer than the limit."""

    def __init__(self, checks: Sequence[Callable[[], Iterable[Finding]]], limit_s: float) -> None:
        self._deadline = time.monotonic() + limit_s
        self._limit_s = limit_s
        self._answers = [_start(check) for check in checks]

    def findings(self) -> list[Finding]:
        """Return what was found until the limit, in the order of the checks."""
        return [finding for answers in self._answers for finding in self._until_deadline(answers)]

    def _until_deadline(self, answers: queue.SimpleQueue[Finding | None]) -> Iterator[Finding]:
        subject = "servers"
        while True:
            try:
                finding = answers.get(timeout=max(0.001, self._deadline - time.monotonic()))
            except queue.Empty:
                yield fail(subject, f"no further answer within {self._limit_s:.0f} s", "see whether it is overloaded")
                return
            if finding is None:
                return
            subject = finding.subject
            yield finding


def _start(check: Callable[[], Iterable[Finding]]) -> queue.SimpleQueue[Finding | None]:
    answers: queue.SimpleQueue[Finding | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            for finding in check():
                answers.put(finding)
        except Exception as error:  # noqa: BLE001 (no check may hide the others' findings, or quote what it met)
            answers.put(fail("servers", f"a check broke ({type(error).__name__})", "report this as a bug of egoscope"))
        finally:
            answers.put(None)

    threading.Thread(target=run, daemon=True).start()  # a name server may let it wait for minutes
    return answers


def show(sections: Iterable[Section], console: Console) -> None:
    """Print a line a finding: in a terminal wrapped and coloured, else one line each, to be searched."""
    totals = dict.fromkeys(Mark, 0)
    arrow = "→" if "utf" in console.encoding.lower() else "->"
    for title, findings in sections:
        console.print(Text(title, "bold"))
        for finding in findings:
            totals[finding.mark] += 1
            _show_finding(finding, console, arrow)
    console.print(_summary(totals))


def _show_finding(finding: Finding, console: Console, arrow: str) -> None:
    subject, sentence, remedy = (
        _plain(text, console.encoding) for text in (finding.subject, finding.sentence, finding.remedy)
    )
    line = Text.assemble((subject, "bold" if finding.mark is Mark.FAIL else ""), ": ", (sentence, ""))
    if remedy:
        line.append(f" {arrow} ", "dim").append(remedy, "cyan")
    if not console.is_terminal:
        console.file.write(f"  {finding.mark:<4}  {line.plain}\n")
        return
    row = Table.grid(padding=(0, 2))
    row.add_column(width=4)
    row.add_column(overflow="fold")
    row.add_row(Text(finding.mark, _STYLES[finding.mark]), line)
    console.print(Padding(row, (0, 0, 0, 2)))


def _summary(totals: dict[Mark, int]) -> Text:
    wrong, odd = totals[Mark.FAIL], totals[Mark.WARN]
    said = [f"{counted(wrong, 'thing is', 'things are')} wrong"] if wrong else ["nothing is wrong"]
    if odd:
        said.append(f"{counted(odd, 'thing')} to look at")
    return Text(", ".join(said) + ".", "bold red" if wrong else "green")


def _plain(text: str, encoding: str) -> str:
    """Keep what a file's name may hold from steering the terminal, or from having no letter in its encoding."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return shown.encode(encoding, "replace").decode(encoding)
