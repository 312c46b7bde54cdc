"""What the pipeline asks of a kind of source: its instances, what is new in each, and how that is converted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    import msgspec

    from egoscope.convert.conversion import Conversion
    from egoscope.convert.series import SeriesRow
    from egoscope.model.telemetry import Attribute
    from egoscope.redaction import Policy
    from egoscope.sources.discovery import Problem


class Checkpoint(Protocol):
    """The durable metadata of one instance: what a restart needs to go on, and nothing of its content."""

    @property
    def source(self) -> str:
        """The instance's id, derived once at first sight."""
        ...

    @property
    def path(self) -> str:
        """Where it was last seen."""
        ...


class Content(Protocol):
    """What one `read` returned, on its way to `Feed.convert`."""

    @property
    def count(self) -> int:
        """Lines or rows in it."""
        ...


class Unit(Protocol):
    """One instance that is followed: a log file, a database."""

    @property
    def checkpoint(self) -> Checkpoint:
        """Its identity with the position of the last `read` (not durable until the pipeline commits it)."""
        ...

    @property
    def live(self) -> bool:
        """Whether it grows now; live ones are read and sent before any backlog."""
        ...

    @property
    def unread_bytes(self) -> int:
        """Bytes that were not read yet as of the last scan; of a database an estimate, 0 only where nothing is."""
        ...

    def read(self, limit_bytes: int) -> Content | None:
        """Return what comes next, about `limit_bytes` of it, or None where nothing does."""
        ...


class Feed(Protocol):
    """One kind of source with all its instances. Used by one thread but for `watch_paths`."""

    @property
    def source(self) -> str:
        """Its name in the ledger, in the state file and in `egoscope.source`."""
        ...

    @property
    def policies(self) -> Sequence[Policy]:
        """The allow-lists that its records go through."""
        ...

    @property
    def checkpoint_type(self) -> type[Any]:
        """What the state file keeps of an instance's position."""
        ...

    @property
    def state_type(self) -> type[msgspec.Struct]:
        """What the state file keeps of an instance's conversion; one without arguments is that of a new instance."""
        ...

    def scan(self) -> Sequence[Unit]:
        """Look at all instances again; return those in which there may be something new, in the order to read them."""
        ...

    def units(self) -> Sequence[Unit]:
        """Return every instance that is followed now, also those with nothing to read."""
        ...

    def conversion(self, checkpoint: Any, state: Any, series: list[SeriesRow]) -> Conversion:  # noqa: ANN401
        """Return the conversion of one instance, going on from what the state file kept."""
        ...

    def convert(self, conversion: Any, content: Any, *, now_ns: int, fallback_ns: int | None = None) -> Counter[str]:  # noqa: ANN401
        """Convert what was read; return how much of it was no record, by reason.

        `fallback_ns` (default: `now_ns`) is the time of what has none, where nothing else has one.
        """
        ...

    def resource(self, checkpoint: Any) -> Sequence[Attribute]:  # noqa: ANN401
        """Return the resource of one instance's telemetry."""
        ...

    def problems(self) -> Sequence[Problem]:
        """Return what is wrong as of the last scan and the reads since; a problem that is mended is not in it."""
        ...

    def drain_problems(self) -> Mapping[str, int]:
        """Return how many looks failed since the last call, by reason."""
        ...

    def watch_paths(self) -> Sequence[str]:
        """Return the directories in which a change means that `scan` may find something, sorted."""
        ...

    def forgotten(self) -> Sequence[str]:
        """Return the ids of instances gone for good, each once: their rows in the state file can be deleted."""
        ...

    def close(self) -> None:
        """Let go of every handle. Nothing is lost: the checkpoints are the pipeline's."""
        ...
