"""The tree hash and its verifiers against RFC 6962 and the vectors."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.ledger.merkle import (
    EMPTY_ROOT,
    leaf_hash,
    node_hash,
    root_hash,
    verify_consistency,
    verify_inclusion,
)
from tests.services.ledger.tlog_vectors import hex_list, vectors

HASHES = vectors("hashes")
LEAVES = hex_list(HASHES["leaf_hashes"])
ROOTS = hex_list(HASHES["roots"])
INCLUSION = vectors("inclusion")
CONSISTENCY = vectors("consistency")


def whys(cases: list[Any]) -> list[str]:
    return [case["why"] for case in cases]


def test_leaf_hashes_are_those_of_the_vectors() -> None:
    assert [leaf_hash(entry) for entry in hex_list(HASHES["entries"])] == LEAVES


def test_every_size_from_none_to_300_has_the_root_of_the_vectors() -> None:
    assert [root_hash(LEAVES[:size]) for size in range(len(ROOTS))] == ROOTS
    assert bytes.fromhex(HASHES["empty_root"]) == EMPTY_ROOT


def test_the_certificate_transparency_reference_tree_has_its_published_roots() -> None:
    reference = HASHES["ct_reference"]
    leaves = [leaf_hash(entry) for entry in hex_list(reference["entries"])]

    assert [root_hash(leaves[:size]) for size in range(9)] == hex_list(reference["roots"])


def test_every_valid_inclusion_proof_is_accepted() -> None:
    for case in INCLUSION["valid"]:
        index, size = case["index"], case["size"]
        proof = hex_list(case["proof"])
        assert verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size]), (index, size)


@pytest.mark.parametrize("case", INCLUSION["invalid"], ids=whys(INCLUSION["invalid"]))
def test_an_invalid_inclusion_proof_is_refused(case: Any) -> None:
    leaf, root = hex_list([case["leaf_hash"], case["root"]])

    assert not verify_inclusion(leaf, case["index"], case["size"], hex_list(case["proof"]), root)


def test_every_valid_consistency_proof_is_accepted() -> None:
    for case in CONSISTENCY["valid"]:
        old, size = case["old"], case["size"]
        proof = hex_list(case["proof"])
        assert verify_consistency(old, ROOTS[old], size, ROOTS[size], proof), (old, size)


@pytest.mark.parametrize("case", CONSISTENCY["invalid"], ids=whys(CONSISTENCY["invalid"]))
def test_an_invalid_consistency_proof_is_refused(case: Any) -> None:
    old_root, root = hex_list([case["old_root"], case["root"]])

    assert not verify_consistency(case["old"], old_root, case["size"], root, hex_list(case["proof"]))


def test_no_tree_has_the_size_zero_and_another_root_than_the_empty_one() -> None:
    assert verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    assert not verify_consistency(0, ROOTS[1], 0, ROOTS[1], [])
    assert not verify_consistency(0, ROOTS[1], 5, ROOTS[5], [])


def test_a_leaf_and_a_node_over_the_same_bytes_differ() -> None:
    assert leaf_hash(LEAVES[0] + LEAVES[1]) != node_hash(LEAVES[0], LEAVES[1])


numbers = st.integers(-(2**70), 2**70) | st.integers(-1, 9)
near_hashes = st.binary(max_size=40) | st.sampled_from(LEAVES[:8] + ROOTS[:9])


@given(leaf=near_hashes, index=numbers, size=numbers, proof=st.lists(near_hashes, max_size=70), root=near_hashes)
@example(leaf=b"", index=0, size=1, proof=[], root=b"")
def test_only_a_hash_of_an_entry_proves_its_place_and_nothing_raises(
    leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes
) -> None:
    if verify_inclusion(leaf, index, size, proof, root):
        assert 0 <= index < size and {len(part) for part in (leaf, root, *proof)} == {32}


@given(
    old=numbers,
    old_root=near_hashes,
    size=numbers,
    root=near_hashes,
    proof=st.lists(near_hashes, max_size=70),
)
@example(old=4, old_root=b"", size=4, root=b"", proof=[])
def test_only_a_tree_that_grows_is_consistent_and_nothing_raises(
    old: int, old_root: bytes, size: int, root: bytes, proof: list[bytes]
) -> None:
    if verify_consistency(old, old_root, size, root, proof):
        assert 0 <= old <= size and {len(part) for part in (old_root, root, *proof)} == {32}


@given(case=st.sampled_from([case for case in INCLUSION["valid"] if case["proof"]]), data=st.data())
def test_one_flipped_bit_anywhere_breaks_an_inclusion_proof(case: Any, data: st.DataObject) -> None:
    index, size = case["index"], case["size"]
    parts = [LEAVES[index], ROOTS[size], *hex_list(case["proof"])]
    struck = data.draw(st.integers(0, len(parts) - 1))
    bit = data.draw(st.integers(0, 255))
    parts[struck] = (int.from_bytes(parts[struck], "big") ^ 1 << bit).to_bytes(32, "big")

    leaf, root, *proof = parts

    assert not verify_inclusion(leaf, index, size, proof, root)
