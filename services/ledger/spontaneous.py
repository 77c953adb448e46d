"""What the writer asks of itself: holds that have ended are released, awards that are funded now are minted.

The id of such a request follows from what it is about, so that after a crash it is not done twice.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from contracts import state
from contracts.checkout import ExpireHold
from contracts.commands import Command, ReleaseDeferred, Request
from contracts.units import UnixSeconds
from contracts.wire import cbor
from services.contract_sets import ContractSet
from services.ledger.store import Store, Written
from services.ledger.window import Window

EXPIRIES_MAX: Final = 200
"""Holds released in one batch, so that callers never wait for many of them."""


class Duties:
    """Knows what is due; reads the database only when something is."""

    def __init__(self, store: Store, window: Window, contracts: ContractSet) -> None:
        self._contracts = contracts
        self._store = store
        self._window = window
        self._next_due_s = store.first_due_s()
        self._refused: set[bytes] = set()

    def requests(self, *, at_s: UnixSeconds, index: int) -> list[Request]:
        """What to ask now."""
        self._window.begin(at_s=at_s, index=index)
        wanted = [*self._expiries(at_s), *self._releases()]
        return [request for request in wanted if request.id not in self._refused]

    def committed(self, written: Iterable[Written]) -> None:
        """Rows were written: some may be due one day."""
        for newest in written:
            if isinstance(newest.row, self._contracts.state.Purchase):
                due_s = self._contracts.state.due_s(newest.row)
                if due_s is not None and (self._next_due_s is None or due_s < self._next_due_s):
                    self._next_due_s = due_s

    def refused(self, request: Request) -> None:
        """Such a request was not accepted, which is a bug; asking it for ever would keep the writer busy."""
        self._refused.add(request.id)

    def _expiries(self, at_s: UnixSeconds) -> Iterable[Request]:
        if self._next_due_s is None or at_s < self._next_due_s:
            return
        keys = self._store.due_keys(at_s, limit=EXPIRIES_MAX)
        if not keys:
            self._next_due_s = self._store.first_due_s()
        self._window.fetch(keys)
        rows = self._contracts.state
        for key in keys:
            purchase: Any = self._window.get(key)
            if (
                isinstance(purchase, rows.Purchase) and rows.due_s(purchase) is not None
            ):  # else it ends with what is under way
                yield _own(ExpireHold(purchase.authorization_id), purchase.authorization_id, purchase.index)

    def _releases(self) -> Iterable[Request]:
        if self._contracts.accounts.can_release(self._contracts.effects.Draft(self._window)):
            queue = self._window.get(state.QUEUE_KEY)
            if isinstance(queue, self._contracts.state.Queue):
                yield _own(ReleaseDeferred(), "queue", queue.head)


def _own(command: Command, subject: str, number: int) -> Request:
    id = hashlib.sha256(cbor.encode(["sparks-own", command.KIND, subject, number])).digest()
    return Request(id, id, command)
