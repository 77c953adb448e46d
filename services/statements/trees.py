"""The tree over what everybody is owed, in tiles, and the way from a leaf to its root.

A tile holds up to 256 neighbouring nodes, and a level of tiles stands on every eighth level of nodes; what lies between
is computed again from a tile when it is asked for.
"""

from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from contracts.wire import liabilities
from contracts.wire.liabilities import DEPTH_MIN, NODE_BYTES, Node, Part
from services.statements import splitting
from services.statements.splitting import Owed

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
PLACE_BYTES: Final = 4
NOBODY: Final = ""

ReadTile = Callable[[int, int], bytes]
"""(level, n) -> the nodes of a tile"""


class Leaves(NamedTuple):
    """One account's leaves as they are kept."""

    account: str
    key: bytes
    owed: Owed
    places: bytes


class Tile(NamedTuple):
    """Nodes `n * 256` and on at height `8 * level`."""

    level: int
    n: int
    nodes: bytes


class Tree:
    """The tree over these balances under this seed. Memory: about 100 bytes a leaf while it is built."""

    def __init__(self, balances: Mapping[str, Owed], seed: bytes) -> None:
        self._nodes = bytearray()
        """Of all leaves, before they are shuffled."""
        orders = array("Q")
        self._accounts: list[tuple[str, bytes, Owed, slice]] = []
        for account in sorted(balances):
            key, owed, first = splitting.key_of(seed, account), balances[account], len(orders)
            for share in splitting.split(key, owed):
                self._add(account, share, orders)
            self._accounts.append((account, key, owed, slice(first, len(orders))))
        self.depth = max(DEPTH_MIN, (len(orders) - 1).bit_length())
        for number in range((1 << self.depth) - len(orders)):
            self._add(NOBODY, splitting.filler(seed, number), orders)
        self._order = sorted(range(len(orders)), key=orders.__getitem__)

    def _add(self, account: str, share: splitting.Share, orders: "array[int]") -> None:
        leaf = liabilities.leaf(
            account,
            share.salt,
            micro_sparks=share.owed.micro_sparks,
            deferred_micro_sparks=share.owed.deferred_micro_sparks,
        )
        self._nodes += liabilities.node_bytes(leaf)
        orders.append(share.order)

    def leaves(self) -> Iterator[Leaves]:
        """Whose leaves are where, account by account."""
        places = array("L", bytes(array("L").itemsize * len(self._order)))
        for place, number in enumerate(self._order):
            places[number] = place
        for account, key, owed, own in self._accounts:
            yield Leaves(account, key, owed, b"".join(place.to_bytes(PLACE_BYTES, "big") for place in places[own]))

    def tiles(self) -> Iterator[Tile]:
        """Every tile, the leaves' first."""
        node_at: Callable[[int], bytes] = self._shuffled
        level, count = 0, len(self._order)
        while True:
            tops = []
            for n in range(-(-count // TILE_WIDTH)):
                first = n * TILE_WIDTH
                nodes = b"".join(node_at(place) for place in range(first, min(first + TILE_WIDTH, count)))
                yield Tile(level, n, nodes)
                tops.append(liabilities.node_bytes(_levels(nodes)[-1][0]))
            if len(tops) == 1:
                return
            level, count, node_at = level + 1, len(tops), tops.__getitem__

    def _shuffled(self, place: int) -> bytes:
        first = self._order[place] * NODE_BYTES
        return bytes(self._nodes[first : first + NODE_BYTES])


def root_of(depth: int, read_tile: ReadTile) -> Node:
    """The root, out of the topmost tile."""
    return _levels(read_tile((depth - 1) // TILE_HEIGHT, 0))[-1][0]


def parts_of(leaves: Leaves, *, depth: int, read_tile: ReadTile) -> list[Part]:
    """An account's parts with their ways to the root."""
    places = [
        int.from_bytes(leaves.places[at : at + PLACE_BYTES], "big") for at in range(0, len(leaves.places), PLACE_BYTES)
    ]
    shares = splitting.split(leaves.key, leaves.owed)
    return [
        Part(place, share.salt, *share.owed, _path(place, depth, read_tile))
        for place, share in zip(places, shares, strict=True)
    ]


def _path(place: int, depth: int, read_tile: ReadTile) -> tuple[Node, ...]:
    """The siblings on the way, the leaf's own first."""
    siblings: list[Node] = []
    for level in range(-(-depth // TILE_HEIGHT)):
        at_level = place >> level * TILE_HEIGHT
        levels = _levels(read_tile(level, at_level // TILE_WIDTH))
        for height, nodes in enumerate(levels[:-1]):
            siblings.append(nodes[at_level % TILE_WIDTH >> height ^ 1])
    return tuple(siblings)


def _levels(tile: bytes) -> list[list[Node]]:
    """The nodes of a tile, and the levels above them up to the one node that they make."""
    levels = [[liabilities.node_of(tile[at : at + NODE_BYTES]) for at in range(0, len(tile), NODE_BYTES)]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([liabilities.above(below[at], below[at + 1]) for at in range(0, len(below), 2)])
    return levels
