"""How a statement is published, in steps that each can be done again: tree begun, books closed, tree filled, published.

The figures are those of the books as one entry closed them, and what everybody was owed is read as of that entry while
the ledger goes on. The contract refuses a tree whose sums are not the books'.
"""

import os
from collections.abc import Callable, Iterator
from typing import Final

import structlog
from sqlalchemy import Engine

from contracts import accounts, state
from contracts.closing import CloseBooks, PublishStatement
from contracts.commands import Request
from contracts.effects import Asset, Reason
from contracts.programmes import Programme
from contracts.state import Statement
from contracts.units import LocalDay
from services.clock import Clock
from services.idempotency import outcome_of
from services.ledger.client import Declined, Ledger, LedgerUnavailable
from services.problems import Problem
from services.statements import shelf, trees
from services.statements.days import date_of
from services.statements.splitting import SEED_BYTES, Owed
from services.statements.trees import Tree

ACCOUNTS_AT_ONCE: Final = 10_000
DAYS_LOOKED_AT: Final = 31
CREDITORS: Final = (accounts.customer(""), accounts.held(""), accounts.retailer(""))
"""What the names of accounts begin with that somebody is owed."""

log = structlog.get_logger()


class Publishing:
    """Publishes statements. Raises Problem, LedgerUnavailable, DatabaseUnavailable.

    programme     the parameters that are active
    kept_days     how many days' proofs are kept; the statements themselves are on the ledger for ever
    random_bytes  draws the seed of each day
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        clock: Clock,
        *,
        programme: Callable[[], Programme],
        kept_days: int,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._clock = clock
        self._programme = programme
        self._kept_days = kept_days
        self._random_bytes = random_bytes
        self._opened: LocalDay | None = None

    def yesterday(self) -> LocalDay:
        """The local day whose books can be closed now."""
        return self._programme().local_day(self._clock.now_s()) - 1

    def opened_on(self) -> LocalDay:
        """The local day on which the log began: of earlier ones there are no books."""
        if self._opened is None:
            first = self._ledger.entry(0)
            if first is None:
                raise LedgerUnavailable("the ledger has not been opened yet")
            self._opened = self._programme().local_day(first.at_s)
        return self._opened

    def is_done(self, day: LocalDay) -> bool:
        """Is the day's statement published, and its tree sealed?"""
        statement, kept = self.statement(day), shelf.find(self._engine, day)
        return statement is not None and bool(statement.root) and not (kept and kept.seed)

    def statement(self, day: LocalDay) -> Statement | None:
        """What the ledger holds of a day's statement."""
        (row,) = self._ledger.rows([state.statement_key(day)])
        return row if isinstance(row, Statement) else None

    def days_behind(self) -> int:
        """How many days have passed since the last one with a statement; 0: yesterday has one, or there was none."""
        last = self.yesterday()
        days = range(last, max(self.opened_on(), last - DAYS_LOOKED_AT) - 1, -1)
        rows = self._ledger.rows([state.statement_key(day) for day in days])
        told = (place for place, row in enumerate(rows) if isinstance(row, Statement) and row.root)
        return next(told, len(rows))

    def publish(self, day: LocalDay) -> Statement:
        """Publish the statement of a day; asked again, the same."""
        statement = self.statement(day)
        if statement is None or not statement.root:
            statement = self._publish(day, statement)
            log.info("statement_published", date=date_of(day).isoformat(), entry=statement.published_at)
        shelf.seal(self._engine, day)
        shelf.throw_away(self._engine, before=day - self._kept_days)
        return statement

    def _publish(self, day: LocalDay, closed: Statement | None) -> Statement:
        kept = shelf.begin(self._engine, day, self._random_bytes(SEED_BYTES), self._clock.now_s())
        closed = closed or self._close(day)
        depth = kept.depth
        if depth is None:
            tree = Tree(self._owed_at(closed.closed_at), kept.seed)
            shelf.fill(self._engine, day, tree)
            depth = tree.depth
        root = trees.root_of(depth, shelf.tiles_of(self._engine, day))
        command = PublishStatement(day, root.hash, depth, root.micro_sparks, root.deferred_micro_sparks)
        return self._done(command)

    def _close(self, day: LocalDay) -> Statement:
        try:
            return self._done(CloseBooks(day))
        except Problem:
            shelf.abandon(self._engine, day)
            raise

    def _done(self, command: CloseBooks | PublishStatement) -> Statement:
        """Ask for it under a new id: what is rejected today may be right tomorrow, and the contract does it once."""
        (outcome,) = self._ledger.submit([Request(self._random_bytes(32), bytes(32), command)])
        if not (isinstance(outcome, Declined) and outcome.reason == Reason.STATEMENT_EXISTS):
            outcome_of(outcome)
        day = command.day
        statement = self.statement(day)
        if statement is None:
            raise LookupError(f"the statement of day {day} is on the ledger and not found there")
        return statement

    def _owed_at(self, index: int) -> dict[str, Owed]:
        """What every customer and retailer was owed once entry `index` was done; who is owed nothing is not named."""
        owed: dict[str, Owed] = {}
        for account, asset, balance in self._balances(index):
            if balance <= 0 or not account.startswith(CREDITORS):
                continue
            owner = account.replace(accounts.held(""), accounts.customer(""), 1)
            before = owed.get(owner, Owed(0, 0))
            is_deferred = asset == Asset.DEFERRED
            owed[owner] = Owed(
                before.micro_sparks + (0 if is_deferred else balance),
                before.deferred_micro_sparks + (balance if is_deferred else 0),
            )
        return owed

    def _balances(self, index: int) -> Iterator[tuple[str, str, int]]:
        """Account, asset and balance of all accounts in sparks and deferred sparks."""
        after = ""
        while page := self._ledger.balances(index, after=after, limit=ACCOUNTS_AT_ONCE):
            for key, balance in page:
                _, asset, account = key.split("/", 2)
                if asset in (Asset.SPARK, Asset.DEFERRED):
                    yield account, asset, balance
            after = page[-1][0]
