"""The proof of liabilities as bytes: a Merkle tree whose nodes carry sums, over parts of what everybody is owed.

A node is a hash and two sums, of sparks and of deferred sparks. Its hash is over both children's hashes and both
children's sums. A hash over their total alone would let a node claim the larger child only, so that all but one balance
could be left out (Hu, Zhang, Guo: Breaking the Binding, eprint 2018/1139). Sums are integers from 0 to `SUM_MAX` of a
fixed width, so that no part is negative and none wraps round. A leaf names whose it is, so that one cannot be shown to
two; with its salt of 32 random bytes it tells nobody else.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from contracts.units import MicroSparks

HASH_BYTES: Final = 32
AMOUNT_BYTES: Final = 8
NODE_BYTES: Final = HASH_BYTES + 2 * AMOUNT_BYTES
SALT_BYTES: Final = 32
SUM_MAX: Final = 2**63 - 1
DEPTH_MIN: Final = 8
"""A tree has 256 leaves at least, so that a small programme does not tell how small it is."""
DEPTH_MAX: Final = 40

_LEAF: Final = b"sparks-liability-leaf-v1\n"
_NODE: Final = b"sparks-liability-node-v1\n"


class Node(NamedTuple):
    """A leaf or an inner node as a proof shows it."""

    hash: bytes
    micro_sparks: MicroSparks
    deferred_micro_sparks: MicroSparks


class Part(NamedTuple):
    """One part of what an account is owed, at its place among the leaves, with the way from there to the root.

    path  the siblings, the leaf's own first
    """

    place: int
    salt: bytes
    micro_sparks: MicroSparks
    deferred_micro_sparks: MicroSparks
    path: tuple[Node, ...]


def leaf(account: str, salt: bytes, *, micro_sparks: MicroSparks, deferred_micro_sparks: MicroSparks) -> Node:
    """The leaf of one part; raises ValueError for a salt or amount out of range.

    SHA-256 of the tag, the salt, both amounts as 8 bytes (big-endian), and the account's name.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    amounts = _amount(micro_sparks) + _amount(deferred_micro_sparks)
    hashed = sha256(_LEAF + salt + amounts + account.encode()).digest()
    return Node(hashed, micro_sparks, deferred_micro_sparks)


def above(left: Node, right: Node) -> Node:
    """The node above two; raises ValueError where one is no node, or the sums do not fit.

    SHA-256 of the tag and, of either child, the hash and both sums as 8 bytes (big-endian).
    """
    hashed = sha256(_NODE + node_bytes(left) + node_bytes(right)).digest()
    together = Node(
        hashed,
        left.micro_sparks + right.micro_sparks,
        left.deferred_micro_sparks + right.deferred_micro_sparks,
    )
    _amount(together.micro_sparks)
    _amount(together.deferred_micro_sparks)
    return together


def root_above(account: str, part: Part) -> Node:
    """The root that a part leads to; raises ValueError for one that can be in no tree."""
    if not 0 <= part.place < 1 << len(part.path):
        raise ValueError("a place is one of the leaves")
    node = leaf(account, part.salt, micro_sparks=part.micro_sparks, deferred_micro_sparks=part.deferred_micro_sparks)
    for height, sibling in enumerate(part.path):
        is_right = part.place >> height & 1
        node = above(sibling, node) if is_right else above(node, sibling)
    return node


def flaw(account: str, parts: Sequence[Part], *, root: Node, depth: int) -> str | None:
    """Say what is wrong with the proof that these parts of an account are counted under `root`; None: nothing.

    What they add up to is then counted in the root's sums. Whoever asks compares it with what they are owed.
    """
    if len({part.place for part in parts}) != len(parts):
        return "one leaf is shown twice"
    for part in parts:
        if len(part.path) != depth:
            return f"the way from leaf {part.place} has {len(part.path)} steps, and the tree has {depth}"
        try:
            found = root_above(account, part)
        except ValueError as error:
            return f"leaf {part.place}: {error}"
        if found != root:
            return f"leaf {part.place} is not counted under the root"
    return None


def node_bytes(node: Node) -> bytes:
    """A node as the one above it hashes it; raises ValueError if it is none."""
    if len(node.hash) != HASH_BYTES:
        raise ValueError(f"a hash has {HASH_BYTES} bytes")
    return node.hash + _amount(node.micro_sparks) + _amount(node.deferred_micro_sparks)


def node_of(data: bytes) -> Node:
    """What `node_bytes` wrote."""
    first, second = data[HASH_BYTES : HASH_BYTES + AMOUNT_BYTES], data[HASH_BYTES + AMOUNT_BYTES :]
    return Node(data[:HASH_BYTES], int.from_bytes(first, "big"), int.from_bytes(second, "big"))


def _amount(value: int) -> bytes:
    if not 0 <= value <= SUM_MAX:
        raise ValueError("an amount or sum is out of range")
    return value.to_bytes(AMOUNT_BYTES, "big")
