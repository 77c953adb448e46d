"""A copy of the log: entries and payloads from elsewhere, executed again in batches into the same tables.

What is written is what was computed here, never what was sent; both must be the same to the byte. The first entry at
which they are not ends the copy: what stands before it is committed, and nothing after it is executed.
"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from time import monotonic
from typing import Any, Final, NoReturn

from sqlalchemy import Engine

from contracts import state
from contracts.commands import EraseCustomer, OpenLedger
from contracts.state import View
from services import contract_sets
from services.contract_sets import ContractSet
from services.ledger import entries, erasing, hashed, merkle, rows_read, tiles
from services.ledger.deliveries import Payload
from services.ledger.differing import first_difference, shown
from services.ledger.entries import Entry
from services.ledger.hashed import Hashed, UnknownRow
from services.ledger.lease import KeepWaiting
from services.ledger.opening import OtherContracts, active_contracts
from services.ledger.store import Batch, Store, Written
from services.ledger.subjects import subjects_by_keys, subjects_of
from services.ledger.versions import kept, with_carried
from services.ledger.window import RowCache, Window

HOLDER: Final = "member"
PREDECESSOR_S_MAX: Final = 5
"""How long a node that was killed may take to be gone from the database."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where what was sent and what was found here are not the same.

    index   the entry
    table   what of it: entries, payloads, tiles, checkpoints
    what    in a few words
    ours, theirs  the two values, as a person reads them
    """

    index: int
    table: str
    what: str
    ours: str
    theirs: str


class Disagreed(Exception):
    """Raised with the Difference where a copy cannot go on."""

    def __init__(self, difference: Difference) -> None:
        found = difference
        super().__init__(f"entry {found.index}: {found.what}: {found.ours} here, {found.theirs} there")
        self.difference = difference


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


class Copyist:
    """Owns the copy in a database; opening it takes the writer's lease (AnotherWriter if it is taken).

    Every method raises DatabaseUnavailable; then close it and open another.
    """

    def __init__(self, engine: Engine, *, programme: str, first_contracts: bytes | None = None) -> None:
        """`first_contracts` is the version of the set that the first entry may carry; None: this program's own.

        Its files are code, and nobody has approved them but whoever keeps this copy.
        """
        self._programme = programme
        self._first_contracts = first_contracts or contract_sets.own(programme).version
        self._engine = engine
        self._store = Store(engine, contract_sets.own(programme))
        try:
            self._store.take_lease(HOLDER, _patience())
            last = self._store.last()
            self.size = 0 if last is None else last.index + 1
            self._at_s = 0 if last is None else last.entry.at_s
            erasing.finish(engine, self._at_s)  # what was cut off, before anything is served
            self._frontier = self._store.frontier(self.size)
            if self.size:
                self._store.contracts = active_contracts(self._store, self._store.contracts, programme)
            self._renew_window()
        except BaseException:
            self._store.close()
            raise

    def _renew_window(self) -> None:
        """Read every row anew, as the active contract set has it."""
        self._window = _CopyWindow(self._contracts.programme, RowCache(), self._store.written)
        self._given = rows_read.collections(self._contracts.programme)
        self._is_superseded = False

    @property
    def _contracts(self) -> ContractSet:
        return self._store.contracts

    def close(self) -> None:
        """Give up the lease."""
        self._store.close()

    def keep_lease(self) -> None:
        """Renew it where nothing was copied for a while. Raises LeaseLost."""
        self._store.keep_lease()

    def root(self, size: int) -> bytes:
        """The root of the copy's tree as it was at `size`."""
        return tiles.root(size, self._store.tile)

    def tile(self, level: int, n: int) -> bytes:
        """A row of the copy's own tree."""
        return self._store.tile(level, n)

    def copy(self, sent: Sequence[tuple[bytes, Payload]], checkpoint: tuple[int, bytes] | None = None) -> None:
        """Execute the entries that follow; commit them, with a checkpoint of the size that this makes.

        Raises Disagreed at the first that differs, once all before it are committed.
        """
        read: list[tuple[bytes, Payload, Entry]] = []
        difference = None
        try:
            read.extend((*one, _entry(self.size + place, one[0])) for place, one in enumerate(sent))
        except Disagreed as disagreed:
            difference = disagreed
        for _, run in groupby(read, key=lambda one: one[2].contract_version):
            self._copy_run(list(run), checkpoint)
        if difference is not None:
            raise difference

    def _copy_run(self, run: Sequence[tuple[bytes, Payload, Entry]], checkpoint: tuple[int, bytes] | None) -> None:
        """Entries that name one contract set, in one transaction."""
        if self.size == 0:
            self._open(run[0][1])
        elif self._is_superseded:
            self._activate()
        batch, requests = Batch(), []
        difference = None
        self._window.begin(at_s=self._at_s, index=self.size)
        try:
            try:
                for place, (_, payload, entry) in enumerate(run):
                    requests.append(self._request(self.size + place, payload, entry))
            except Disagreed as disagreed:
                difference = disagreed  # those before it are still to be executed
            self._fetch(requests)
            for (leaf, payload, entry), request in zip(run, requests, strict=False):
                self._enter(batch, leaf, entry, payload, request)
        except Disagreed as disagreed:
            difference = disagreed
        except BaseException:
            self._window.forget()
            raise
        self._commit(batch, checkpoint if difference is None else None)
        if difference is not None:
            raise difference

    # Contract sets

    def _open(self, payload: Payload) -> None:
        """The first entry is executed by the set that it carries."""
        try:
            programme, files = contract_sets.opening(payload.request or b"")
            if programme != self._programme:
                _stop(0, "payloads", "the programme", self._programme, programme)
            self._store.contracts = contract_sets.load(files, programme=programme, version=self._first_contracts)
        except ValueError as error:
            _stop(0, "payloads", "the contract set", "can be loaded", str(error))
        self._renew_window()

    def _activate(self) -> None:
        try:
            self._store.contracts = active_contracts(self._store, self._contracts, self._programme)
        except OtherContracts as error:
            _stop(self.size, "payloads", "the contract set", "can be loaded", str(error))
        self._renew_window()

    # One entry

    def _request(self, index: int, payload: Payload, entry: Entry) -> Any:
        """What the entry commits to, as the active contract set reads it; None if it is erased."""
        contracts = self._contracts
        if entry.contract_version != contracts.version:
            _stop(index, "entries", "contract set", contracts.version.hex(), entry.contract_version.hex())
        if payload.request is None or payload.request_salt is None or payload.result is None:
            if entry.kind not in contracts.derivation.PERSONAL:
                _stop(index, "payloads", f"the request of {entry.kind} is not delivered", "a request", "none")
            _bind(index, "effects", payload.effects_salt, payload.effects, entry.effects_commitment)
            return None
        _bind(index, "request", payload.request_salt, payload.request, entry.command_commitment)
        _bind(index, "effects", payload.effects_salt, payload.effects, entry.effects_commitment)
        try:
            request = contracts.commands.from_bytes(payload.request)
        except (ValueError, TypeError) as error:
            _stop(index, "payloads", "the request cannot be read", "a request", str(error))
        command = request.command
        if (command.KIND == OpenLedger.KIND) is not (index == 0):
            _stop(index, "payloads", "a log is opened by its first entry", str(index == 0), command.KIND)
        said, meant = (entry.kind, entry.collection), (command.KIND, command.COLLECTION)
        if said != meant:
            _stop(index, "entries", "kind and collection", " in ".join(meant), " in ".join(said))
        return request

    def _fetch(self, requests: Sequence[Any]) -> None:
        window, execute = self._window, self._contracts.execute
        asked = [request for request in requests if request is not None]
        window.fetch(key for request in asked for key in execute.first_reads(request.command))
        for request in asked:
            with suppress(UnknownRow):
                window.fetch(execute.second_reads(window, request.command))

    def _enter(self, batch: Batch, leaf: bytes, entry: Entry, payload: Payload, request: Any) -> None:
        window, index, effects = self._window, self._window.index, self._contracts.effects
        if self._is_superseded:
            _stop(index, "entries", "contract set", "the one made active", entry.contract_version.hex())
        if entry.at_s < window.at_s:
            _stop(index, "entries", "ledger time goes back", f"at least {window.at_s}", str(entry.at_s))
        window.at_s = entry.at_s
        if request is None:
            self._take(batch, leaf, entry, payload, None)
            return
        noting = rows_read.Noting(window) if entry.collection in self._given else None
        try:
            done = self._execute(index, request, noting or window)
        except UnknownRow:
            self._take(batch, leaf, entry, payload, request)
            return
        rows, result = effects.row_bytes(done), effects.result_bytes(done)
        made = effects.to_bytes(done, command_salt=payload.request_salt or b"", rows=rows, result=result)
        if made != payload.effects:
            _stop(index, "payloads", *first_difference(made, payload.effects))
        if result != payload.result:
            _stop(index, "payloads", "result", shown(result), shown(payload.result or b""))
        left = kept(request.command.KIND, with_carried(request.command, rows))
        batch.versions.extend((key, index, data) for key, data in left)
        if request.command.KIND == EraseCustomer.KIND:
            batch.erasures.append((index, None))
        for key, row in done.writes.items():
            window.written[key] = Written(index, row, rows[key])
        if noting is not None:
            batch.rows_read.append((index, noting.to_bytes()))
        self._add(batch, leaf, entry, payload, done.postings)
        self._add_request(batch, index, request, done.writes, has_postings=bool(done.postings))
        window.index = index + 1
        self._is_superseded = index > 0 and state.ACTIVE_KEY in done.writes

    def _take(self, batch: Batch, leaf: bytes, entry: Entry, payload: Payload, request: Any) -> None:
        """Take an entry as committed: it is erased (request None), or reads a row that an erased one wrote."""
        window, index, contracts = self._window, self._window.index, self._contracts
        try:
            outline = contracts.effects.outline(payload.effects)
        except (ValueError, TypeError) as error:
            _stop(index, "payloads", "the effects cannot be read", "effects", str(error))
        for asset in {posting.asset for posting in outline.postings}:
            total = sum(posting.amount for posting in outline.postings if posting.asset == asset)
            if total:
                _stop(index, "postings", f"the legs in {asset} sum to", "0", str(total))
        message = getattr(request.command, "message", b"") if request else b""
        told = contracts.derivation.derived(index, entry.kind, entry.at_s, outline, window, message=message)
        for key, data in payload.rows:
            sha256 = outline.written.get(key)
            if sha256 is None or not Hashed(sha256).is_of(data):
                _stop(index, "payloads", f"the row {key} delivered", (sha256 or b"").hex(), data.hex())
            told[key] = contracts.state.from_bytes(key, data)
        for key, sha256 in outline.written.items():
            row: Any = None if sha256 is None else told.get(key) or Hashed(sha256)
            window.written[key] = Written(index, row, self._stored(row))
        self._add(batch, leaf, entry, payload, outline.postings)
        if request is None:
            about = subjects_by_keys(entry.kind, outline.written)
            batch.subjects.extend((index, subject) for subject in sorted(about))
        else:
            self._add_request(batch, index, request, outline.written, has_postings=bool(outline.postings))
        window.index = index + 1

    def _stored(self, row: Any) -> bytes | None:
        if row is None:
            return None
        stored: bytes = hashed.to_bytes(row) if isinstance(row, Hashed) else self._contracts.state.to_bytes(row)
        return stored

    def _learn(self, command: Any) -> None:
        """Take the rows that an erasure carries in the place of their hashes."""
        for key, data in command.rows:
            hidden: Any = self._window.hashed(key)
            if hidden is None:
                continue
            if not hidden.row.is_of(data):
                _stop(self._window.index, "payloads", f"the row {key} carried", hidden.row.sha256.hex(), data.hex())
            row = self._contracts.state.from_bytes(key, data)
            self._window.written[key] = Written(hidden.version, row, data)

    def _add(self, batch: Batch, leaf: bytes, entry: Entry, payload: Payload, postings: Sequence[Any]) -> None:
        index = self._window.index
        batch.entries.append((index, entry.at_s, leaf))
        parts = (payload.request or b"", payload.request_salt or b"")
        batch.payloads.append((index, *parts, payload.effects, payload.effects_salt, payload.result or b""))
        for leg, (asset, account, amount) in enumerate(postings):
            batch.postings.append((index, leg, str(asset), account, amount))

    def _add_request(
        self, batch: Batch, index: int, request: Any, writes: Mapping[str, object], *, has_postings: bool
    ) -> None:
        batch.requests.append((request.id, request.digest, index))
        about = subjects_of(request.command, writes, has_postings=has_postings)
        batch.subjects.extend((index, subject) for subject in sorted(about))

    def _execute(self, index: int, request: Any, view: View) -> Any:
        contracts = self._contracts
        device_id = getattr(request.command, "device_id", None)
        unit = self._window.get(state.unit_key(device_id)) if isinstance(device_id, str) else None
        try:
            if request.command.KIND == EraseCustomer.KIND:
                self._learn(request.command)
            if not contracts.evidence.is_authentic(
                request.command, unit if isinstance(unit, contracts.state.Unit) else None
            ):
                _stop(index, "payloads", "the unit's signature", "not valid", "recorded")
            done = contracts.execute.execute(view, request.command)
        except UnknownRow:
            raise
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
            # What a forged command makes a contract raise.
            _stop(index, "payloads", "executing it raises", repr(error), "effects")
        if isinstance(done, contracts.effects.Rejected):
            _stop(index, "payloads", "the contract", f"rejects it: {done.reason}", "effects")
        return done

    def _commit(self, batch: Batch, checkpoint: tuple[int, bytes] | None) -> None:
        batch.rows = self._window.written
        grown = tiles.grow(self.size, self._frontier, [merkle.leaf_hash(entry) for _, _, entry in batch.entries])
        batch.tiles = grown
        size = self.size + len(batch.entries)
        if checkpoint is not None and checkpoint[0] == size:
            batch.checkpoints.append(checkpoint)
        if not batch.entries and not batch.checkpoints:
            self._window.forget()
            return
        self._store.commit(batch)
        self._window.hand_over()
        self._window.committed()
        if batch.erasures:
            erasing.finish(self._engine, self._window.at_s)
        self._frontier = {
            tile.level: grown.get((tile.level, tile.full_tiles)) or self._frontier[tile.level]
            for tile in tiles.required(size).levels
            if tile.partial_width
        }
        self.size, self._at_s = size, self._window.at_s if batch.entries else self._at_s


def _is_hashed(newest: Any) -> bool:
    return newest is not None and isinstance(newest.row, Hashed)


def _entry(index: int, leaf: bytes) -> Entry:
    try:
        return entries.from_bytes(leaf)
    except ValueError:
        _stop(index, "entries", "the bytes are no entry", "an entry", leaf.hex())


def _patience() -> KeepWaiting:
    give_up_at, never = monotonic() + PREDECESSOR_S_MAX, threading.Event()

    def keep_waiting(at_most_s: float) -> bool:
        never.wait(at_most_s)
        return monotonic() < give_up_at

    return keep_waiting


def _bind(index: int, what: str, salt: bytes, data: bytes, commitment: bytes) -> None:
    found = entries.commitment(salt, data) if len(salt) == entries.SALT_BYTES else b""
    if found != commitment:
        _stop(index, "payloads", f"the {what} is not what the entry commits to", found.hex(), commitment.hex())


def _stop(index: int, table: str, what: str, ours: str, theirs: str) -> NoReturn:
    raise Disagreed(Difference(index, table, what, ours, theirs))
