"""The public bytes of an entry: one spelling, nothing lost, nothing told of what is committed to."""

import hashlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.wire import cbor
from services.ledger import entries
from services.ledger.entries import Entry

HASHES = st.binary(min_size=32, max_size=32)
ENTRIES = st.builds(
    Entry,
    kind=st.text(max_size=20),
    at_s=st.integers(0, 1 << 40),
    collection=st.text(max_size=20),
    contract_version=HASHES,
    command_commitment=HASHES,
    effects_commitment=HASHES,
)
AN_ENTRY = Entry("deposit_reserve", 1_782_810_000, "utility", b"v" * 32, b"c" * 32, b"e" * 32)


@given(ENTRIES)
def test_an_entry_is_read_as_it_was_written(entry):
    assert entries.from_bytes(entries.to_bytes(entry)) == entry


@given(ENTRIES)
def test_its_bytes_are_deterministic_cbor(entry):
    data = entries.to_bytes(entry)

    assert cbor.encode(cbor.decode(data)) == data


def test_its_bytes_are_those_that_are_written_down_here():
    commitments = "5820" + "76" * 32 + "5820" + "63" * 32 + "5820" + "65" * 32

    assert entries.to_bytes(AN_ENTRY).hex() == (
        "8701" + "6f6465706f7369745f72657365727665" + "1a6a438590" + "677574696c697479" + commitments
    )


@pytest.mark.parametrize(
    "value",
    [
        [2, "k", 1, "c", b"v" * 32, b"c" * 32, b"e" * 32],
        [True, "k", 1, "c", b"v" * 32, b"c" * 32, b"e" * 32],
        [1, "k", True, "c", b"v" * 32, b"c" * 32, b"e" * 32],
        [1, "k", -1, "c", b"v" * 32, b"c" * 32, b"e" * 32],
        [1, "k", 1 << 63, "c", b"v" * 32, b"c" * 32, b"e" * 32],
        [1, "k", 1, "c", b"v" * 31, b"c" * 32, b"e" * 32],
        [1, "k", 1, "c", b"v" * 32, b"c" * 32],
        {"v": 1},
    ],
)
def test_what_is_no_entry_is_refused(value):
    with pytest.raises(ValueError, match="not an entry"):
        entries.from_bytes(cbor2.dumps(value))


def test_bytes_after_an_entry_are_refused():
    with pytest.raises(ValueError):
        entries.from_bytes(entries.to_bytes(AN_ENTRY) + b"\x00")


def test_a_commitment_is_the_hash_of_salt_and_bytes():
    assert entries.commitment(b"s" * 16, b"data") == hashlib.sha256(b"s" * 16 + b"data").digest()


def test_a_salt_that_could_be_guessed_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        entries.commitment(b"short", b"data")
