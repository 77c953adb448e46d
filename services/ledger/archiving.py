"""Moves old payloads out of table `payloads` into segment files (`segments`), a whole range of entries at a time.

The file is whole on the disk before one transaction writes it into the catalogue, keeps its keys and takes the rows
away. Killed before that, there is a file that nobody knows, and the next run removes it; after it, all is done.
"""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from sqlalchemy import Engine, delete, func, insert, select
from sqlmodel import Session

from contracts.units import UnixSeconds
from services.database import DatabaseUnavailable, reading, transaction
from services.ledger import partitions, payloads, segments
from services.ledger.payloads import KEYS_EACH
from services.ledger.segments import SUFFIX, Written
from services.ledger.tables import ENTRIES, ERASURES, PAYLOADS, SEGMENT_KEYS, SEGMENTS

SEGMENT_ENTRIES: Final = 16_384
"""Of one segment, which begins at a multiple of it: the leaves of 64 full tiles. A run holds one in memory."""
LOCK: Final = ".lock"
ATTEMPTS: Final = 5
"""To take a part out of the table while others read it."""

OnProgress: TypeAlias = Callable[[int, int], None]
"""(segments written, of how many)"""


class AlreadyArchiving(Exception):
    """Another process moves payloads into the same folder."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What a run moved.

    entries              how many payloads lie in segments now that did not
    bytes_in, bytes_out  of those payloads as they were, and of the files
    """

    segments: int = 0
    entries: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def and_then(self, more: "Moved") -> "Moved":
        """Both together."""
        return Moved(
            self.segments + more.segments,
            self.entries + more.entries,
            self.bytes_in + more.bytes_in,
            self.bytes_out + more.bytes_out,
        )


def archive(
    engine: Engine,
    *,
    before_s: UnixSeconds,
    now_s: UnixSeconds,
    on_progress: OnProgress,
    entries_each: int = SEGMENT_ENTRIES,
    may_go_on: Callable[[], bool] = lambda: True,
) -> Moved:
    """Move the payloads of every full range of entries that are all older than `before_s`; the ledger may run.

    entries_each  a multiple of KEYS_EACH, the same in every run
    may_go_on     asked before each segment

    Raises AlreadyArchiving, DatabaseUnavailable, BadSegment, OSError. What was moved until then stays moved.
    """
    if entries_each % KEYS_EACH:
        raise ValueError(f"a segment has a multiple of {KEYS_EACH} entries, got {entries_each}")
    with reading(engine) as session:
        folder = payloads.folder_of(session.connection())
    moved = Moved()
    with _alone(folder):
        _remove_unknown(engine, folder)
        with reading(engine) as session:
            waiting = _waiting(session, before_s, entries_each)
            parts = partitions.parts(session.connection())
        for together in _together(waiting, parts, entries_each):
            is_part = together in parts
            if is_part:
                _require_free(engine, together)
            written: list[Written] = []
            for first in range(together.start, together.stop, entries_each):
                if not may_go_on():
                    return moved
                segment, of = _write(engine, folder, first, first + entries_each)
                written.append(segment)
                moved = moved.and_then(of)
                on_progress((first + entries_each - waiting.start) // entries_each, len(waiting))
            _let_go(engine, together, written, now_s, is_part=is_part)
        partitions.drop_empty(engine, waiting.start + len(waiting) * entries_each)
    return moved


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only one here: what this run has written and not yet catalogued another one would remove."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyArchiving(f"another process is moving payloads into {folder}") from error
        yield


def _waiting(session: Session, before_s: UnixSeconds, entries_each: int) -> range:
    """Where the ranges begin that are old enough and not moved yet."""
    done = session.scalar(select(func.max(SEGMENTS.c.after))) or 0
    old = select(ENTRIES.c.index).where(ENTRIES.c.at_s < before_s)
    last_old = session.scalar(old.order_by(ENTRIES.c.at_s.desc(), ENTRIES.c.index.desc()).limit(1))
    # What an erasure that is under way still has to read stays where it is.
    pending = session.scalar(select(func.min(ERASURES.c.index)).where(ERASURES.c.erased_s.is_(None)))
    after = min(last_old + 1 if last_old is not None else 0, pending if pending is not None else 1 << 62)
    return range(done, after - entries_each + 1, entries_each)


def _together(waiting: range, parts: Sequence[range], entries_each: int) -> Iterator[range]:
    """What leaves the table in one transaction: a part that is old as a whole, elsewhere the range of one segment."""
    whole = {part.start: part for part in parts}
    after = waiting.start + len(waiting) * entries_each
    first = waiting.start
    while first < after:
        part = whole.get(first)
        is_whole = part is not None and part.stop <= after and len(part) % entries_each == 0
        together = part if part is not None and is_whole else range(first, first + entries_each)
        yield together
        first = together.stop


def _require_free(engine: Engine, part: range) -> None:
    """Raise DatabaseUnavailable if a long reader would keep the part from being dropped, before anything is written."""
    with transaction(engine) as session:
        partitions.lock(session.connection(), part)


def _write(engine: Engine, folder: Path, first: int, after: int) -> tuple[Written, Moved]:
    with reading(engine) as session:
        found = payloads.between(session, first, after)
    written = segments.write(folder, first, [found.get(index) for index in range(first, after)])
    bytes_in = sum(len(part) for payload in found.values() for part in payload)
    return written, Moved(1, len(found), bytes_in, written.size_bytes)


def _let_go(engine: Engine, inside: range, written: Sequence[Written], now_s: UnixSeconds, *, is_part: bool) -> None:
    """Have the segments in the place of the rows, in one transaction; again if readers keep a part busy."""
    for attempt in range(ATTEMPTS):
        try:
            with transaction(engine) as session:
                _take_out(session, inside, written, now_s, is_part=is_part)
            return
        except DatabaseUnavailable:
            if not is_part or attempt == ATTEMPTS - 1:
                raise


def _take_out(
    session: Session, inside: range, written: Sequence[Written], now_s: UnixSeconds, *, is_part: bool
) -> None:
    for segment in written:
        session.execute(insert(SEGMENT_KEYS), list(payloads.rows_of_keys(segment)))
        row = {name: getattr(segment, name) for name in ("first", "after", "sha256", "size_bytes")}
        session.execute(insert(SEGMENTS).values(**row, archived_s=now_s))
    rows = (PAYLOADS.c.index >= inside.start, PAYLOADS.c.index < inside.stop)
    # What was erased since it was read loses its key; an erasure that comes now waits, and then finds the key.
    erased = select(PAYLOADS.c.index).where(*rows, PAYLOADS.c.request == b"")
    if is_part:
        partitions.lock(session.connection(), inside)
        payloads.forget_keys(session, session.scalars(erased))
        partitions.drop(session.connection(), inside)
    else:
        session.execute(select(PAYLOADS.c.index).where(*rows).with_for_update())
        payloads.forget_keys(session, session.scalars(erased))
        session.execute(delete(PAYLOADS).where(*rows))


def _remove_unknown(engine: Engine, folder: Path) -> None:
    """Remove what a run that was cut off left: files that are not in the catalogue."""
    with reading(engine) as session:
        known = {segments.path_of(folder, bytes(sha256)) for sha256 in session.scalars(select(SEGMENTS.c.sha256))}
    for path in [*folder.glob(f"*{SUFFIX}"), *folder.glob(".*.partial")]:
        if path not in known:
            path.unlink(missing_ok=True)
