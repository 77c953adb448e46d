"""How every other program speaks to the ledger: ask commands, read rows. The one part of this package they import.

`Ledger` has two implementations that pass the same tests: `services.ledger.local` in the writer's own process, and
`services.ledger.remote` over HTTP. Both answer once the batch is committed, never before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from contracts.commands import Request
from contracts.effects import Posting, Reason
from contracts.state import Decided, Row
from contracts.units import UnixSeconds


class LedgerUnavailable(Exception):
    """The ledger did not answer, or cannot write now. What was asked may have happened: ask again with the same id."""


def reason_of(text: str) -> Reason:
    """A reason as any contract set gives it; OTHER_CONTRACTS for one that this program does not know."""
    try:
        return Reason(text)
    except ValueError:
        return Reason.OTHER_CONTRACTS


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request is on the ledger as entry `index`, executed at ledger time `at_s`; `result` as the contract gave it.

    repeated  this id was asked before; nothing was done now, this is the first answer
    """

    index: int
    at_s: UnixSeconds
    result: Mapping[str, Any]
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Declined:
    """The contract rejected the request; no entry was written."""

    reason: Reason
    facts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reused:
    """The id was used before for something else (another digest)."""


@dataclass(frozen=True, slots=True)
class Running:
    """The same id is being executed right now, for another caller."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Executing the request raised, which is a bug: nothing of it happened, and the rest of its batch is unharmed.

    error  what was raised, for the operator; never shown to a caller of an API
    """

    error: str


Outcome: TypeAlias = Accepted | Declined | Reused | Running | Failed


@dataclass(frozen=True, slots=True)
class Recorded:
    """One entry as its readers need it.

    command  the fields of the command by name, with its kind under "kind"
    """

    index: int
    at_s: UnixSeconds
    kind: str
    command: Mapping[str, Any]
    postings: tuple[Posting, ...]
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PackEvidence:
    """An accepted pack of a unit: its place on the ledger and the message as received."""

    device_id: str
    seq: int
    index: int
    start_s: UnixSeconds
    end_s: UnixSeconds
    message: bytes


@dataclass(frozen=True, slots=True)
class Proven:
    """An entry with what it commits to, and its path under a checkpoint (RFC 6962 2.1.1, the leaf's sibling first)."""

    index: int
    entry: bytes
    effects: bytes
    effects_salt: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Input:
    """A row that an entry read, as stored, and the entry that had written it."""

    key: str
    value: bytes
    written_by: Proven


@dataclass(frozen=True, slots=True)
class Evidence:
    """All there is to know of an entry: it, what it was asked, what came of it, and the rows that decided an award.

    checkpoint  a signed note, which every path is under: the newest final one if it has the entry, else the newest
    inputs      none where no pack was decided, or where what led to it was erased
    """

    proven: Proven
    request: bytes
    request_salt: bytes
    result: bytes
    checkpoint: bytes
    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class Erasable:
    """What an erasure of one customer has to name now (`contracts.commands.EraseCustomer`)."""

    indexes: tuple[int, ...]
    rows: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The log as last published."""

    origin: str
    size: int
    root: bytes
    at_s: UnixSeconds


class Ledger(Protocol):
    """Ask and read. Every method raises LedgerUnavailable if the ledger cannot answer."""

    def submit(self, requests: Sequence[Request]) -> list[Outcome]:
        """Ask for all of them, wait until they are committed; answers in the same order."""
        ...

    async def ask(self, request: Request) -> Outcome:
        """Ask for one without blocking the event loop; concurrent calls share a batch."""
        ...

    def rows(self, keys: Sequence[str]) -> list[Row | None]:
        """The committed rows under these keys (any kind of `contracts.state`, packs too), in the same order."""
        ...

    def stored(self, keys: Sequence[str]) -> list[bytes | None]:
        """`rows` as bytes, for who reads them as another contract set does."""
        ...

    async def read(self, keys: Sequence[str]) -> list[Row | None]:
        """`rows` without blocking the event loop."""
        ...

    def find(self, kind: str, *, after: str = "", limit: int = 100) -> list[tuple[str, Row]]:
        """Rows of one kind (not `pack`) by key in order, beginning after the key `after`."""
        ...

    def entries_of(self, accounts: Sequence[str], *, before: int | None = None, limit: int = 50) -> list[Recorded]:
        """Entries below index `before` with a posting on one of `accounts` in any asset, newest first."""
        ...

    def entry(self, index: int) -> Recorded | None:
        """One entry, or None if the log has not that many."""
        ...

    def evidence(self, index: int) -> Evidence | None:
        """Everything behind one entry, or None if the log has not that many."""
        ...

    def packs(self, device_id: str, *, from_s: UnixSeconds, to_s: UnixSeconds) -> list[PackEvidence]:
        """The unit's accepted packs (second decisions too) that share a moment with [from_s, to_s), by start."""
        ...

    def refusals(self, device_id: str, *, after_seq: int, to_seq: int) -> list[tuple[int, Decided]]:
        """The unit's refused packs with after_seq < seq <= to_seq, in order."""
        ...

    def erasable(self, customer_id: str) -> Erasable:
        """What the erasure of a customer who has closed their account has to name."""
        ...

    def balances(self, index: int, *, after: str = "", limit: int = 10_000) -> list[tuple[str, int]]:
        """What each account held once entry `index` was done, by key in order, beginning after the key `after`."""
        ...

    def head(self) -> Head:
        """The log as last published."""
        ...

    def final_size_now(self) -> int:
        """`final_size` for who may block."""
        ...

    async def final_size(self) -> int:
        """The size of the newest final checkpoint: the entries below it are co-signed by a quorum; 0 without one."""
        ...
