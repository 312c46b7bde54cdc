"""From settings to a running sidecar: the one place that builds everything and knows every concrete class."""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Final

from watchfiles import watch

from egoscope import __version__
from egoscope.convert import catalogue as c
from egoscope.convert import semconv as s
from egoscope.convert.ids import instance_id
from egoscope.convert.instance import InstanceState
from egoscope.delivery.key import load_key
from egoscope.delivery.ledger import SIDECAR, Ledger
from egoscope.delivery.outbox import Delivery, Outbox
from egoscope.delivery.state import StateFile
from egoscope.errors import DeliveryError, StateError
from egoscope.feeds import build_feeds, host_resource
from egoscope.health import HealthServer
from egoscope.otlp.client import Signal, Unavailable
from egoscope.otlp.grpc_client import GrpcExporter
from egoscope.own_telemetry import OwnTelemetry
from egoscope.pipeline import Pipeline
from egoscope.sources.koubou_socket import KoubouSocket
from egoscope.store.sqlite import EmbeddedStore
from egoscope.worker_telemetry import worker_gauges

if TYPE_CHECKING:
    from collections.abc import Iterable

    from egoscope.config import Settings
    from egoscope.model.telemetry import Attribute
    from egoscope.otlp.client import Exporter
    from egoscope.own_telemetry import Gauge

logger = logging.getLogger(__name__)

_MIB: Final = 1024 * 1024
_UNAVAILABLE_LIMIT_S: Final = 60
_ANSWER_GRACE_S: Final = 3.0
"""How long an answer is waited for at the end. Docker kills ten seconds after it asked."""
_HOUSEKEEPING_EVERY_S: Final = 3600


def build_exporter(settings: Settings) -> Exporter:
    """Return where requests go."""
    if settings.backend == "embedded":
        return EmbeddedStore(settings.store_path)
    return GrpcExporter(
        settings.collector_endpoint,
        timeout_s=settings.send_timeout_s,
        token_file=settings.collector_token_file,
        tls=settings.collector_tls,
        ca_file=settings.collector_ca_file,
    )


def sidecar_resource(settings: Settings, key: bytes) -> tuple[Attribute, ...]:
    """Return the resource under which the sidecar tells about itself."""
    name = instance_id(key, 0, 0, SIDECAR.encode())
    resource: tuple[Attribute, ...] = (
        (s.SERVICE_NAME, "egoscope"),
        (s.SERVICE_INSTANCE_ID, name),
        (s.SERVICE_VERSION, __version__),
    )
    return (*resource, *host_resource(settings))


def _join(threads: Iterable[threading.Thread], within_s: float) -> None:
    """Wait until all threads have ended, but no longer than this."""
    deadline_s = time.monotonic() + within_s
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))


class Sidecar:
    """Everything that runs: one reading thread (the caller's), one delivery thread a signal, the health page."""

    def __init__(self, settings: Settings, *, exporter: Exporter | None = None) -> None:
        """Raises ConfigError or StateError with what to do about it; then nothing was started."""
        self._settings = settings
        state_path = settings.state_dir / "state.db"
        # The state file's lock comes first: two sidecars that start at once must not both make a key. One that is
        # killed before it made its key leaves a file with nothing in it: no reason to refuse the next start.
        self._state = StateFile(state_path)
        is_new = self._state.is_empty
        try:
            self._build(settings, is_new=is_new, exporter=exporter)
        except BaseException:
            self._state.close()
            if is_new:
                state_path.unlink(missing_ok=True)
            raise

    def _build(self, settings: Settings, *, is_new: bool, exporter: Exporter | None) -> None:
        key = load_key(settings.key_path, state_exists=not is_new)
        self._koubou = KoubouSocket(settings.koubou_url) if settings.koubou_url else None
        self._feeds = build_feeds(settings, key, self._state)
        self._exporter = exporter or build_exporter(settings)
        self._outbox = Outbox(self._state, limit_bytes=settings.outbox_limit_mib * _MIB)
        self._stop, self._wake = threading.Event(), {signal: threading.Event() for signal in Signal}
        own_resource = sidecar_resource(settings, key)
        _, own_series = self._state.source(SIDECAR, InstanceState)
        self.pipeline = Pipeline(
            feeds=self._feeds,
            state=self._state,
            outbox=self._outbox,
            ledger=Ledger(self._state.ledger(), own_series),
            sidecar_resource=own_resource,
            clock_ns=time.time_ns,
            batch_bytes=settings.batch_kib * 1024,
            keepalive_ns=int(settings.keepalive_h * 3600e9),
            on_commit=self._wake_all,
        )
        self.pipeline.resume()
        self._next_housekeeping_s = 0.0
        self._own = OwnTelemetry(self._exporter, own_resource, self._gauges()) if settings.telemetry else None
        self._deliveries = {
            signal: Delivery(
                signal,
                self._outbox,
                self._exporter,
                jitter=random.Random(),  # noqa: S311 (spreads retries, guards nothing)
                on_sent=self._own.sent if self._own else lambda _signal, _outcome: None,
            )
            for signal in Signal
        }

    def run(self) -> None:
        """Read and send until `stop` is called; then commit, and leave what is unsent in the outbox."""
        health = None
        if self._settings.health_port:
            health = HealthServer(self._settings.health_host, self._settings.health_port, self._problems)
        threads = [
            threading.Thread(target=delivery.run, args=(self._wake[signal], self._stop), name=f"deliver-{signal}")
            for signal, delivery in self._deliveries.items()
        ]
        self.pipeline.begin()
        changed = threading.Event()
        threads.append(threading.Thread(target=self._watch, args=(changed,), name="watch", daemon=True))
        for thread in threads:
            thread.start()
        if self._koubou:
            self._koubou.start(changed)
        logger.info("egoscope is running")
        try:
            while not self._stop.is_set():
                changed.clear()
                while self.pipeline.run_once() and not self._stop.is_set():
                    pass
                self._keep_house()
                changed.wait(self._settings.poll_s)
            self.pipeline.finish()
        finally:
            self._stop.set()
            self._wake_all()
            if self._koubou:
                self._koubou.stop()
            _join(threads, _ANSWER_GRACE_S)
            if any(thread.is_alive() for thread in threads):
                # A back end took a request and does not answer. Its call is cancelled; the request stays in the outbox.
                self._exporter.close()
                _join(threads, _ANSWER_GRACE_S)
            logger.info("egoscope has stopped")
            if health:
                health.close()
            self.close()

    def drain(self) -> None:
        """Read everything there is and send it once, in this thread; for the embedded store and for tests."""
        while self.pipeline.run_once():
            self._send_all()
        self.pipeline.finish()
        self._send_all()
        self._keep_house()

    def stop(self) -> None:
        """Ask `run` to end; it does within `poll_s`. Safe in a signal handler.

        That runs amid the reading thread, which may hold the lock of an event that is set by it: waking the others
        here would wait for itself, so `run` does it.
        """
        self._stop.set()

    def close(self) -> None:
        """Let go of everything."""
        if self._own:
            self._own.close()
        for feed in self._feeds:
            feed.close()
        self._exporter.close()
        self._state.close()

    def _send_all(self) -> None:
        for delivery in self._deliveries.values():
            while (outcome := delivery.send_next()) is not None:
                if isinstance(outcome, Unavailable):
                    raise DeliveryError(f"cannot send or store ({outcome.reason}); what was read waits in the outbox")

    def _keep_house(self) -> None:
        """Forget, now and then, what is gone for good: rows of files that went long ago, old rows of the store."""
        now_s = time.monotonic()
        if now_s < self._next_housekeeping_s:
            return
        self._next_housekeeping_s = now_s + _HOUSEKEEPING_EVERY_S
        try:
            self._state.forget([source for feed in self._feeds for source in feed.forgotten()])
            if isinstance(self._exporter, EmbeddedStore) and (newest_ns := self.pipeline.newest_ns):
                # From the newest event on: who looks at an old log wants to see it.
                self._exporter.prune(newest_ns - int(self._settings.prune_days * 86_400e9))
        except (sqlite3.OperationalError, StateError):
            logger.warning("old rows could not be deleted: it is tried again in an hour")

    def _wake_all(self) -> None:
        for wake in self._wake.values():
            wake.set()

    def _watch(self, changed: threading.Event) -> None:
        """Turn notifications into a look; where none come, `run` looks by itself every `poll_s`."""
        paths: list[str] = []
        while not self._stop.is_set():
            paths = self._watch_paths()
            if not paths:
                self._stop.wait(1.0)
                continue
            try:
                for _ in watch(
                    *paths,
                    stop_event=self._stop,
                    recursive=False,
                    debounce=50,
                    step=25,  # it wakes up this often, in ms: at 10 that was half of all CPU time while idle
                    rust_timeout=2000,
                    yield_on_timeout=True,
                ):
                    changed.set()
                    if self._watch_paths() != paths:
                        break
            except OSError:
                logger.warning("no notifications of file changes: polling only")
                return

    def _watch_paths(self) -> list[str]:
        return sorted({path for feed in self._feeds for path in feed.watch_paths()})

    def _gauges(self) -> dict[c.Metric, Gauge]:
        budget_usd, least_workers = self._settings.budget_usd, self._settings.least_workers
        return {
            **({c.BUDGET: lambda: budget_usd} if budget_usd is not None else {}),
            **({c.WORKERS_EXPECTED: lambda: least_workers} if least_workers is not None else {}),
            **worker_gauges(self._settings),
            c.LAG_TIME: self._lag_s,
            c.LAG_BYTES: lambda: float(self.pipeline.unread_bytes),
            c.OUTBOX_BYTES: lambda: float(self._outbox.waiting().size),
            c.OUTBOX_LIMIT: lambda: float(self._outbox.limit_bytes),
            c.FILES: lambda: float(sum(len(feed.units()) for feed in self._feeds)),
            c.DISK_FREE: lambda: float(shutil.disk_usage(self._settings.state_dir).free),
            c.DISK_SIZE: lambda: float(shutil.disk_usage(self._settings.state_dir).total),
            c.UTC_OFFSET: lambda: float(time.localtime().tm_gmtoff),
        }

    def _lag_s(self) -> float:
        oldest_ns = self._outbox.oldest_ns()
        return max(0.0, (time.time_ns() - oldest_ns) / 1e9) if oldest_ns else 0.0

    def _problems(self) -> dict[str, str]:
        problems: dict[str, str] = {}
        if self._lag_s() > _UNAVAILABLE_LIMIT_S:
            problems["sending"] = "requests have been waiting for more than a minute: is the Collector up?"
        if self.pipeline.paused:
            problems["reading"] = "the outbox is full; reading goes on when there is room"
        if self.pipeline.stuck:
            problems["state"] = "the state file cannot be written: is the disk full?"
        return problems
