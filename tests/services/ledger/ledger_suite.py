"""What every `client.Ledger` must do, whichever way it is reached: a class of tests over a fixture `ledger`.

A test file that provides the fixtures `books` (the writer's side) and `ledger` (the way under test) subclasses it.
"""

import asyncio

from contracts import state
from contracts.checkout import Capture, Refund
from contracts.commands import ChooseLevel, CorrectUnit, DecideAgain, EnrollCustomer, RecordPack
from contracts.effects import Posting, Reason
from contracts.state import Customer, Decided, Meter
from services.ledger.client import Accepted, Declined, Ledger, Reused
from tests import invariants
from tests.services.ledger.builders import (
    IDENTITY,
    INTERVAL_S,
    START_S,
    Books,
    Home,
    accept,
    code,
    fund,
    purchase,
    request,
    shop,
    verified,
)


class LedgerSuite:
    """The promises of `services.ledger.client`."""

    def test_answers_come_in_the_order_of_the_requests(self, ledger: Ledger):
        names = [f"customer-{number}" for number in range(5)]

        outcomes = accept(ledger, [request(EnrollCustomer(name, "saver")) for name in names])

        assert [outcome.result for outcome in outcomes] == [{"customer": name} for name in names]
        assert [outcome.index for outcome in outcomes] == [1, 2, 3, 4, 5]

    def test_nothing_asked_is_nothing_answered(self, ledger: Ledger):
        assert ledger.submit([]) == []

    def test_a_request_asked_again_gets_its_first_answer(self, ledger: Ledger):
        asked = fund()
        (first,) = accept(ledger, [asked])

        (again,) = ledger.submit([asked])

        assert again == Accepted(first.index, first.at_s, first.result, repeated=True)
        assert ledger.head().size == first.index + 1

    def test_a_request_asked_twice_at_once_is_done_once(self, ledger: Ledger):
        asked = fund()

        first, second = ledger.submit([asked, asked])

        assert isinstance(first, Accepted)
        assert second == Accepted(first.index, first.at_s, first.result, repeated=True)

    def test_an_id_used_again_for_something_else_is_refused(self, ledger: Ledger):
        accept(ledger, [request(EnrollCustomer("customer-1", "saver"), name="n", asked="one")])
        other = request(EnrollCustomer("customer-2", "saver"), name="n", asked="two")

        assert ledger.submit([other]) == [Reused()]
        assert ledger.submit([other, other]) == [Reused(), Reused()]

    def test_a_rejection_is_given_again_even_if_it_would_be_accepted_now(self, ledger: Ledger):
        too_early = request(ChooseLevel("customer-1", "saver"))
        assert ledger.submit([too_early]) == [Declined(Reason.UNKNOWN_CUSTOMER)]
        accept(ledger, [request(EnrollCustomer("customer-1", "saver"))])

        assert ledger.submit([too_early]) == [Declined(Reason.UNKNOWN_CUSTOMER)]

    def test_a_rejection_for_its_content_is_not_remembered(self, ledger: Ledger):
        accept(ledger, [*Home().joining(), shop(), verified(), fund(), Home().record(intervals=12), code("a")])
        accept(ledger, [purchase("a", capture=False)])
        too_much = request(Capture("SHOP", "a", 2), name="capture", asked="2")
        assert ledger.submit([too_much]) == [Declined(Reason.CAPTURE_ABOVE_HOLD)]

        (outcome,) = ledger.submit([request(Capture("SHOP", "a", 1), name="capture", asked="1")])

        assert isinstance(outcome, Accepted)

    def test_asking_without_blocking_is_answered_alike(self, ledger: Ledger):
        async def ask_all() -> list[object]:
            asked = [request(EnrollCustomer(f"customer-{number}", "saver")) for number in range(20)]
            answers = [ledger.ask(one) for one in [*asked, asked[0]]]
            return list(await asyncio.gather(*answers))

        outcomes = asyncio.run(ask_all())

        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert len({outcome.index for outcome in outcomes if isinstance(outcome, Accepted)}) == 20
        assert ledger.head().size == 21

    def test_rows_come_in_the_order_of_their_keys_and_none_for_what_is_not_there(self, ledger: Ledger):
        home = Home()
        accept(ledger, [*home.joining(), fund(), home.record()])
        keys = ["customer/nobody", state.pack_key("unit-1", 1), state.customer_key("customer-1"), "pack/unit-1/2"]

        rows = ledger.rows(keys)

        assert [type(row) for row in rows] == [type(None), Decided, Customer, type(None)]
        assert rows == asyncio.run(self._read(ledger, keys))
        assert ledger.stored(keys) == [None if row is None else state.to_bytes(row) for row in rows]
        assert ledger.rows([]) == []
        assert ledger.final_size_now() == 0

    async def _read(self, ledger: Ledger, keys: list[str]) -> list[object]:
        return list(await ledger.read(keys))

    def test_balances_are_told_as_any_entry_had_left_them(self, ledger: Ledger):
        homes = [Home(), Home("unit-2", "customer-2")]
        accept(ledger, [request for home in homes for request in home.joining()])
        accept(ledger, [shop(), verified(), fund(), code("a"), code("b"), homes[0].record(intervals=12)])
        told = []
        for asked in (homes[1].record(intervals=12), purchase("a"), purchase("b", capture=False), homes[0].record()):
            (done,) = accept(ledger, [asked])
            told.append((done.index, ledger.balances(done.index)))

        for index, as_it_was in told:
            now = dict(ledger.balances(index))
            assert {key: balance for key, balance in now.items() if balance} == dict(as_it_was)
            sparks = [balance for key, balance in now.items() if key.startswith("account/spark/")]
            assert sum(sparks) == 0
        assert dict(told[1][1]).keys() - dict(told[0][1]).keys() == {"account/spark/retailer/SHOP"}

    def test_balances_come_in_pages(self, ledger: Ledger):
        home = Home()
        accept(ledger, [*home.joining(), fund(), home.record(intervals=12)])
        index = ledger.head().size - 1

        found, after = [], ""
        while page := ledger.balances(index, after=after, limit=1):
            found += page
            after = page[-1][0]

        assert found == ledger.balances(index)
        assert len(found) >= 4

    def test_rows_of_one_kind_are_found_in_pages(self, ledger: Ledger):
        accept(ledger, [request(EnrollCustomer(f"customer-{number}", "saver")) for number in range(5)])

        first = ledger.find("customer", limit=3)
        rest = ledger.find("customer", after=first[-1][0], limit=3)

        assert [key for key, _ in first + rest] == [f"customer/customer-{number}" for number in range(5)]
        assert ledger.find("unit") == []

    def test_the_entries_of_an_account_come_newest_first_and_page_by_index(self, ledger: Ledger):
        home = Home()
        accept(ledger, [*home.joining(), fund()])
        indexes = [outcome.index for outcome in accept(ledger, [home.record() for _ in range(3)])]
        account = ["customer/customer-1", "held/customer-1"]

        first = ledger.entries_of(account, limit=2)
        rest = ledger.entries_of(account, before=first[-1].index, limit=2)

        assert [entry.index for entry in first + rest] == indexes[::-1]
        assert first[0].kind == "record_pack"
        assert first[0].result["device"] == "unit-1"
        assert ledger.entries_of(["customer/nobody"]) == []
        assert ledger.entries_of([]) == []

    def test_the_evidence_of_a_pack_has_the_rows_it_was_decided_from(self, ledger: Ledger):
        home = Home()
        accept(ledger, [*home.joining(), fund(), home.record()])
        (pack,) = accept(ledger, [home.record()])

        evidence = ledger.evidence(pack.index)

        assert evidence is not None
        assert evidence.proven.index == pack.index
        assert [read.key for read in evidence.inputs] == ["customer/customer-1", "meter/unit-1", "unit/unit-1"]
        assert [read.written_by.index for read in evidence.inputs] == [2, pack.index - 1, 3]
        assert ledger.evidence(pack.index + 1) is None

    def test_an_entry_tells_what_was_asked_and_what_came_of_it(self, ledger: Ledger):
        (accepted,) = accept(ledger, [fund(cents=5)])

        recorded = ledger.entry(accepted.index)

        assert recorded is not None
        assert (recorded.index, recorded.at_s, recorded.kind) == (1, accepted.at_s, "deposit_reserve")
        assert recorded.command == {
            "kind": "deposit_reserve",
            "amount_micro_cad": 50_000,
            "reference": "transfer of 5",
        }
        assert recorded.postings == (Posting("cad", "utility", -50_000), Posting("cad", "reserve", 50_000))
        assert recorded.result == accepted.result
        assert ledger.entry(2) is None

    def test_the_packs_of_a_span_come_with_their_messages(self, ledger: Ledger):
        home = Home()
        accept(ledger, home.joining())
        messages = [home.message(intervals=2) for _ in range(4)]
        second = Home()
        accept(ledger, [second.record(intervals=2) for _ in range(4)])
        span_s = 2 * INTERVAL_S

        found = ledger.packs("unit-1", from_s=START_S + span_s + 1, to_s=START_S + 3 * span_s)

        assert [(pack.seq, pack.message) for pack in found] == [(2, messages[1]), (3, messages[2])]
        assert (found[0].start_s, found[0].end_s) == (START_S + span_s, START_S + 2 * span_s)
        assert ledger.packs("unit-2", from_s=0, to_s=1 << 40) == []

    def test_a_refused_pack_is_listed_until_and_after_its_second_decision(self, ledger: Ledger):
        home = Home()
        accept(ledger, home.joining())
        too_bright = home.message(pv_wh=5_000)
        accept(ledger, [request(RecordPack("unit-1", too_bright)), home.record()])

        ((seq, refused),) = ledger.refusals("unit-1", after_seq=0, to_seq=10)
        assert (seq, refused.refusal, refused.again_at) == (1, "above_nameplate", None)
        assert [pack.seq for pack in ledger.packs("unit-1", from_s=0, to_s=1 << 40)] == [2]

        correction = request(CorrectUnit("unit-1", 60_000, 13_500, 5_000, "toronto"))
        _, again = accept(ledger, [correction, request(DecideAgain("unit-1", 1, too_bright))])
        ((_, decided),) = ledger.refusals("unit-1", after_seq=0, to_seq=1)
        found = ledger.packs("unit-1", from_s=0, to_s=1 << 40)
        assert decided.again_at == again.index
        assert (found[0].seq, found[0].index) == (1, again.index)
        assert found[0].message == too_bright
        assert ledger.refusals("unit-1", after_seq=1, to_seq=10) == []

    def test_the_head_is_the_tree_of_all_that_was_accepted(self, ledger: Ledger, books: Books):
        before = ledger.head()
        (accepted,) = accept(ledger, [fund()])

        head = ledger.head()

        assert (head.origin, head.size, head.at_s) == (IDENTITY.origin, accepted.index + 1, accepted.at_s)
        assert before.size == accepted.index
        assert head.root != before.root
        invariants.assert_the_tree_is_over_all_entries(books.engine)

    def test_a_day_at_the_shop_leaves_the_books_in_order(self, ledger: Ledger, books: Books):
        home = Home()
        accept(ledger, [*home.joining(), fund(), shop(), verified(), *(home.record(intervals=12) for _ in range(5))])
        accept(ledger, [code("a"), purchase("a", cents=3), code("b"), purchase("b", cents=2, capture=False)])
        accept(ledger, [request(Refund("SHOP", "a", 1)), request(Capture("SHOP", "b", 1))])

        meter, account = ledger.rows([state.meter_key("unit-1"), "account/spark/retailer/SHOP"])

        assert isinstance(meter, Meter)
        assert meter.seq == 5
        assert account == state.Account(3_000_000)
        invariants.assert_books_hold(books.engine)
