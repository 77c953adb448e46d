"""The Merkle tree hash of RFC 6962 section 2.1 (the same in RFC 9162) and its two verifiers.

Hashes are SHA-256, 32 bytes. The size of a tree is not bound by its root: take it only from a signed
checkpoint, and a leaf hash only from the bytes of an entry, or an inner node passes for a leaf.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
SIZE_MAX: Final = (1 << 63) - 1
"""The largest tree that C2SP tlog-checkpoint can name."""
EMPTY_ROOT: Final = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return the leaf hash of an entry's bytes."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above two hashes."""
    return sha256(b"\x01" + left + right).digest()


def root_hash(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root over `leaf_hashes`; of none, `EMPTY_ROOT`."""
    if not leaf_hashes:
        return EMPTY_ROOT
    layer = list(leaf_hashes)
    while len(layer) > 1:
        # An odd last node rises unchanged, which puts the split at the largest power of two below the size.
        risen = layer[len(layer) & ~1 :]
        pairs = zip(layer[::2], layer[1::2], strict=False)
        layer = [node_hash(left, right) for left, right in pairs] + risen
    return layer[0]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether `proof` puts the leaf hash `leaf` at `index` in the tree of `size` with `root`.

    `proof` starts with the leaf's sibling. Whatever is malformed is False. Source: RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < size or not _are_hashes([leaf, root, *proof]):
        return False
    node, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            node, last = _skip_left_edge(node, last)
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and computed == root


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether the tree of `size` with `root` only appends to the tree of `old_size` with `old_root`.

    Equal sizes, and an old size of 0 (the witness rule of C2SP tlog-witness), take an empty proof. Whatever
    is malformed is False. Source: RFC 9162 section 2.1.4.2.
    """
    if not 0 <= old_size <= size or not _are_hashes([old_root, root, *proof]):
        return False
    if (old_size == 0 and old_root != EMPTY_ROOT) or (size == 0 and root != EMPTY_ROOT):
        return False
    if old_size in (0, size):
        return not proof and (old_size == 0 or old_root == root)
    return _joins_both_roots(old_size, old_root, size, root, proof)


def _joins_both_roots(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Rebuild both roots from one path, for 0 < old_size < size."""
    old_tree_is_a_node = old_size & (old_size - 1) == 0
    path = [old_root, *proof] if old_tree_is_a_node else list(proof)
    if not path:
        return False
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_computed = computed = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old_computed, computed = node_hash(sibling, old_computed), node_hash(sibling, computed)
            node, last = _skip_left_edge(node, last)
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old_computed == old_root and computed == root


def _skip_left_edge(node: int, last: int) -> tuple[int, int]:
    """Climb past the levels where an unpaired last node rises without a sibling."""
    while node and not node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _are_hashes(values: Iterable[bytes]) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
