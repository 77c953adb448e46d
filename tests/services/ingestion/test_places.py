"""Steps 3 and 4 of interfaces.md 1: duplicates, equivocation, parking, and what is decided in its place."""

import pytest

from contracts import bundle
from contracts.commands import SuspendUnit
from contracts.units import DAY_S, HOUR_S
from contracts.wire import packs
from contracts.wire.packs import GapPack
from services import contract_sets
from tests.services.contract_sets.second import OWN, PROGRAMME
from tests.services.ingestion.platform import Platform, platform_at
from tests.services.ledger.builders import NOON_S, START_S, Home
from tests.services.ledger.test_activation import activation, admit_members


def twin_of(home: Home) -> Home:
    """The same unit before its next pack, which will say something else."""
    return Home(seq=home.seq, last=home.last, next_s=home.next_s)


def test_packs_of_one_batch_are_decided_in_order(platform_on_each: Platform, home: Home):
    messages = [home.message() for _ in range(5)]

    platform_on_each.receive("unit-1", *messages)

    assert platform_on_each.counts() == {"accepted": 5}
    assert platform_on_each.meter().hash == home.last


def test_the_same_pack_twice_is_a_duplicate_that_a_receipt_answers(platform: Platform, home: Home):
    first, second = home.message(), home.message()
    platform.receive("unit-1", first, second)
    platform.transport.receipts.clear()

    platform.receive("unit-1", second)

    assert platform.counts() == {"accepted": 2, "duplicate": 1}
    assert [receipt.seq for receipt in platform.receipts()] == [2]


def test_the_same_pack_twice_in_one_batch_is_a_duplicate(platform: Platform, home: Home):
    message = home.message()

    platform.receive("unit-1", message, message)

    assert platform.counts() == {"accepted": 1, "duplicate": 1}


@pytest.mark.parametrize("together", [True, False])
def test_other_bytes_for_a_decided_number_are_equivocation(platform_on_each: Platform, home: Home, together: bool):
    platform = platform_on_each
    other = twin_of(home).message(pv_wh=300)
    message = home.message()

    if together:
        platform.receive("unit-1", message, other)
    else:
        platform.receive("unit-1", message)
        platform.receive("unit-1", other)

    (row,) = platform.quarantine()
    assert (row.reason, row.raw, row.seq) == ("equivocation", other, 1)
    assert platform.counts() == {"accepted": 1, "quarantined": 1}
    assert platform.registry.get_sample_value("sparks_alarms_total", {"reason": "equivocation"}) == 1
    assert platform.receipts()[-1].pack == packs.message_hash(message)


@pytest.mark.parametrize("together", [True, False])
def test_of_a_waiting_number_the_first_bytes_win(platform_on_each: Platform, home: Home, together: bool):
    platform = platform_on_each
    first = home.message()
    other = twin_of(home).message(pv_wh=300)
    second = home.message()

    if together:
        platform.receive("unit-1", second, other, second)
    else:
        for message in (second, other, second):
            platform.receive("unit-1", message)
    platform.receive("unit-1", first)

    assert platform.reasons() == ["equivocation"]
    assert platform.counts() == {"accepted": 2, "quarantined": 1, "duplicate": 1}
    assert platform.meter().hash == packs.message_hash(second)


def test_a_pack_that_comes_early_waits_and_follows_the_missing_one(platform_on_each: Platform, home: Home):
    platform = platform_on_each
    first, second, third = home.message(), home.message(), home.message()

    platform.receive("unit-1", third, second)
    assert platform.parked() == (2, 3)
    assert platform.counts() == {"waiting": 2}
    platform.receive("unit-1", first)

    assert platform.counts() == {"accepted": 3}
    assert [receipt.seq for receipt in platform.receipts()] == [3]


def test_what_waits_survives_a_restart(platform_on_each: Platform, home: Home):
    platform = platform_on_each
    first, second = home.message(), home.message()
    platform.receive("unit-1", second)

    platform.start()
    platform.receive("unit-1", first)

    assert platform.counts() == {"accepted": 2}


def test_too_far_ahead_is_set_aside_without_bytes_and_asked_for_again_later(platform: Platform, home: Home):
    first = home.message()
    home.seq = 4_096
    last, beyond = home.message(), home.message()

    platform.receive("unit-1", last, beyond)

    (row,) = platform.quarantine()
    assert (row.reason, row.raw, row.seq) == ("too_far_ahead", None, 4_098)
    assert platform.parked() == (4_097,)
    platform.receive("unit-1", first, home.signed(GapPack("unit-1", 2, home.last, 4_097)))
    assert platform.meter().seq == 4_097
    platform.wait(31)
    assert platform.commands()[-1].from_seq == 4_098  # type: ignore[union-attr]
    assert platform.registry.get_sample_value("sparks_alarms_total", {"reason": "too_far_ahead"}) is None


def test_how_far_ahead_is_too_far_is_what_the_active_parameters_say(platform_on_each: Platform, home: Home):
    platform = platform_on_each
    own = bundle.from_bytes(OWN)[bundle.parameters_path(PROGRAMME)]
    nearer = own.replace(b"seq_ahead_max = 4096", b"seq_ahead_max = 1")
    admit_members(platform.books)
    files = contract_sets.with_parameters(OWN, PROGRAMME, nearer)
    platform.books.accept(activation(platform.books, files, parameters=nearer))
    home.message()

    platform.receive("unit-1", home.message(), home.message())

    assert platform.parked() == (2,)
    assert platform.reasons() == ["too_far_ahead"]


def test_a_pack_that_does_not_chain_is_refused_with_an_alarm_and_its_number_is_used(platform: Platform, home: Home):
    home.last = b"x" * 32
    bad, good = home.message(), home.message()

    platform.receive("unit-1", bad, good)

    (row,) = platform.quarantine()
    assert (row.reason, row.raw, row.seq) == ("broken_chain", bad, 1)
    assert platform.counts() == {"refused": 1, "accepted": 1}
    assert platform.registry.get_sample_value("sparks_alarms_total", {"reason": "broken_chain"}) == 1
    assert platform.receipts()[0].refused == ((1, "broken_chain"),)


@pytest.mark.parametrize(
    ("start_s", "reason"),
    [(NOON_S + 2 * DAY_S, "clock_ahead"), (START_S - 40 * DAY_S, "too_late"), (START_S + 30, "interval_shape")],
)
def test_a_pack_of_the_wrong_time_is_refused(platform: Platform, home: Home, start_s: int, reason: str):
    home.next_s = start_s

    platform.receive("unit-1", home.message())

    assert platform.reasons() == [reason]
    assert platform.counts() == {"refused": 1}


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        ({"pv_wh": -5, "load_wh": 0}, "negative_energy"),
        ({"pv_wh": 90_000, "load_wh": 0}, "above_nameplate"),
    ],
)
def test_a_pack_of_wrong_watt_hours_is_refused(platform: Platform, home: Home, measured: dict[str, int], reason: str):
    platform.receive("unit-1", home.message(**measured))

    assert platform.reasons() == [reason]


def test_a_pack_ahead_of_its_time_waits_until_it_is_due_and_holds_what_follows(platform_on_each: Platform, home: Home):
    platform = platform_on_each
    home.next_s = NOON_S + 2 * HOUR_S
    early, next_one = home.message(), home.message()
    platform.receive("unit-1", early, next_one)
    assert platform.counts() == {"waiting": 2}

    platform.wait(2 * HOUR_S)
    assert platform.counts() == {"waiting": 2}
    platform.wait(500)

    assert platform.counts() == {"accepted": 2}
    assert platform.commands() == []


def test_what_waits_for_its_time_survives_a_restart(platform: Platform, home: Home):
    home.next_s = NOON_S + HOUR_S
    platform.receive("unit-1", home.message())

    platform.start()
    platform.wait(2 * HOUR_S)

    assert platform.counts() == {"accepted": 1}


def test_what_waits_of_a_suspended_unit_goes_on_waiting(platform: Platform, home: Home):
    first, second = home.message(), home.message()
    platform.receive("unit-1", second)
    platform.ask(SuspendUnit("unit-1", suspended=True))
    platform.wait(120)
    assert platform.commands() == []

    platform.ask(SuspendUnit("unit-1", suspended=False))
    platform.receive("unit-1", first)

    assert platform.counts() == {"accepted": 2}


# Gap packs


def test_numbers_declared_lost_are_void_and_what_waits_inside_is_decided_in_order(
    platform_on_each: Platform, home: Home
):
    platform = platform_on_each
    messages = [home.message() for _ in range(6)]
    gap = home.signed(GapPack("unit-1", 2, packs.message_hash(messages[0]), 6))
    platform.receive("unit-1", messages[0], messages[3], messages[5])

    platform.receive("unit-1", gap)

    assert platform.counts() == {"accepted": 3, "void": 1}
    assert (platform.meter().seq, platform.meter().hash) == (6, packs.message_hash(messages[5]))
    assert [platform.decided(seq) is None for seq in range(1, 7)] == [False, True, True, False, True, False]


def test_where_a_number_is_void_the_receipt_names_the_gap_pack(platform: Platform, home: Home):
    gap = home.signed(GapPack("unit-1", 1, bytes(32), 4))

    platform.receive("unit-1", gap)

    assert [(receipt.seq, receipt.pack) for receipt in platform.receipts()] == [(3, packs.message_hash(gap))]


def test_a_late_pack_for_a_void_number_is_set_aside_without_an_alarm(platform: Platform, home: Home):
    messages = [home.message() for _ in range(3)]
    gap = home.signed(GapPack("unit-1", 2, packs.message_hash(messages[0]), 3))

    platform.receive("unit-1", messages[0], gap, messages[1], messages[2])

    assert platform.reasons() == ["declared_lost"]
    assert platform.counts() == {"accepted": 2, "void": 1, "quarantined": 1}
    assert platform.registry.get_sample_value("sparks_alarms_total", {"reason": "declared_lost"}) is None


def test_a_gap_pack_that_loses_nothing_is_answered_by_a_receipt(platform: Platform, home: Home):
    platform.receive("unit-1", home.message())
    platform.transport.receipts.clear()

    platform.receive("unit-1", home.signed(GapPack("unit-1", 1, bytes(32), 2)))

    assert [receipt.seq for receipt in platform.receipts()] == [1]
    assert platform.counts() == {"accepted": 1, "void": 1}


def test_the_same_gap_pack_again_changes_nothing(platform: Platform, home: Home):
    gap = home.signed(GapPack("unit-1", 1, bytes(32), 4))

    platform.receive("unit-1", gap, gap)
    platform.receive("unit-1", gap)

    assert platform.counts() == {"void": 3}
    assert platform.meter().seq == 3


def test_a_unit_that_mixes_packs_and_gap_packs_keeps_its_order_and_holds_up_nobody(sqlite_url: str):
    home, other = Home(), Home("unit-2", "customer-2")
    with platform_at(sqlite_url, home, other) as platform:
        mixed = []
        for _ in range(8):
            mixed.append(home.message())
            mixed.append(home.signed(GapPack("unit-1", home.seq + 1, home.last, home.seq + 2)))
            home.seq += 1
        platform.transport.deliver("unit-1", *mixed)
        platform.transport.deliver("unit-2", other.message())
        platform.worker.work(idle_s=0)
        assert platform.meter("unit-2").seq == 1

        platform.work()

        assert platform.meter().seq == 16
        assert platform.counts() == {"accepted": 9, "void": 8}
        assert platform.transport.unacknowledged == []
