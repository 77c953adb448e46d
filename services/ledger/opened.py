"""What an open ledger is to its writer: where the log ends, what is under way, and the state on top of both."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.contract_sets import ContractSet
from services.ledger.answers import Known
from services.ledger.batches import Tip
from services.ledger.calls import Asked
from services.ledger.client import Accepted
from services.ledger.committing import Committer, Executed
from services.ledger.spontaneous import Duties
from services.ledger.store import Last, Store
from services.ledger.window import RowCache, Window


@dataclass(slots=True)
class Opened:
    """What the writer holds while the database is there, and the lease its own."""

    contracts: ContractSet
    store: Store
    window: Window
    duties: Duties
    committer: Committer
    tip: Tip
    epoch: int

    def known(self, ids: Sequence[bytes]) -> dict[bytes, Known]:
        """How those of the requests `ids` that were executed before are answered."""
        known = self.store.known(ids)
        under_way = self.committer.under_way
        if under_way is not None:
            known |= {id: under_way.known[id] for id in ids if id in under_way.known}
        return known

    def hand_over(self, executed: Executed, tip: Tip) -> None:
        """Have a batch committed; what comes next stands on it."""
        self.tip = tip
        self.window.hand_over()
        self.committer.hand_over(executed)

    def committed(self, done: Executed) -> None:
        """What was handed over is in the database, and answered."""
        self.window.committed()
        self.duties.committed(done.batch.rows.values())
        for one, outcome in zip(done.asked, done.outcomes, strict=True):
            if one.call is None and not isinstance(outcome, Accepted):
                self.duties.refused(one.request)
        if done.activated is not None:
            self.go_on_under(done.activated)

    def close(self) -> list[Asked]:
        """Give up the lease, once the batch under way has ended; return what of it could not be answered."""
        unanswered = self.committer.close()
        self.store.close()
        return unanswered

    def go_on_under(self, contracts: ContractSet) -> None:
        """Another contract set executes what comes next: every row is read anew, as that set has it."""
        self.contracts = self.store.contracts = contracts
        self.window = Window(contracts.programme, RowCache(), self.store.written)
        self.duties = Duties(self.store, self.window, contracts)


def opened_at(store: Store, last: Last | None, *, epoch: int, committer: Committer) -> Opened:
    """What is there under the contract set of `store`, as the database has it."""
    window = Window(store.contracts.programme, RowCache(), store.written)
    duties = Duties(store, window, store.contracts)
    return Opened(store.contracts, store, window, duties, committer, tip_of(store, last), epoch)


def tip_of(store: Store, last: Last | None) -> Tip:
    """Where the log ends whose newest entry is `last`."""
    if last is None:
        return Tip(0, 0, {})
    size = last.index + 1
    return Tip(size, last.entry.at_s, store.frontier(size))
