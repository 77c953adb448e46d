"""Follows a log: every checkpoint, tile, entry and payload is checked and executed before it counts for anything."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from typing import Final

from contracts.units import UnixSeconds
from services.ledger import entries, merkle, tiles
from services.ledger.checkpoints import Checkpoint
from services.ledger.copies import Copy, Sent
from services.ledger.differing import disagree
from services.ledger.merkle import HASH_BYTES
from services.ledger.notes import VerifierKey
from services.ledger.tiles import TILE_WIDTH, ForgedTile, TileReader
from services.ledger.tree_audit import first_entry
from services.member import trees
from services.member.operator import Log, Payloads, Unreachable
from services.moments import rfc3339

PAGE_ENTRIES_MAX: Final = 10_000
"""What a page says beyond that is asked for again: all of a page is in memory at once."""

OnPage = Callable[[int, int], None]
"""(entries copied, entries in the checkpoint followed)"""


class FromTheFuture(Unreachable):
    """The log goes on with an entry of a time that this clock has not come to; what ends with time ends by it.

    It waits and is not refused: the clock here may be the wrong one.
    """

    def __init__(self, index: int, at_s: UnixSeconds) -> None:
        super().__init__(f"entry {index} is of {rfc3339(at_s)}, which is ahead of this machine's clock")


class Follower:
    """Brings a copy up to what a checkpoint signs.

    Its methods raise Disagreed where the log is not the one that was followed so far, Unreachable where it does not
    answer, FromTheFuture, DatabaseUnavailable.
    """

    def __init__(
        self, log: Log, payloads: Payloads, log_key: VerifierKey, latest_s: Callable[[], UnixSeconds | None]
    ) -> None:
        """`latest_s` is the ledger time up to which entries are taken now; None: any."""
        self._log = log
        self._payloads = payloads
        self._log_key: Final = log_key
        self._latest_s = latest_s

    def follow(self, copy: Copy, note: bytes | None = None, *, on_page: OnPage = lambda done, total: None) -> int:
        """Copy and execute all that `note` (else the published checkpoint) covers; returns its size."""
        note = self._log.checkpoint() if note is None else note
        said = self._opened(note, copy.size)
        if said.size <= copy.size:
            trees.compare_past(copy, said, self._log)
            return said.size
        leaves = _Leaves(self._log, self._checked(copy, said), said.size)
        with ThreadPoolExecutor(1, thread_name_prefix="ahead") as ahead:
            # One page comes, and is checked against the tree, while the one before it is executed.
            coming = ahead.submit(self._page, leaves, copy.size, said.size)
            while copy.size < said.size:
                collections, sent = coming.result()
                after = copy.size + len(sent)
                if after < said.size:
                    coming = ahead.submit(self._page, leaves, after, said.size)
                copy.take_collections(collections)
                due = self._due(sent)
                copy.copy(due, (said.size, note))
                on_page(copy.size, said.size)
                if len(due) < len(sent):
                    copy.finish()
                    raise FromTheFuture(copy.size, entries.from_bytes(sent[len(due)].leaf).at_s)
            copy.finish()
        on_page(copy.size, said.size)
        return said.size

    def _page(self, leaves: "_Leaves", first: int, size: int) -> tuple[frozenset[str] | None, list[Sent]]:
        """Of which collections the next page is, and what it holds of the tree of `size`."""
        page = self._payloads.page(first)
        after = min(page.after, size, page.first + PAGE_ENTRIES_MAX)
        if page.first != first or after <= first:
            disagree(first, "payloads", "the page delivered", f"from {first} on", f"[{page.first}, {page.after})")
        indexes = range(first, after)
        sent = [Sent(leaves.entry(index), page.payloads.get(index), page.notices.get(index)) for index in indexes]
        return page.collections, sent

    def _due(self, sent: list[Sent]) -> list[Sent]:
        """The entries up to the first of a time that this machine's clock has not come to."""
        latest_s = self._latest_s()
        # Ledger time never goes back, so that the last one speaks for all; the copy refuses what does.
        if latest_s is None or not _is_after(latest_s, sent[-1]):
            return sent
        return list(takewhile(lambda one: not _is_after(latest_s, one), sent))

    def look_again(self, copy: Copy, turn: int) -> None:
        """Does the log still serve what was copied from it? One bundle and its tile each turn, all of them in turn."""
        if not copy.size:
            return
        n = turn % -(-copy.size // TILE_WIDTH)
        ours, theirs = copy.tile(0, n), self._log.tile(0, n, size=copy.size)
        for index in range(first_entry(0, n), min(first_entry(0, n + 1), copy.size)):
            here, there = trees.leaf(lambda *_: ours, index).hex(), trees.leaf(lambda *_: theirs, index).hex()
            if here != there:
                disagree(index, "tiles", "the leaf that was copied is another now", here, there)
        _Leaves(self._log, copy.tile, copy.size).entry(first_entry(0, n))

    def _opened(self, note: bytes, size: int) -> Checkpoint:
        said = trees.signed(note, self._log_key)
        if said is None:
            ours, theirs = self._log_key.text(), note.decode(errors="replace")
            disagree(max(size - 1, 0), "checkpoints", "the checkpoint's signature", ours, theirs)
        return said

    def _checked(self, copy: Copy, said: Checkpoint) -> TileReader:
        """The tiles of a larger tree, once it is proved to continue ours."""
        theirs = trees.tiles_of(said, self._log)
        if theirs is None:
            disagree(max(said.size - 1, 0), "tiles", "the tiles at the edge", said.root.hex(), "another root")
        try:
            proof = tiles.consistency_proof(copy.size, said.size, theirs)
        except ForgedTile as forged:
            disagree(copy.size, "tiles", "a tile", "hashes to the one above", str(forged))
        if not merkle.verify_consistency(copy.size, copy.root(copy.size), said.size, said.root, proof):
            trees.name_first_difference(copy, theirs, copy.size)
        return theirs


def _is_after(latest_s: UnixSeconds, sent: Sent) -> bool:
    try:
        return entries.from_bytes(sent.leaf).at_s > latest_s
    except ValueError:
        return False  # the copy says what is wrong with it


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
