"""Units as registered, corrected and suspended, and the keys they sign with."""

from dataclasses import replace
from typing import Any

import pytest

from contracts import state
from contracts.commands import CorrectUnit, RecordPack, RegisterUnit, ReplaceKey, SuspendUnit
from contracts.memory import Memory
from contracts.state import Claim, Unit, UnitKey
from contracts.units import DAY_S
from contracts.wire import signatures
from contracts.wire.keys import key_change_bytes
from tests.contracts.builders import SEED, a_gap, a_ledger, a_message, a_record, a_unit, done, hash_of, rejected

SEEDS = [SEED, bytes([2]) * 32, bytes([3]) * 32, bytes([4]) * 32]
KEYS = [signatures.public_key_of(seed) for seed in SEEDS]


def unit(view: Memory) -> Unit:
    row = view.rows[state.unit_key("unit-1")]
    assert isinstance(row, Unit)
    return row


def a_registration(device_id: str = "unit-2", **given: Any) -> RegisterUnit:
    fields = RegisterUnit(device_id, KEYS[1], 5_000, 10_000, 5_000, "toronto", b"r" * 32)
    return replace(fields, **given)


def handed_over(to: int, from_seq: int, *, by: int = 0, parked_seq: int = 0) -> ReplaceKey:
    """Key number `by` signs that key number `to` follows."""
    signature = signatures.sign(SEEDS[by], key_change_bytes("unit-1", KEYS[to], from_seq))
    return ReplaceKey("unit-1", KEYS[to], from_seq, signature, parked_seq)


def revoked(to: int, from_seq: int) -> ReplaceKey:
    """The fleet's operator replaces the newest key, which signs nothing any more."""
    return ReplaceKey("unit-1", KEYS[to], from_seq, None, 0)


def test_a_unit_is_registered_with_a_key_from_its_first_number_and_an_open_claim_code():
    view = a_ledger()
    result = done(view, a_registration())

    assert result == {"device": "unit-2", "expires_s": view.at_s + 90 * DAY_S}
    assert view.rows[state.unit_key("unit-2")] == a_unit(
        device_id="unit-2", keys=(UnitKey(KEYS[1], 1, 0, False),), claim_hash=b"r" * 32, holder=None
    )
    assert view.rows[state.claim_key(b"r" * 32)] == Claim("unit-2", view.at_s + 90 * DAY_S)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (a_registration("unit-1"), "device_exists"),
        (a_registration(public_key=b"short"), "bad_key_signature"),
        (a_registration(pv_nameplate_w=-1), "invalid_nameplate"),
        (a_registration(battery_capacity_wh=-1), "invalid_nameplate"),
        (a_registration(battery_power_w=-1), "invalid_nameplate"),
        (a_registration(claim_hash=b"k" * 32), "claim_code_exists"),
    ],
)
def test_a_registration_that_cannot_be_is_refused(command, reason):
    assert rejected(a_ledger(claimed=False), command) == reason


def test_a_correction_changes_what_the_unit_is_and_nothing_else():
    view = a_ledger()
    before = unit(view)
    done(view, CorrectUnit("unit-1", 1, 2, 3, "ottawa"))

    corrected: dict[str, Any] = {"pv_nameplate_w": 1, "battery_capacity_wh": 2, "battery_power_w": 3, "zone": "ottawa"}
    assert unit(view) == replace(before, **corrected)
    assert rejected(view, CorrectUnit("unit-1", -1, 2, 3, "ottawa")) == "invalid_nameplate"
    assert rejected(view, CorrectUnit("unit-2", 1, 2, 3, "ottawa")) == "unknown_device"


def test_a_unit_is_suspended_and_resumed():
    view = a_ledger()
    for suspended in (True, True, False):
        done(view, SuspendUnit("unit-1", suspended))
        assert unit(view).suspended is suspended
    assert rejected(view, SuspendUnit("unit-2", True)) == "unknown_device"


def test_a_handed_over_key_signs_from_its_first_number_and_the_old_one_until_then():
    view = a_ledger()
    assert done(view, handed_over(1, 5)) == {"device": "unit-1", "from_seq": 5}
    done(view, handed_over(2, 9, by=1))

    assert unit(view).keys == (
        UnitKey(KEYS[0], 1, 5, False),
        UnitKey(KEYS[1], 5, 9, False),
        UnitKey(KEYS[2], 9, 0, False),
    )


def test_a_key_replaced_without_a_signature_is_revoked():
    view = a_ledger()
    done(view, revoked(1, 3))

    assert unit(view).keys == (UnitKey(KEYS[0], 1, 3, True), UnitKey(KEYS[1], 3, 0, False))


def test_a_key_starts_above_every_number_decided_or_parked():
    view = a_ledger()
    first = a_record()
    done(view, first)
    assert rejected(view, handed_over(1, 1)) == "key_number_taken"
    assert rejected(view, handed_over(1, 4, parked_seq=4)) == "key_number_taken"
    assert rejected(view, handed_over(1, 0)) == "key_number_taken"

    done(view, handed_over(1, 5, parked_seq=4))


def test_a_void_number_is_decided():
    view = a_ledger()
    done(view, a_gap(1, 4))
    assert rejected(view, handed_over(1, 3)) == "key_number_taken"

    done(view, handed_over(1, 4))


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (handed_over(1, 5, by=1), "bad_key_signature"),
        (replace(handed_over(1, 5), from_seq=6), "bad_key_signature"),
        (replace(handed_over(1, 5), public_key=KEYS[2]), "bad_key_signature"),
        (replace(handed_over(1, 5), signature=b""), "bad_key_signature"),
        (replace(revoked(1, 5), public_key=b"short"), "bad_key_signature"),
        (handed_over(0, 5), "key_in_use"),
        (replace(handed_over(1, 5), device_id="unit-2"), "unknown_device"),
    ],
)
def test_a_key_that_is_not_vouched_for_is_refused(command, reason):
    assert rejected(a_ledger(), command) == reason


def test_a_replaced_key_cannot_hand_over_again_nor_come_back():
    view = a_ledger()
    done(view, handed_over(1, 5))

    assert rejected(view, handed_over(2, 6, by=0)) == "bad_key_signature"
    assert rejected(view, handed_over(0, 6, by=1)) == "key_in_use"


def test_a_unit_goes_on_with_its_new_key():
    view = a_ledger()
    first = a_record()
    done(view, first)
    done(view, handed_over(1, 2))

    second = a_message(2, hash_of(first), seed=SEEDS[1])
    assert done(view, RecordPack("unit-1", second))["outcome"] == "refused"  # the same hour again


def test_a_key_announced_for_later_can_be_replaced_before_its_first_number() -> None:
    view = a_ledger()
    done(view, ReplaceKey("unit-1", signatures.public_key_of(b"a" * 32), 1_000, None, 0))

    done(view, ReplaceKey("unit-1", signatures.public_key_of(b"b" * 32), 1, None, 0))

    unit = view.rows[state.unit_key("unit-1")]
    assert isinstance(unit, Unit)
    assert [key.signs(1_000) for key in unit.keys] == [False, False, True]


def test_a_unit_has_an_id_that_a_topic_can_name() -> None:
    command = RegisterUnit("Unit/1", signatures.public_key_of(SEED), 1, 1, 1, "z", b"z" * 32)

    assert rejected(a_ledger(), command) == "invalid_device_id"
