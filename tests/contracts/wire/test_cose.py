"""COSE_Sign1 in the strict profile: every golden vector, an independent library, every flaw."""

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycose.algorithms import EdDSA
from pycose.headers import KID, Algorithm, ContentType
from pycose.keys.okp import OKPKey
from pycose.messages.sign1message import Sign1Message

from contracts.wire.cbor import encode
from contracts.wire.cose import (
    CBOR,
    ED25519,
    EDDSA,
    MESSAGE_BYTES_MAX,
    SENML_CBOR,
    Flaw,
    Sign1,
    build,
    is_signed_by,
    parse,
)
from contracts.wire.signatures import key_id, public_key_of, sign, verify

SHARED: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors/cose/sign1.json").read_text())
VECTORS: list[dict[str, Any]] = SHARED["vectors"]
VALID = [vector for vector in VECTORS if vector["profile_valid"]]
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["why"]))
each_valid_vector = pytest.mark.parametrize("vector", VALID, ids=lambda vector: str(vector["why"]))

SEED = bytes(range(32))
PUBLIC_KEY = public_key_of(SEED)
KID_OF_SEED = key_id(PUBLIC_KEY)
PAYLOAD = encode([{0: "seq", 2: 1}])
SHAPED_RIGHT = {None, "signature"}  # the reasons of vectors whose shape the profile has nothing against


def a_message(
    protected: object = None,
    unprotected: object = None,
    payload: object = PAYLOAD,
    signature: object = bytes(64),
) -> bytes:
    """A COSE_Sign1 of any parts; protected is encoded if it is a map."""
    header = {1: EDDSA, 3: SENML_CBOR, 4: KID_OF_SEED} if protected is None else protected
    encoded = header if isinstance(header, bytes) else encode(header)
    return b"\xd2" + encode([encoded, unprotected if unprotected is not None else {}, payload, signature])


def parsed(message: bytes, content_type: int = SENML_CBOR) -> Sign1:
    sign1 = parse(message, content_type=content_type)
    assert isinstance(sign1, Sign1)
    return sign1


@each_vector
def test_the_profile_judges_each_vector_as_agreed(vector: dict[str, Any]) -> None:
    sign1 = parse(bytes.fromhex(vector["cose_sign1"]), content_type=SENML_CBOR)

    if isinstance(sign1, Flaw):
        assert not vector["profile_valid"]
        return
    aad = bytes.fromhex(vector["external_aad"])  # one vector binds the topic; our own messages never do
    signed = encode(["Signature1", sign1.protected, aad, sign1.payload])
    assert verify(bytes.fromhex(vector["public_key"]), signed, sign1.signature) == vector["profile_valid"]


@each_vector
def test_each_vector_gets_its_reason(vector: dict[str, Any]) -> None:
    verdict = parse(bytes.fromhex(vector["cose_sign1"]), content_type=SENML_CBOR)

    if vector["reason"] in SHAPED_RIGHT:
        assert isinstance(verdict, Sign1)
    elif vector["why"].startswith("invalid: alg ES256"):
        assert verdict is Flaw.UNSUPPORTED_ALGORITHM
    else:
        assert verdict is Flaw.MALFORMED_COSE


@each_valid_vector
def test_each_valid_vector_is_read_to_its_exact_bytes(vector: dict[str, Any]) -> None:
    sign1 = parsed(bytes.fromhex(vector["cose_sign1"]))

    for part in {"protected", "payload", "signature"} & vector.keys():
        assert getattr(sign1, part).hex() == vector[part]
    if "sig_structure" in vector and not vector["external_aad"]:
        assert sign1.signed_bytes().hex() == vector["sig_structure"]
    assert sign1.kid == key_id(bytes.fromhex(vector["public_key"]))
    assert is_signed_by(sign1, bytes.fromhex(vector["public_key"])) == (not vector["external_aad"])


@pytest.mark.parametrize("vector", [v for v in VALID if not v["external_aad"]], ids=lambda vector: str(vector["why"]))
def test_a_message_is_built_to_the_bytes_of_its_vector(vector: dict[str, Any]) -> None:
    seeds = {device["public_key"]: bytes.fromhex(device["seed"]) for device in SHARED["devices"]}
    sign1 = parsed(bytes.fromhex(vector["cose_sign1"]))

    built = build(sign1.payload, content_type=SENML_CBOR, seed=seeds[vector["public_key"]], alg=sign1.alg)

    assert built.hex() == vector["cose_sign1"]


def test_an_independent_library_verifies_what_is_built() -> None:
    # Without the tag: below one, cbor2 6 makes tuples, which pycose does not take.
    parts = cbor2.loads(build(PAYLOAD, content_type=CBOR, seed=SEED)[1:])
    message: Any = Sign1Message.from_cose_obj(parts, True)
    message.key = OKPKey(crv="ED25519", x=PUBLIC_KEY)

    assert message.verify_signature()
    assert message.payload == PAYLOAD
    assert message.phdr[Algorithm].identifier == EDDSA
    assert message.phdr[ContentType] == CBOR
    assert message.phdr[KID] == KID_OF_SEED
    assert message.uhdr == {}


def test_what_an_independent_library_builds_is_read_and_verified() -> None:
    message: Any = Sign1Message(
        phdr={Algorithm: EdDSA, ContentType: SENML_CBOR, KID: KID_OF_SEED},
        payload=PAYLOAD,
        key=OKPKey(crv="ED25519", d=SEED, x=PUBLIC_KEY),
    )

    assert message.encode() == build(PAYLOAD, content_type=SENML_CBOR, seed=SEED)
    assert is_signed_by(parsed(message.encode()), PUBLIC_KEY)


@given(
    seed=st.binary(min_size=32, max_size=32),
    payload=st.dictionaries(st.text(), st.integers()).map(encode),
    alg=st.sampled_from([EDDSA, ED25519]),
)
def test_what_is_built_is_read_back_and_verified(seed: bytes, payload: bytes, alg: int) -> None:
    sign1 = parsed(build(payload, content_type=CBOR, seed=seed, alg=alg), CBOR)

    assert (sign1.alg, sign1.content_type, sign1.payload) == (alg, CBOR, payload)
    assert sign1.kid == key_id(public_key_of(seed))
    assert is_signed_by(sign1, public_key_of(seed))
    assert not is_signed_by(sign1, PUBLIC_KEY)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"", "nothing"),
        (b"\xd2", "a tag of nothing"),
        (a_message()[1:], "no tag"),
        (b"\xd8\x62" + a_message()[1:], "tag 98"),
        (b"\xd8\x12" + a_message()[1:], "tag 18 in two bytes"),
        (a_message() + b"\0", "a byte after"),
        (a_message()[:-1], "a byte too few"),
        (b"\xd2" + encode([b"", {}, PAYLOAD]), "three parts"),
        (b"\xd2" + encode({}), "a map"),
        (a_message(protected=b""), "an empty header"),
        (a_message(protected=encode([])), "a header that is no map"),
        (a_message(protected={1: EDDSA, 3: SENML_CBOR}), "no kid"),
        (a_message(protected={1: EDDSA, 3: SENML_CBOR, 4: KID_OF_SEED, 16: 18}), "one label more"),
        (a_message(protected={1: EDDSA, 3: CBOR, 4: KID_OF_SEED}), "another content type"),
        (a_message(protected={1: EDDSA, 3: 112.0, 4: KID_OF_SEED}), "a content type that is a float"),
        (a_message(protected={1: EDDSA, 3: SENML_CBOR, 4: KID_OF_SEED[:7]}), "a kid of 7 bytes"),
        (a_message(protected={1: EDDSA, 3: SENML_CBOR, 4: "12345678"}), "a kid of text"),
        (a_message(protected={1: -8.0, 3: SENML_CBOR, 4: KID_OF_SEED}), "an alg that is a float"),
        (a_message(unprotected={4: KID_OF_SEED}), "an unprotected label"),
        (a_message(unprotected=[]), "an unprotected header that is no map"),
        (a_message(payload=None), "a detached payload"),
        (a_message(payload="text"), "a payload of text"),
        (a_message(signature=None), "no signature"),
        (a_message(payload=PAYLOAD + b"\0"), "a byte after the payload"),
        (a_message(payload=bytes.fromhex("81a1001817")), "a payload that is not deterministic"),
        (a_message(payload=encode([])), "a pack of no records"),
        (a_message(payload=encode({})), "a pack that is a map"),
        (a_message(payload=encode([{}, 1])), "a record that is no map"),
        (
            a_message(protected={1: -7, 3: CBOR, 4: KID_OF_SEED}),
            "another algorithm, but malformed before that",
        ),
    ],
)
def test_a_message_of_another_shape_is_malformed(message: bytes, why: str) -> None:
    assert parse(message, content_type=SENML_CBOR) is Flaw.MALFORMED_COSE


@pytest.mark.parametrize("alg", [-7, 0, -9, -35, 2**63, "ES256"])
def test_another_algorithm_in_a_sound_message_is_unsupported(alg: int | str) -> None:
    message = a_message(protected={1: alg, 3: SENML_CBOR, 4: KID_OF_SEED})

    assert parse(message, content_type=SENML_CBOR) is Flaw.UNSUPPORTED_ALGORITHM


def test_size_is_judged_before_anything_else() -> None:
    overhead = len(a_message(payload=encode([{0: "x" * 30_000}]))) - 30_000
    fitting = a_message(payload=encode([{0: "x" * (MESSAGE_BYTES_MAX - overhead)}]))

    assert len(fitting) == MESSAGE_BYTES_MAX
    assert isinstance(parse(fitting, content_type=SENML_CBOR), Sign1)
    assert parse(fitting + b"\0", content_type=SENML_CBOR) is Flaw.TOO_LARGE


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_verifies_nothing(length: int) -> None:
    assert not is_signed_by(parsed(a_message(signature=bytes(length))), PUBLIC_KEY)


def test_a_signature_over_another_algorithm_label_does_not_count() -> None:
    signed = parsed(build(PAYLOAD, content_type=SENML_CBOR, seed=SEED))
    relabelled = a_message(protected={1: ED25519, 3: SENML_CBOR, 4: KID_OF_SEED}, signature=signed.signature)

    assert is_signed_by(signed, PUBLIC_KEY)
    assert not is_signed_by(parsed(relabelled), PUBLIC_KEY)


def test_a_signature_of_the_bare_payload_does_not_count() -> None:
    assert not is_signed_by(parsed(a_message(signature=sign(SEED, PAYLOAD))), PUBLIC_KEY)


@given(data=st.data())
def test_no_changed_byte_goes_unnoticed_and_none_raises(data: st.DataObject) -> None:
    message = build(PAYLOAD, content_type=SENML_CBOR, seed=SEED)
    at, bit = data.draw(st.integers(0, len(message) - 1)), data.draw(st.integers(0, 7))
    changed = message[:at] + bytes([message[at] ^ 1 << bit]) + message[at + 1 :]

    sign1 = parse(changed, content_type=SENML_CBOR)

    # The kid is inside the signed bytes, so a changed hint shows as well.
    assert isinstance(sign1, Flaw) or not is_signed_by(sign1, PUBLIC_KEY)


@given(st.binary(max_size=200).map(lambda rest: b"\xd2\x84" + rest) | st.binary(max_size=200))
def test_any_bytes_get_a_verdict(message: bytes) -> None:
    assert isinstance(parse(message, content_type=SENML_CBOR), Flaw | Sign1)
