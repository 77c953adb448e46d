"""What a command did (`Effects`), or why it did nothing (`Rejected`); the `Draft` in which contracts write."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeVar

import cbor2

from contracts import state
from contracts.programmes import Programme
from contracts.state import Row, View
from contracts.units import UnixSeconds
from contracts.wire import cbor

R = TypeVar("R", bound=Row)


class Reason(StrEnum):
    """Why a command was rejected: nothing of the state changed, and no entry was written."""

    INVALID_ID = "invalid_id"
    UNKNOWN_CUSTOMER = "unknown_customer"
    CUSTOMER_EXISTS = "customer_exists"
    CUSTOMER_CLOSED = "customer_closed"
    UNKNOWN_RECIPIENT = "unknown_recipient"
    INVALID_ERASURE = "invalid_erasure"
    ROWS_CHANGED = "rows_changed"
    UNKNOWN_LEVEL = "unknown_level"
    UNKNOWN_IDENTITY_LEVEL = "unknown_identity_level"
    UNKNOWN_DEVICE = "unknown_device"
    DEVICE_EXISTS = "device_exists"
    INVALID_DEVICE_ID = "invalid_device_id"
    DEVICE_SUSPENDED = "device_suspended"
    UNKNOWN_KEY = "unknown_key"
    INVALID_NAMEPLATE = "invalid_nameplate"
    UNKNOWN_CLAIM_CODE = "unknown_claim_code"
    CLAIM_CODE_EXPIRED = "claim_code_expired"
    CLAIM_CODE_EXISTS = "claim_code_exists"
    KEY_NUMBER_TAKEN = "key_number_taken"
    KEY_IN_USE = "key_in_use"
    BAD_KEY_SIGNATURE = "bad_key_signature"
    MALFORMED_COSE = "malformed_cose"
    MALFORMED_PACK = "malformed_pack"
    DUPLICATE = "duplicate"
    EQUIVOCATION = "equivocation"
    DECLARED_LOST = "declared_lost"
    TOO_EARLY = "too_early"
    TOO_FAR_AHEAD = "too_far_ahead"
    NOT_YET_DUE = "not_yet_due"
    NOTHING_LOST = "nothing_lost"
    UNKNOWN_PACK = "unknown_pack"
    NOT_REFUSED = "not_refused"
    REFUSED_AGAIN = "refused_again"
    UNKNOWN_EVENT = "unknown_event"
    EVENT_EXISTS = "event_exists"
    EVENT_TOO_SOON = "event_too_soon"
    INVALID_EVENT = "invalid_event"
    INVALID_HOUR = "invalid_hour"
    INVALID_AMOUNT = "invalid_amount"
    NOTHING_TO_RELEASE = "nothing_to_release"
    RETAILER_EXISTS = "retailer_exists"
    UNKNOWN_RETAILER = "unknown_retailer"
    CODE_EXISTS = "code_exists"
    UNKNOWN_AUTHORIZATION = "unknown_authorization"
    AUTHORIZATION_EXISTS = "authorization_exists"
    INVALID_STATE = "invalid_state"
    CAPTURE_ABOVE_HOLD = "capture_above_hold"
    REFUND_ABOVE_SALE = "refund_above_sale"
    REFUND_TOO_LATE = "refund_too_late"
    RESERVE_SHORT = "reserve_short"
    INVALID_DAY = "invalid_day"
    STATEMENT_EXISTS = "statement_exists"
    UNKNOWN_STATEMENT = "unknown_statement"
    INVALID_ROOT = "invalid_root"
    TOTAL_DIFFERS = "total_differs"
    LEDGER_ALREADY_OPEN = "ledger_already_open"
    STALE_SERIAL = "stale_serial"
    TOO_FEW_APPROVALS = "too_few_approvals"
    BAD_APPROVAL = "bad_approval"
    APPROVAL_KEY_EXPIRED = "approval_key_expired"
    APPROVED_TWICE = "approved_twice"
    APPROVER_NOT_MEMBER = "approver_not_member"
    UNKNOWN_MEMBER = "unknown_member"
    MEMBER_EXISTS = "member_exists"
    INVALID_MEMBER = "invalid_member"
    UNKNOWN_ROLE = "unknown_role"
    INVALID_COSIGN_NAME = "invalid_cosign_name"
    COSIGN_NAME_TAKEN = "cosign_name_taken"
    INVALID_MEMBER_KEY = "invalid_member_key"
    KEY_NOT_PROVEN = "key_not_proven"
    UNKNOWN_MEMBER_KEY = "unknown_member_key"
    TOO_MANY_KEYS = "too_many_keys"
    LAST_GOVERN_KEY = "last_govern_key"
    LAST_MEMBER = "last_member"
    INVALID_QUORUM = "invalid_quorum"
    QUORUM_OUT_OF_REACH = "quorum_out_of_reach"
    MALFORMED_BUNDLE = "malformed_bundle"
    BUNDLE_OF_OTHER_VERSION = "bundle_of_other_version"
    INVALID_PARAMETERS = "invalid_parameters"
    INVALID_SIMULATION = "invalid_simulation"
    UNKNOWN_CONTRACTS = "unknown_contracts"
    CONTRACTS_ACTIVE = "contracts_active"
    CONTRACTS_UNUSABLE = "contracts_unusable"
    """The ledger's own word: nothing can be executed with this set."""
    OTHER_CONTRACTS = "other_contracts"
    """Never a contract's own word: the set that is active does not know this program's command, or it gave a reason
    that this program does not know."""


class UnfitKey(Exception):
    """A command names something under an id that no row could be kept under everywhere."""


KEY_LENGTH_MAX: Final = 512
"""Of a row's key, in characters: what the index of any database takes."""


class Asset(StrEnum):
    """What postings move; those of one entry sum to zero in each."""

    SPARK = "spark"  # micro_sparks
    CAD = "cad"  # micro_cad
    DEFERRED = "deferred"  # micro_sparks that wait for funds


class Posting(NamedTuple):
    """One leg: `amount` (in the asset's unit, signed) on `account`."""

    asset: str
    account: str
    amount: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The command did nothing; `facts` are for the caller (what was expected, until when to wait)."""

    reason: Reason
    facts: Mapping[str, int] = field(default_factory=dict)


class Effects(NamedTuple):
    """What one executed command changes and answers.

    writes    new row by key (None: the row is gone)
    postings  in order; they sum to zero per asset
    result    the answer to the caller: text, integers, bytes, None, lists and maps of these
    """

    writes: Mapping[str, Row | None]
    postings: tuple[Posting, ...]
    result: Mapping[str, Any]


class Draft:
    """The state as the running command sees it: what the view holds, with its own writes on top."""

    __slots__ = ("_view", "at_s", "index", "postings", "programme", "writes")

    def __init__(self, view: View) -> None:
        self._view = view
        self.programme: Final[Programme] = view.programme
        self.at_s: Final[UnixSeconds] = view.at_s
        self.index: Final[int] = view.index
        self.writes: dict[str, Row | None] = {}
        self.postings: list[Posting] = []

    def get(self, key: str, kind: type[R]) -> R | None:
        """The row under `key`, which is a `kind`, or None."""
        row = self.writes[key] if key in self.writes else self._view.get(key)
        if row is not None and not isinstance(row, kind):
            raise TypeError(f"{key} holds a {type(row).__name__}, not a {kind.__name__}")
        return row

    def put(self, key: str, row: Row) -> None:
        """Write a row. Raises UnfitKey for a key that not every copy's database takes."""
        if len(key) > KEY_LENGTH_MAX or "\0" in key:
            raise UnfitKey(f"a key has at most {KEY_LENGTH_MAX} characters and no NUL, got {key[:80]!r}")
        self.writes[key] = row

    def drop(self, key: str) -> None:
        """Remove a row."""
        self.writes[key] = None

    def effects(self, **result: Any) -> Effects:
        """All that was written, with the answer to the caller."""
        return Effects(self.writes, tuple(self.postings), result)


def to_bytes(
    effects: Effects, *, command_salt: bytes, rows: Mapping[str, bytes | None], result: bytes | None = None
) -> bytes:
    """The deterministic CBOR that an entry's effects commitment covers: arrays only, so the shortest form is the one.

    It holds the postings, the SHA-256 of every row written and a commitment to the result under the command's salt:
    after an erasure (design.md 4) the totals stay provable and the result is gone with that salt.

    rows    the bytes of each row in `effects.writes`, as stored
    result  `result_bytes(effects)`, if the caller has them already
    """
    written = [[key, None if data is None else hashlib.sha256(data).digest()] for key, data in rows.items()]
    answer = result_bytes(effects) if result is None else result
    result_commitment = hashlib.sha256(command_salt + answer).digest()
    return cbor2.dumps([[tuple(posting) for posting in effects.postings], written, result_commitment])


class Outline(NamedTuple):
    """What the committed bytes of effects say by themselves.

    written            each key written with the SHA-256 of its row (None: the row is gone)
    result_commitment  SHA-256 of the command's salt and the result
    """

    postings: tuple[Posting, ...]
    written: Mapping[str, bytes | None]
    result_commitment: bytes


def outline(data: bytes) -> Outline:
    """Read what `to_bytes` wrote; anything else raises ValueError or TypeError."""
    postings, written, result_commitment = cbor.decode(data)
    return Outline(tuple(Posting(*posting) for posting in postings), dict(written), result_commitment)


def result_bytes(effects: Effects) -> bytes:
    """The answer to the caller as deterministic CBOR."""
    return cbor.encode(dict(effects.result))


def row_bytes(effects: Effects) -> dict[str, bytes | None]:
    """Every row written as it is stored, by key in order."""
    return {key: None if row is None else state.to_bytes(row) for key, row in sorted(effects.writes.items())}
