"""The single writer: order, time, repeats, what it does by itself, and who may start it."""

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import replace
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import programmes, state
from contracts.checkout import Capture, ExpireHold, Refund
from contracts.commands import (
    ClaimUnit,
    DeclareLost,
    DepositReserve,
    EnrollCustomer,
    RecordPack,
    ReleaseDeferred,
    Request,
)
from contracts.effects import Reason
from contracts.state import Account, Purchase, Queue
from contracts.units import DAY_S, HOUR_S
from contracts.wire.packs import GapPack
from services import contract_sets, database
from services.clock import SimulatedClock, SystemClock
from services.ledger.batches import in_order
from services.ledger.client import Accepted, Declined, Failed, LedgerUnavailable, Outcome
from services.ledger.lease import AnotherWriter
from services.ledger.opening import ClockNeedsAcceptance, LogIdentity, OtherLedger
from services.ledger.writer import Writer
from tests import invariants
from tests.services.ledger.builders import (
    IDENTITY,
    NOON_S,
    Books,
    Home,
    code,
    fund,
    purchase,
    request,
    running,
    shop,
    verified,
)


def a_shopping_customer(books: Books) -> None:
    """customer-1 has sparks and may spend them at SHOP."""
    home = Home()
    records = [home.record(intervals=12, pv_wh=450, load_wh=400) for _ in range(11)]
    books.accept(*home.joining(), fund(), shop(), verified(), *records)


def kinds(books: Books) -> list[str]:
    return [asked.command.KIND for asked in invariants.requests(books.engine).values()]


# --- opening ---------------------------------------------------------------------------------------------------------


def test_the_first_entry_says_which_log_this_is(books):
    first = books.ledger.entry(0)

    assert first.kind == "open_ledger"
    assert first.command == {
        "kind": "open_ledger",
        "origin": "sparks.test/ledger",
        "programme": "ontario",
        "files": contract_sets.own_files("ontario"),
    }
    assert books.ledger.head().size == 1


def test_a_log_goes_on_where_it_ended(database_url):
    with running(database_url) as books:
        books.accept(*Home().joining())
    with running(database_url) as books:
        (accepted,) = books.accept(fund())

        assert accepted.index == 4
        invariants.assert_books_hold(books.engine)


def test_a_second_writer_is_turned_away(books):
    second = Writer(books.engine, IDENTITY, books.clock)

    with pytest.raises(AnotherWriter, match="another process writes"):
        second.start()

    books.accept(fund())


def test_a_writer_that_stopped_makes_way_for_the_next(books):
    books.writer.stop()
    second = Writer(books.engine, IDENTITY, books.clock)

    second.start()

    assert second.is_writing()
    second.stop()


def test_a_database_of_another_log_is_left_alone(books):
    books.writer.stop()
    other = Writer(books.engine, LogIdentity(origin="other.example/ledger", seed=IDENTITY.seed), books.clock)

    with pytest.raises(OtherLedger, match=r"sparks\.test/ledger"):
        other.start()


def test_a_start_long_after_the_last_entry_needs_somebody_to_accept_the_clock(database_url):
    with running(database_url):
        pass
    late = SimulatedClock(NOON_S + DAY_S + 1)

    with pytest.raises(ClockNeedsAcceptance, match="--accept-clock"), running(database_url, clock=late):
        pass
    with running(database_url, clock=SimulatedClock(NOON_S + DAY_S)):
        pass
    with running(database_url, clock=late, accept_clock=True) as books:
        (accepted,) = books.accept(fund())
        assert accepted.at_s == NOON_S + DAY_S + 1


def test_a_start_more_than_a_day_before_the_last_entry_needs_to_be_accepted(database_url):
    with running(database_url):
        pass
    early = SimulatedClock(NOON_S - DAY_S - 1)

    with pytest.raises(ClockNeedsAcceptance, match="behind the last entry"), running(database_url, clock=early):
        pass
    with running(database_url, clock=early, accept_clock=True) as books:
        (accepted,) = books.accept(fund())
        assert accepted.at_s == NOON_S


# --- time ------------------------------------------------------------------------------------------------------------


def test_ledger_time_is_the_clocks_and_never_goes_back(database_url):
    with running(database_url) as books:
        (first,) = books.accept(fund(1))
        books.clock.advance_to(NOON_S + 5)
        (second,) = books.accept(fund(2))
    with running(database_url, clock=SimulatedClock(NOON_S - HOUR_S)) as books:
        (third,) = books.accept(fund(3))

    assert [first.at_s, second.at_s, third.at_s] == [NOON_S, NOON_S + 5, NOON_S + 5]


def test_a_wall_clock_that_jumped_is_reported(sqlite_url):
    wall = [float(NOON_S)]
    clock = SystemClock(wall=lambda: wall[0])
    asked = Writer(database.engine(sqlite_url), IDENTITY, clock)
    assert not asked.is_clock_adrift()

    wall[0] += 3_600

    assert asked.is_clock_adrift()


# --- batches ---------------------------------------------------------------------------------------------------------


def test_a_units_packs_are_taken_by_number_whatever_order_they_come_in(books):
    homes = [Home(f"unit-{number}", f"customer-{number}") for number in range(2)]
    books.accept(*(asked for home in homes for asked in home.joining()), fund())
    packs = [home.record() for home in homes for _ in range(4)]

    outcomes = books.accept(*packs[::-1])

    assert [outcome.result["seq"] for outcome in outcomes] == [4, 3, 2, 1, 4, 3, 2, 1]


def test_only_a_units_own_messages_change_places():
    first, second = Home("unit-1"), Home("unit-2")
    one, two = first.record(), first.record()
    asked = [fund(1), two, second.record(), fund(2), one]

    assert in_order(asked) == [0, 4, 2, 3, 1]


def test_a_gap_pack_comes_after_the_pack_of_its_number_and_rubbish_first():
    home = Home()
    gap = request(DeclareLost("unit-1", home.signed(GapPack("unit-1", 1, bytes(32), 3)), ()))
    rubbish = request(RecordPack("unit-1", b"rubbish"))

    assert in_order([gap, home.record(), rubbish]) == [2, 1, 0]


def test_a_gap_is_declared_and_the_next_pack_follows(books):
    home = Home()
    books.accept(*home.joining(), fund(), home.record())
    lost = [home.message(), home.message()]
    gap = request(DeclareLost("unit-1", home.signed(GapPack("unit-1", 2, bytes(32), 4)), ()))

    declared, after = books.accept(gap, home.record())
    (late,) = books.ledger.submit([request(RecordPack("unit-1", lost[0]))])

    assert (declared.result["numbers"], after.result["seq"]) == (2, 4)
    assert late == Declined(Reason.DECLARED_LOST, {"seq": 4})


def test_what_is_not_in_its_place_is_judged_anew_each_time(books):
    home = Home()
    books.accept(*home.joining(), fund())
    first, second = home.record(), home.record()

    assert books.ledger.submit([second]) == [Declined(Reason.TOO_EARLY, {"seq": 0})]
    books.accept(first)
    (outcome,) = books.ledger.submit([second])

    assert isinstance(outcome, Accepted)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(DepositReserve(cast(int, "five"), "not a number"), id="raises in the contract"),
        pytest.param(DepositReserve(10**40, "no column is as wide"), id="raises in the database"),
    ],
)
def test_a_command_that_breaks_harms_no_other_of_its_batch(books, broken):
    asked = [fund(1), request(DepositReserve(1, "before")), Request(b"b" * 32, b"b" * 32, broken), fund(2)]

    outcomes = books.ledger.submit(asked)

    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted, Failed, Accepted]
    (again,) = books.accept(fund(3))
    assert again.index == books.ledger.head().size - 1


def test_callers_of_many_threads_share_batches_and_each_gets_their_own_answer(books):
    answers: dict[str, Accepted] = {}

    def enroll(name: str) -> None:
        (answers[name],) = books.accept(request(EnrollCustomer(name, "saver")))

    threads = [threading.Thread(target=enroll, args=[f"customer-{number}"]) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {name: answer.result["customer"] for name, answer in answers.items()} == {name: name for name in answers}
    assert books.ledger.head().size == 31


def test_a_caller_who_goes_away_changes_nothing(books):
    async def ask_and_leave() -> None:
        task = asyncio.create_task(books.ledger.ask(fund(1)))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(ask_and_leave())

    (accepted,) = books.accept(fund(2))
    assert accepted.index == 2


def test_too_many_who_wait_are_refused_early(database_url):
    gate = threading.Event()
    gate.set()

    def chance(count: int) -> bytes:
        assert gate.wait(30)
        return bytes(count)

    with running(database_url, queue_max=3, batch_max=1, chance=chance) as books:
        gate.clear()
        waiting: list[Future[list[Outcome]]] = []
        with pytest.raises(LedgerUnavailable, match="busy"):
            for cents in range(1, 10):
                waiting.append(books.writer.ask([fund(cents)]))
        gate.set()

        assert 3 <= len(waiting) <= 4
        assert all(isinstance(future.result()[0], Accepted) for future in waiting)


def test_stopping_finishes_what_was_asked_and_takes_nothing_more(database_url):
    with running(database_url, batch_max=3) as books:
        waiting = [books.writer.ask([fund(cents)]) for cents in range(1, 20)]

        books.writer.stop()

        assert all(isinstance(future.result(timeout=0)[0], Accepted) for future in waiting)
        with pytest.raises(LedgerUnavailable, match="not running"):
            books.writer.ask([fund()])


def test_a_hot_retailer_and_a_hot_reserve_stay_exact(books):
    a_shopping_customer(books)
    books.accept(*(code(f"p{number}") for number in range(40)))

    books.accept(*(purchase(f"p{number}", capture=number % 2 == 0) for number in range(40)))
    books.accept(*(request(Capture("SHOP", f"p{number}", 0)) for number in range(1, 40, 4)))
    books.accept(*(request(Refund("SHOP", f"p{number}", 1)) for number in range(0, 40, 8)))

    assert books.ledger.rows(["account/spark/retailer/SHOP"]) == [Account(15_000_000)]


# --- what it does by itself ------------------------------------------------------------------------------------------


def test_a_hold_that_ended_is_released_once(database_url):
    with running(database_url) as books:
        a_shopping_customer(books)
        books.accept(code("a"), purchase("a", capture=False))
        hold = books.ledger.rows([state.purchase_key("a")])[0]
        assert isinstance(hold, Purchase)
        books.clock.advance_to(hold.expires_s - 1)
        books.accept(fund(1))
        books.accept(fund(2))
        assert "expire_hold" not in kinds(books)
    with running(database_url, clock=SimulatedClock(hold.expires_s), accept_clock=True) as books:
        books.accept(fund(3))
        books.accept(fund(4))

        assert kinds(books).count("expire_hold") == 1
        assert books.ledger.rows([state.purchase_key("a")]) == [replace(hold, state="expired")]
        invariants.assert_books_hold(books.engine)


def test_deferred_awards_are_minted_once_the_reserve_funds_them(books):
    home = Home()
    books.accept(*home.joining(), *(home.record(intervals=12) for _ in range(3)))
    (queue,) = books.ledger.rows([state.QUEUE_KEY])
    assert queue == Queue(0, 3)

    books.accept(fund())
    books.accept(fund(1))

    assert books.ledger.rows([state.QUEUE_KEY]) == [Queue(3, 3)]
    assert kinds(books).count("release_deferred") == 1
    assert books.ledger.rows(["account/deferred/customer/customer-1"]) == [Account(0)]


def test_a_long_queue_is_released_in_parts_between_which_others_are_served(books):
    home = Home()
    at_once = programmes.load().release_awards_max
    books.accept(*home.joining())
    packs = [home.record() for _ in range(at_once + 5)]
    books.clock.advance_to(home.next_s)
    books.accept(*packs)

    books.accept(fund())
    books.accept(fund(1))
    books.accept(fund(2))

    assert books.ledger.rows([state.QUEUE_KEY]) == [Queue(at_once + 5, at_once + 5)]
    assert kinds(books).count("release_deferred") == 2


def test_its_own_commands_may_be_asked_by_others_without_harm(books):
    a_shopping_customer(books)
    books.accept(code("a"), purchase("a", capture=False))

    outcomes = books.ledger.submit([request(ExpireHold("a")), request(ReleaseDeferred())])

    assert outcomes == [Declined(Reason.INVALID_STATE), Declined(Reason.NOTHING_TO_RELEASE)]


# --- any batches -----------------------------------------------------------------------------------------------------


def a_history() -> list[Request]:
    first, second = Home("unit-1", "customer-1"), Home("unit-2", "customer-2")
    return [
        *first.joining(),
        fund(),
        *second.joining(),
        shop(),
        verified(),
        *(home.record(intervals=12) for _ in range(3) for home in (first, second)),
        code("a"),
        purchase("a", cents=2),
        request(Refund("SHOP", "a", 1)),
        request(ClaimUnit("customer-2", first.claim_hash)),
        code("b"),
        purchase("b", capture=False),
        request(Capture("SHOP", "b", None)),
    ]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 22), max_size=6))
def test_however_a_history_is_cut_into_batches_it_comes_to_the_same(tmp_path_factory, cuts):
    history = a_history()
    with running(f"sqlite:///{tmp_path_factory.mktemp('whole') / 'sparks.db'}") as books:
        whole = books.ledger.submit(history)
        expected = invariants.rows(books.engine)
    with running(f"sqlite:///{tmp_path_factory.mktemp('cut') / 'sparks.db'}") as books:
        edges = [0, *sorted(cuts), len(history)]
        parts = [outcome for a, b in pairwise(edges) for outcome in books.ledger.submit(history[a:b])]

        assert parts == whole
        assert invariants.rows(books.engine) == expected
        invariants.assert_books_hold(books.engine)
