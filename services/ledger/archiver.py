"""Keeps table `payloads` in shape beside the log, which never waits for it: parts made ahead, old payloads moved."""

import threading
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy import Engine

from contracts.units import DAY_S, UnixSeconds
from services.ledger import archiving, partitions
from services.ledger.archiving import SEGMENT_ENTRIES

ROUND_S: Final = 60

log = structlog.get_logger()


class Archiver:
    """Looks between `start` and `stop`, once a minute while `may_run`; `round` is one look.

    older_than_days  None: nothing is moved
    may_run          false in a process that stands by: the one that writes moves, too
    """

    def __init__(
        self,
        engine: Engine,
        *,
        older_than_days: int | None,
        now_s: Callable[[], UnixSeconds],
        size: Callable[[], int],
        may_run: Callable[[], bool] = lambda: True,
        entries_each: int = SEGMENT_ENTRIES,
    ) -> None:
        self._engine = engine
        self._older_than_days = older_than_days
        self._now_s = now_s
        self._size = size
        self._may_run = may_run
        self._entries_each = entries_each
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="archiver", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, between two segments."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def round(self) -> None:
        """Make what the log needs next, and move what is old enough now."""
        partitions.make_ahead(self._engine, self._size())
        if self._older_than_days is None:
            return
        now_s = self._now_s()
        moved = archiving.archive(
            self._engine,
            before_s=now_s - self._older_than_days * DAY_S,
            now_s=now_s,
            on_progress=lambda _done, _total: None,
            entries_each=self._entries_each,
            may_go_on=lambda: self._may_run() and not self._ended.is_set(),
        )
        if moved.segments:
            log.info("payloads_archived", segments=moved.segments, entries=moved.entries, size_bytes=moved.bytes_out)

    def _run(self) -> None:
        while not self._ended.wait(ROUND_S):
            try:
                if self._may_run():
                    self.round()
            except Exception as error:  # a full disk, a lost segment: the log goes on without it
                log.warning("archive_waits", error=f"{type(error).__name__}: {error}")
