"""A copy of the log in a database of its own: what every copy does with what was sent from elsewhere.

Entries and payloads are bound to each other and executed again in batches into the ledger's own tables. What is written
is what was computed here, never what was sent; both must be the same to the byte. The first entry at which they are not
ends the copy: what stands before it is committed, and nothing after it is executed.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic
from typing import Any, Final, NamedTuple

from sqlalchemy import Engine

from contracts import state
from contracts.commands import EraseCustomer
from services import contract_sets
from services.contract_sets import ContractSet
from services.ledger import entries, erasing, merkle, tiles
from services.ledger.committing import Committer, Executed
from services.ledger.deliveries import Notice, Payload
from services.ledger.differing import Disagreed, disagree
from services.ledger.entries import Entry
from services.ledger.lease import MEMBER, KeepWaiting
from services.ledger.opening import OtherContracts, active_contracts
from services.ledger.signature_checks import SignatureChecks
from services.ledger.store import Batch, Store
from services.ledger.window import Window

PREDECESSOR_S_MAX: Final = 5
"""How long a node that was killed may take to be gone from the database."""


class Sent(NamedTuple):
    """An entry as it was sent: its public bytes, its payload, and what it erases here.

    payload  None: not delivered
    notice   of an entry that erases others and whose payload is not for this copy
    """

    leaf: bytes
    payload: Payload | None
    notice: Notice | None = None


class Read(NamedTuple):
    """What was sent, and the entry that its bytes are."""

    sent: Sent
    entry: Entry


class Copy(ABC):
    """Owns the copy in a database; opening it takes the writer's lease (AnotherWriter if it is taken).

    Every method raises DatabaseUnavailable; then close it and open another.
    """

    _window: Window

    def __init__(self, engine: Engine, *, programme: str, first_contracts: bytes | None = None) -> None:
        """`first_contracts` is the version of the set that the first entry may carry; None: this program's own.

        Its files are code, and nobody has approved them but whoever keeps this copy.
        """
        self._programme = programme
        self._first_contracts = first_contracts or contract_sets.own(programme).version
        self._engine = engine
        self._checks = SignatureChecks()
        self._store = Store(engine, contract_sets.own(programme))
        self._committer = Committer(self._store, erase=self._erase, on_done=lambda: None)
        try:
            self._store.take_lease(MEMBER, _patience())
            last = self._store.last()
            self.size = 0 if last is None else last.index + 1
            self._at_s = 0 if last is None else last.entry.at_s
            erasing.finish(engine, self._at_s)  # what was cut off, before anything is served
            self._frontier = self._store.frontier(self.size)
            if self.size:
                self._store.contracts = active_contracts(self._store, self._store.contracts, programme)
            self._renew_window()
        except BaseException:
            self.close()
            raise

    def _renew_window(self) -> None:
        """Read every row anew, as the active contract set has it."""
        self._window = self._new_window()
        self._is_superseded = False

    @property
    def _contracts(self) -> ContractSet:
        return self._store.contracts

    def close(self) -> None:
        """Give up the lease, once what is under way is committed."""
        self._committer.close()
        self._checks.close()
        self._store.close()

    def keep_lease(self) -> None:
        """Renew it where nothing was copied for a while. Raises LeaseLost."""
        self.finish()
        self._store.keep_lease()

    def root(self, size: int) -> bytes:
        """The root of the copy's tree as it was at `size`."""
        self.finish()
        return tiles.root(size, self._store.tile)

    def tile(self, level: int, n: int) -> bytes:
        """A row of the copy's own tree."""
        self.finish()
        return self._store.tile(level, n)

    @abstractmethod
    def take_collections(self, collections: frozenset[str] | None) -> None:
        """Go on with payloads of these collections (None: of all). Raises Disagreed if this copy is of others."""

    def copy(self, sent: Sequence[Sent], checkpoint: tuple[int, bytes] | None = None) -> None:
        """Execute the entries that follow; commit them, with a checkpoint of the size that this makes.

        The last of them are committed while the next are executed: `finish` waits for that. Raises Disagreed at the
        first that differs, once all before it are committed.
        """
        read: list[Read] = []
        difference = None
        try:
            read.extend(Read(one, _entry(self.size + place, one.leaf)) for place, one in enumerate(sent))
        except Disagreed as disagreed:
            difference = disagreed
        for run in _runs(read):
            self._copy_run(run, checkpoint)
        if difference is not None:
            raise difference

    def _copy_run(self, run: Sequence[Read], checkpoint: tuple[int, bytes] | None) -> None:
        """Entries that are executed together, in one transaction."""
        if self.size == 0:
            self._open(run[0].sent.payload)
        elif self._is_superseded:
            self._activate()
        batch, requests = Batch(), []
        difference = None
        self._window.begin(at_s=self._at_s, index=self.size)
        try:
            try:
                for place, one in enumerate(run):
                    requests.append(self._request(self.size + place, one))
            except Disagreed as disagreed:
                difference = disagreed  # those before it are still to be executed
            self._fetch(run, requests)
            for one, request in zip(run, requests, strict=False):
                self._step(batch, one, request)
        except Disagreed as disagreed:
            difference = disagreed
        except BaseException:
            self._window.forget()
            raise
        self._commit(batch, checkpoint if difference is None else None)
        if difference is not None:
            self.finish()
            raise difference

    def finish(self) -> None:
        """Wait until all that was executed is committed."""
        done = self._committer.finish()
        if done is not None:
            self._window.committed()

    # What copies do differently

    @abstractmethod
    def _new_window(self) -> Window:
        """The rows as the active contract set has them."""

    @abstractmethod
    def _request(self, index: int, one: Read) -> Any:
        """What the entry commits to, or None if there is no request to be executed. Raises Disagreed."""

    @abstractmethod
    def _fetch(self, run: Sequence[Read], requests: Sequence[Any]) -> None:
        """Bring what the entries with these requests need into memory together."""

    @abstractmethod
    def _enter(self, batch: Batch, one: Read, request: Any) -> None:
        """Execute one entry and add it to the batch. Raises Disagreed."""

    # Contract sets

    def _open(self, payload: Payload | None) -> None:
        """The first entry is executed by the set that it carries."""
        try:
            programme, files = contract_sets.opening((payload and payload.request) or b"")
            if programme != self._programme:
                disagree(0, "payloads", "the programme", self._programme, programme)
            self._store.contracts = contract_sets.load(files, programme=programme, version=self._first_contracts)
        except ValueError as error:
            disagree(0, "payloads", "the contract set", "can be loaded", str(error))
        self._renew_window()

    def _activate(self) -> None:
        self.finish()
        try:
            self._store.contracts = active_contracts(self._store, self._contracts, self._programme)
        except OtherContracts as error:
            disagree(self.size, "payloads", "the contract set", "can be loaded", str(error))
        self._renew_window()

    # One entry

    def _step(self, batch: Batch, one: Read, request: Any) -> None:
        window, index, entry = self._window, self._window.index, one.entry
        if self._is_superseded:
            disagree(index, "entries", "contract set", "the one made active", entry.contract_version.hex())
        if entry.at_s < window.at_s:
            disagree(index, "entries", "ledger time goes back", f"at least {window.at_s}", str(entry.at_s))
        window.at_s = entry.at_s
        self._enter(batch, one, request)
        batch.entries.append((index, entry.at_s, one.sent.leaf))
        window.index = index + 1

    def _add_payload(self, batch: Batch, payload: Payload, postings: Sequence[Any]) -> None:
        index = self._window.index
        parts = (payload.request or b"", payload.request_salt or b"")
        batch.payloads.append((index, *parts, payload.effects, payload.effects_salt, payload.result or b""))
        for leg, (asset, account, amount) in enumerate(postings):
            batch.postings.append((index, leg, str(asset), account, amount))

    def _note_activation(self, writes: Mapping[str, object]) -> None:
        self._is_superseded = self._window.index > 0 and state.ACTIVE_KEY in writes

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
        self.finish()
        self._window.hand_over()
        self._committer.hand_over(Executed((), (), batch, {}, None))
        if batch.erasures:
            self.finish()
            self._window.forget()
        self._frontier = {
            tile.level: grown.get((tile.level, tile.full_tiles)) or self._frontier[tile.level]
            for tile in tiles.required(size).levels
            if tile.partial_width
        }
        self.size, self._at_s = size, batch.entries[-1][1] if batch.entries else self._at_s

    def _erase(self) -> None:
        erasing.finish(self._engine, self._window.at_s)


def _runs(read: Sequence[Read]) -> Iterator[list[Read]]:
    """Entries that name one contract set; an erasure comes first, as what it names is looked up in the database."""
    run: list[Read] = []
    for one in read:
        is_other = run and one.entry.contract_version != run[0].entry.contract_version
        if is_other or one.entry.kind == EraseCustomer.KIND:
            yield from [run] if run else []
            run = []
        run.append(one)
    yield from [run] if run else []


def _entry(index: int, leaf: bytes) -> Entry:
    try:
        return entries.from_bytes(leaf)
    except ValueError:
        disagree(index, "entries", "the bytes are no entry", "an entry", leaf.hex())


def _patience() -> KeepWaiting:
    give_up_at, never = monotonic() + PREDECESSOR_S_MAX, threading.Event()

    def keep_waiting(at_most_s: float) -> bool:
        never.wait(at_most_s)
        return monotonic() < give_up_at

    return keep_waiting
