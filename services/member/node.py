"""The running node: one thread that follows and remembers; what it says of itself and of a tree."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Engine

from contracts.units import UnixSeconds
from services.ledger.checkpoints import Checkpoint
from services.ledger.copies import Copy
from services.ledger.copying import Copyist
from services.ledger.differing import Disagreed
from services.ledger.queries import Queries, Scope
from services.member.follower import Follower
from services.member.memory import Memory
from services.member.operator import Unreachable
from services.member.witness import Agreement

POLL_S: Final = 1.0
PATIENCE_S: Final = 5.0
"""How long a caller who asks for a signature waits for the copy to come so far."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far a copy is.

    size           entries copied here
    executed       those of them whose payload was given and executed
    operator_size  of the newest checkpoint that was seen
    """

    size: int
    executed: int
    operator_size: int
    disagreements: int


class Node:
    """Runs between `start` and `stop`; refuses nothing silently and forgets no refusal.

    tell         what the copy has to say to the operator, once a round
    copyist      makes the copy: of all collections, or of those that are given
    is_entitled  is the copy of the collections that the member's role sees?
    """

    def __init__(
        self,
        engine: Engine,
        follower: Follower,
        queries: Queries,
        *,
        origin: str,
        operator_url: str,
        programme: str,
        now_s: Callable[[], UnixSeconds],
        first_contracts: bytes | None = None,
        tell: Callable[[], None] = lambda: None,
        copyist: type[Copy] = Copyist,
        is_entitled: Callable[[], bool] = lambda: True,
        poll_s: float = POLL_S,
    ) -> None:
        self.memory: Final = Memory(engine)
        self.origin: Final = origin
        self._engine = engine
        self._follower = follower
        self._queries = queries
        self._operator_url = operator_url
        self._programme = programme
        self._now_s = now_s
        self._first_contracts = first_contracts
        self._tell = tell
        self._copyist = copyist
        self._is_entitled = is_entitled
        self._poll_s = poll_s
        self._changed = threading.Condition()
        self._is_running = False
        self._offered: list[bytes] = []
        self._rounds = 0
        self._operator_size = 0
        self._reached = False
        self._thread = threading.Thread(target=self._run, name="member")

    def start(self) -> None:
        """Begin to follow. Raises AnotherWriter if another process keeps this copy."""
        self._copy().close()
        self._is_running = True
        self._thread.start()

    def stop(self) -> None:
        """End after the page under way."""
        with self._changed:
            self._is_running = False
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def status(self) -> Status:
        """How far, of how much, and what stands against going on."""
        standing = len(self.memory.standing())
        size = self._queries.size()
        scope = self._queries.scope()
        return Status(
            size=size,
            executed=size if scope is None else scope.executed,
            operator_size=max(self._operator_size, size),
            disagreements=standing,
        )

    def scope(self) -> Scope | None:
        """What the copy is given; None: everything."""
        return self._queries.scope()

    def reaches_operator(self) -> bool:
        """Did the operator answer the last time?"""
        return self._reached

    def agreement(self, said: Checkpoint, note: bytes) -> Agreement:
        """What the copy says of a tree that the log has signed; waits a while for the copy to come so far."""
        found = self._agreement(said)
        if found is not Agreement.BEHIND:
            if found is Agreement.REFUSED:
                self._offer(note)  # so that the thread names the entry
            return found
        self._offer(note)
        with self._changed:
            self._changed.wait_for(lambda: self._is_settled(said), PATIENCE_S)
        return self._agreement(said)

    def refuse(self, source: str, disagreed: Disagreed) -> None:
        """Remember what `source` showed, and go no further."""
        found = disagreed.difference
        self.memory.note(found, source=source, seen_s=self._now_s())
        log.error(
            "member_refuses",
            index=found.index,
            what=found.what,
            ours=found.ours,
            theirs=found.theirs,
            source=source,
        )

    def round(self) -> None:
        """Wait until the thread has been once through everything that was there when this was called."""
        with self._changed:
            wanted = self._rounds + 2
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._rounds >= wanted or not self._is_running)

    def _offer(self, note: bytes) -> None:
        with self._changed:
            self._offered.append(note)
            self._changed.notify_all()

    def _is_settled(self, said: Checkpoint) -> bool:
        return not self._is_running or self._agreement(said) is not Agreement.BEHIND

    def _agreement(self, said: Checkpoint) -> Agreement:
        standing = self.memory.standing()
        if standing and said.size > standing[0].difference.index:
            return Agreement.REFUSED
        if self._queries.size() < said.size:
            return Agreement.BEHIND
        if self._queries.root(said.size) != said.root:
            return Agreement.REFUSED
        return Agreement.AGREES if self._is_entitled() else Agreement.OTHER_COLLECTIONS

    # The thread

    def _run(self) -> None:
        copy: Copy | None = None
        while self._is_running:
            try:
                copy = copy or self._copy()
                self._go_round(copy)
            except Exception as error:  # whatever it is, a member's node goes on asking
                log.warning("member_waits", error=f"{type(error).__name__}: {error}")
                if copy is not None:
                    copy.close()
                    copy = None
            with self._changed:
                self._rounds += 1
                self._changed.notify_all()
                if not self._offered:
                    self._changed.wait(self._poll_s)
        if copy is not None:
            copy.close()

    def _copy(self) -> Copy:
        return self._copyist(self._engine, programme=self._programme, first_contracts=self._first_contracts)

    def _go_round(self, copy: Copy) -> None:
        with self._changed:
            offered, self._offered = self._offered, []
        copy.keep_lease()
        if not self.memory.standing():
            for note in offered:
                self._try(self._operator_url, partial(self._follow, copy, note))
            self._try(self._operator_url, partial(self._follow_and_look_again, copy))
        self._try(self._operator_url, self._tell)

    def _follow_and_look_again(self, copy: Copy) -> None:
        self._follow(copy, None)
        self._follower.look_again(copy, self._rounds)

    def _follow(self, copy: Copy, note: bytes | None) -> None:
        self._reached = False
        seen = self._follower.follow(copy, note, on_page=self._on_page)
        self._operator_size = max(seen, self._operator_size)
        self._reached = True

    def _on_page(self, _done: int, total: int) -> None:
        self._operator_size = max(total, self._operator_size)
        if not self._is_running:
            raise Unreachable("the node is being stopped")
        with self._changed:
            self._changed.notify_all()

    def _try(self, source: str, step: Callable[[], None]) -> None:
        try:
            step()
        except Disagreed as disagreed:
            self.refuse(source, disagreed)
        except Unreachable as error:
            log.warning("member_waits", error=str(error))
