"""Follows a log: every checkpoint, tile, entry and payload is checked and executed before it counts for anything."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, NoReturn

from services.ledger import checkpoints, merkle, notes, tiles
from services.ledger.checkpoints import Checkpoint
from services.ledger.copies import Copy, Sent
from services.ledger.differing import disagree
from services.ledger.merkle import HASH_BYTES
from services.ledger.notes import OpenedNote, VerifierKey
from services.ledger.tiles import TILE_WIDTH, ForgedTile, TileReader
from services.ledger.tree_audit import first_entry
from services.member.operator import Log, Payloads

OnPage = Callable[[int, int], None]
"""(entries copied, entries in the checkpoint followed)"""


class Follower:
    """Brings a copy up to what a checkpoint signs.

    Its methods raise Disagreed where the log is not the one that was followed so far, Unreachable where it does not
    answer, DatabaseUnavailable.
    """

    def __init__(self, log: Log, payloads: Payloads, log_key: VerifierKey) -> None:
        self._log = log
        self._payloads = payloads
        self._log_key: Final = log_key

    def follow(self, copy: Copy, note: bytes | None = None, *, on_page: OnPage = lambda done, total: None) -> int:
        """Copy and execute all that `note` (else the published checkpoint) covers; returns its size."""
        note = self._log.checkpoint() if note is None else note
        said = self._opened(note, copy.size)
        if said.size <= copy.size:
            self._compare_past(copy, said, self._log)
            return said.size
        checked = self._checked(copy, said, self._log)
        leaves = _Leaves(self._log, checked, said.size)
        while copy.size < said.size:
            page = self._payloads.page(copy.size)
            after = min(page.after, said.size)
            if page.first != copy.size or after <= page.first:
                disagree(
                    copy.size, "payloads", "the page delivered", f"from {copy.size} on", f"[{page.first}, {page.after})"
                )
            copy.take_collections(page.collections)
            indexes = range(page.first, after)
            sent = [Sent(leaves.entry(index), page.payloads.get(index), page.notices.get(index)) for index in indexes]
            copy.copy(sent, (said.size, note))
            on_page(copy.size, said.size)
        return said.size

    def look_again(self, copy: Copy, turn: int) -> None:
        """Does the log still serve what was copied from it? One bundle and its tile each turn, all of them in turn."""
        if not copy.size:
            return
        n = turn % -(-copy.size // TILE_WIDTH)
        ours, theirs = copy.tile(0, n), self._log.tile(0, n, size=copy.size)
        for index in range(first_entry(0, n), min(first_entry(0, n + 1), copy.size)):
            here, there = _leaf(lambda *_: ours, index).hex(), _leaf(lambda *_: theirs, index).hex()
            if here != there:
                disagree(index, "tiles", "the leaf that was copied is another now", here, there)
        _Leaves(self._log, copy.tile, copy.size).entry(first_entry(0, n))

    def compare(self, copy: Copy, peer: Log) -> None:
        """Is what another member was shown the log that we were shown? Only what both have is compared."""
        said = self._opened(peer.checkpoint(), copy.size)
        if said.size <= copy.size:
            self._compare_past(copy, said, peer)
        else:
            self._checked(copy, said, peer)

    def _opened(self, note: bytes, size: int) -> Checkpoint:
        opened = notes.open_note(note, [self._log_key])
        said = checkpoints.parse(opened.text) if isinstance(opened, OpenedNote) else None
        if said is None or said.origin != self._log_key.name:
            disagree(
                max(size - 1, 0),
                "checkpoints",
                "the checkpoint's signature",
                self._log_key.text(),
                note.decode(errors="replace"),
            )
        return said

    def _compare_past(self, copy: Copy, said: Checkpoint, log: Log) -> None:
        """A tree that we have already must be the one that we have."""
        if copy.root(said.size) != said.root:
            theirs = self._authenticated(said, log)
            self._name_first_difference(copy, theirs, min(said.size, copy.size))

    def _checked(self, copy: Copy, said: Checkpoint, log: Log) -> TileReader:
        """The tiles of a larger tree, once it is proved to continue ours."""
        theirs = self._authenticated(said, log)
        try:
            proof = tiles.consistency_proof(copy.size, said.size, theirs)
        except ForgedTile as forged:
            disagree(copy.size, "tiles", "a tile", "hashes to the one above", str(forged))
        if not merkle.verify_consistency(copy.size, copy.root(copy.size), said.size, said.root, proof):
            self._name_first_difference(copy, theirs, copy.size)
        return theirs

    def _authenticated(self, said: Checkpoint, log: Log) -> TileReader:
        read = tiles.authenticated(said.size, said.root, cache(lambda level, n: log.tile(level, n, size=said.size)))
        if read is None:
            disagree(max(said.size - 1, 0), "tiles", "the tiles at the edge", said.root.hex(), "another root")
        return read

    def _name_first_difference(self, copy: Copy, theirs: TileReader, size: int) -> NoReturn:
        """Find the first of `size` leaves that is another: roots of smaller trees agree before it, and not after."""
        low, high = 0, size  # trees of `low` agree, those of `high` do not
        try:
            while high - low > 1:
                middle = (low + high) // 2
                same = tiles.root(middle, theirs) == copy.root(middle)
                low, high = (middle, high) if same else (low, middle)
            there = _leaf(theirs, low)
        except ForgedTile as forged:
            disagree(low, "tiles", "a tile", "hashes to the one above", str(forged))
        disagree(low, "entries", "the entry is another than the one followed", _leaf(copy.tile, low).hex(), there.hex())


class _Leaves:
    """The entries of a tree, each checked against the tree's own leaf hash."""

    def __init__(self, log: Log, checked: TileReader, size: int) -> None:
        self._log = log
        self._checked = checked
        self._size = size
        self._n = -1
        self._entries: Sequence[bytes] = ()

    def entry(self, index: int) -> bytes:
        n, place = divmod(index, TILE_WIDTH)
        if n != self._n:
            self._n, self._entries = n, self._bundle(n)
        return self._entries[place]

    def _bundle(self, n: int) -> Sequence[bytes]:
        try:
            row = self._checked(0, n)
        except ForgedTile as forged:
            disagree(first_entry(0, n), "tiles", "a tile", "hashes to the one above", str(forged))
        found = self._log.bundle(n, size=self._size)
        for place, entry in enumerate(found):
            signed, hashed = row[place * HASH_BYTES : (place + 1) * HASH_BYTES], merkle.leaf_hash(entry)
            if signed != hashed:
                index = n * TILE_WIDTH + place
                disagree(index, "entries", "the entry is not the one in the tree", signed.hex(), hashed.hex())
        return found


def _leaf(read: TileReader, index: int) -> bytes:
    n, place = divmod(index, TILE_WIDTH)
    return read(0, n)[place * HASH_BYTES : (place + 1) * HASH_BYTES]
