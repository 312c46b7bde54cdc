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
from egoscope.convert.ids import subkey
from egoscope.delivery.key import load_key
from egoscope.doctor import backends, clock, collector, databases, koubou, local, places, processes, state, store
from egoscope.doctor.finding import Finding, Mark, counted, fail, ok, skip
from egoscope.errors import ConfigError, StateError
from egoscope.feeds import build_row_format, database_patterns
from egoscope.sources.discovery import Discovery
from egoscope.sources.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from egoscope.config import Settings

_MIB: Final = 1024 * 1024
_NO_KEY: Final = bytes(32)
"""Nothing is made into a pseudonym here."""
NETWORK_S: Final = 2.0
"""How long the checks of servers may take; all run at once."""

_STYLES: Final = {Mark.OK: "green", Mark.WARN: "yellow", Mark.FAIL: "bold red", Mark.SKIP: "dim"}
_COLLECTOR_ONLY: Final = "not asked: requests go to the embedded store (EGOSCOPE_BACKEND=embedded)"

Section = tuple[str, list[Finding]]


def run_doctor(settings: Settings) -> int:
    """Print every finding; return 0 where nothing FAILs, else 1. Changes nothing anywhere."""
    sections = list(examine(settings, time.time()))
    show(sections, Console(highlight=False, emoji=False, markup=False))
    return int(any(finding.mark is Mark.FAIL for _, findings in sections for finding in findings))


def examine(settings: Settings, now_s: float) -> Iterator[Section]:
    """Return all findings by section; `now_s` is Unix time. The servers are asked while the rest is looked at."""
    asked = _Asked(_server_checks(settings), NETWORK_S)
    limit_bytes = settings.outbox_limit_mib * _MIB
    view = state.view_state(settings.state_dir / "state.db")
    owner = local.lock_owner(settings.state_dir / "state.lock")
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
            *local.check_sidecar(owner, ready_page),
            *([trouble] if trouble else ()),
            *(state.check_reading(known) if known else ()),
            *(state.check_outbox(known, limit_bytes=limit_bytes, now_s=now_s) if known else ()),
        ],
    )
    if settings.backend == "embedded":
        servers = skip("Collector, Prometheus, Loki, Tempo", _COLLECTOR_ONLY)
        yield "servers", [*store.check_store(settings.store_path, now_s), servers, *asked.findings()]
    else:
        yield "servers", asked.findings()


def _settings(settings: Settings) -> Iterator[Finding]:
    try:
        for line in run_check(settings).splitlines():
            subject, _, sentence = line.partition(": ")
            yield ok(subject, sentence)
    except (ConfigError, OSError) as error:
        yield fail("settings", str(error), "mend it, then run egoscope check")


def _databases(settings: Settings, now_s: float) -> Iterator[Finding]:
    """Look into the databases of other agents."""
    try:
        for source, patterns in database_patterns(settings).items():
            if patterns:
                row_format = build_row_format(source, settings, _NO_KEY)
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
    sockets: list[Callable[[], Iterable[Finding]]] = []
    if url := settings.koubou_url:
        sockets.append(lambda: koubou.check_socket(url, is_followed=bool(settings.koubou_path)))
    if settings.backend == "embedded":
        return sockets
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
        *sockets,
    )


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
