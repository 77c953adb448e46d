"""Moves old payloads out of table `payloads` into segment files (`segments`), a whole range of entries at a time.

The file is whole on the disk before one transaction writes it into the catalogue, keeps its keys and takes the rows
away. Killed before that, there is a file that nobody knows, and the next run removes it; after it, all is done.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from sqlalchemy import Engine, delete, func, insert, select
from sqlmodel import Session

from contracts.units import UnixSeconds
from services.database import reading, transaction
from services.ledger import payloads, segments
from services.ledger.payloads import KEYS_EACH
from services.ledger.segments import NO_KEY, SUFFIX, Written
from services.ledger.tables import ENTRIES, ERASURES, PAYLOADS, SEGMENT_KEYS, SEGMENTS

SEGMENT_ENTRIES: Final = 16_384
"""Of one segment, which begins at a multiple of it: the leaves of 64 full tiles. A run holds one in memory."""
LOCK: Final = ".lock"

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
        for done, first in enumerate(waiting, 1):
            if not may_go_on():
                break
            moved = moved.and_then(_move(engine, folder, first, first + entries_each, now_s))
            on_progress(done, len(waiting))
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


def _move(engine: Engine, folder: Path, first: int, after: int, now_s: UnixSeconds) -> Moved:
    with reading(engine) as session:
        found = payloads.between(session, first, after)
    written = segments.write(folder, first, [found.get(index) for index in range(first, after)])
    with transaction(engine) as session:
        _take_out(session, written, now_s)
    bytes_in = sum(len(part) for payload in found.values() for part in payload)
    return Moved(1, len(found), bytes_in, written.size_bytes)


def _take_out(session: Session, written: Written, now_s: UnixSeconds) -> None:
    """Let the segment have them instead of the table."""
    inside = (PAYLOADS.c.index >= written.first, PAYLOADS.c.index < written.after)
    # What was erased since it was read has no key, and an erasure that comes now waits until the key is there to erase.
    locked = select(PAYLOADS.c.index, func.length(PAYLOADS.c.request)).where(*inside).with_for_update()
    left = {index for index, length in session.execute(locked) if length}
    keys = [key if index in left else NO_KEY for index, key in enumerate(written.keys, written.first)]
    session.execute(insert(SEGMENT_KEYS), list(payloads.rows_of_keys(written.first, keys)))
    row = {name: getattr(written, name) for name in ("first", "after", "sha256", "size_bytes")}
    session.execute(insert(SEGMENTS).values(**row, archived_s=now_s))
    session.execute(delete(PAYLOADS).where(*inside))


def _remove_unknown(engine: Engine, folder: Path) -> None:
    """Remove what a run that was cut off left: files that are not in the catalogue."""
    with reading(engine) as session:
        known = {segments.path_of(folder, bytes(sha256)) for sha256 in session.scalars(select(SEGMENTS.c.sha256))}
    for path in [*folder.glob(f"*{SUFFIX}"), *folder.glob(".*.partial")]:
        if path not in known:
            path.unlink(missing_ok=True)
