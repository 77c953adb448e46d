"""A locked file beside an SQLite database: by it a standby learns that the writer has died, or sleeps.

The kernel frees the lock whatever ends the process. A process that is merely paused keeps it, but no longer touches the
file: then the file is replaced by another one. It decides only how soon somebody takes over; that nobody writes beside
the new holder is what the epoch is for (`lease`).
"""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Self

from services.ledger.lease import LEASE_MS_MAX, RENEW_S


class LockFile:
    """The locked file, from its taking to `close`."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._touched_at = time.monotonic()

    @classmethod
    def take(cls, path: Path, *, is_idle: Callable[[], bool]) -> Self | None:
        """Lock the file at `path`; None if another process has it and is awake.

        is_idle  whether nobody is inside a transaction of the database: who sleeps in one keeps everybody out anyway
        """
        found = cls._lock(path)
        if found is not None:
            return found
        seen_ns = _touched_ns(path)
        if seen_ns is None or abs(time.time_ns() - seen_ns) <= LEASE_MS_MAX * 1_000_000 or not is_idle():
            return None
        if _touched_ns(path) == seen_ns:
            path.unlink(missing_ok=True)
        return cls._lock(path)

    @classmethod
    def _lock(cls, path: Path) -> Self | None:
        file = path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        os.utime(file.fileno())
        return cls(file)

    def is_due(self) -> bool:
        """Was it not touched for a while?"""
        return time.monotonic() - self._touched_at > RENEW_S

    def touch(self) -> None:
        """Say that the holder is awake."""
        os.utime(self._file.fileno())
        self._touched_at = time.monotonic()

    def close(self) -> None:
        """Give up the lock."""
        self._file.close()


def _touched_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
