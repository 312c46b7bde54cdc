"""Databases of other programs as a feed: followed read-only, by rowid, and told in the order of time.

A database is the rows that it holds; its name, device and inode are only where to look. What happens to one, and what
follows from it:

- *rows inserted, updated, replaced*: see `replay.py`. A row that runs is looked at again until it is final.
- *newest rows deleted*: reading goes on behind the newest row read that is still there; what moved is known again.
- *`VACUUM`, a dump restored*: rowids may become others; with the database's schema version or its inode changed none is
  relied on, and the place is found again by the digests of rows read last.
- *all rows deleted, another database in its place*: that life is over; what is there now has a new id, and is read from
  its beginning.
- *moved, restored from a backup*: recognised by the rows read last, it goes on where it was.
- *copied*: while the original is there the copy is set aside.
- *empty*: no identity yet.

Where something stands beside the rows (workers beside their tasks), the place is enough of an identity: what is there
now goes on as what was there, though all rows were deleted or others are there.

Nothing here is durable. The pipeline commits checkpoints; after a restart reading goes on at the committed ones.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from egoscope.convert import semconv as s
from egoscope.convert.ids import Ids, instance_id
from egoscope.sources.database_roster import DatabaseRoster
from egoscope.sources.discovery import Discovery, Problem, Reason
from egoscope.sources.replay import Happened
from egoscope.sources.row_checkpoint import DatabaseCheckpoint, RowDigests
from egoscope.sources.row_reader import PAGE_ROWS, RowPage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from egoscope.convert.series import SeriesRow
    from egoscope.model.telemetry import Attribute
    from egoscope.redaction import Policy
    from egoscope.sources.database_roster import AwaitedDatabase
    from egoscope.sources.followed_database import FollowedDatabase
    from egoscope.sources.row_format import RowConversion, RowFormat

logger = logging.getLogger(__name__)

DEFAULT_GLOB: Final = "*.db"
"""What is read of a directory that is named as a whole."""

_COUNTED_AS: Final = {
    Reason.NO_MATCH: "no_file",
    Reason.LOCKED: "locked",
    Reason.HOT_JOURNAL: "locked",
    Reason.NOT_A_DATABASE: "not_a_database",
    Reason.MISSING_TABLE: "missing_table",
    Reason.MISSING_COLUMN: "missing_column",
    Reason.COPY: "copy",
}
_COUNT_EVERY_S: Final = 0.25
"""While another source's backlog is read there are a hundred scans a second; each problem is looked at this often."""
_WARN_AFTER_S: Final = 5.0
"""What lasts no longer than this is a writer at work."""

StateT = TypeVar("StateT", bound=msgspec.Struct)


class RowFeed(Generic[StateT]):
    """All databases that the patterns name: files, directories (`*.db` in them) or globs. A `Feed`.

    `known` are the committed checkpoints; `resource` is what every database's telemetry carries. With `portable` an
    instance's id is derived from its rows alone, so that it is the same wherever the file stands. Times in seconds of
    `clock`: a checkpoint is offered by `forgotten` when its database has been gone for `forget_s`. A row of more than
    `max_row_bytes` is passed over. `page_rows`: no transaction reads more rows of a table.
    """

    checkpoint_type = DatabaseCheckpoint

    def __init__(
        self,
        patterns: Sequence[str],
        row_format: RowFormat,
        *,
        new_conversion: Callable[[Ids, StateT, list[SeriesRow]], RowConversion],
        state_type: type[StateT],
        key: bytes,
        known: Iterable[DatabaseCheckpoint] = (),
        resource: Sequence[Attribute] = (),
        max_row_bytes: int = 16 * 1024 * 1024,
        clock: Callable[[], float] = time.time,
        forget_s: float = 7 * 86400.0,
        portable: bool = False,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self._format, self._new_conversion, self._state_type = row_format, new_conversion, state_type
        self._key, self._base = key, tuple(resource)
        self._clock, self._forget_s, self._portable = clock, forget_s, portable
        self._discovery = Discovery(patterns, DEFAULT_GLOB)
        self._roster = DatabaseRoster(
            known,
            row_format=row_format,
            derive_id=self._derive_id,
            digests=RowDigests(key),
            max_row_bytes=max_row_bytes,
            page_rows=page_rows,
            clock=clock,
        )
        self._problems: Sequence[Problem] = ()
        self._directories: frozenset[str] = frozenset()
        self._failed: Counter[str] = Counter()
        self._counted_at: dict[Problem, float] = {}
        self._since: dict[str, float] = {}
        self._warned: set[str] = set()

    @property
    def source(self) -> str:
        """The format's name."""
        return self._format.source

    @property
    def policies(self) -> Sequence[Policy]:
        """The format's policies."""
        return self._format.policies

    @property
    def state_type(self) -> type[StateT]:
        """What the state file keeps of a conversion."""
        return self._state_type

    def scan(self) -> Sequence[FollowedDatabase | AwaitedDatabase]:
        """Look again; return the databases in which there may be something new: live ones first, then the oldest.

        Known ones that cannot be read yet come last: they are not read to their end.
        """
        survey = self._discovery.look()
        self._problems = self._roster.update(survey)
        self._directories = frozenset(survey.directories)
        self._problems = [*survey.problems, *self._problems]
        self._note_problems()
        unread = [unit for unit in self._roster if unit.may_have_rows]
        unread.sort(key=lambda unit: (not unit.live, 0 if unit.live else unit.changed_ns, unit.path))
        return [*unread, *self._roster.awaited]

    def units(self) -> Sequence[FollowedDatabase]:
        """Return every database that is followed now."""
        return list(self._roster)

    def conversion(self, checkpoint: DatabaseCheckpoint, state: StateT, series: list[SeriesRow]) -> RowConversion:
        """Return the conversion of one database."""
        return self._new_conversion(Ids(self._key, checkpoint.source), state, series)

    def convert(
        self, conversion: RowConversion, content: RowPage, *, now_ns: int, fallback_ns: int | None = None
    ) -> Counter[str]:
        """Convert what happened; return how many rows, or parts of rows, could not be read, by reason."""
        unparsable: Counter[str] = Counter()
        before_ns = conversion.newest_ns or (now_ns if fallback_ns is None else fallback_ns)
        final: Counter[str] = Counter()
        for step in content.steps:
            key = step.digest.hex()
            match step.happened:
                case Happened.STARTED:
                    conversion.started(self._format.begun(step.table, step.rowid, key, step.row, step.times))
                    before_ns = step.times.start_ns
                case Happened.CHANGED:
                    record = self._format.begun(step.table, step.rowid, key, step.row, step.times)
                    conversion.changed(record, step.times.state, step.time_ns)
                    before_ns = step.time_ns
                case Happened.ENDED:
                    record = self._format.ended(step.table, step.rowid, key, step.row, step.times)
                    unparsable.update(record.flaws)
                    conversion.ended(record)
                    final[step.table] += 1
                    before_ns = step.times.end_ns or before_ns
                case Happened.GONE:
                    conversion.gone(key)
                case Happened.STANDING:
                    # What stands somewhere for good has no now: it is told as of the newest that is in it.
                    time_ns = 0 if self._portable else step.time_ns
                    conversion.standing(self._format.standing(step.found), time_ns)
                case Happened.UNPARSABLE:
                    unparsable[step.reason] += 1
                    conversion.unparsable(step.table, step.rowid, step.reason, before_ns)
        for table, columns in content.left.items():
            if final[table]:
                self._format.note_unread_columns(table, final[table], columns)
        return unparsable

    def resource(self, checkpoint: DatabaseCheckpoint) -> Sequence[Attribute]:
        """Return the resource of one database: the program's service, one instance a database."""
        return (
            (s.SERVICE_NAME, self._format.service),
            (s.SERVICE_INSTANCE_ID, checkpoint.source),
            (s.SOURCE, self._format.source),
            *self._base,
        )

    def problems(self) -> Sequence[Problem]:
        """Return what is wrong with databases and patterns."""
        return [*self._problems, *(unit.problem for unit in self._roster if unit.problem)]

    def drain_problems(self) -> Mapping[str, int]:
        """Return how many looks failed since the last call, by reason."""
        failed, self._failed = self._failed, Counter()
        return failed

    def watch_paths(self) -> Sequence[str]:
        """Return the directories to watch; write-ahead logs change in them, too."""
        links = [path for path in (Path(unit.path) for unit in self._roster) if path.is_symlink()]
        folders = {Path(folder) for folder in self._directories} | {link.resolve().parent for link in links}
        return sorted(str(folder) for folder in folders if folder.is_dir())

    def forgotten(self) -> Sequence[str]:
        """Return the instances whose database has been gone for long, each once."""
        return self._roster.forgotten(self._forget_s)

    def close(self) -> None:
        """Let go of every handle."""
        self._roster.close()

    def _derive_id(self, device: int, inode: int, head: bytes) -> str:
        return instance_id(self._key, 0, 0, head) if self._portable else instance_id(self._key, device, inode, head)

    def _note_problems(self) -> None:
        """Count failed looks, and say it once when a database cannot be read, and when it can again."""
        now = self._clock()
        problems = [one for one in self.problems() if one.reason is not Reason.GONE_UNREAD]
        for problem in problems:
            if now - self._counted_at.get(problem, 0.0) >= _COUNT_EVERY_S:
                self._counted_at[problem] = now
                self._failed[_COUNTED_AS.get(problem.reason, "unreadable")] += 1
        self._counted_at = {one: self._counted_at[one] for one in problems if one in self._counted_at}
        failing = {one.path: one.reason for one in problems if one.reason not in (Reason.NO_MATCH, Reason.COPY)}
        self._since = {path: self._since.get(path, now) for path in failing}
        for path, reason in failing.items():
            lasts_s = now - self._since[path]
            may_pass = reason in (Reason.LOCKED, Reason.HOT_JOURNAL, Reason.UNREADABLE)
            if path not in self._warned and (not may_pass or lasts_s >= _WARN_AFTER_S):
                self._warned.add(path)
                logger.warning("a database cannot be read")
        if recovered := self._warned - failing.keys():
            self._warned -= recovered
            logger.info("a database can be read again")
