"""Proof files: what the vectors accept, what they refuse, and files of our own."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ledger import merkle, notes, proofs, tiles
from services.ledger.checkpoints import Checkpoint
from services.ledger.notes import KeyType, VerifierKey
from services.ledger.proofs import Proof
from tests.services.ledger.tlog_vectors import hex_list, vectors

PROOFS = vectors("proofs")
KEYS = vectors("notes")["keys"]
LOG_SEED, WITNESS_SEED = hex_list([KEYS[0]["seed"], KEYS[4]["seed"]])
NOTE = vectors("log300")["checkpoints"]["300"].encode()


def key_of(vkey: str) -> VerifierKey:
    key = notes.parse_vkey(vkey)
    assert key is not None
    return key


LOG = key_of(PROOFS["log_vkey"])
WITNESSES = [key_of(vkey) for vkey in PROOFS["witness_vkeys"]]


def a_proof_file(*cosignatures: str, origin: str = LOG.name, seed: bytes = LOG_SEED) -> str:
    """The file of the only entry, b"sun", of a log."""
    text = Checkpoint(origin, 1, merkle.leaf_hash(b"sun")).text()
    signature = notes.signature_line(text, name=LOG.name, seed=seed)
    return proofs.write(0, [], notes.sign_note(text, [signature, *cosignatures]))


def a_cosignature(name: str) -> str:
    text = Checkpoint(LOG.name, 1, merkle.leaf_hash(b"sun")).text()
    return notes.cosignature_line(text, name=name, seed=WITNESS_SEED, time_s=1_767_225_600)


@pytest.mark.parametrize("case", PROOFS["proofs"], ids=lambda case: str(case["why"]))
def test_a_proof_of_the_vectors_verifies_exactly_if_it_is_valid(case: Any) -> None:
    entry = bytes.fromhex(case["entry"])

    assert proofs.verify(case["proof"], entry, LOG, WITNESSES, case["quorum"]) == case["valid"]


@pytest.mark.parametrize("case", [case for case in PROOFS["proofs"] if case["valid"]], ids=lambda c: str(c["why"]))
def test_a_valid_proof_is_written_as_it_was_read(case: Any) -> None:
    proof = proofs.parse(case["proof"])

    assert proof is not None
    assert proofs.write(proof.index, proof.hashes, proof.checkpoint_note, proof.extra) == case["proof"]


def test_every_entry_of_the_reference_log_proves_itself_by_a_file() -> None:
    entries = hex_list(vectors("hashes")["entries"])
    rows = tiles.grow(0, {}, [merkle.leaf_hash(entry) for entry in entries])

    for index, entry in enumerate(entries):
        path = tiles.inclusion_proof(index, 300, lambda level, n: rows[level, n])
        assert proofs.verify(proofs.write(index, path, NOTE), entry, LOG, WITNESSES, 3)


@given(
    index=st.integers(0, 2**63 - 1),
    hashes=st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple),
    extra=st.none() | st.binary(),
)
def test_a_file_gives_back_what_was_written(index: int, hashes: tuple[bytes, ...], extra: bytes | None) -> None:
    expected = Proof(index=index, hashes=hashes, checkpoint_note=NOTE, extra=extra)

    assert proofs.parse(proofs.write(index, hashes, NOTE, extra)) == expected


@pytest.mark.parametrize(
    "head",
    [
        "",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v1\nextra !\nindex 0",
        "c2sp.org/tlog-proof@v1\nextra AA==",
        "c2sp.org/tlog-proof@v1\nindex 0\nextra AA==",
        "c2sp.org/tlog-proof@v1\nindex -1",
        "c2sp.org/tlog-proof@v1\nindex +1",
        "c2sp.org/tlog-proof@v1\nindex",
        "c2sp.org/tlog-proof@v1\r\nindex 0\r",
        "c2sp.org/tlog-proof@v1\nindex 0\nAAAA",
        "c2sp.org/tlog-proof@v1\nindex 0" + 64 * f"\n{notes.base64_text(bytes(32))}",
    ],
)
def test_a_malformed_file_is_refused(head: str) -> None:
    assert proofs.parse(f"{head}\n\n{NOTE.decode()}") is None


@given(text=st.text() | st.text().map(lambda tail: f"c2sp.org/tlog-proof@v1\nindex 0\n\n{tail}"))
def test_text_that_nobody_signed_proves_nothing(text: str) -> None:
    assert not proofs.verify(text, b"", LOG, WITNESSES, 0)


def test_text_without_utf_8_proves_nothing() -> None:
    assert not proofs.verify("c2sp.org/tlog-proof@v1\nindex 0\n\n\ud800\n", b"", LOG, WITNESSES, 0)


def test_a_quorum_of_none_asks_only_for_the_log() -> None:
    assert proofs.verify(a_proof_file(), b"sun", LOG, [], 0)
    assert not proofs.verify(a_proof_file(), b"sun", LOG, [], 1)
    assert not proofs.verify(a_proof_file(seed=WITNESS_SEED), b"sun", LOG, [], 0)


def test_cosigners_alone_do_not_speak_for_the_log() -> None:
    text = Checkpoint(LOG.name, 1, merkle.leaf_hash(b"sun")).text()
    file = proofs.write(0, [], notes.sign_note(text, [a_cosignature(WITNESSES[0].name)]))

    assert not proofs.verify(file, b"sun", LOG, WITNESSES, 1)


def test_a_checkpoint_of_another_origin_proves_nothing() -> None:
    assert not proofs.verify(a_proof_file(origin="other.example/log"), b"sun", LOG, [], 0)


def test_a_signed_text_that_is_no_checkpoint_proves_nothing() -> None:
    line = notes.signature_line("a letter\n", name=LOG.name, seed=LOG_SEED)
    file = proofs.write(0, [], notes.sign_note("a letter\n", [line]))

    assert not proofs.verify(file, b"a letter\n", LOG, [], 0)


def test_one_public_key_under_two_names_counts_once() -> None:
    witness = WITNESSES[0]
    twin = VerifierKey("twin.example", KeyType.COSIGNATURE, witness.public_key)
    file = a_proof_file(a_cosignature(witness.name), a_cosignature(twin.name))

    assert proofs.verify(file, b"sun", LOG, [witness, twin], 1)
    assert not proofs.verify(file, b"sun", LOG, [witness, twin], 2)


def test_the_log_does_not_count_as_its_own_witness() -> None:
    assert not proofs.verify(a_proof_file(), b"sun", LOG, [LOG], 1)
