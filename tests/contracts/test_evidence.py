"""Which key must have signed which message, and did it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import evidence
from contracts.commands import DeclareLost, EnrollCustomer, RecordPack
from contracts.evidence import Authentic, Doubt
from contracts.state import ZERO_HASH, Unit, UnitKey
from contracts.wire import cose, signatures
from contracts.wire.cose import Sign1
from contracts.wire.packs import BadPack, GapPack, Pack
from tests.contracts.builders import a_gap_message, a_malformed_message, a_message, a_unit

OLD, MIDDLE, NEW, FOREIGN = (bytes([n]) * 32 for n in (11, 12, 13, 14))


def key(seed: bytes, from_seq: int, until_seq: int, *, revoked: bool = False) -> UnitKey:
    return UnitKey(signatures.public_key_of(seed), from_seq, until_seq, revoked)


def a_unit_of_three_keys(*, middle_revoked: bool = False) -> Unit:
    """Old signs 1 to 4, middle 5 to 8, new 9 and on."""
    return a_unit(keys=(key(OLD, 1, 5), key(MIDDLE, 5, 9, revoked=middle_revoked), key(NEW, 9, 0)))


def examine(message: bytes, unit: Unit | None) -> Authentic | Doubt:
    sign1 = cose.parse(message, content_type=cose.SENML_CBOR)
    assert isinstance(sign1, Sign1)
    return evidence.examine(sign1, unit)


@pytest.mark.parametrize("make", [a_message, a_malformed_message])
@pytest.mark.parametrize("seed", [OLD, MIDDLE, NEW])
@pytest.mark.parametrize("seq", [1, 4, 5, 8, 9, 2**53])
def test_a_number_verifies_under_its_key_and_no_other(make, seed, seq):
    is_its_key = seed == (OLD if seq < 5 else MIDDLE if seq < 9 else NEW)
    examined = examine(make(seq, ZERO_HASH, seed=seed), a_unit_of_three_keys())

    assert isinstance(examined, Authentic) if is_its_key else examined == Doubt.UNKNOWN_KEY


@pytest.mark.parametrize("seq", [1, 6, 12])
def test_a_gap_pack_verifies_under_the_newest_key_whatever_its_number(seq):
    unit = a_unit_of_three_keys()

    for seed in (OLD, MIDDLE):
        assert examine(a_gap_message(seq, 20, seed=seed), unit) == Doubt.UNKNOWN_KEY
    examined = examine(a_gap_message(seq, 20, seed=NEW), unit)
    assert examined == Authentic(GapPack("unit-1", seq, ZERO_HASH, 20))


@pytest.mark.parametrize("seed", [OLD, MIDDLE, NEW])
def test_a_pack_whose_number_cannot_be_read_verifies_under_any_key_that_is_not_revoked(seed):
    message = a_malformed_message(None, seed=seed)
    assert examine(message, a_unit_of_three_keys()) == Authentic(BadPack(None, None, "unit-1"))

    is_revoked = seed == MIDDLE
    examined = examine(message, a_unit_of_three_keys(middle_revoked=True))
    assert examined == Doubt.UNKNOWN_KEY if is_revoked else isinstance(examined, Authentic)


def test_a_revoked_key_verifies_nothing():
    unit = a_unit_of_three_keys(middle_revoked=True)

    for seq in (5, 8):
        assert examine(a_message(seq, seed=MIDDLE), unit) == Doubt.UNKNOWN_KEY


def test_doubts_come_in_their_order():
    foreign, forged = a_message(1, seed=FOREIGN), with_other_signature(a_message(1, seed=OLD))
    unit = a_unit_of_three_keys()
    suspended = a_unit(keys=unit.keys, suspended=True)

    assert examine(foreign, None) == Doubt.UNKNOWN_DEVICE
    assert examine(foreign, suspended) == Doubt.UNKNOWN_KEY
    assert examine(forged, suspended) == Doubt.DEVICE_SUSPENDED
    assert examine(forged, unit) == Doubt.BAD_SIGNATURE


def with_other_signature(message: bytes) -> bytes:
    return message[:-1] + bytes([message[-1] ^ 1])


def test_what_the_message_says_of_another_unit_is_authentic_all_the_same():
    message = a_message(1, device_id="unit-2", seed=OLD)
    examined = examine(message, a_unit_of_three_keys())

    assert isinstance(examined, Authentic)
    assert isinstance(examined.content, Pack)


@given(st.integers(0, 300), st.integers(1, 255))
def test_one_changed_bit_anywhere_is_noticed(place, change):
    message = bytearray(a_message(1, seed=OLD))
    message[place % len(message)] ^= change
    sign1 = cose.parse(bytes(message), content_type=cose.SENML_CBOR)

    assert not isinstance(sign1, Sign1) or isinstance(evidence.examine(sign1, a_unit_of_three_keys()), Doubt)


def test_a_command_without_evidence_needs_none_and_one_with_it_is_asked_for_it():
    unit = a_unit_of_three_keys()

    assert evidence.is_authentic(EnrollCustomer("ann", "saver"), None)
    assert evidence.is_authentic(RecordPack("unit-1", a_message(1, seed=OLD)), unit)
    assert evidence.is_authentic(DeclareLost("unit-1", a_gap_message(1, 3, seed=NEW), ()), unit)
    assert not evidence.is_authentic(RecordPack("unit-1", a_message(1, seed=NEW)), unit)
    assert not evidence.is_authentic(DeclareLost("unit-1", a_gap_message(1, 3, seed=OLD), ()), unit)
    assert not evidence.is_authentic(RecordPack("unit-1", a_message(1, seed=OLD)), None)
    assert not evidence.is_authentic(RecordPack("unit-1", b"no message"), unit)
