"""The single writer: a thread that executes what waits, has it committed in one transaction, and then answered.

While one batch is committed (`committing`), the next is executed on what that one wrote. Whoever asks gets the answer
after the commit, never before. If the commit cannot be made, nobody is answered as if it had been, nor who stands on
it: memory is thrown away, and what is in the database then is what happened.

A writer that may stand by waits for the lease of another, and takes over when that one dies or falls silent.
"""

import os
import secrets
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from time import monotonic
from typing import Final

import structlog
from sqlalchemy import Engine

from contracts import state
from contracts.commands import EraseCustomer, OpenLedger, Request
from contracts.effects import Reason
from contracts.governed import ActivateContracts
from contracts.units import UnixSeconds
from services import contract_sets
from services.clock import Clock, SystemClock
from services.contract_sets import UnusableBundle
from services.database import DatabaseUnavailable
from services.ledger import calls, erasing
from services.ledger.batches import Chance, Execution, Tip, failure_of, in_order
from services.ledger.calls import Asked
from services.ledger.client import Accepted, Declined, LedgerUnavailable, Outcome
from services.ledger.committing import Committer, Executed
from services.ledger.entries import HASH_BYTES
from services.ledger.lease import AnotherWriter, KeepWaiting, Lease
from services.ledger.opened import Opened, opened_at, tip_of
from services.ledger.opening import LogIdentity, active_contracts, check_clock, check_identity
from services.ledger.role import Role
from services.ledger.store import Batch, Store

BATCH_MAX: Final = 500
QUEUE_MAX: Final = 20_000
OVERLAP_MIN: Final = 64
"""So many requests are executed while a batch is under way; fewer wait for its end, and share the next commit."""
IDLE_S: Final = 1.0
"""How often the clock is looked at while nobody asks."""
RECONNECT_S: Final = 0.25
ALONE: Final = (ActivateContracts, EraseCustomer)
"""Commands after which nothing is executed before they are committed."""
PREDECESSOR_S_MAX: Final = 3.0
"""A writer killed a moment ago may still be finishing its last statement on the server."""

log = structlog.get_logger()


class Writer:
    """Give requests to `ask` from any thread, between `start` and `stop`.

    may_stand_by  wait for the lease if another process has it, instead of failing to start
    holder        what this process is called in the lease
    """

    def __init__(
        self,
        engine: Engine,
        identity: LogIdentity,
        clock: Clock,
        *,
        accept_clock: bool = False,
        may_stand_by: bool = False,
        holder: str = f"{socket.gethostname()}:{os.getpid()}",
        batch_max: int = BATCH_MAX,
        queue_max: int = QUEUE_MAX,
        chance: Chance = secrets.token_bytes,
    ) -> None:
        self.batch_max: Final = batch_max
        self._engine = engine
        self._identity = identity
        self._clock = clock
        self._accept_clock = accept_clock
        self._may_stand_by = may_stand_by
        self._holder = holder
        self._queue_max = queue_max
        self._chance = chance
        self._own = contract_sets.own(identity.programme)
        self._waiting: deque[Asked] = deque()
        self._changed = threading.Condition()
        self._is_taking = False
        self._opened: Opened | None = None
        self._stands_by = False
        self._thread = threading.Thread(target=self._run, name="ledger-writer")

    # What callers use

    def start(self) -> None:
        """Take the lease, read where the log ends, write entry 0 if it is empty, and begin.

        Raises AnotherWriter, OtherLedger, OtherContracts, ClockNeedsAcceptance, DatabaseUnavailable. One that may
        stand by raises neither the first nor the last of these.
        """
        try:
            self._opened = self._open(self._await_predecessor(), is_start=True)
        except AnotherWriter:
            if not self._may_stand_by:
                raise
            self._stands_by = True
            self._check_as_standby()
        except DatabaseUnavailable:
            if not self._may_stand_by:
                raise
        self._is_taking = True
        self._thread.start()

    def stop(self) -> None:
        """Finish what was asked, then end and give up the lease. Does nothing if it is not running."""
        with self._changed:
            self._is_taking = False
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def ask(self, requests: Sequence[Request]) -> "Future[list[Outcome]]":
        """Queue requests; the future has an answer to each, in their order, once all are committed.

        Raises LedgerUnavailable at once if too many wait or the writer has stopped; the future raises it if the
        database cannot be written.
        """
        call, asked = calls.begin(requests)
        with self._changed:
            if not self._is_taking:
                raise LedgerUnavailable("the ledger's writer is not running")
            if self._stands_by:
                raise LedgerUnavailable("another process writes to this ledger; this one stands by")
            if len(self._waiting) + len(asked) > self._queue_max:
                raise LedgerUnavailable("the ledger is busy: too many requests wait")
            self._waiting.extend(asked)
            self._changed.notify()
        return call.future

    def is_clock_adrift(self) -> bool:
        """Has the wall clock jumped away from the one that this run follows?"""
        return isinstance(self._clock, SystemClock) and self._clock.is_adrift()

    def is_writing(self) -> bool:
        """Is the database there and the lease ours, as far as the writer knows?"""
        return self.role is Role.ACTIVE

    @property
    def role(self) -> Role:
        """What this writer is doing, as far as it knows."""
        if not self._is_taking:
            return Role.UNAVAILABLE
        if self._opened is not None:
            return Role.ACTIVE
        return Role.STANDBY if self._stands_by else Role.UNAVAILABLE

    @property
    def epoch(self) -> int:
        """The epoch in which this writer writes; 0 while it does not."""
        opened = self._opened
        return opened.epoch if opened else 0

    # The thread

    def _run(self) -> None:
        while True:
            asked: list[Asked] = []
            try:
                opened = self._opened = self._opened or self._open(self._stand_by, is_start=False)
                if opened.committer.under_way is None:
                    opened.store.keep_lease()  # else the commit renews it
                own = opened.duties.requests(at_s=self._at_s(opened.tip), index=opened.tip.size)
                asked = self._take(opened.committer, waits_s=0 if own else IDLE_S)
                for batch in _apart([Asked(request, None, 0) for request in own] + asked):
                    self._settle(opened, batch)
                if not asked:
                    self._finish(opened)
                    if not self._is_taking:
                        break
            except BaseException as error:  # SystemExit, too: it would end this thread, and nobody would be told
                if not isinstance(error, AnotherWriter):
                    self._lose(asked, error)
                if not self._is_taking:
                    break
        self._turn_away(self._close())

    def _take(self, committer: Committer, *, waits_s: float) -> list[Asked]:
        """The next of what waits, at most a batch of it; none if nothing comes in `waits_s`.

        None either when the batch under way has ended, or when we are to stop.
        """

        def has_news() -> bool:
            least = 1 if committer.under_way is None else OVERLAP_MIN
            return len(self._waiting) >= least or committer.has_ended() or not self._is_taking

        with self._changed:
            if waits_s and not self._changed.wait_for(has_news, waits_s):
                return []
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), self.batch_max))]

    def _settle(self, opened: Opened, asked: Sequence[Asked]) -> None:
        """Execute, and have it committed and answered, once what came before is."""
        if not asked:
            return
        is_alone = any(type(one.request.command) in ALONE for one in asked)
        if is_alone:
            self._finish(opened)
        try:
            executed, tip = self._execute(opened, asked)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            self._finish(opened)
            self._settle_by_halves(opened, asked, error)
            return
        if not is_alone and not self._finish(opened):
            self._settle(opened, asked)  # again: it stood on what was not committed
            return
        opened.hand_over(executed, tip)
        if is_alone:
            self._finish(opened)

    def _finish(self, opened: Opened) -> bool:
        """Wait until the batch under way is answered; False if a bug kept it from being committed as it was."""
        try:
            done = opened.committer.finish()
        except DatabaseUnavailable:
            raise
        except Exception as error:
            taken_back = opened.committer.take_back()
            try:
                self._settle_by_halves(opened, taken_back, error)
            except Exception:
                _fail(taken_back)  # nobody else knows of them any more
                raise
            return False
        if done is not None:
            opened.committed(done)
        return True

    def _settle_by_halves(self, opened: Opened, asked: Sequence[Asked], error: Exception) -> None:
        """Nothing of `asked` was committed, because of a bug that one of them meets: that one is answered so."""
        self._reload(opened)
        if len(asked) > 1:
            half = len(asked) // 2
            for part in (asked[:half], asked[half:]):
                self._settle(opened, part)
                self._finish(opened)
            return
        for one in asked:
            failed = failure_of(one.request, error)
            if one.call is None:
                opened.duties.refused(one.request)
            else:
                one.call.answer(one.place, failed)

    def _execute(self, opened: Opened, asked: Sequence[Asked]) -> tuple[Executed, Tip]:
        """The batch on top of what was executed before, and where the log then ends."""
        requests = [one.request for one in asked]
        order = in_order(requests)
        known = opened.known([request.id for request in requests])
        execution = Execution(
            opened.window,
            origin=self._identity.origin,
            contracts=opened.contracts,
            seed=self._identity.seed,
            chance=self._chance,
        )
        at_s = self._at_s(opened.tip)
        done = execution.run([requests[place] for place in order], known, tip=opened.tip, at_s=at_s)
        in_turn = [asked[place] for place in order]
        try:
            activated = opened.store.activated(done.batch, self._identity.programme)
        except UnusableBundle as error:
            log.error("contracts_unusable", error=str(error))
            opened.window.forget()
            declined = [Declined(Reason.CONTRACTS_UNUSABLE) for _ in asked]
            return Executed(in_turn, declined, Batch(), {}, None), opened.tip
        return Executed(in_turn, done.outcomes, done.batch, known, activated), done.tip

    def _at_s(self, tip: Tip) -> UnixSeconds:
        """Ledger time never goes back."""
        return max(tip.at_s, self._clock.now_s())

    # Opening, losing and ending

    def _open(self, keep_waiting: KeepWaiting, *, is_start: bool) -> Opened:
        store = Store(self._engine, self._own)
        try:
            lease = store.take_lease(self._holder, keep_waiting)
            last = store.last()
            if last is not None:
                self._check_log(store)
                if is_start and not self._accept_clock:
                    check_clock(self._clock.now_s(), last.entry.at_s)
                erasing.finish(self._engine, max(last.entry.at_s, self._clock.now_s()))
            committer = Committer(store, erase=self._erase, on_done=self._wake)
            opened = opened_at(store, last, epoch=lease.epoch, committer=committer)
        except BaseException:
            store.close()
            raise
        if last is None:
            self._write_entry_0(opened)
        self._told_of(lease, opened.tip)
        return opened

    def _erase(self) -> None:
        erasing.finish(self._engine, self._clock.now_s())

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _check_log(self, store: Store) -> None:
        """Is it ours, and which contracts go on with it?"""
        check_identity(store.rows([state.LEDGER_KEY]).get(state.LEDGER_KEY), self._identity)
        store.contracts = active_contracts(store, self._own, self._identity.programme)

    def _told_of(self, lease: Lease, tip: Tip) -> None:
        self._stands_by = False
        if lease.before not in (None, self._holder):
            log.info(
                "ledger_taken_over",
                epoch=lease.epoch,
                holder=self._holder,
                before=lease.before,
                silent_ms=lease.silent_ms,
                size=tip.size,
            )

    def _await_predecessor(self) -> KeepWaiting:
        """Patience of a start; one that may stand by has none, because it waits later."""
        give_up_at = monotonic() + (0 if self._may_stand_by else PREDECESSOR_S_MAX)

        def keep_waiting(at_most_s: float) -> bool:
            self._pause(at_most_s)
            return monotonic() < give_up_at

        return keep_waiting

    def _pause(self, at_most_s: float) -> None:
        with self._changed:
            self._changed.wait(at_most_s)

    def _stand_by(self, at_most_s: float) -> bool:
        """The lease is another's: say so, wait, and go on waiting unless we are to stop."""
        if not self._stands_by:
            self._stands_by = True
            log.info("ledger_stands_by", holder=self._holder)
            self._turn_away([])
        self._pause(at_most_s)
        return self._is_taking

    def _check_as_standby(self) -> None:
        """What a start without the lease would find out only when it takes over.

        The clock may be compared with the lease, too: a log that has been quiet for days is no reason to ask.
        """
        store = Store(self._engine, self._own)
        try:
            last = store.last()
            if last is not None:
                self._check_log(store)
                if not self._accept_clock:
                    renewed_s = store.lease_renewed_s() or last.entry.at_s
                    check_clock(self._clock.now_s(), last.entry.at_s, renewed_s)
        finally:
            store.close()

    def _write_entry_0(self, opened: Opened) -> None:
        id = bytes(HASH_BYTES)
        files = contract_sets.own_files(self._identity.programme)
        command = OpenLedger(self._identity.origin, self._identity.programme, files)
        call, asked = calls.begin([Request(id, id, command)])
        try:
            self._settle(opened, asked)
            self._finish(opened)
            (outcome,) = call.future.result()
            if not isinstance(outcome, Accepted):
                raise AssertionError(f"an empty log cannot be opened: {outcome}")
        except BaseException:
            opened.close()
            raise

    def _reload(self, opened: Opened) -> None:
        """Forget what was executed and not committed."""
        opened.window.forget()
        opened.tip = tip_of(opened.store, opened.store.last())

    def _lose(self, asked: Sequence[Asked], error: BaseException) -> None:
        """Nothing is known of what was executed any more: tell who waits, and begin again from the database."""
        unanswered = [*self._close(), *asked]
        log.warning("ledger_unavailable", error=f"{type(error).__name__}: {error}", waiting=len(unanswered))
        self._stands_by = False
        self._turn_away(unanswered)
        with self._changed:
            if self._is_taking and not self._waiting:
                self._changed.wait(RECONNECT_S)

    def _close(self) -> list[Asked]:
        """Let go of the database; return what could not be answered."""
        opened, self._opened = self._opened, None
        return opened.close() if opened is not None else []

    def _turn_away(self, asked: Sequence[Asked]) -> None:
        """Answer these, and whoever waits behind them, that the ledger cannot write."""
        with self._changed:
            waiting = [*asked, *self._waiting]
            self._waiting.clear()
        _fail(waiting)


def _fail(asked: Sequence[Asked]) -> None:
    """Tell those who have no answer yet that the ledger cannot write."""
    for one in asked:
        if one.call is not None:
            one.call.fail(LedgerUnavailable("the ledger cannot write now"))


def _apart(asked: list[Asked]) -> Iterator[list[Asked]]:
    """Batches: one that makes another contract set active stands alone, between what either set executes."""
    first = 0
    for place, one in enumerate(asked):
        if type(one.request.command) is ActivateContracts:
            yield asked[first:place]
            yield asked[place : place + 1]
            first = place + 1
    yield asked[first:]
