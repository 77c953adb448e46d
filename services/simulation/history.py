"""Walks the log from entry 0: as it was executed up to the span, from there on by both contract sets side by side.

The state before the span is that of history, whatever was active then; so what differs afterwards comes from the
contracts alone. Packs that came late are waited for: the walk ends where the log ends.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from sqlalchemy import Engine

from contracts import state
from contracts.state import ActiveContracts, ContractFiles, Ledger
from contracts.units import UnixSeconds
from services import contract_sets
from services.contract_sets import ContractSet
from services.ledger import entries, stored
from services.ledger.client import LedgerUnavailable
from services.ledger.queries import Queries
from services.ledger.reexecution import Replayed
from services.simulation.result import Simulation
from services.simulation.side import Side
from services.simulation.span import NothingToSimulate, Span

PAGE_ENTRIES: Final = 500

OnProgress: TypeAlias = Callable[[int, int], None]
"""(entries executed, entries in all), after every page"""


def simulate(
    engine: Engine,
    span: Span,
    on_progress: OnProgress,
    *,
    parameters: bytes | None = None,
    files: bytes | None = None,
) -> Simulation:
    """The days of `span` under the active contracts and under others, out of a ledger that is only read.

    parameters  a TOML file for the code that is active; or `files`: those of another set (`contracts.bundle`)

    Raises NothingToSimulate, UnusableBundle, LedgerUnavailable, DatabaseUnavailable.
    """
    queries = Queries(engine)
    head = queries.head()
    present, proposed = _sets(queries, parameters, files)
    walk = _Walk(span, present, proposed)
    with stored.opened(engine) as moment:
        for first in range(0, head.size, PAGE_ENTRIES):
            after = min(first + PAGE_ENTRIES, head.size)
            page = moment.page(first, after)
            for index in range(first, after):
                walk.step(index, page.entries.get(index), page.payloads.get(index))
            on_progress(after, head.size)
    if walk.sides is None or not any(side.packs for side in walk.sides):
        raise NothingToSimulate(f"the ledger has no packs that earned between {span.first} and {span.last}")
    return Simulation(head, span.first, span.last, present.version, proposed.version, *walk.sides, walk.unknown)


def _sets(queries: Queries, parameters: bytes | None, files: bytes | None) -> tuple[ContractSet, ContractSet]:
    """The active contract set, and the one to be tried."""
    opened, active = queries.rows([state.LEDGER_KEY, state.ACTIVE_KEY])
    if not isinstance(opened, Ledger) or not isinstance(active, ActiveContracts):
        raise LedgerUnavailable("the ledger carries no contract set")
    (carried,) = queries.rows([state.contracts_key(active.version)])
    if not isinstance(carried, ContractFiles):
        raise LedgerUnavailable("the ledger has lost the files of the active contract set")
    if parameters is not None:
        files = contract_sets.with_parameters(carried.files, opened.programme, parameters)
    if files is None:
        raise NothingToSimulate("say what to try: other parameters or other code")
    present = contract_sets.load(carried.files, programme=opened.programme, version=active.version)
    return present, contract_sets.load(files, programme=opened.programme)


class _Walk:
    def __init__(self, span: Span, present: ContractSet, proposed: ContractSet) -> None:
        self.sides: tuple[Side, Side] | None = None
        self.unknown = 0
        """Entries whose request is not known any more."""
        self._span = span
        self._present = present
        self._proposed = proposed
        self._history = Replayed()

    def step(self, index: int, entry_row: Any, payload_row: Any) -> None:
        """Execute one entry."""
        if entry_row is None or payload_row is None or not payload_row.request:
            self.unknown += 1
            return
        at_s = entries.from_bytes(entry_row.entry).at_s
        if self.sides is None and self._span.has_begun(self._present.programme, at_s):
            self.sides = (self._side(self._present), self._side(self._proposed))
        if self.sides is None:
            self._live_on(index, at_s, payload_row.request)
            return
        for side in self.sides:
            side.take(payload_row.request, index=index, at_s=at_s)

    def _side(self, contracts: ContractSet) -> Side:
        def is_counted(at_s: UnixSeconds) -> bool:
            return self._span.has(self._present.programme, at_s)

        return Side.of(self._history, contracts, is_counted)

    def _live_on(self, index: int, at_s: UnixSeconds, request: bytes) -> None:
        """What happened before the span, by the contracts that were active then."""
        history = self._history
        if index == 0:
            programme, files = contract_sets.opening(request)
            history.activate(contract_sets.load(files, programme=programme))
        contracts = history.contracts
        history.at_s, history.index = at_s, index
        done = contracts.execute.execute(history, contracts.commands.from_bytes(request).command)
        if isinstance(done, contracts.effects.Rejected):
            raise NothingToSimulate(f"entry {index} cannot be executed again; `sparks ledger verify` says more")
        for _ in history.apply(done.writes):
            pass  # accepted packs are not kept
        if state.ACTIVE_KEY in done.writes:
            self._go_on_under_the_next()

    def _go_on_under_the_next(self) -> None:
        opened: Any = self._history.get(state.LEDGER_KEY)
        active: Any = self._history.get(state.ACTIVE_KEY)
        carried: Any = self._history.get(state.contracts_key(active.version))
        loaded = contract_sets.load(carried.files, programme=opened.programme, version=active.version)
        self._history.activate(loaded)
