"""Signatures of units verified in another process, while this one executes what they signed.

A signature costs a third of what executing its pack does. Where a machine has another core, it is verified there.
"""

import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Final

from contracts.evidence import Check
from contracts.wire import signatures

AHEAD_MIN: Final = 200
"""Fewer at once are verified where they are asked for."""
BEFORE_MIN: Final = 2_000
"""After so many the other process is started: it costs as much as verifying these, and a small log needs none."""
CHUNK: Final = 50


class SignatureChecks:
    """Knows the answer to checks that were begun, and finds it for all others. Not for several threads."""

    def __init__(self, before_min: int = BEFORE_MIN) -> None:
        self._before_min = before_min
        self._seen = 0
        self._process: ProcessPoolExecutor | None = None
        self._may_start = len(os.sched_getaffinity(0)) > 1
        self._begun: dict[Check, tuple[Future[list[bool]], int]] = {}

    def begin(self, checks: Sequence[Check]) -> None:
        """Have these verified in the background; what was begun before is forgotten."""
        self._begun = {}
        if len(checks) < AHEAD_MIN or not self._may_start:
            return
        self._seen += len(checks)
        if self._seen < self._before_min:
            return
        if self._process is None:
            # Not forked: threads of this process hold locks.
            self._process = ProcessPoolExecutor(1, get_context("spawn"), _end_with_parent)
        try:
            for first in range(0, len(checks), CHUNK):
                chunk = checks[first : first + CHUNK]
                future = self._process.submit(_verified, chunk)
                self._begun.update((check, (future, place)) for place, check in enumerate(chunk))
        except BrokenProcessPool:
            self._give_up()

    def is_valid(self, check: Check) -> bool:
        """Is it the signature of the key's owner?"""
        begun = self._begun.pop(check, None)
        if begun is not None:
            future, place = begun
            try:
                return future.result()[place]
            except BrokenProcessPool:
                self._give_up()
        return signatures.verify(*check)

    def _give_up(self) -> None:
        """It was killed, or cannot start here; nothing depends on it."""
        self._may_start = False
        self.close()

    def close(self) -> None:
        """End the other process."""
        self._begun = {}
        if self._process is not None:
            self._process.shutdown(cancel_futures=True)
            self._process = None


def _end_with_parent() -> None:
    """Ctrl-C is for the parent to act on; and where that one is killed, nobody tells."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_await_parent, daemon=True).start()


def _await_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(0)


def _verified(checks: Sequence[Check]) -> list[bool]:
    return [signatures.verify(*check) for check in checks]
