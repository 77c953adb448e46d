"""Two trees of one log, ours and one that is shown: do they agree, and which is the first entry where they do not?"""

from functools import lru_cache
from typing import Final, NoReturn, Protocol

from services.ledger import checkpoints, notes, tiles
from services.ledger.checkpoints import Checkpoint
from services.ledger.differing import disagree
from services.ledger.merkle import HASH_BYTES
from services.ledger.notes import OpenedNote, VerifierKey
from services.ledger.tiles import TILE_WIDTH, ForgedTile, TileReader
from services.member.operator import Log

ROWS_KEPT: Final = 1_024
"""Rows of hashes in memory, 8 KiB each: those above are asked for again and again, and each leaf's once."""


class Tree(Protocol):
    """A tree that is here."""

    @property
    def size(self) -> int:
        """How many entries it has."""
        ...

    def root(self, size: int) -> bytes:
        """Its root as it was at `size`."""
        ...

    def tile(self, level: int, n: int) -> bytes:
        """A row of its hashes."""
        ...


def signed(note: bytes, log_key: VerifierKey) -> Checkpoint | None:
    """The checkpoint in a note, or None if the log did not sign it."""
    opened = notes.open_note(note, [log_key])
    said = checkpoints.parse(opened.text) if isinstance(opened, OpenedNote) else None
    return said if said is not None and said.origin == log_key.name else None


def tiles_of(said: Checkpoint, log: Log) -> TileReader | None:
    """The tiles that `log` serves of the tree in a checkpoint, or None if they are of another."""
    read = lru_cache(ROWS_KEPT)(lambda level, n: log.tile(level, n, size=said.size))
    return tiles.authenticated(said.size, said.root, read)


def compare_past(ours: Tree, said: Checkpoint, log: Log) -> None:
    """A tree that we have already must be the one that we have. Raises Disagreed, Unreachable."""
    if ours.root(said.size) == said.root:
        return
    theirs = tiles_of(said, log)
    if theirs is None:
        here = ours.root(said.size).hex()
        disagree(max(said.size - 1, 0), "checkpoints", f"the tree of {said.size}", here, said.root.hex())
    name_first_difference(ours, theirs, min(said.size, ours.size))


def name_first_difference(ours: Tree, theirs: TileReader, size: int) -> NoReturn:
    """Find the first of `size` leaves that is another: roots of smaller trees agree before it, and not after."""
    low, high = 0, size  # trees of `low` agree, those of `high` do not
    try:
        while high - low > 1:
            middle = (low + high) // 2
            same = tiles.root(middle, theirs) == ours.root(middle)
            low, high = (middle, high) if same else (low, middle)
        there = leaf(theirs, low)
    except ForgedTile as forged:
        disagree(low, "tiles", "a tile", "hashes to the one above", str(forged))
    disagree(low, "entries", "the entry is another than the one followed", leaf(ours.tile, low).hex(), there.hex())


def leaf(read: TileReader, index: int) -> bytes:
    """The hash of a leaf."""
    n, place = divmod(index, TILE_WIDTH)
    return read(0, n)[place * HASH_BYTES : (place + 1) * HASH_BYTES]
