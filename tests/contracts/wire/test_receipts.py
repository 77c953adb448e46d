"""Receipts and instructions: what is written is read, what is odd is not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.wire.cbor import decode, encode
from contracts.wire.receipts import (
    EventCall,
    EventCancelled,
    Instruction,
    Receipt,
    Resend,
    read_instruction,
    read_receipt,
    write,
)

COUNTS = st.integers(0, 2**53)
ENVELOPES = (st.text(), st.text(), COUNTS, COUNTS)
RECEIPTS = st.builds(
    Receipt,
    device_id=st.text(),
    seq=COUNTS,
    pack=st.binary(min_size=32, max_size=32),
    index=COUNTS,
    origin=st.text(),
    refused=st.lists(st.tuples(COUNTS, st.text())).map(tuple),
)
INSTRUCTIONS = st.one_of(
    st.builds(Resend, *ENVELOPES, COUNTS),
    st.builds(EventCall, *ENVELOPES, COUNTS, COUNTS, st.none() | COUNTS, st.integers(0, 100)),
    st.builds(EventCancelled, *ENVELOPES, st.text()),
)

A_RECEIPT = {
    "device": "unit-1",
    "seq": 12,
    "pack": bytes(32),
    "index": 345,
    "origin": "sparks.example/ledger",
    "refused": [[11, "energy_imbalance"]],
}
AN_ENVELOPE = {"device": "unit-1", "id": "c1", "issued_s": 100, "expires_s": 200}
A_RESEND = AN_ENVELOPE | {"type": "resend", "from_seq": 7}
AN_EVENT = AN_ENVELOPE | {
    "type": "event",
    "start_s": 300,
    "end_s": 400,
    "discharge_w": 2500,
    "reserve_pct": 20,
}
A_CANCELLATION = AN_ENVELOPE | {"type": "event_cancelled", "event": "c1"}


@given(RECEIPTS)
def test_a_receipt_survives_the_wire(receipt: Receipt) -> None:
    assert read_receipt(write(receipt)) == receipt


@given(INSTRUCTIONS)
def test_an_instruction_survives_the_wire(instruction: Instruction) -> None:
    assert read_instruction(write(instruction)) == instruction


def test_a_receipt_has_the_agreed_keys() -> None:
    receipt = Receipt("unit-1", 12, bytes(32), 345, "sparks.example/ledger", ((11, "energy_imbalance"),))

    assert decode(write(receipt)) == A_RECEIPT


@pytest.mark.parametrize(
    ("instruction", "fields"),
    [
        (Resend("unit-1", "c1", 100, 200, 7), A_RESEND),
        (EventCall("unit-1", "c1", 100, 200, 300, 400, 2500, 20), AN_EVENT),
        (
            EventCall("unit-1", "c1", 100, 200, 300, 400, None, 20),
            {key: value for key, value in AN_EVENT.items() if key != "discharge_w"},
        ),
        (EventCancelled("unit-1", "c1", 100, 200, "c1"), A_CANCELLATION),
    ],
)
def test_an_instruction_has_the_agreed_keys(instruction: Instruction, fields: dict[str, Any]) -> None:
    assert decode(write(instruction)) == fields


def test_keys_that_the_platform_may_add_are_ignored() -> None:
    assert read_receipt(encode(A_RECEIPT | {"new": 1})) == read_receipt(encode(A_RECEIPT))
    assert read_instruction(encode(A_RESEND | {"new": 1})) == read_instruction(encode(A_RESEND))


@pytest.mark.parametrize("key", A_RECEIPT)
def test_a_receipt_without_one_of_its_keys_is_unreadable(key: str) -> None:
    assert read_receipt(encode({name: value for name, value in A_RECEIPT.items() if name != key})) is None


@pytest.mark.parametrize(
    "oddity",
    [
        {"device": 1},
        {"seq": -1},
        {"seq": True},
        {"seq": 1.0},
        {"seq": 2**53 + 1},
        {"pack": bytes(31)},
        {"pack": "00" * 16},
        {"index": None},
        {"origin": b"sparks"},
        {"refused": None},
        {"refused": [[1]]},
        {"refused": [["1", "reason"]]},
        {"refused": [[1, 2]]},
        {"refused": [{"seq": 1}]},
    ],
    ids=str,
)
def test_an_odd_receipt_is_unreadable(oddity: dict[str, Any]) -> None:
    assert read_receipt(encode(A_RECEIPT | oddity)) is None


@pytest.mark.parametrize(
    ("instruction", "key"),
    [(whole, key) for whole in (A_RESEND, AN_EVENT, A_CANCELLATION) for key in whole if key != "discharge_w"],
)
def test_an_instruction_without_one_of_its_keys_is_unreadable(instruction: dict[str, Any], key: str) -> None:
    assert read_instruction(encode({name: value for name, value in instruction.items() if name != key})) is None


@pytest.mark.parametrize(
    "oddity",
    [
        A_RESEND | {"type": "reboot"},
        A_RESEND | {"type": 1},
        A_RESEND | {"id": 1},
        A_RESEND | {"from_seq": -1},
        A_RESEND | {"from_seq": True},
        A_RESEND | {"expires_s": "200"},
        AN_EVENT | {"discharge_w": None},
        AN_EVENT | {"discharge_w": -1},
        AN_EVENT | {"reserve_pct": 101},
        AN_EVENT | {"start_s": 300.5},
        A_CANCELLATION | {"event": 1},
        [],
        None,
    ],
    ids=str,
)
def test_an_odd_instruction_is_unreadable(oddity: object) -> None:
    assert read_instruction(encode(oddity)) is None


@given(st.binary())
def test_chance_bytes_are_unreadable(payload: bytes) -> None:
    assert read_receipt(payload) is None
    assert read_instruction(payload) is None
