"""What units are told: receipts, resend commands, instructions of other programs. And what operators count."""

import pytest
from prometheus_client import generate_latest

from contracts.commands import SuspendUnit
from contracts.state import meter_key
from contracts.wire import packs
from contracts.wire.receipts import EventCall, EventCancelled, Resend
from services.database import transaction
from services.setaside import instructions
from tests.services.ingestion.platform import Platform
from tests.services.ledger.builders import IDENTITY, NOON_S, Home


def test_a_receipt_follows_number_1_and_every_12(platform_on_each: Platform, home: Home):
    for _ in range(30):
        platform_on_each.receive("unit-1", home.message())

    assert [receipt.seq for receipt in platform_on_each.receipts()] == [1, 12, 24]


def test_a_batch_gets_one_receipt_for_all_that_it_decides(platform: Platform, home: Home):
    platform.receive("unit-1", *[home.message() for _ in range(30)])

    assert [receipt.seq for receipt in platform.receipts()] == [30]


def test_a_receipt_says_what_the_meter_says(platform: Platform, home: Home):
    platform.receive("unit-1", home.message())

    (receipt,) = platform.receipts()
    (meter,) = platform.books.ledger.rows([meter_key("unit-1")])
    assert (receipt.device_id, receipt.origin) == ("unit-1", IDENTITY.origin)
    assert meter is not None
    assert (receipt.seq, receipt.pack, receipt.index) == (meter.seq, home.last, meter.decided_at)  # type: ignore[union-attr]


def test_a_gap_that_closes_within_a_batch_is_answered(platform: Platform, home: Home):
    messages = [home.message() for _ in range(4)]
    platform.receive("unit-1", messages[0])
    platform.transport.receipts.clear()

    platform.receive("unit-1", messages[2], messages[1], messages[3])

    assert [receipt.seq for receipt in platform.receipts()] == [4]


def test_a_receipt_tells_the_refusals_since_the_one_before(platform: Platform, home: Home):
    for at in range(24):
        wrong = {"pv_wh": -1, "load_wh": 0} if at in (3, 7, 15) else {}
        platform.receive("unit-1", home.message(**wrong))

    assert [receipt.refused for receipt in platform.receipts()] == [
        (),
        ((4, "negative_energy"), (8, "negative_energy")),
        ((16, "negative_energy"),),
    ]


def test_a_duplicate_before_anything_is_decided_gets_a_receipt_of_number_0(platform: Platform, home: Home):
    home.message()
    second = home.message()

    platform.receive("unit-1", second, second)

    (receipt,) = platform.receipts()
    assert (receipt.seq, receipt.pack) == (0, packs.FIRST_PREV)


# Resend commands


def resends(platform: Platform) -> list[int]:
    return [command.from_seq for command in platform.commands() if isinstance(command, Resend)]


def test_a_missing_number_is_asked_for_after_half_a_second(platform_on_each: Platform, home: Home):
    platform = platform_on_each
    home.message()
    platform.receive("unit-1", home.message())

    platform.wait(0.4)
    assert resends(platform) == []
    platform.wait(0.2)

    (command,) = platform.commands()
    assert isinstance(command, Resend)
    assert (command.device_id, command.from_seq, command.issued_s) == ("unit-1", 1, NOON_S)


def test_a_number_that_comes_in_time_is_not_asked_for(platform: Platform, home: Home):
    first, second = home.message(), home.message()
    platform.receive("unit-1", second)

    platform.wait(0.4)
    platform.receive("unit-1", first)
    platform.wait(60)

    assert resends(platform) == []


def test_a_unit_that_goes_on_is_asked_once_in_30_s(platform: Platform, home: Home):
    home.message()
    for _ in range(100):
        platform.receive("unit-1", home.message())
        platform.wait(1)

    assert len(resends(platform)) == 4


def test_the_pause_between_commands_survives_a_restart(platform: Platform, home: Home):
    home.message()
    platform.receive("unit-1", home.message())
    platform.wait(1)

    platform.start()
    platform.receive("unit-1", home.message())
    platform.wait(5)
    assert len(resends(platform)) == 1
    platform.wait(60)

    assert len(resends(platform)) == 2


def test_a_unit_that_is_silent_is_not_asked_again(platform: Platform, home: Home):
    home.message()
    platform.receive("unit-1", home.message())

    for _ in range(50):
        platform.wait(60)

    assert len(resends(platform)) == 1


def test_after_a_restart_what_is_missing_is_asked_for(platform: Platform, home: Home):
    home.message()
    platform.receive("unit-1", home.message())

    platform.start()
    platform.wait(1)

    assert resends(platform) == [1]


# Instructions of other programs


def instruct(platform: Platform, *told: Resend | EventCall | EventCancelled) -> None:
    with transaction(platform.books.engine) as session:
        instructions.instruct(session.connection(), told)


def test_instructions_are_sent_once_and_what_has_expired_is_not(platform_on_each: Platform):
    platform = platform_on_each
    call = EventCall("unit-1", "event-1", NOON_S, NOON_S + 7_200, NOON_S + 600, NOON_S + 7_200, 2_000, 20)
    cancelled = EventCancelled("unit-1", "event-1/cancelled", NOON_S, NOON_S + 7_200, "event-1")
    stale = EventCall("unit-1", "event-0", NOON_S - 60, NOON_S, NOON_S - 60, NOON_S, None, 20)
    instruct(platform, call, stale, cancelled)

    platform.wait(1)
    platform.wait(1)

    assert platform.commands() == [call, cancelled]


def test_instructions_outlive_a_crash(platform: Platform):
    call = EventCall("unit-1", "event-1", NOON_S, NOON_S + 7_200, NOON_S + 600, NOON_S + 7_200, None, 20)
    instruct(platform, call)

    platform.start()
    platform.wait(1)

    assert platform.commands() == [call]


def test_a_resend_that_another_program_asks_for_keeps_the_pause(platform: Platform, home: Home):
    home.message()
    platform.receive("unit-1", home.message())
    platform.wait(1)
    instruct(platform, Resend("unit-1", "resumed", NOON_S, NOON_S + 3_600, 1))

    platform.wait(10)
    assert len(resends(platform)) == 1
    platform.wait(25)

    assert len(resends(platform)) == 2


def test_a_unit_that_is_suspended_is_not_asked(platform: Platform, home: Home):
    home.message()
    platform.receive("unit-1", home.message())
    platform.ask(SuspendUnit("unit-1", suspended=True))

    platform.wait(40)

    assert resends(platform) == []


# Counts


def test_the_counts_are_there_for_prometheus_and_survive_a_restart(platform: Platform, home: Home):
    first, second = home.message(), home.message()
    platform.receive("unit-1", first, first, b"nonsense", home.message())
    platform.start()
    platform.receive("unit-1", second)

    text = generate_latest(platform.registry).decode()
    for outcome, n in {"received": 5, "accepted": 3, "duplicate": 1, "quarantined": 1, "refused": 0}.items():
        assert f'sparks_messages_total{{outcome="{outcome}"}} {n}.0' in text
    assert "sparks_messages_waiting 0.0" in text


@pytest.mark.parametrize("batch", [1, 3])
def test_the_counts_add_up_at_any_moment(platform: Platform, home: Home, batch: int):
    messages = [home.message() for _ in range(9)]
    stream = [messages[2], messages[0], b"x", messages[0], messages[4], messages[1], messages[1], messages[3]]

    for start in range(0, len(stream), batch):
        platform.receive("unit-1", *stream[start : start + batch])
        assert sum(platform.counts().values()) == len(stream[: start + batch])
