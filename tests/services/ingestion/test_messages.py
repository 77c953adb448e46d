"""Steps 1 and 2 of interfaces.md 1: whose message it is, and whether it can be read."""

import hashlib
import json
from pathlib import Path

import pytest

from contracts.commands import ReplaceKey, SuspendUnit
from contracts.wire import cbor, cose, packs, signatures
from contracts.wire.packs import GapPack, Pack
from services.ingestion.arrivals import INTERNAL_ERROR
from services.setaside.quarantine import State
from tests.services.ingestion.platform import Platform
from tests.services.ledger.builders import Home

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "cose" / "sign1.json").read_text())
OTHER_SEED = bytes([7]) * 32


def flawed(message: bytes) -> dict[str, bytes]:
    """A good pack made bad in each way of step 1, by the reason it gets; as far as one message can show it."""
    sign1 = cose.parse(message, content_type=cose.SENML_CBOR)
    assert isinstance(sign1, cose.Sign1)
    other_algorithm = cbor.encode({1: -7, 3: 112, 4: sign1.kid})
    return {
        "too_large": message + bytes(cose.MESSAGE_BYTES_MAX),
        "malformed_cose": message + b"\0",
        "unsupported_algorithm": b"\xd2" + cbor.encode([other_algorithm, {}, sign1.payload, sign1.signature]),
        "unknown_key": cose.build(sign1.payload, content_type=cose.SENML_CBOR, seed=OTHER_SEED),
        "bad_signature": message[:-1] + bytes([message[-1] ^ 1]),
    }


@pytest.mark.parametrize(
    "reason", ["too_large", "malformed_cose", "unsupported_algorithm", "unknown_key", "bad_signature"]
)
def test_a_flawed_message_is_set_aside_with_its_bytes_and_takes_no_number(platform: Platform, home: Home, reason: str):
    message = home.message()
    bad = flawed(message)[reason]

    platform.receive("unit-1", bad, message)

    (row,) = platform.quarantine()
    assert (row.reason, row.count, row.raw, row.size_bytes) == (reason, 1, bad[: 32 * 1024], len(bad))
    assert row.sha256 == hashlib.sha256(bad).digest()
    assert platform.counts() == {"quarantined": 1, "accepted": 1}
    assert platform.meter().seq == 1


def test_the_same_flawed_message_has_one_row_with_a_count(platform: Platform, home: Home):
    bad = flawed(home.message())["bad_signature"]

    platform.receive("unit-1", bad, bad)
    platform.receive("unit-1", bad)

    assert [row.count for row in platform.quarantine()] == [3]
    assert platform.counts() == {"quarantined": 3}


def test_a_unit_that_nobody_registered_is_unknown(platform: Platform, home: Home):
    platform.receive("unit-2", home.message())

    assert platform.reasons() == ["unknown_device"]


def test_a_suspended_unit_is_set_aside_and_its_key_is_tested_first(platform: Platform, home: Home):
    message = home.message()
    bad = flawed(message)
    platform.ask(SuspendUnit("unit-1", suspended=True))

    platform.receive("unit-1", message, bad["unknown_key"], bad["bad_signature"])

    assert platform.reasons() == ["device_suspended", "device_suspended", "unknown_key"]


def test_a_key_counts_for_the_numbers_it_was_given(platform: Platform, home: Home):
    new_seed = bytes([9]) * 32
    first, second = home.message(), home.message()
    signature = signatures.sign(home.seed, cbor.encode(["sparks-key", "unit-1", signatures.public_key_of(new_seed), 2]))
    platform.receive("unit-1", first)
    platform.ask(ReplaceKey("unit-1", signatures.public_key_of(new_seed), 2, signature, 0))

    platform.receive("unit-1", second)
    content = packs.read(cose.parse(second, content_type=cose.SENML_CBOR).payload)  # type: ignore[union-attr]
    assert isinstance(content, Pack)
    anew = cose.build(packs.write(content), content_type=cose.SENML_CBOR, seed=new_seed)
    platform.receive("unit-1", anew)

    assert platform.reasons() == ["unknown_key"]
    assert platform.counts() == {"accepted": 2, "quarantined": 1}


def test_a_parked_pack_whose_key_is_revoked_is_set_aside_and_asked_for_again(platform: Platform, home: Home):
    first, second, third = home.message(), home.message(), home.message()
    platform.receive("unit-1", second, third)
    platform.ask(ReplaceKey("unit-1", signatures.public_key_of(OTHER_SEED), 4, None, 3))

    home.seed = OTHER_SEED
    platform.receive("unit-1", first)

    assert platform.counts() == {"quarantined": 1, "waiting": 2}
    assert platform.reasons() == ["unknown_key"]


def malformed(home: Home, **extra: object) -> bytes:
    """A pack without intervals, whose number can be read."""
    records = [{-1: 26, -2: "urn:dev:ops:32473-unit-1_", 0: "seq", 2: 1}, {0: "prev", 8: packs.FIRST_PREV}, extra]
    payload = cbor.encode([record for record in records if record])
    return cose.build(payload, content_type=cose.SENML_CBOR, seed=home.seed)


def test_a_malformed_pack_whose_number_can_be_read_is_refused_in_its_place(platform: Platform, home: Home):
    message = malformed(home)

    platform.receive("unit-1", message)

    (row,) = platform.quarantine()
    assert (row.reason, row.raw, row.seq) == ("malformed_pack", message, 1)
    assert row.entry_index == platform.meter().decided_at
    assert platform.counts() == {"refused": 1}
    assert platform.receipts()[-1].refused == ((1, "malformed_pack"),)


def test_a_malformed_pack_whose_number_cannot_be_read_is_set_aside(platform: Platform, home: Home):
    payload = cbor.encode([{-1: 26, -2: "urn:dev:ops:32473-unit-1_"}])

    platform.receive("unit-1", cose.build(payload, content_type=cose.SENML_CBOR, seed=home.seed))

    assert platform.reasons() == ["malformed_pack"]
    assert platform.counts() == {"quarantined": 1}


def test_a_pack_that_names_another_unit_is_refused_in_its_place_and_a_gap_pack_is_set_aside(
    platform: Platform, home: Home
):
    impostor = Home("unit-2")
    impostor.seed = home.seed

    platform.receive("unit-1", impostor.message(), home.signed(GapPack("unit-2", 2, bytes(32), 9)))

    assert platform.counts() == {"refused": 1, "quarantined": 1}
    assert platform.reasons() == ["wrong_device", "wrong_device"]


def test_a_bug_sets_aside_only_the_message_that_meets_it(
    platform: Platform, home: Home, monkeypatch: pytest.MonkeyPatch
):
    first, second = home.message(), home.message()
    poison = first + b"poison"
    parse = cose.parse
    monkeypatch.setattr(
        "contracts.wire.cose.parse",
        lambda message, content_type: 1 // 0 if message == poison else parse(message, content_type=content_type),
    )

    platform.receive("unit-1", first, poison, second)

    assert platform.reasons() == [INTERNAL_ERROR]
    assert platform.counts() == {"accepted": 2, "quarantined": 1}
    assert platform.transport.unacknowledged == []


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: str(vector["why"]))
def test_each_cose_vector_gets_the_reason_that_its_profile_says(platform: Platform, vector: dict[str, str]):
    owner = Home("vector-unit")
    platform.ask(*[one.command for one in owner.joining()][:1])
    platform.ask(ReplaceKey("vector-unit", bytes.fromhex(vector["public_key"]), 1, None, 0))

    platform.receive("vector-unit", bytes.fromhex(vector["cose_sign1"]))

    # Their SenML names other records than a pack's, so a sound one comes as far as step 2.
    is_bound_to_topic = bool(vector["external_aad"])
    expected = {
        None: "bad_signature" if is_bound_to_topic else "malformed_pack",
        "signature": "bad_signature",
        "algorithm": "unsupported_algorithm" if "ES256" in vector["why"] else "malformed_cose",
    }.get(vector["reason"], "malformed_cose")
    assert platform.reasons() == [expected]


def test_a_row_is_judged_again_from_step_1_when_its_replay_is_asked_for(platform: Platform, home: Home):
    first, second = home.message(), home.message()
    platform.ask(SuspendUnit("unit-1", suspended=True))
    platform.receive("unit-1", first, second)
    platform.ask(SuspendUnit("unit-1", suspended=False))

    platform.request_replay(first)
    platform.wait(1)

    assert [row.state for row in platform.quarantine()] == [State.REPLAYED, State.OPEN]
    assert platform.counts() == {"accepted": 1, "quarantined": 1}


def test_a_replay_that_ends_in_quarantine_again_is_open_again_and_counted_once(platform: Platform, home: Home):
    message = home.message()
    platform.ask(SuspendUnit("unit-1", suspended=True))
    platform.receive("unit-1", message)

    platform.request_replay(message)
    platform.wait(1)

    (row,) = platform.quarantine()
    assert (row.state, row.count) == (State.OPEN, 1)
    assert platform.counts() == {"quarantined": 1}
