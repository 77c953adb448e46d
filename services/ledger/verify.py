"""Re-executes the log from entry 0 and compares every byte of every table with what must be there.

An entry whose request is not the one it commits to ends the re-execution, because what it did is not known; the bytes
of the entries, the tiles and the checkpoints are compared to the end all the same. What nothing commits to cannot be
missed: an older checkpoint or a remembered rejection that was removed as a whole leaves no trace.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import Engine, exc

from contracts import state
from contracts.units import UnixSeconds
from contracts.wire import cbor
from services.database import translated
from services.ledger import answers, entries, hashed, stored, tables, tiles
from services.ledger.entry_audit import EntryAudit, Executed, NotExecutable
from services.ledger.erasure_audit import ErasureAudit
from services.ledger.findings import Finding, Findings
from services.ledger.hashed import Hashed
from services.ledger.merkle import leaf_hash
from services.ledger.notes import KeyType, VerifierKey
from services.ledger.reexecution import Replayed, Written
from services.ledger.store import PACK_PREFIX, pack_place
from services.ledger.stored import Page, Stored
from services.ledger.tree_audit import (
    GrowingTiles,
    GrowingTree,
    checkpoint_flaw,
    first_entry,
    signed_size,
    tile_differences,
)
from services.ledger.versions import kept, with_carried

PAGE_ENTRIES: Final = 500

OnProgress: TypeAlias = Callable[[int, int], None]
"""(entries compared, entries in all), after every page"""
_Decided: TypeAlias = dict[str, tuple[int, bytes]]
"""By key: the entry that decided a pack, and the fields of its row."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the comparison came to.

    size, root  of the tree over the entries as they are stored
    taken       entries that were taken as committed: erased, or reading what an erased one wrote
    findings    the first differences in the order they were met; count says how many there are
    """

    size: int
    root: bytes
    taken: int
    findings: tuple[Finding, ...]
    count: int

    @property
    def ok(self) -> bool:
        """Does every table say what re-execution says?"""
        return self.count == 0


def verify(engine: Engine, log_public_key: bytes, on_progress: OnProgress) -> Report:
    """Compare all tables as they are at this moment; `log_public_key` (32 bytes) is whose checkpoints count.

    Raises DatabaseUnavailable.
    """
    with stored.opened(engine) as moment:
        audit = _Audit(moment, log_public_key)
        try:
            with translated():
                audit.walk(on_progress)
        except exc.DatabaseError as error:  # not "cannot now", so it is what lies there that cannot be read
            audit.findings.add(audit.tree.size, "database", f"cannot be read any further: {error.orig}")
        found = audit.findings
        return Report(audit.tree.size, audit.tree.root(), audit.taken, tuple(found.kept), found.count)


class _Audit:
    def __init__(self, moment: Stored, log_public_key: bytes) -> None:
        self.findings = Findings()
        self.tree = GrowingTree()
        self._stored = moment
        self._size = self._rows_read_since = 0
        self._log_public_key = log_public_key
        self._log_key: VerifierKey | None = None
        self._replayed = Replayed()
        self._entries = EntryAudit(self._replayed, self.findings)
        self._erasures = ErasureAudit(self.findings)
        self._tiles = GrowingTiles()
        self._can_execute = True

    @property
    def taken(self) -> int:
        """How many entries were taken as committed."""
        return self._entries.taken

    def walk(self, on_progress: OnProgress) -> None:
        """Compare page by page, then what only the end of the log says."""
        self._size = self._stored.size()
        self._rows_read_since = self._stored.rows_read_since()
        for first in range(0, self._size, PAGE_ENTRIES):
            after = min(first + PAGE_ENTRIES, self._size)
            if not self._compare(self._stored.page(first, after), first, after):
                return
            on_progress(after, self._size)
        self._compare_end_of_tree()
        self._compare_strays()
        if self._can_execute:
            self._erasures.finish(self._stored.stream(tables.ERASURES))
            self._compare_state()
            self._compare_packs()
        self._compare_rejections()

    # Page by page

    def _compare(self, page: Page, first: int, after: int) -> bool:
        """Compare the entries in [first, after); False if one is missing, and with it the place of all that follow."""
        executed: list[Executed] = []
        packs: _Decided = {}
        leaves = []
        for index in range(first, after):
            entry_row = page.entries.get(index)
            if entry_row is None:
                self.findings.add(index, "entries", "the entry is missing")
                return False
            if self._can_execute:
                self._execute(page, index, executed, packs)
            leaves.append(leaf_hash(entry_row.entry))
            self.tree.append(leaves[-1])
            self._compare_checkpoint(index + 1, page.checkpoints.get(index + 1))
        self._compare_tiles(self._tiles.append(leaves))
        self._compare_requests(first, executed)
        self._compare_accepted(packs)
        return True

    def _execute(self, page: Page, index: int, executed: list[Executed], packs: _Decided) -> None:
        try:
            done = self._entries.check(page.entries[index], page.payloads.get(index), page.postings.get(index, ()))
        except NotExecutable:
            self._can_execute = False
            return
        executed.append(done)
        self._compare_versions(index, done, page.versions.get(index, {}))
        self._compare_rows_read(index, done, page.rows_read.get(index))
        kind = entries.from_bytes(page.entries[index].entry).kind
        self._erasures.see(index, kind, done, page.subjects.get(index, set()))
        for key, row in self._replayed.apply(done.writes):
            packs[key] = index, self._rows.to_bytes(row)
        if index == 0:
            opened: Any = self._replayed.get(state.LEDGER_KEY)
            self._log_key = VerifierKey(opened.origin, KeyType.ED25519, self._log_public_key)
        if state.ACTIVE_KEY in done.writes:
            self._activate(index)

    def _activate(self, index: int) -> None:
        """Every entry is executed by the set that was active at its index: the next one by that of this entry."""
        try:
            self._entries.go_on_under(index)
        except NotExecutable:
            self._can_execute = False

    @property
    def _rows(self) -> Any:
        """The rows as the set has them that is active in the end."""
        return self._replayed.contracts.state

    def _bytes_of(self, row: Any) -> bytes | Hashed:
        """A row as it is stored, if more than its hash is known."""
        stored: bytes | Hashed = row if isinstance(row, Hashed) else self._rows.to_bytes(row)
        return stored

    def _pack_bytes(self, row: Any) -> bytes:
        _device_id, _seq, _version, *decided = row
        found: bytes = self._rows.to_bytes(self._rows.Decided(*decided))
        return found

    def _compare_versions(self, index: int, done: Executed, found: dict[str, bytes]) -> None:
        if done.request is None or done.effects is None:
            self._compare_taken_versions(index, done, found)
            return
        rows = self._replayed.contracts.effects.row_bytes(done.effects)
        expected = dict(kept(done.request.command.KIND, with_carried(done.request.command, rows)))
        for key in sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)):
            self.findings.add(index, "row_versions", f"{key} is not kept as the entry left it")

    def _compare_taken_versions(self, index: int, done: Executed, found: dict[str, bytes]) -> None:
        for key, data in found.items():
            row = done.writes.get(key)
            if done.request is None or row is None or not _is(self._bytes_of(row), data):
                self.findings.add(index, "row_versions", f"{key} is not kept as the entry left it")

    def _compare_rows_read(self, index: int, done: Executed, found: bytes | None) -> None:
        """What was executed on; an earlier version of this program did not keep it, up to some entry."""
        is_taken = done.request is not None and done.effects is None
        is_before = found is None and index < self._rows_read_since
        if found != done.read and not is_taken and not is_before:
            self.findings.add(index, "rows_read", "the rows that the entry read are others")

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

    def _compare_requests(self, first: int, executed: Sequence[Executed]) -> None:
        found = self._stored.requests([done.request.id for done in executed if done.request is not None])
        for index, done in enumerate(executed, first):
            if done.request is None:
                continue
            row = found.get(done.request.id)
            if row is None:
                self.findings.add(index, "requests", "the request's id is missing")
            elif (row.digest, row.entry_index) != (done.request.digest, index):
                self.findings.add(index, "requests", f"the id leads to entry {row.entry_index} or has another digest")

    def _compare_accepted(self, packs: _Decided) -> None:
        """Compare packs with what first decided them."""
        found = self._stored.packs([pack_place(key) for key in packs])
        for key, (version, written) in packs.items():
            self._compare_pack(key, version, written, found.get(pack_place(key)))

    def _compare_pack(self, key: str, version: int, written: bytes | Hashed, row: Any) -> None:
        place = pack_place(key)
        if row is None:
            self.findings.add(version, "packs", f"{key} is missing")
        elif tuple(row)[: len(place) + 1] != (*place, version) or not _is(written, self._pack_bytes(row)):
            self.findings.add(version, "packs", f"{key} is another")

    # At the end

    def _compare_end_of_tree(self) -> None:
        self._compare_tiles(self._tiles.partial())
        required = {level.level: level.full_tiles + bool(level.partial_width) for level in self._levels()}
        for row in self._stored.stream(tables.TILES):
            if not 0 <= row.n < required.get(row.level, 0):
                index = min(first_entry(max(row.level, 0), max(row.n, 0)), self._size)
                self.findings.add(index, "tiles", f"there is no tile {row.level}/{row.n} in a tree of {self._size}")
        if self._size and not self._stored.has_checkpoint(self._size):
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
        if self._stored.count(tables.REQUESTS) != self._size - self._erasures.erased:
            self._compare_all_requests()

    def _compare_all_requests(self) -> None:
        for row in self._stored.requests_with_payload():
            try:
                is_known = bool(row.request) and cbor.decode(row.request)[1] == row.id
            except (ValueError, TypeError, LookupError):
                continue
            if not is_known:
                self.findings.add(row.entry_index, "requests", f"no entry answered the id {row.id.hex()}")

    def _compare_state(self) -> None:
        for row in self._stored.stream(tables.STATE):
            written = None if row.key.startswith(PACK_PREFIX) else self._replayed.pop(row.key)
            if written is None:
                self.findings.add(row.version, "state", f"no entry left a row {row.key}")
                continue
            is_written = row.version == written.version and _is(self._replayed.bytes_of(written), row.value)
            if not is_written or row.due_s != self._due_s(row):
                self.findings.add(written.version, "state", f"{row.key} is another")
            if isinstance(written.row, self._rows.Account):
                self._compare_balance(row.key, written)
        for key, written in self._replayed.remaining():
            if not key.startswith(PACK_PREFIX):
                self.findings.add(written.version, "state", f"{key} is missing")

    def _due_s(self, row: Any) -> UnixSeconds | None:
        if hashed.from_bytes(row.value) is not None:
            return None
        due_s: UnixSeconds | None = self._rows.due_s(self._rows.from_bytes(row.key, row.value))
        return due_s

    def _compare_balance(self, key: str, written: Written) -> None:
        _, asset, account = key.split("/", 2)
        balance = self._entries.books.balances[asset, account]
        if written.row != self._rows.Account(balance):
            self.findings.add(written.version, "postings", f"what was posted on {account} makes {balance} {asset}")

    def _compare_packs(self) -> None:
        """Refused packs, which may have been decided again, and those that no entry decided."""
        refused = {key: written for key, written in self._replayed.remaining() if key.startswith(PACK_PREFIX)}
        keys = list(refused)
        for start in range(0, len(keys), PAGE_ENTRIES):
            part = keys[start : start + PAGE_ENTRIES]
            found = self._stored.packs([pack_place(key) for key in part])
            for key in part:
                version, written = refused[key].version, self._replayed.bytes_of(refused[key])
                self._compare_pack(key, version, written, found.get(pack_place(key)))
        for row in self._stored.stream(tables.PACKS):
            if not self._replayed.is_decided(row.device_id, row.seq):
                self.findings.add(row.entry_index, "packs", f"no entry decided number {row.seq} of {row.device_id}")

    def _compare_rejections(self) -> None:
        for row in self._stored.stream(tables.REJECTIONS):
            seal = answers.seal(
                id=row.id, digest=row.digest, reason=row.reason, facts=row.facts, at_s=row.at_s, size=row.size
            )
            if row.seal != seal or not 0 <= row.size <= self._size:
                self.findings.add(row.size, "rejections", f"the seal of {row.id.hex()} is broken")


def _is(written: bytes | Hashed, data: bytes) -> bool:
    """Are these the bytes that were written, or those that are known by their hash?"""
    if not isinstance(written, Hashed):
        return data == written
    return written in (hashed.from_bytes(data), Hashed(hashlib.sha256(data).digest()))
