"""Whatever happens in whatever order: the books balance, every spark is funded, and asking twice is safe."""

import itertools
from collections import Counter
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contracts import accounts, state
from contracts.checkout import AttestRetailer, Refund
from contracts.commands import (
    AttestIdentity,
    ChooseLevel,
    Command,
    CorrectUnit,
    DepositReserve,
    EraseCustomer,
    FreezeCustomer,
    PublishSignal,
    ReleaseDeferred,
    SuspendUnit,
)
from contracts.effects import Asset, Effects, Rejected
from contracts.execute import execute
from contracts.state import Account, Customer, DayOfUnit, Decided, Earnings, Purchase, Queue, Row, Spending, Unit
from contracts.units import MICRO_SPARKS_PER_MICRO_CAD
from tests.contracts.story import CUSTOMERS, FREQUENT, MAKERS, UNITS, Story, a_town

R = TypeVar("R", bound=Row)

STATES_A_WISH = (
    *(AttestIdentity, AttestRetailer, ChooseLevel, CorrectUnit),
    *(EraseCustomer, FreezeCustomer, PublishSignal, SuspendUnit),
)
"""Commands that say how something shall be: said twice, nothing changes."""

ADDS_EACH_TIME = (DepositReserve, Refund, ReleaseDeferred)
"""Commands that mean something more each time; only their request's id keeps them from being done twice."""

KINDS = (*MAKERS, *FREQUENT)


class Town(RuleBasedStateMachine):
    """Commands of all kinds on one ledger, beside books kept from nothing but the postings."""

    story: Story
    books: Counter[tuple[str, str]]

    @initialize(deposit_cents=st.sampled_from([0, 5, 40, 10_000]))
    def open(self, deposit_cents: int) -> None:
        self.story = a_town(deposit_cents=deposit_cents)
        self.books = Counter(self.accounts())

    @rule(kind=st.sampled_from(KINDS), data=st.data())
    def ask(self, kind: str, data: st.DataObject) -> None:
        command = self.story.command(kind, lambda sides: data.draw(st.integers(0, sides - 1)))
        rows = dict(self.story.view.rows)
        answer = self.story.tell(command)
        if isinstance(answer, Rejected):
            assert self.story.view.rows == rows
        else:
            self.book(answer)
            self.ask_again(command)

    @rule(wait=st.integers(0, 5))
    def let_time_pass(self, wait: int) -> None:
        self.story.wait(lambda sides: wait)

    def book(self, effects: Effects) -> None:
        sums: Counter[str] = Counter()
        for asset, account, amount in effects.postings:
            sums[asset] += amount
            self.books[asset, account] += amount
        assert not any(sums.values())

    def ask_again(self, command: Command) -> None:
        answer = execute(self.story.view, command)
        if isinstance(command, STATES_A_WISH):
            assert isinstance(answer, Effects)
            assert answer.postings == ()
            assert all(self.story.view.get(key) == row for key, row in answer.writes.items())
        elif not isinstance(command, ADDS_EACH_TIME):
            assert isinstance(answer, Rejected)

    @invariant()
    def every_account_is_the_sum_of_its_postings(self) -> None:
        accounts_now = self.accounts()
        assert accounts_now == {key: amount for key, amount in self.books.items() if key in accounts_now}
        assert self.books.keys() == accounts_now.keys()
        for asset in Asset:
            assert sum(amount for (of, _), amount in self.books.items() if of == asset) == 0

    @invariant()
    def nobody_s_sparks_and_no_reserve_are_below_zero(self) -> None:
        for (_, account), amount in self.books.items():
            if account.startswith(("customer/", "held/")) or account == accounts.RESERVE:
                assert amount >= 0

    @invariant()
    def every_spark_is_funded(self) -> None:
        """Here a retailer that owes counts as negative (programme.md, Fully funded)."""
        holders = ("customer/", "held/", "retailer/")
        outstanding = sum(
            amount for (asset, name), amount in self.books.items() if asset == Asset.SPARK and name.startswith(holders)
        )
        issued = -self.books[Asset.SPARK, accounts.MINTED]
        burned = self.books[Asset.SPARK, accounts.SETTLED] + self.books[Asset.SPARK, accounts.FEES]
        assert issued == outstanding + burned
        assert outstanding <= self.books[Asset.CAD, accounts.RESERVE] * MICRO_SPARKS_PER_MICRO_CAD

    @invariant()
    def what_rows_repeat_of_the_books_is_true(self) -> None:
        """Holds, the queue, what retailers owe and lifetime earnings are kept beside the accounts."""
        held: Counter[str] = Counter()
        for purchase in self.rows(Purchase):
            if purchase.state == "authorized":
                held[accounts.held(purchase.customer_id)] += purchase.held_micro_sparks
        assert held == {name: amount for (_, name), amount in self.books.items() if name.startswith("held/") and amount}
        waiting = -self.books[Asset.DEFERRED, accounts.WAITING]
        rows = self.story.view.rows
        awards = self.rows(state.DeferredAward)
        assert waiting == sum(award.micro_sparks for award in awards if not self.has_left(award.customer_id))
        queue = rows.get(state.QUEUE_KEY, Queue())
        debts = sum(max(0, -amount) for (_, name), amount in self.books.items() if name.startswith("retailer/"))
        assert isinstance(queue, Queue)
        assert queue.retailers_owe_micro_sparks == debts
        minted = sum(row.minted_micro_sparks for row in self.rows(Earnings))
        issued = -self.books[Asset.SPARK, accounts.MINTED]
        assert minted <= issued if any(map(self.has_left, CUSTOMERS)) else minted == issued

    @invariant()
    def who_has_left_has_and_holds_nothing(self) -> None:
        for name in filter(self.has_left, CUSTOMERS):
            assert not any(amount for (_, account), amount in self.books.items() if account.endswith(f"/{name}"))
            assert all(unit.holder != name for unit in self.rows(Unit))

    @invariant()
    def what_was_spent_on_a_day_is_never_below_nothing(self) -> None:
        for row in self.rows(Spending):
            assert all(cents >= 0 for _, cents in row.days)

    @invariant()
    def no_minute_of_a_unit_counts_twice_and_no_day_earns_more_than_its_cap(self) -> None:
        rows = self.story.view.rows
        for device_id in UNITS:
            packs = [
                row for key, row in rows.items() if key.startswith(f"pack/{device_id}/") and isinstance(row, Decided)
            ]
            spans = sorted((row.start_s, row.end_s) for row in packs if not row.refusal or row.again_at is not None)
            assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
            days = [row.micro_sparks for row in self.rows(DayOfUnit)] + [self.story.meter(device_id).day_micro_sparks]
            assert max(days) <= self.story.view.programme.day_micro_sparks_max

    @invariant()
    def every_row_survives_its_bytes(self) -> None:
        for key, row in self.story.view.rows.items():
            assert state.from_bytes(key, state.to_bytes(row)) == row

    def has_left(self, customer_id: str) -> bool:
        row = self.story.view.rows.get(state.customer_key(customer_id))
        return isinstance(row, Customer) and row.closed_s > 0

    def accounts(self) -> dict[tuple[str, str], int]:
        """Every account's balance, as its row says."""
        found: dict[tuple[str, str], int] = {}
        for key, row in self.story.view.rows.items():
            if isinstance(row, Account):
                _, asset, name = key.split("/", 2)
                found[asset, name] = row.balance
        return found

    def rows(self, kind: type[R]) -> list[R]:
        return [row for row in self.story.view.rows.values() if isinstance(row, kind)]


TestTown = Town.TestCase
TestTown.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)
