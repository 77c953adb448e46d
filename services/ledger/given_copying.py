"""The copy of a member that is given some collections: what it may see is executed on the rows given with it.

Of every other entry it checks the public bytes, the tree and the checkpoint, and that it names the active contract set.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine

from contracts.commands import EraseCustomer, OpenLedger
from contracts.wire import cbor
from services.ledger import executing, given, hashed, notices, rows_read
from services.ledger.copies import Copy, Read
from services.ledger.deliveries import Payload, words
from services.ledger.differing import disagree
from services.ledger.entries import Entry
from services.ledger.hashed import Hashed
from services.ledger.store import Batch, Written
from services.ledger.window import RowCache, Window


class GivenCopyist(Copy):
    """Executes what it is given; see `Copy`."""

    def __init__(self, engine: Engine, *, programme: str, first_contracts: bytes | None = None) -> None:
        super().__init__(engine, programme=programme, first_contracts=first_contracts)
        self._collections: frozenset[str] | None = None
        self._executed = 0
        kept = self._store.given()
        if kept is not None:
            self._collections, self._executed = kept
        self._inside: dict[int, bool] = {}
        self._kinds: dict[int, str] = {}
        self._about: dict[int, set[bytes] | None] = {}

    def take_collections(self, collections: frozenset[str] | None) -> None:
        """The first page says of which collections this copy is; it is of these for ever."""
        if self._collections is None and not self.size:
            self._collections = collections
        if collections is None or collections != self._collections:
            ours, theirs = words(self._collections), words(collections)
            disagree(self.size, "payloads", "the collections delivered", ours, theirs)

    def is_inside(self, entry: Entry) -> bool:
        """Is its payload for this copy?"""
        return entry.kind == OpenLedger.KIND or entry.collection in (self._collections or ())

    def _new_window(self) -> Window:
        return Window(self._contracts.programme, RowCache(), self._store.written)

    def _request(self, index: int, one: Read) -> Any:
        payload = one.sent.payload
        if self.is_inside(one.entry):
            if payload is None:
                disagree(index, "payloads", "the payload", "to be delivered", "left out")
            return executing.request_of(self._contracts, index, one.entry, payload)
        if payload is not None:
            disagree(index, "payloads", f"a payload of {one.entry.collection}", "not for this copy", "delivered")
        executing.check_version(self._contracts, index, one.entry)
        return None

    def _fetch(self, run: Sequence[Read], requests: Sequence[Any]) -> None:
        """The rows seen last under the keys that are given, and the entries that are said to have written them."""
        self.finish()  # those entries are read from the database
        self._inside = {self.size + place: self.is_inside(one.entry) for place, one in enumerate(run)}
        self._kinds = {self.size + place: one.entry.kind for place, one in enumerate(run)}
        self._about = {}
        keys: set[str] = set()
        versions: set[int] = set()
        for place, (one, request) in enumerate(zip(run, requests, strict=False)):
            if request is None or one.sent.payload is None:
                continue
            if given.is_executed(self._contracts, self.size + place, one.entry):
                for key, row in given.read_of(self.size + place, one.sent.payload).items():
                    keys.add(key)
                    versions.add(-1 if row.version is None else row.version)
        self._window.fetch(keys)
        earlier = sorted(version for version in versions if 0 <= version < self.size)
        self._inside |= {index: self.is_inside(entry) for index, entry in self._store.entries(earlier).items()}

    def _enter(self, batch: Batch, one: Read, request: Any) -> None:
        entry, payload = one.entry, one.sent.payload
        if payload is None:
            if entry.kind == EraseCustomer.KIND:
                self._note(batch, one)
            return
        if request is None or not given.is_executed(self._contracts, self._window.index, entry):
            self._take(batch, payload)
        else:
            self._execute(batch, entry, payload, request)
        self._executed += 1
        batch.given = [(1, words(self._collections), self._executed)]

    def _execute(self, batch: Batch, entry: Entry, payload: Payload, request: Any) -> None:
        index = self._window.index
        read = given.read_of(index, payload)
        news = given.check(index, read, self._window.known, self._is_outside)
        done = given.execute(self._contracts, index, entry.at_s, request, read)
        rows = executing.compare(self._contracts, index, done, payload)
        for key, known in news.items():
            row = None if known.data is None else self._contracts.state.from_bytes(key, known.data)
            self._window.written[key] = known._replace(row=row)
        for key, row in done.writes.items():
            self._window.written[key] = Written(index, row, rows[key])
        if payload.read is not None:
            batch.rows_read.append((index, payload.read))
        if entry.kind == EraseCustomer.KIND:  # seen itself, it names what it erases
            batch.erasures.append((index, None))
        self._about[index] = notices.people(read)
        self._add_payload(batch, payload, done.postings)
        self._note_activation(done.writes)

    def _take(self, batch: Batch, payload: Payload) -> None:
        """An entry that is erased, or whose rows were not kept, is taken as committed: it leaves hashes of its rows."""
        outline = executing.outline_of(self._contracts, self._window.index, payload)
        for key, sha256 in outline.written.items():
            row: Any = None if sha256 is None else Hashed(sha256)
            data = None if sha256 is None else hashed.to_bytes(row)
            self._window.written[key] = Written(self._window.index, row, data)
        self._about[self._window.index] = None
        self._add_payload(batch, payload, outline.postings)

    def _note(self, batch: Batch, one: Read) -> None:
        """What an entry that is not for this copy erases here."""
        index, notice = self._window.index, one.sent.notice
        if notice is None:
            disagree(index, "payloads", "what the erasure erases here", "to be told", "left out")
        notices.check(index, notice, self._people(notice.erased))
        batch.erasures.append((index, None))
        batch.notices.append((index, notice.customer_hash, cbor.encode(list(notice.erased))))

    def _people(self, indexes: Sequence[int]) -> dict[int, set[bytes] | None]:
        """Whom the entries at `indexes` are about (None: erased already), of those that may be and were given here."""
        personal = self._contracts.derivation.PERSONAL
        earlier = self._store.entries([index for index in indexes if 0 <= index < self.size])
        given_here = [index for index, one in earlier.items() if one.kind in personal and self.is_inside(one)]
        rows = self._store.rows_read(given_here)
        found = {
            index: notices.people(rows_read.from_bytes(rows[index])) if index in rows else None for index in given_here
        }
        now = (index for index in indexes if self._kinds.get(index) in personal and index in self._about)
        return found | {index: self._about[index] for index in now}

    def _is_outside(self, index: int) -> bool:
        inside = self._inside.get(index)
        if inside is None:
            inside = self._inside[index] = self.is_inside(self._store.entries([index])[index])
        return not inside
