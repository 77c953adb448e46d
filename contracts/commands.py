"""Everything that can be asked of the ledger, as values, and as deterministic CBOR both ways.

A `Request` is what the writer orders and the log commits to: a command, the caller's id for it (32 bytes; the same
id asked twice is answered once) and the digest of what the caller was asked (so that an id used again for something
else is noticed).
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, TypeAlias, get_args, get_origin, get_type_hints

import cbor2

from contracts.checkout import (
    AdmitRetailer,
    AttestRetailer,
    Authorize,
    Capture,
    ExpireHold,
    IssueCheckoutCode,
    Refund,
    SettleRetailer,
    Void,
)
from contracts.closing import CloseBooks, PublishStatement
from contracts.governed import (
    ActivateContracts,
    AddMemberKey,
    AdmitMember,
    ChangeMember,
    RemoveMember,
    RetireMemberKey,
    SetQuorum,
)
from contracts.units import (
    MgPerWh,
    MicroCad,
    UnixSeconds,
    Watt,
    Wh,
)
from contracts.wire import cbor

UTILITY: Final = "utility"


@dataclass(frozen=True, slots=True)
class OpenLedger:
    """The first entry of a log: which programme it keeps, under which origin, and its first contract set.

    files  of that set (`contracts.bundle`); in every later set these fields stay the first three
    """

    KIND: ClassVar[str] = "open_ledger"
    COLLECTION: ClassVar[str] = UTILITY
    origin: str
    programme: str
    files: bytes


@dataclass(frozen=True, slots=True)
class EnrollCustomer:
    """A person takes part, under a pseudonym; `level` holds from the beginning."""

    KIND: ClassVar[str] = "enroll_customer"
    COLLECTION: ClassVar[str] = UTILITY
    customer_id: str
    level: str


@dataclass(frozen=True, slots=True)
class ChooseLevel:
    """The participation level from the next local midnight on."""

    KIND: ClassVar[str] = "choose_level"
    COLLECTION: ClassVar[str] = UTILITY
    customer_id: str
    level: str


@dataclass(frozen=True, slots=True)
class AttestIdentity:
    """A provider vouches for who a customer is; never the personal data itself."""

    KIND: ClassVar[str] = "attest_identity"
    COLLECTION: ClassVar[str] = UTILITY
    customer_id: str
    level: str
    provider: str
    expires_s: UnixSeconds


@dataclass(frozen=True, slots=True)
class FreezeCustomer:
    """The customer stops (or allows again) every spending of their sparks; earning goes on."""

    KIND: ClassVar[str] = "freeze_customer"
    COLLECTION: ClassVar[str] = UTILITY
    customer_id: str
    frozen: bool


@dataclass(frozen=True, slots=True)
class RegisterUnit:
    """A unit joins the fleet with its first key (valid from seq 1) and a claim code, known here by its SHA-256."""

    KIND: ClassVar[str] = "register_unit"
    COLLECTION: ClassVar[str] = UTILITY
    device_id: str
    public_key: bytes
    pv_nameplate_w: Watt
    battery_capacity_wh: Wh
    battery_power_w: Watt
    zone: str
    claim_hash: bytes


@dataclass(frozen=True, slots=True)
class CorrectUnit:
    """The nameplate or zone of a unit was wrong, or has changed."""

    KIND: ClassVar[str] = "correct_unit"
    COLLECTION: ClassVar[str] = UTILITY
    device_id: str
    pv_nameplate_w: Watt
    battery_capacity_wh: Wh
    battery_power_w: Watt
    zone: str


@dataclass(frozen=True, slots=True)
class SuspendUnit:
    """A unit's messages are set aside (or taken again)."""

    KIND: ClassVar[str] = "suspend_unit"
    COLLECTION: ClassVar[str] = UTILITY
    device_id: str
    suspended: bool


@dataclass(frozen=True, slots=True)
class ReplaceKey:
    """A unit signs with another key from number `from_seq` on.

    signature   by the old key over `wire.keys.key_change_bytes`; None: the fleet's operator vouches, the old key
                is revoked
    parked_seq  the highest number of the unit that waits in a parking place, 0 if none
    """

    KIND: ClassVar[str] = "replace_key"
    COLLECTION: ClassVar[str] = UTILITY
    device_id: str
    public_key: bytes
    from_seq: int
    signature: bytes | None
    parked_seq: int


@dataclass(frozen=True, slots=True)
class IssueClaimCode:
    """A new claim code for a unit; the one before ends."""

    KIND: ClassVar[str] = "issue_claim_code"
    COLLECTION: ClassVar[str] = UTILITY
    device_id: str
    claim_hash: bytes


@dataclass(frozen=True, slots=True)
class ClaimUnit:
    """A customer shows a claim code and holds the unit from now on."""

    KIND: ClassVar[str] = "claim_unit"
    COLLECTION: ClassVar[str] = UTILITY
    customer_id: str
    claim_hash: bytes


@dataclass(frozen=True, slots=True)
class LeaveUnit:
    """A customer moves out: the unit is nobody's until it is claimed again."""

    KIND: ClassVar[str] = "leave_unit"
    COLLECTION: ClassVar[str] = UTILITY
    customer_id: str
    device_id: str


@dataclass(frozen=True, slots=True)
class CloseAccount:
    """A customer leaves for good: units are left, deferred awards lapse, what is left is paid out or transferred.

    transfer_to  the customer who gets all that is left; None: whole cents are paid out of the reserve
    """

    KIND: ClassVar[str] = "close_account"
    COLLECTION: ClassVar[str] = UTILITY
    customer_id: str
    transfer_to: str | None


@dataclass(frozen=True, slots=True)
class EraseCustomer:
    """What entries say of a customer who has closed their account is erased from every copy (design.md 4).

    erased  indexes of the entries whose request, its salt and result are erased, ascending
    rows    (key, bytes) of the rows that those entries wrote and that live on, as they are now
    """

    KIND: ClassVar[str] = "erase_customer"
    COLLECTION: ClassVar[str] = UTILITY
    customer_id: str
    erased: tuple[int, ...]
    rows: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class RecordPack:
    """A message of a unit whose signature was checked (`contracts.evidence`): the COSE bytes as received."""

    KIND: ClassVar[str] = "record_pack"
    COLLECTION: ClassVar[str] = UTILITY
    device_id: str
    message: bytes


@dataclass(frozen=True, slots=True)
class DeclareLost:
    """A gap pack of a unit (COSE bytes), with the numbers of the unit that wait in a parking place."""

    KIND: ClassVar[str] = "declare_lost"
    COLLECTION: ClassVar[str] = UTILITY
    device_id: str
    message: bytes
    parked: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DecideAgain:
    """The second decision of a refused pack, after what was wrong has been corrected."""

    KIND: ClassVar[str] = "decide_again"
    COLLECTION: ClassVar[str] = UTILITY
    device_id: str
    seq: int
    message: bytes


@dataclass(frozen=True, slots=True)
class DeclareEvent:
    """A demand event of a zone: please import less between these moments."""

    KIND: ClassVar[str] = "declare_event"
    COLLECTION: ClassVar[str] = UTILITY
    event_id: str
    zone: str
    start_s: UnixSeconds
    end_s: UnixSeconds
    discharge_w: Watt | None


@dataclass(frozen=True, slots=True)
class CancelEvent:
    """The event never was, for what is executed from now on."""

    KIND: ClassVar[str] = "cancel_event"
    COLLECTION: ClassVar[str] = UTILITY
    event_id: str


@dataclass(frozen=True, slots=True)
class PublishSignal:
    """The grid's carbon intensity in one UTC hour."""

    KIND: ClassVar[str] = "publish_signal"
    COLLECTION: ClassVar[str] = UTILITY
    hour_s: UnixSeconds
    intensity_mg_per_wh: MgPerWh


@dataclass(frozen=True, slots=True)
class DepositReserve:
    """The utility pays into the reserve that funds every spark."""

    KIND: ClassVar[str] = "deposit_reserve"
    COLLECTION: ClassVar[str] = UTILITY
    amount_micro_cad: MicroCad
    reference: str


@dataclass(frozen=True, slots=True)
class ReleaseDeferred:
    """Mint the awards at the head of the queue that the reserve now funds."""

    KIND: ClassVar[str] = "release_deferred"
    COLLECTION: ClassVar[str] = UTILITY


Command: TypeAlias = (
    OpenLedger
    | EnrollCustomer
    | ChooseLevel
    | AttestIdentity
    | FreezeCustomer
    | RegisterUnit
    | CorrectUnit
    | SuspendUnit
    | ReplaceKey
    | IssueClaimCode
    | ClaimUnit
    | LeaveUnit
    | CloseAccount
    | EraseCustomer
    | RecordPack
    | DeclareLost
    | DecideAgain
    | DeclareEvent
    | CancelEvent
    | PublishSignal
    | DepositReserve
    | ReleaseDeferred
    | AdmitRetailer
    | AttestRetailer
    | IssueCheckoutCode
    | Authorize
    | Capture
    | Void
    | Refund
    | ExpireHold
    | SettleRetailer
    | CloseBooks
    | PublishStatement
    | AdmitMember
    | ChangeMember
    | AddMemberKey
    | RetireMemberKey
    | RemoveMember
    | SetQuorum
    | ActivateContracts
)

BY_KIND: Final[dict[str, type[Command]]] = {cls.KIND: cls for cls in Command.__args__}
_BYTES: Final = (bytes,)


def _types_of(kind: type[Command]) -> tuple[tuple[type, ...], ...]:
    """Of which types each field may be; what a tuple holds is for the contracts."""
    hints = get_type_hints(kind)
    declared = (hints[field.name] for field in fields(kind))
    return tuple((tuple,) if get_origin(hint) is tuple else get_args(hint) or (hint,) for hint in declared)


_TYPES: Final = {kind: _types_of(kind) for kind in BY_KIND.values()}
_FIELDS: Final = {cls: tuple(field.name for field in fields(cls)) for cls in BY_KIND.values()}


@dataclass(frozen=True, slots=True)
class Request:
    """A command as it is asked of the ledger.

    id      32 bytes of the caller's choice, unique to what is asked
    digest  32 bytes over what the caller was asked; the same id with another digest is refused
    """

    id: bytes
    digest: bytes
    command: Command


def to_bytes(request: Request) -> bytes:
    """The deterministic CBOR of a request, arrays only: what the entry commits to."""
    command = request.command
    values = [getattr(command, name) for name in _FIELDS[type(command)]]
    return cbor2.dumps([command.KIND, request.id, request.digest, *values])


def from_bytes(data: bytes) -> Request:
    """Read what `to_bytes` wrote; anything else raises ValueError."""
    value = cbor.decode(data)
    if not isinstance(value, list) or len(value) < 3 or not isinstance(value[0], str) or value[0] not in BY_KIND:
        raise ValueError("not a request")
    kind = BY_KIND[value[0]]
    if len(value) != 3 + len(_FIELDS[kind]):
        raise ValueError(f"{kind.KIND} has {len(_FIELDS[kind])} fields, got {len(value) - 3}")
    values: list[Any] = [_frozen(field) for field in value[1:]]
    for field, allowed in zip(values, (_BYTES, _BYTES, *_TYPES[kind]), strict=True):
        if type(field) not in allowed:
            raise ValueError(f"a field of {kind.KIND} is a {type(field).__name__}")
    made: Any = kind
    return Request(values[0], values[1], made(*values[2:]))


def _frozen(value: object) -> object:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
