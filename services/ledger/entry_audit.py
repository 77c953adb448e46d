"""One entry, asked again: is it what it commits to, was it allowed, and does executing it do what the tables say?"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from contracts import state
from contracts.commands import Command, EraseCustomer, OpenLedger, Request
from contracts.effects import Effects, Outline, Posting
from contracts.state import Row, View
from services import contract_sets
from services.contract_sets import UnusableBundle
from services.ledger import entries, rows_read
from services.ledger.books import Books
from services.ledger.entries import Entry
from services.ledger.findings import Findings
from services.ledger.hashed import Hashed, UnknownRow
from services.ledger.reexecution import Replayed


class NotExecutable(Exception):
    """Nothing after this entry can be re-executed, for what it did is not known. The finding says why."""


@dataclass(frozen=True, slots=True)
class Executed:
    """What an entry did when it was executed again.

    request  None: it is erased
    effects  None: the entry is taken as committed, because it is erased or read a row that an erased one wrote
    writes   new row by key (None: the row is gone)
    read     the rows that it was executed on (`rows_read`), where they are kept
    """

    request: Request | None
    effects: Effects | None
    writes: Mapping[str, Row | Hashed | None]
    postings: tuple[Posting, ...]
    read: bytes | None = None


class EntryAudit:
    """Re-executes the entries in their order; each step notes what it finds and goes on if it can.

    taken  how many entries were taken as committed and not executed
    """

    def __init__(self, replayed: Replayed, findings: Findings) -> None:
        self.books = Books()
        self.taken = 0
        self._replayed = replayed
        self._findings = findings

    def check(self, entry_row: Any, payload_row: Any, posting_rows: Sequence[Any]) -> Executed:
        """Execute one entry and compare it with its rows. Raises NotExecutable."""
        index: int = entry_row.entry_index
        entry = self._entry(entry_row)
        if payload_row is None:
            self._stop(index, "payloads", "the entry has no payload")
        if is_erased(payload_row):
            self._replayed.at_s, self._replayed.index = entry.at_s, index
            self._check_version(index, entry)
            return self._take(entry, payload_row, posting_rows, None)
        self._check_binding(index, entry, payload_row)
        if index == 0:
            self._open(payload_row.request)
        request = self._request(index, payload_row)
        self._check_claims(index, entry, request.command)
        self._replayed.at_s, self._replayed.index = entry.at_s, index
        kept = entry.collection in rows_read.collections(self._replayed.programme)
        noting = rows_read.Noting(self._replayed) if kept else None
        try:
            self._check_evidence(index, request.command)
            done = self._execute(index, request.command, noting or self._replayed)
        except UnknownRow:
            return self._take(entry, payload_row, posting_rows, request)
        self._check_effects(index, entry, payload_row, done)
        self._check_postings(index, posting_rows, done.postings)
        return Executed(request, done, done.writes, done.postings, noting.to_bytes() if noting else None)

    def _take(self, entry: Entry, payload: Any, posting_rows: Sequence[Any], request: Request | None) -> Executed:
        """Take an entry as committed: what it did is what its effects say, as far as they say it."""
        index = self._replayed.index
        outline = self._outline(index, entry, payload)
        derivation = self._replayed.contracts.derivation
        if request is None and entry.kind not in derivation.PERSONAL:
            self._findings.add(index, "payloads", f"no {entry.kind} can be erased")
        if request is not None and _result_commitment(payload) != outline.result_commitment:
            self._findings.add(index, "payloads", "the result is not the one that the effects commit to")
        message = getattr(request.command, "message", b"") if request else b""
        rows = derivation.derived(index, entry.kind, entry.at_s, outline, self._replayed, message=message)
        self._check_postings(index, posting_rows, outline.postings)
        writes = {
            key: None if sha256 is None else rows.get(key) or Hashed(sha256) for key, sha256 in outline.written.items()
        }
        self.taken += 1
        return Executed(request, None, writes, outline.postings)

    def _outline(self, index: int, entry: Entry, payload: Any) -> Outline:
        if not _binds(payload.effects_salt, payload.effects, entry.effects_commitment):
            self._stop(index, "payloads", "the effects are not the ones that the entry commits to")
        try:
            outline: Outline = self._replayed.contracts.effects.outline(payload.effects)
            return outline
        except (ValueError, TypeError):
            self._stop(index, "payloads", "the effects cannot be read")

    def go_on_under(self, index: int) -> None:
        """Entry `index` has made another contract set active: load it out of what the ledger carries."""
        active: Any = self._replayed.get(state.ACTIVE_KEY)
        opened: Any = self._replayed.get(state.LEDGER_KEY)
        carried: Any = self._replayed.get(state.contracts_key(active.version)) if active else None
        if carried is None:
            self._stop(index, "payloads", "the contract set that it makes active is not on the ledger")
        try:
            loaded = contract_sets.load(carried.files, programme=opened.programme, version=active.version)
        except UnusableBundle as error:
            self._stop(index, "payloads", str(error))
        self._replayed.activate(loaded)

    def _open(self, request: bytes) -> None:
        """The first entry is executed by the set that it carries."""
        try:
            programme, files = contract_sets.opening(request)
            self._replayed.activate(contract_sets.load(files, programme=programme))
        except ValueError as error:
            self._stop(0, "payloads", str(error))

    def _entry(self, row: Any) -> Entry:
        try:
            entry = entries.from_bytes(row.entry)
        except ValueError:
            self._stop(row.entry_index, "entries", "the bytes are no entry")
        if row.at_s != entry.at_s:
            self._findings.add(row.entry_index, "entries", f"at_s is {row.at_s} beside an entry of {entry.at_s}")
        if entry.at_s < self._replayed.at_s:
            self._findings.add(row.entry_index, "entries", f"ledger time goes back from {self._replayed.at_s}")
        return entry

    def _check_binding(self, index: int, entry: Entry, payload: Any) -> None:
        if not _binds(payload.request_salt, payload.request, entry.command_commitment):
            self._stop(index, "payloads", "the request is not the one that the entry commits to")

    def _request(self, index: int, payload: Any) -> Request:
        try:
            request: Request = self._replayed.contracts.commands.from_bytes(payload.request)
            return request
        except (ValueError, TypeError):
            self._stop(index, "payloads", "the request cannot be read")

    def _check_claims(self, index: int, entry: Entry, command: Command) -> None:
        """What the entry says in public."""
        if (command.KIND == OpenLedger.KIND) is not (index == 0):
            self._stop(index, "payloads", "a log is opened by its first entry, and by no other")
        self._check_version(index, entry)
        if (entry.kind, entry.collection) != (command.KIND, command.COLLECTION):
            self._findings.add(index, "entries", f"the entry says {entry.kind} in {entry.collection}")

    def _check_version(self, index: int, entry: Entry) -> None:
        contracts = self._replayed.contracts
        if entry.contract_version != contracts.version:
            named, active = entry.contract_version.hex()[:12], contracts.version.hex()[:12]
            self._findings.add(index, "entries", f"it names contract set {named}, and {active} was active")

    def _check_evidence(self, index: int, command: Any) -> None:
        """The evidence under the command, and the rows that it carries."""
        if not self._replayed.contracts.evidence.is_authentic(command, self._unit_of(command)):
            self._findings.add(index, "payloads", "the unit did not sign the message")
        for key, data in command.rows if command.KIND == EraseCustomer.KIND else ():
            if not self._replayed.learn(key, data):
                self._stop(index, "payloads", f"it carries another row {key} than was written")

    def _unit_of(self, command: Command) -> Any:
        device_id = getattr(command, "device_id", None)
        unit = self._replayed.get(state.unit_key(device_id)) if device_id else None
        return unit if isinstance(unit, self._replayed.contracts.state.Unit) else None

    def _execute(self, index: int, command: Command, view: View) -> Effects:
        try:
            done = self._replayed.contracts.execute.execute(view, command)
        except UnknownRow:
            raise
        except Exception as error:  # whatever a forged command makes a contract raise
            self._stop(index, "payloads", f"executing it raises {error!r}")
        if isinstance(done, self._replayed.contracts.effects.Rejected):
            self._stop(index, "payloads", f"the contract rejects it: {done.reason}")
        effects: Effects = done
        return effects

    def _check_effects(self, index: int, entry: Entry, payload: Any, done: Effects) -> None:
        if not _binds(payload.effects_salt, payload.effects, entry.effects_commitment):
            self._findings.add(index, "payloads", "the effects are not the ones that the entry commits to")
        effects = self._replayed.contracts.effects
        rows = effects.row_bytes(done)
        if payload.effects != effects.to_bytes(done, command_salt=payload.request_salt, rows=rows):
            self._findings.add(index, "payloads", "executed again, the effects are others")
        if payload.result != effects.result_bytes(done):
            self._findings.add(index, "payloads", "executed again, the result is another")

    def _check_postings(self, index: int, rows: Sequence[Any], postings: Sequence[Posting]) -> None:
        expected = [(index, leg, *posting) for leg, posting in enumerate(postings)]
        if [tuple(row) for row in rows] != expected:
            self._findings.add(index, "postings", f"the legs are not the {len(expected)} that follow from the entry")
        for broken in self.books.post(postings):
            self._findings.add(index, "postings", broken)

    def _stop(self, index: int, table: str, what: str) -> NoReturn:
        self._findings.add(index, table, what)
        raise NotExecutable


def is_erased(payload: Any) -> bool:
    """Is what an erasure takes gone from this row of `payloads`?"""
    return not payload.request and not payload.request_salt and not payload.result


def _result_commitment(payload: Any) -> bytes:
    return hashlib.sha256(payload.request_salt + payload.result).digest()


def _binds(salt: bytes, data: bytes, commitment: bytes) -> bool:
    return len(salt) == entries.SALT_BYTES and entries.commitment(salt, data) == commitment
