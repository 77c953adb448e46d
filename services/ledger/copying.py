"""The copy of a member of all collections: every entry is executed again on the copy's own state."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from contracts import state
from contracts.commands import EraseCustomer
from contracts.evidence import Check
from services.database import reading
from services.ledger import erasable, executing, hashed, rows_read
from services.ledger.copies import Copy, Read
from services.ledger.deliveries import Payload, words
from services.ledger.differing import disagree
from services.ledger.entries import Entry
from services.ledger.hashed import Hashed, UnknownRow
from services.ledger.store import Batch, Written
from services.ledger.subjects import subjects_by_keys, subjects_of
from services.ledger.versions import kept, with_carried
from services.ledger.window import RowCache, Window


class _CopyWindow(Window):
    """A window in which some rows are known by their hash alone; to `get` one raises UnknownRow."""

    def known(self, key: str) -> Written | None:
        newest = super().known(key)
        if _is_hashed(newest):
            raise UnknownRow(key)
        return newest

    def hashed(self, key: str) -> Written | None:
        """What was written, with a Hashed in the place of the row; None if the row is known."""
        newest = super().known(key)
        return newest if _is_hashed(newest) else None


class Copyist(Copy):
    """Executes everything; see `Copy`."""

    _window: _CopyWindow

    def take_collections(self, collections: frozenset[str] | None) -> None:
        """This copy is of all."""
        kept = self._store.given()
        if collections is not None or kept is not None:
            disagree(self.size, "payloads", "the collections delivered", words(kept and kept[0]), words(collections))

    def _new_window(self) -> Window:
        self._given = rows_read.collections(self._contracts.programme)
        return _CopyWindow(self._contracts.programme, RowCache(), self._store.written)

    def _request(self, index: int, one: Read) -> Any:
        return executing.request_of(self._contracts, index, one.entry, _delivered(index, one))

    def _fetch(self, run: Sequence[Read], requests: Sequence[Any]) -> None:
        window, execute = self._window, self._contracts.execute
        asked = [request for request in requests if request is not None]
        window.fetch(key for request in asked for key in execute.first_reads(request.command))
        for request in asked:
            with suppress(UnknownRow):
                window.fetch(execute.second_reads(window, request.command))
        self._checks.begin([check for request in asked if (check := self._check_of(request.command)) is not None])

    def _check_of(self, command: Any) -> Check | None:
        """The signature that the command needs as the state stands now; what it needs in its turn is asked then."""
        with suppress(UnknownRow, *executing.FORGED):
            check = executing.check_of(self._contracts, command, self._unit_of(command))
            return None if isinstance(check, bool) else check
        return None

    def _unit_of(self, command: Any) -> Any:
        device_id = getattr(command, "device_id", None)
        return self._window.get(state.unit_key(device_id)) if isinstance(device_id, str) else None

    def _enter(self, batch: Batch, one: Read, request: Any) -> None:
        window, index, contracts = self._window, self._window.index, self._contracts
        entry, payload = one.entry, _delivered(index, one)
        if request is None:
            self._take(batch, entry, payload, None)
            return
        command = request.command
        noting = rows_read.Noting(window) if entry.collection in self._given else None
        try:
            unit = self._unit_of(command)
            if command.KIND == EraseCustomer.KIND:
                self._learn(command)
            done = executing.execute(
                contracts, index, noting or window, command, unit=unit, is_valid=self._checks.is_valid
            )
        except UnknownRow:
            self._take(batch, entry, payload, request)
            return
        rows = executing.compare(contracts, index, done, payload)
        left = kept(command.KIND, with_carried(command, rows))
        batch.versions.extend((key, index, data) for key, data in left)
        if command.KIND == EraseCustomer.KIND:
            self._check_erased(command)
            batch.erasures.append((index, None))
        for key, row in done.writes.items():
            window.written[key] = Written(index, row, rows[key])
        if noting is not None:
            batch.rows_read.append((index, noting.to_bytes()))
        self._add_payload(batch, payload, done.postings)
        self._add_request(batch, index, request, done.writes, has_postings=bool(done.postings))
        self._note_activation(done.writes)

    def _take(self, batch: Batch, entry: Entry, payload: Payload, request: Any) -> None:
        """Take an entry as committed: it is erased (request None), or reads a row that an erased one wrote."""
        window, index, contracts = self._window, self._window.index, self._contracts
        outline = executing.outline_of(contracts, index, payload)
        message = getattr(request.command, "message", b"") if request else b""
        try:
            told = contracts.derivation.derived(index, entry.kind, entry.at_s, outline, window, message=message)
            for key, data in payload.rows:
                sha256 = outline.written.get(key)
                if sha256 is None or not Hashed(sha256).is_of(data):
                    disagree(index, "payloads", f"the row {key} delivered", (sha256 or b"").hex(), data.hex())
                told[key] = contracts.state.from_bytes(key, data)
        except executing.FORGED as error:
            disagree(index, "payloads", "the rows written cannot be read", "rows", repr(error))
        for key, sha256 in outline.written.items():
            row: Any = None if sha256 is None else told.get(key) or Hashed(sha256)
            window.written[key] = Written(index, row, self._stored(row))
        self._add_payload(batch, payload, outline.postings)
        if request is None:
            about = subjects_by_keys(entry.kind, outline.written)
            batch.subjects.extend((index, subject) for subject in sorted(about))
        else:
            self._add_request(batch, index, request, outline.written, has_postings=bool(outline.postings))

    def _stored(self, row: Any) -> bytes | None:
        if row is None:
            return None
        stored: bytes = hashed.to_bytes(row) if isinstance(row, Hashed) else self._contracts.state.to_bytes(row)
        return stored

    def _learn(self, command: Any) -> None:
        """Take the rows that an erasure carries in the place of their hashes."""
        window, index = self._window, self._window.index
        try:
            for key, data in command.rows:
                hidden: Any = window.hashed(key)
                if hidden is None:
                    continue
                if not hidden.row.is_of(data):
                    disagree(index, "payloads", f"the row {key} carried", hidden.row.sha256.hex(), data.hex())
                window.written[key] = Written(hidden.version, self._contracts.state.from_bytes(key, data), data)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            disagree(index, "payloads", "the rows carried cannot be read", "rows", repr(error))

    def _check_erased(self, command: Any) -> None:
        """Is all that is erased about that customer? The entry says so; who is to forget looks."""
        self.finish()
        with reading(self._engine) as session:
            stranger = erasable.stranger(session, command.customer_id, command.erased)
        if stranger is not None:
            what = f"entry {stranger} is erased here"
            disagree(self._window.index, "payloads", what, "about another, or none to be erased", command.customer_id)

    def _add_request(
        self, batch: Batch, index: int, request: Any, writes: Mapping[str, object], *, has_postings: bool
    ) -> None:
        batch.requests.append((request.id, request.digest, index))
        about = subjects_of(request.command, writes, has_postings=has_postings)
        batch.subjects.extend((index, subject) for subject in sorted(about))


def _is_hashed(newest: Any) -> bool:
    return newest is not None and isinstance(newest.row, Hashed)


def _delivered(index: int, one: Read) -> Payload:
    if one.sent.payload is None:
        disagree(index, "payloads", "the payload", "to be delivered", "left out")
    return one.sent.payload
