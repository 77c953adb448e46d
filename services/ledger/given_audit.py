"""The audit of a copy that is given some collections: what is here is executed again on the rows that are kept with it.

Of every other entry the public bytes, the tree and the checkpoints are compared, and that it left nothing here.
"""

from typing import Any, Final

from contracts import state
from contracts.commands import EraseCustomer, OpenLedger
from contracts.wire import cbor
from services import contract_sets
from services.ledger import entries, executing, given, hashed, notices, tables
from services.ledger.deliveries import Notice, Payload
from services.ledger.differing import Disagreed, disagree
from services.ledger.entries import Entry
from services.ledger.hashed import Hashed
from services.ledger.log_audit import LogAudit, same
from services.ledger.store import PACK_PREFIX, Written
from services.ledger.stored import Page, Stored

PROGRAMME: Final = "ontario"
"""Whose contracts read the first entry; it names its own programme."""
_UNUSED: Final = (tables.REQUESTS, tables.REJECTIONS, tables.ROW_VERSIONS, tables.SUBJECTS)


class GivenAudit(LogAudit):
    """Executes what is here; see `LogAudit`."""

    def __init__(self, moment: Stored, log_public_key: bytes) -> None:
        super().__init__(moment, log_public_key)
        scope: Any = moment.scope()
        self._collections = frozenset(scope.collections.split())
        self._said_executed: int = scope.executed
        self._programme = PROGRAMME
        self._contracts = contract_sets.own(PROGRAMME)
        self._at_s = 0
        self._seen: dict[str, Written] = {}
        self._outside = bytearray()
        """By entry: 1 if its payload is not for this copy."""
        self._notices = moment.notices()
        self._about: dict[int, set[bytes] | None] = {}
        self._erased: set[int] = set()
        self._asking = set(self._notices)
        """The entries that erase others."""

    # Page by page

    def _execute(self, page: Page, index: int) -> None:
        try:
            self._check(page, index)
        except Disagreed as disagreed:
            found = disagreed.difference
            self.findings.add(index, found.table, f"{found.what}: {found.ours} here, {found.theirs} there")
            self._can_execute = False

    def _check(self, page: Page, index: int) -> None:
        row = page.entries[index]
        entry = self._entry(index, row)
        is_inside = entry.kind == OpenLedger.KIND or entry.collection in self._collections
        self._outside.append(not is_inside)
        kept, postings = page.payloads.get(index), [tuple(posting) for posting in page.postings.get(index, ())]
        if not is_inside:
            self.outside += 1
            executing.check_version(self._contracts, index, entry)
            for what, there in (("payloads", kept), ("postings", postings), ("rows_read", page.rows_read.get(index))):
                if there:
                    self.findings.add(index, what, "the entry is not for this copy")
            if entry.kind == EraseCustomer.KIND:
                self._check_notice(index)
            return
        if kept is None:
            disagree(index, "payloads", "the payload", "to be there", "none")
        request, salt, effects, effects_salt, result = kept
        read = page.rows_read.get(index)
        payload = Payload(request or None, salt or None, effects, effects_salt, result or None, read=read)
        legs = self._legs(index, entry, payload)
        if postings != [(index, leg, *posting) for leg, posting in enumerate(legs)]:
            self.findings.add(index, "postings", "the legs are others than follow from the entry")

    def _entry(self, index: int, row: Any) -> Entry:
        try:
            entry = entries.from_bytes(row.entry)
        except ValueError:
            disagree(index, "entries", "the bytes are no entry", "an entry", row.entry.hex())
        if row.at_s != entry.at_s:
            self.findings.add(index, "entries", f"at_s is {row.at_s} beside an entry of {entry.at_s}")
        if entry.at_s < self._at_s:
            self.findings.add(index, "entries", f"ledger time goes back from {self._at_s}")
        self._at_s = entry.at_s
        return entry

    def _legs(self, index: int, entry: Entry, payload: Payload) -> Any:
        """The postings of an entry, once it was executed or taken."""
        if index == 0:
            self._open(payload)
        request = executing.request_of(self._contracts, index, entry, payload)
        if request is None:
            self._erased.add(index)
        if request is None or not given.is_executed(self._contracts, index, entry):
            return self._take(index, payload)
        read = given.read_of(index, payload)
        news = given.check(index, read, self._seen.get, lambda version: bool(self._outside[version]))
        done = given.execute(self._contracts, index, entry.at_s, request, read)
        rows = executing.compare(self._contracts, index, done, payload)
        self._seen |= news | {key: Written(index, row, rows[key]) for key, row in done.writes.items()}
        self._about[index] = notices.people(read)
        if entry.kind == EraseCustomer.KIND:
            self._asking.add(index)
            self._erased.difference_update(request.command.erased)
        if index == 0:
            self._begin_log(request.command.origin)
        elif state.ACTIVE_KEY in done.writes:
            active: Any = done.writes[state.ACTIVE_KEY]
            carried: Any = done.writes[state.contracts_key(active.version)]
            self._load(index, carried.files, version=active.version)
        return done.postings

    def _take(self, index: int, payload: Payload) -> Any:
        """An entry that is erased, or whose rows were not kept, is taken as committed."""
        outline = executing.outline_of(self._contracts, index, payload)
        for key, sha256 in outline.written.items():
            row: Any = None if sha256 is None else Hashed(sha256)
            self._seen[key] = Written(index, row, None)
        self._about[index] = None
        self.taken += 1
        return outline.postings

    def _open(self, payload: Payload) -> None:
        try:
            self._programme, files = contract_sets.opening(payload.request or b"")
        except ValueError as error:
            disagree(0, "payloads", "the contract set", "can be loaded", str(error))
        self._load(0, files, version=None)

    def _load(self, index: int, files: bytes, *, version: bytes | None) -> None:
        try:
            self._contracts = contract_sets.load(files, programme=self._programme, version=version)
        except ValueError as error:
            disagree(index, "payloads", "the contract set", "can be loaded", str(error))

    def _check_notice(self, index: int) -> None:
        told = self._notices.get(index)
        if told is None:
            self.findings.add(index, "erasure_notices", "what the entry erases here is not kept")
            return
        notice = Notice(told.customer_hash, tuple(cbor.decode(told.erased)))
        notices.check(index, notice, self._about)
        self._erased.difference_update(notice.erased)

    def _end_page(self, first: int) -> None:
        pass

    # At the end

    def _finish(self) -> None:
        if self._said_executed != self._size - self.outside:
            self.findings.add(self._size - 1, "given", f"{self._said_executed} entries are said to have been executed")
        for index in sorted(self._erased):
            self.findings.add(index, "payloads", "its request is gone, and no entry erases it")
        self._compare_erasures()
        for row in self._stored.stream(tables.STATE):
            seen = self._seen.pop(row.key, None)
            # What only an erased entry read is here by its hash, and nothing else says what it was.
            if seen is None and self.taken and hashed.from_bytes(row.value) is not None:
                continue
            if seen is None or not given.is_there(seen) or seen.version != row.version:
                self.findings.add(row.version, "state", f"no entry left a row {row.key}, and none read it")
            elif not _is_kept(seen, row.value):
                self.findings.add(seen.version, "state", f"{row.key} is another")
        decided = {key: seen for key, seen in self._seen.items() if key.startswith(PACK_PREFIX)}
        for key in self._seen.keys() - decided.keys():
            if given.is_there(self._seen[key]):
                self.findings.add(self._seen[key].version, "state", f"{key} is missing")
        self._compare_packs(decided)

    def _compare_packs(self, decided: dict[str, Written]) -> None:
        """The rows of packs that were seen; those known by their hash are not stored."""
        rows = self._contracts.state
        for row in self._stored.stream(tables.PACKS):
            columns: Any = tuple(row)
            device_id, seq, version, *fields = columns
            seen = decided.pop(rows.pack_key(device_id, seq), None)
            if seen is None or seen.version != version or not _is_kept(seen, rows.to_bytes(rows.Decided(*fields))):
                self.findings.add(version, "packs", f"number {seq} of {device_id} is another, or no entry decided it")
        for key, seen in decided.items():
            if given.is_there(seen) and not isinstance(seen.row, Hashed):
                self.findings.add(seen.version, "packs", f"{key} is missing")

    def _compare_erasures(self) -> None:
        done = {row.entry_index for row in self._stored.stream(tables.ERASURES)}
        for index in sorted(done ^ self._asking):
            self.findings.add(index, "erasures", "it asks for an erasure, or the table says so, and not both")

    def _compare_rest(self) -> None:
        for table in _UNUSED:
            if self._stored.count(table):
                self.findings.add(self._size - 1, table.name, "such a copy keeps nothing here")


def _is_kept(seen: Written, value: bytes) -> bool:
    """Is this the row that was seen last, or its hash, since an erasure left no more of it?"""
    row: Any = seen.row
    if isinstance(row, Hashed):
        return same(row, value)
    only_hash = hashed.from_bytes(value)
    return value == seen.data if only_hash is None else only_hash.is_of(seen.data or b"")
