"""Ed25519 against the test vectors of RFC 8032 and of the shared devices."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.wire.signatures import key_id, public_key_of, sign, thumbprint, verify

VECTORS = Path(__file__).parents[2] / "vectors/cose/sign1.json"
DEVICES: list[dict[str, Any]] = json.loads(VECTORS.read_text())["devices"]
SEEDS = st.binary(min_size=32, max_size=32)
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: str(device["name"]))
def test_keys_have_the_names_of_the_shared_devices(device: dict[str, Any]) -> None:
    public_key = public_key_of(bytes.fromhex(device["seed"]))

    assert public_key.hex() == device["public_key"]
    assert thumbprint(public_key).hex() == device["thumbprint_rfc9679"]
    assert key_id(public_key).hex() == device["kid"]


@pytest.mark.parametrize(
    ("seed", "message", "signature"),
    [  # RFC 8032 7.1, tests 1 and 2
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ],
)
def test_the_signatures_of_the_rfc_are_made(seed: str, message: str, signature: str) -> None:
    assert sign(bytes.fromhex(seed), bytes.fromhex(message)).hex() == signature


@given(seed=SEEDS, message=st.binary(), at=st.integers(0, 511))
def test_a_signature_holds_until_one_bit_of_anything_changes(seed: bytes, message: bytes, at: int) -> None:
    public_key, signature = public_key_of(seed), sign(seed, message)
    flipped = bytearray(signature)
    flipped[at // 8] ^= 1 << at % 8

    assert verify(public_key, message, signature)
    assert not verify(public_key, message, bytes(flipped))
    assert not verify(public_key, message + b"\0", signature)
    assert not verify(public_key_of(bytes([seed[0] ^ 1]) + seed[1:]), message, signature)


def test_a_signature_with_the_group_order_added_is_another_one() -> None:
    signature = sign(bytes(32), b"message")
    malleable = int.from_bytes(signature[32:], "little") + GROUP_ORDER

    assert not verify(public_key_of(bytes(32)), b"message", signature[:32] + malleable.to_bytes(32, "little"))


@given(public_key=st.binary(max_size=40), message=st.binary(), signature=st.binary(max_size=70))
def test_chance_bytes_never_verify_and_never_raise(public_key: bytes, message: bytes, signature: bytes) -> None:
    assert not verify(public_key, message, signature)


@pytest.mark.parametrize("small_order", [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_a_key_of_small_order_verifies_nothing(small_order: bytes) -> None:
    assert not verify(small_order, b"message", small_order + bytes(32))


@pytest.mark.parametrize("function", [public_key_of, thumbprint, key_id])
def test_a_key_of_another_length_is_a_bug_of_the_caller(function: Any) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        function(bytes(31))
