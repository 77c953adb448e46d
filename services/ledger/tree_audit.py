"""The Merkle tree computed anew from the entries, to be compared with the stored tiles and checkpoints."""

from collections.abc import Iterator, Mapping, Sequence

from services.ledger import checkpoints, notes, tiles
from services.ledger.checkpoints import Checkpoint
from services.ledger.merkle import EMPTY_ROOT, HASH_BYTES, node_hash
from services.ledger.notes import OpenedNote, VerifierKey
from services.ledger.tiles import ROW_BYTES, TILE_HEIGHT, TILE_WIDTH


class GrowingTree:
    """The roots of the complete subtrees of a tree that entries are appended to, by height; the root in O(log n)."""

    def __init__(self) -> None:
        self.size = 0
        self._complete: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        node = leaf
        rest = self.size
        while rest & 1:
            node = node_hash(self._complete.pop(), node)
            rest >>= 1
        self._complete.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._complete:
            return EMPTY_ROOT
        *lower, node = self._complete
        for left in reversed(lower):
            node = node_hash(left, node)
        return node


class GrowingTiles:
    """The tiles of a tree that entries are appended to; only those at its right edge are kept."""

    def __init__(self) -> None:
        self._size = 0
        self._rightmost: dict[int, bytes] = {}

    def append(self, leaf_hashes: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
        """Add leaf hashes; return the tiles that this completes, by (level, n)."""
        grown = tiles.grow(self._size, self._rightmost, leaf_hashes)
        self._size += len(leaf_hashes)
        full = {place: row for place, row in grown.items() if len(row) == ROW_BYTES}
        for level, _ in full:
            self._rightmost.pop(level, None)
        self._rightmost |= {level: row for (level, _), row in grown.items() if len(row) < ROW_BYTES}
        return full

    def partial(self) -> dict[tuple[int, int], bytes]:
        """The tiles at the right edge that are not full, by (level, n)."""
        return {(level, self._size >> TILE_HEIGHT * (level + 1)): row for level, row in self._rightmost.items()}


def first_entry(level: int, n: int, place: int = 0) -> int:
    """The first entry under hash `place` of a tile."""
    return (n * TILE_WIDTH + place) << TILE_HEIGHT * level


def tile_differences(
    expected: Mapping[tuple[int, int], bytes], stored: Mapping[tuple[int, int], bytes]
) -> Iterator[tuple[int, str]]:
    """Yield for each expected tile that is stored otherwise the first entry whose hash differs, and what is wrong."""
    for (level, n), row in expected.items():
        found = stored.get((level, n))
        if found is None:
            yield first_entry(level, n), f"tile {level}/{n} is missing"
        elif found != row:
            place = _first_difference(row, found)
            yield first_entry(level, n, place), f"tile {level}/{n} has another hash at {place}"


def checkpoint_flaw(note: bytes, size: int, root: bytes, log_key: VerifierKey) -> str | None:
    """Say what is wrong with the stored checkpoint of a tree, or None."""
    opened = notes.open_note(note, [log_key])
    if not isinstance(opened, OpenedNote):
        return f"the checkpoint of {size} is not signed by the log: {opened.value}"
    if opened.text != Checkpoint(log_key.name, size, root).text():
        return f"the checkpoint of {size} is of another tree"
    return None


def signed_size(note: bytes, log_key: VerifierKey) -> int | None:
    """The size that a checkpoint of the log names, or None if it is none."""
    opened = notes.open_note(note, [log_key])
    checkpoint = checkpoints.parse(opened.text) if isinstance(opened, OpenedNote) else None
    return checkpoint.size if checkpoint else None


def _first_difference(row: bytes, found: bytes) -> int:
    """The place of the first hash in which two tiles differ; where one ends, if only their lengths do."""
    starts = range(0, min(len(row), len(found)), HASH_BYTES)
    differing = (start for start in starts if row[start : start + HASH_BYTES] != found[start : start + HASH_BYTES])
    return next(differing, min(len(row), len(found))) // HASH_BYTES
