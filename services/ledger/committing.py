"""The second half of a batch: written in one transaction, then answered, while the next batch is executed.

One batch is under way at a time. The next stands on what it wrote and is never handed over before it has ended, so
that what is in the database is always the beginning of what was executed.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from services.contract_sets import ContractSet
from services.ledger.answers import Known
from services.ledger.calls import Asked
from services.ledger.client import Outcome
from services.ledger.store import Batch, Store


@dataclass(frozen=True, slots=True)
class Executed:
    """A batch that was executed: what to write, and how to answer each of `asked` once that is done.

    known      how requests were answered, by their ids: in this batch, or before it
    activated  the contract set that executes what comes after it, if it makes another one active
    """

    asked: Sequence[Asked]
    outcomes: Sequence[Outcome]
    batch: Batch
    known: Mapping[bytes, Known]
    activated: ContractSet | None


class Committer:
    """Commits and answers in a thread of its own.

    erase    what is left to do after an erasure was committed, before it is answered
    on_done  called in that thread when a batch has ended, well or badly
    """

    def __init__(self, store: Store, *, erase: Callable[[], None], on_done: Callable[[], None]) -> None:
        self._store = store
        self._erase = erase
        self._on_done = on_done
        self._thread: Final = ThreadPoolExecutor(1, "ledger-commit")
        self._under_way: Executed | None = None
        self._end: Future[None] | None = None

    @property
    def under_way(self) -> Executed | None:
        """The batch that was handed over and is not known to have ended."""
        return self._under_way

    def has_ended(self) -> bool:
        """Has the batch under way ended, so that `finish` would not wait?"""
        return self._end is not None and self._end.done()

    def hand_over(self, executed: Executed) -> None:
        """Have a batch committed and answered; the one before has ended."""
        self._under_way = executed
        self._end = self._thread.submit(self._commit, executed)
        self._end.add_done_callback(lambda _: self._on_done())

    def finish(self) -> Executed | None:
        """Wait for the batch under way, which then is none any more; return it if there was one.

        Raises what kept it from being committed: DatabaseUnavailable, or a bug. Nobody was answered then, and the
        batch stays under way for `take_back`.
        """
        if self._end is not None:
            self._end.result()
        done, self._under_way, self._end = self._under_way, None, None
        return done

    def take_back(self) -> list[Asked]:
        """What of the batch under way was not answered, because it could not be committed; none is under way then."""
        executed, end = self._under_way, self._end
        self._under_way, self._end = None, None
        return list(executed.asked) if executed and end and end.exception() else []

    def close(self) -> list[Asked]:
        """End the thread, once the batch under way has ended; return what of it could not be answered."""
        self._thread.shutdown()
        return self.take_back()

    def _commit(self, executed: Executed) -> None:
        if not executed.batch.is_empty():
            self._store.commit(executed.batch)
            if executed.batch.erasures:
                self._erase()
        for one, outcome in zip(executed.asked, executed.outcomes, strict=True):
            if one.call is not None:
                one.call.answer(one.place, outcome)
