"""What is compared of every copy of the log: the places of its entries, tiles, checkpoints, and rows of no entry."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, TypeAlias

from services.ledger import hashed, segments, tables, tiles
from services.ledger.findings import Findings
from services.ledger.hashed import Hashed
from services.ledger.merkle import leaf_hash
from services.ledger.notes import KeyType, VerifierKey
from services.ledger.segments import BadSegment
from services.ledger.stored import Page, Stored
from services.ledger.tree_audit import (
    GrowingTiles,
    GrowingTree,
    checkpoint_flaw,
    first_entry,
    signed_size,
    tile_differences,
)

PAGE_ENTRIES: Final = 500

OnProgress: TypeAlias = Callable[[int, int], None]
"""(entries compared, entries in all), after every page"""


class LogAudit(ABC):
    """Walks through the tables once.

    taken     how many entries were taken as committed
    outside   how many entries have their payloads elsewhere only
    unsigned  how many entries lie above the newest checkpoint of a copy that has not caught up
    """

    def __init__(self, moment: Stored, log_public_key: bytes) -> None:
        self.findings = Findings()
        self.tree = GrowingTree()
        self.taken = self.outside = self.unsigned = 0
        self._stored = moment
        self._size = 0
        self._log_public_key = log_public_key
        self._log_key: VerifierKey | None = None
        self._tiles = GrowingTiles()
        self._can_execute = True
        self._lost: list[range] = []
        """Entries whose segment cannot be read."""

    def walk(self, on_progress: OnProgress) -> None:
        """Compare page by page, then what only the end of the log says."""
        self._size = self._stored.size()
        self._compare_segments()
        for first in range(0, self._size, PAGE_ENTRIES):
            after = min(first + PAGE_ENTRIES, self._size)
            if not self._compare(self._stored.page(first, after), first, after):
                return
            on_progress(after, self._size)
        self._compare_end_of_tree()
        self._compare_strays()
        if self._can_execute:
            self._finish()
        self._compare_rest()

    # What audits do differently

    @abstractmethod
    def _execute(self, page: Page, index: int) -> None:
        """Execute one entry again; sets `_can_execute` to False if nothing after it can be."""

    @abstractmethod
    def _end_page(self, first: int) -> None:
        """Compare what the entries of a page, from `first` on, have left."""

    @abstractmethod
    def _finish(self) -> None:
        """Compare what all entries have left."""

    @abstractmethod
    def _compare_rest(self) -> None:
        """Compare what needs no execution."""

    def _compare_segments(self) -> None:
        """Is every segment there, and what its name says?"""
        before = 0
        for row in self._stored.segments():
            try:
                segments.check(self._stored.segments_folder(), row.sha256)
            except BadSegment as error:
                self.findings.add(row.first, "segments", str(error))
                self._lost.append(range(row.first, row.after))
            if not before <= row.first < row.after <= self._size:
                self.findings.add(row.first, "segments", f"it cannot hold entries {row.first} to {row.after}")
            before = row.after
            if self._stored.payloads_twice(row.first, row.after):
                self.findings.add(row.first, "payloads", "the segment of these entries has them, too")

    # The tree

    def _compare(self, page: Page, first: int, after: int) -> bool:
        """Compare the entries in [first, after); False if one is missing, and with it the place of all that follow."""
        leaves = []
        for index in range(first, after):
            entry_row = page.entries.get(index)
            if entry_row is None:
                self.findings.add(index, "entries", "the entry is missing")
                return False
            # Of a lost segment the finding says it all; what comes after it cannot be executed.
            self._can_execute = self._can_execute and not any(index in lost for lost in self._lost)
            if self._can_execute:
                self._execute(page, index)
            leaves.append(leaf_hash(entry_row.entry))
            self.tree.append(leaves[-1])
            self._compare_checkpoint(index + 1, page.checkpoints.get(index + 1))
        self._compare_tiles(self._tiles.append(leaves))
        self._end_page(first)
        return True

    def _begin_log(self, origin: str) -> None:
        """Which log it is, from the first entry."""
        self._log_key = VerifierKey(origin, KeyType.ED25519, self._log_public_key)

    def _compare_checkpoint(self, size: int, note: bytes | None) -> None:
        if note is None or self._log_key is None:
            return
        flaw = checkpoint_flaw(note, size, self.tree.root(), self._log_key)
        if flaw:
            self._add_checkpoint(size, note, flaw)

    def _add_checkpoint(self, size: int, note: bytes, what: str) -> None:
        """Name the last entry of the tree that the checkpoint is of, as signed if it is."""
        signed = signed_size(note, self._log_key) if self._log_key else None
        self.findings.add((signed or size) - 1, "checkpoints", what)

    def _compare_tiles(self, expected: dict[tuple[int, int], bytes]) -> None:
        if expected:
            for index, what in tile_differences(expected, self._stored.tiles(list(expected))):
                self.findings.add(index, "tiles", what)

    def _compare_end_of_tree(self) -> None:
        self._compare_tiles(self._tiles.partial())
        required = {level.level: level.full_tiles + bool(level.partial_width) for level in self._levels()}
        for row in self._stored.stream(tables.TILES):
            if not 0 <= row.n < required.get(row.level, 0):
                index = min(first_entry(max(row.level, 0), max(row.n, 0)), self._size)
                self.findings.add(index, "tiles", f"there is no tile {row.level}/{row.n} in a tree of {self._size}")
        signed = self._stored.newest_checkpoint(self._size)
        if signed < self._size and self._stored.is_members():
            self.unsigned = self._size - signed
        elif signed != self._size:
            self.findings.add(self._size - 1, "checkpoints", f"the newest checkpoint is not of {self._size}")
        for row in self._stored.checkpoints_outside(self._size):
            self._add_checkpoint(row.size, row.note, f"there never was a tree of {row.size}")

    def _levels(self) -> tuple[tiles.RequiredLevel, ...]:
        return tiles.required(self._size).levels

    def _compare_strays(self) -> None:
        """Rows that belong to no entry."""
        for table in (tables.ENTRIES, tables.PAYLOADS, tables.POSTINGS, tables.ROWS_READ):
            for row in self._stored.outside(table, self._size):
                self.findings.add(row.entry_index, table.name, "there is no such entry")
        for row in self._stored.versions_outside(self._size):
            self.findings.add(row.version, "row_versions", "there is no such entry")
        for row in self._stored.outside(tables.SUBJECTS, self._size):
            self.findings.add(row.entry_index, "subjects", "there is no such entry")


def same(written: bytes | Hashed, data: bytes) -> bool:
    """Are these the bytes that were written, or those that are known by their hash?"""
    if not isinstance(written, Hashed):
        return data == written
    return written in (hashed.from_bytes(data), Hashed(hashlib.sha256(data).digest()))
