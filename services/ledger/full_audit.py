"""The audit of a copy of all collections: every entry is executed again, and every byte of every table compared."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from contracts import state
from contracts.units import UnixSeconds
from contracts.wire import cbor
from services.ledger import answers, entries, hashed, tables
from services.ledger.entry_audit import EntryAudit, Executed, NotExecutable
from services.ledger.erasure_audit import ErasureAudit
from services.ledger.hashed import Hashed
from services.ledger.log_audit import PAGE_ENTRIES, LogAudit, same
from services.ledger.reexecution import Replayed, Written
from services.ledger.store import PACK_PREFIX, pack_place
from services.ledger.stored import Page, Stored
from services.ledger.versions import kept, with_carried

_Decided: TypeAlias = dict[str, tuple[int, bytes]]
"""By key: the entry that decided a pack, and the fields of its row."""


class FullAudit(LogAudit):
    """Executes everything; see `LogAudit`."""

    def __init__(self, moment: Stored, log_public_key: bytes) -> None:
        super().__init__(moment, log_public_key)
        self._rows_read_since = moment.rows_read_since()
        self._replayed = Replayed()
        self._entries = EntryAudit(self._replayed, self.findings)
        self._erasures = ErasureAudit(self.findings)
        self._executed: list[Executed] = []
        self._packs: _Decided = {}

    # Page by page

    def _execute(self, page: Page, index: int) -> None:
        try:
            done = self._entries.check(page.entries[index], page.payloads.get(index), page.postings.get(index, ()))
        except NotExecutable:
            self._can_execute = False
            return
        self.taken = self._entries.taken
        self._executed.append(done)
        self._compare_versions(index, done, page.versions.get(index, {}))
        self._compare_rows_read(index, done, page.rows_read.get(index))
        kind = entries.from_bytes(page.entries[index].entry).kind
        self._erasures.see(index, kind, done, page.subjects.get(index, set()))
        for key, row in self._replayed.apply(done.writes):
            self._packs[key] = index, self._rows.to_bytes(row)
        if index == 0:
            opened: Any = self._replayed.get(state.LEDGER_KEY)
            self._begin_log(opened.origin)
        if state.ACTIVE_KEY in done.writes:
            self._activate(index)

    def _end_page(self, first: int) -> None:
        executed, self._executed = self._executed, []
        packs, self._packs = self._packs, {}
        self._compare_requests(first, executed)
        self._compare_accepted(packs)

    def _finish(self) -> None:
        self._erasures.finish(self._stored.stream(tables.ERASURES))
        self._compare_state()
        self._compare_packs()

    def _compare_rest(self) -> None:
        if self._stored.count(tables.REQUESTS) != self._size - self._erasures.erased:
            self._compare_all_requests()
        self._compare_rejections()

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
            if done.request is None or row is None or not same(self._bytes_of(row), data):
                self.findings.add(index, "row_versions", f"{key} is not kept as the entry left it")

    def _compare_rows_read(self, index: int, done: Executed, found: bytes | None) -> None:
        """What was executed on; an earlier version of this program did not keep it, up to some entry."""
        is_taken = done.request is not None and done.effects is None
        is_before = found is None and index < self._rows_read_since
        if found != done.read and not is_taken and not is_before:
            self.findings.add(index, "rows_read", "the rows that the entry read are others")

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
        elif tuple(row)[: len(place) + 1] != (*place, version) or not same(written, self._pack_bytes(row)):
            self.findings.add(version, "packs", f"{key} is another")

    # At the end

    def _compare_all_requests(self) -> None:
        for id, index, request in self._stored.requests_with_payload():
            try:
                is_known = bool(request) and cbor.decode(request)[1] == id
            except (ValueError, TypeError, LookupError):
                continue
            if not is_known:
                self.findings.add(index, "requests", f"no entry answered the id {id.hex()}")

    def _compare_state(self) -> None:
        for row in self._stored.stream(tables.STATE):
            written = None if row.key.startswith(PACK_PREFIX) else self._replayed.pop(row.key)
            if written is None:
                self.findings.add(row.version, "state", f"no entry left a row {row.key}")
                continue
            is_written = row.version == written.version and same(self._replayed.bytes_of(written), row.value)
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
