"""The servers that all questions to the stack are put to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from egoscope.query.http import Server
from egoscope.query.loki import Loki
from egoscope.query.prometheus import Prometheus
from egoscope.query.tempo import Tempo
from egoscope.query.times import Range, checked_range, utc_now

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable
    from types import TracebackType


class StackServers:
    """Prometheus, Tempo and Loki."""

    def __init__(
        self,
        *,
        prometheus_url: str,
        tempo_url: str,
        loki_url: str,
        timeout_s: float = 30.0,
        now: Callable[[], dt.datetime] = utc_now,
    ) -> None:
        """Connects to nothing yet: what does not answer is told when it is asked. `ConfigError` for a bad address."""
        self._prometheus = Prometheus(Server("Prometheus", prometheus_url, timeout_s))
        self._tempo = Tempo(Server("Tempo", tempo_url, timeout_s))
        self._loki = Loki(Server("Loki", loki_url, timeout_s))
        self._now = now

    def close(self) -> None:
        """See `Query.close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _range(self, since: dt.datetime | None, until: dt.datetime | None) -> Range:
        return checked_range(since, until, self._now())
