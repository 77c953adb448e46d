"""One frozen row for each thing that the ledger knows, and `View`, the window on them.

Rows outlive the contract set that wrote them. So a later set only ever appends fields, with defaults, to a kind of row:
it then reads what an earlier one wrote, and an earlier one reads the fields it knows. What is nested in a field never
changes its shape; `Decided` gains nothing (its table has columns).
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

from contracts.programmes import Programme
from contracts.state.books import Account, DeferredAward, Queue, Statement
from contracts.units import Bp, Cents, LocalDay, MgCo2e, MgPerWh, MicroSparks, UnixSeconds, Watt, Wh

ZERO_HASH: Final = bytes(32)


class UnitKey(NamedTuple):
    """A unit's Ed25519 key and the numbers it signs: from_seq to until_seq - 1 (0: no end yet)."""

    public_key: bytes
    from_seq: int
    until_seq: int
    revoked: bool

    def signs(self, seq: int) -> bool:
        """May a pack of this number be signed with it?"""
        return not self.revoked and self.from_seq <= seq and (seq < self.until_seq or not self.until_seq)


class MemberKey(NamedTuple):
    """A member's Ed25519 key, valid from from_s until just before until_s.

    use   `govern`: approves proposals and asks for payloads; `cosign`: co-signs checkpoints (C2SP type 0x04)
    name  under which a cosign key signs, empty for others
    """

    public_key: bytes
    use: str
    from_s: UnixSeconds
    until_s: UnixSeconds
    name: str = ""

    def is_valid(self, at_s: UnixSeconds) -> bool:
        """May it sign at this moment?"""
        return self.from_s <= at_s < self.until_s


@dataclass(frozen=True, slots=True)
class Member:
    """An organisation that is, or was, a member.

    url        where its copy takes checkpoints to co-sign, or empty
    keys       all it ever had, in the order added
    removed_s  when it ceased to be a member, 0 if it is one
    serial     how often its keys were changed by commands of their own
    """

    member_id: str
    name: str
    role: str
    url: str
    cosign_name: str
    keys: tuple[MemberKey, ...]
    admitted_s: UnixSeconds
    removed_s: UnixSeconds = 0
    serial: int = 0

    def has_key(self, use: str, at_s: UnixSeconds) -> bool:
        """Can it sign so at this moment?"""
        is_member = not self.removed_s or at_s < self.removed_s
        return is_member and any(key.use == use and key.is_valid(at_s) for key in self.keys)


@dataclass(frozen=True, slots=True)
class Membership:
    """The members by id, and how many of them make a checkpoint final.

    serial  how many proposals were carried; a member's keys count their own (`Member.serial`)
    former  ids of those removed, which nobody gets again
    """

    serial: int = 0
    members: tuple[str, ...] = ()
    quorum: int = 0
    former: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ledger:
    """Under which origin and for which programme this log was opened."""

    origin: str
    programme: str


@dataclass(frozen=True, slots=True)
class ActiveContracts:
    """Which contract set executes what comes next, and the entry that made it so."""

    version: bytes
    activated_at: int


@dataclass(frozen=True, slots=True)
class ContractFiles:
    """The files of one contract set that is or was active (`contracts.bundle`); its version is in the key."""

    files: bytes


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as registered: what it is, whose it is, and which keys it signs with (newest last).

    holder      customer id, or None
    held_from_s when the present holder claimed it
    had_holder  someone else held it before; intervals before `held_from_s` then earn nothing
    """

    device_id: str
    pv_nameplate_w: Watt
    battery_capacity_wh: Wh
    battery_power_w: Watt
    zone: str
    keys: tuple[UnitKey, ...]
    suspended: bool
    claim_hash: bytes
    holder: str | None
    held_from_s: UnixSeconds
    had_holder: bool


@dataclass(frozen=True, slots=True)
class Meter:
    """How far a unit's packs are decided, and what its accepted intervals left behind.

    seq         last decided number (accepted, refused or void)
    hash        SHA-256 of that pack, or of the gap pack that voided it
    decided_at  index of the entry that decided it
    chain_open  the number before the next one is void: the next `prev` is not compared
    voids       runs [first, after) of numbers declared lost that are still ahead, and the gap pack's hash
    last_end_s  end of the last accepted interval
    green_wh, grey_wh   what the battery holds, by origin
    day, day_micro_sparks, day_runs   the local day of the last interval: awarded so far, minutes covered
    recent      runs (start_s, duration_s, net import wh of each) of equally long intervals that a baseline may need
    baselines   (event id, baseline in wh per hour or None) of the events the unit is inside of
    """

    seq: int = 0
    hash: bytes = ZERO_HASH
    decided_at: int = 0
    chain_open: bool = False
    voids: tuple[tuple[int, int, bytes], ...] = ()
    last_end_s: UnixSeconds = 0
    green_wh: Wh = 0
    grey_wh: Wh = 0
    day: LocalDay = 0
    day_micro_sparks: MicroSparks = 0
    day_runs: tuple[tuple[UnixSeconds, UnixSeconds], ...] = ()
    recent: tuple[tuple[int, ...], ...] = ()
    baselines: tuple[tuple[str, Wh | None], ...] = ()


@dataclass(frozen=True, slots=True)
class DayOfUnit:
    """A local day of a unit that its meter has left: what was awarded, which runs were accepted."""

    micro_sparks: MicroSparks
    runs: tuple[tuple[UnixSeconds, UnixSeconds], ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of one number of a unit; `refusal` is empty if it was accepted.

    start_s, end_s  what the accepted intervals span (0, 0 if refused)
    again_at        index of the entry that decided it a second time, or None
    """

    sha256: bytes
    refusal: str
    index: int
    start_s: UnixSeconds
    end_s: UnixSeconds
    again_at: int | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """An open claim code (its SHA-256 is the key)."""

    device_id: str
    expires_s: UnixSeconds


@dataclass(frozen=True, slots=True)
class Holdings:
    """The units a customer holds or held: (device id, from_s, until_s; 0: still held)."""

    units: tuple[tuple[str, UnixSeconds, UnixSeconds], ...] = ()


@dataclass(frozen=True, slots=True)
class Customer:
    """A pseudonym that takes part.

    level_before holds for intervals that start before level_from_s (one step back is kept)
    closed_s     when the account was closed for good, else 0; of a closed one nothing else is kept
    """

    customer_id: str
    level: str
    level_before: str
    level_from_s: UnixSeconds
    frozen: bool = False
    identity: str = "unverified"
    identity_provider: str = ""
    identity_expires_s: UnixSeconds = 0
    enrolled_s: UnixSeconds = 0
    closed_s: UnixSeconds = 0


@dataclass(frozen=True, slots=True)
class Earnings:
    """All a customer was ever awarded as minted."""

    minted_micro_sparks: MicroSparks = 0


@dataclass(frozen=True, slots=True)
class Avoided:
    """The carbon estimate shown to a customer.

    A row of its own: minted awards follow from postings, this does not; so after an erasure the one stays known.
    """

    mg_co2e: MgCo2e = 0


@dataclass(frozen=True, slots=True)
class Event:
    """A demand event as declared."""

    zone: str
    start_s: UnixSeconds
    end_s: UnixSeconds
    discharge_w: Watt | None
    cancelled: bool


@dataclass(frozen=True, slots=True)
class ZoneEvents:
    """The events of a zone that intervals may still lie in: (id, start_s, end_s) in the order declared."""

    events: tuple[tuple[str, UnixSeconds, UnixSeconds], ...] = ()


@dataclass(frozen=True, slots=True)
class Signal:
    """The grid's carbon intensity in one UTC hour."""

    intensity_mg_per_wh: MgPerWh


@dataclass(frozen=True, slots=True)
class Retailer:
    """A shop that takes sparks; settled_day is the last business day that is closed.

    identity  how far a provider vouches for who runs it, until identity_expires_s
    """

    retailer_id: str
    name: str
    terminals: tuple[str, ...]
    bonus_bp: Bp
    settled_day: LocalDay
    suspended: bool = False
    identity: str = "unverified"
    identity_provider: str = ""
    identity_expires_s: UnixSeconds = 0


@dataclass(frozen=True, slots=True)
class BusinessDay:
    """What one retailer took and gave back on one business day."""

    captured_micro_sparks: MicroSparks = 0
    refunded_micro_sparks: MicroSparks = 0


@dataclass(frozen=True, slots=True)
class CheckoutCode:
    """A customer's permission to be charged once."""

    customer_id: str
    max_cents: Cents
    expires_s: UnixSeconds
    declines: int = 0
    used: bool = False


@dataclass(frozen=True, slots=True)
class Spending:
    """Cents authorised by a customer, by local day, for the last thirty days: ((day, cents), ...)."""

    days: tuple[tuple[LocalDay, Cents], ...] = ()


@dataclass(frozen=True, slots=True)
class Purchase:
    """One authorisation and all that came of it.

    held_micro_sparks   c(a), fixed with bonus_bp when it was authorised
    """

    authorization_id: str
    retailer_id: str
    terminal_id: str
    customer_id: str
    reference: str
    amount_cents: Cents
    bonus_bp: Bp
    state: str
    decline_reason: str
    held_micro_sparks: MicroSparks
    captured_cents: Cents
    refunded_cents: Cents
    refunded_micro_sparks: MicroSparks
    created_s: UnixSeconds
    captured_s: UnixSeconds
    expires_s: UnixSeconds
    index: int


Row: TypeAlias = (
    Ledger
    | ActiveContracts
    | ContractFiles
    | Unit
    | Meter
    | DayOfUnit
    | Decided
    | Claim
    | Holdings
    | Customer
    | Earnings
    | Avoided
    | Account
    | Queue
    | DeferredAward
    | Event
    | ZoneEvents
    | Signal
    | Retailer
    | BusinessDay
    | CheckoutCode
    | Spending
    | Purchase
    | Statement
    | Member
    | Membership
)

ROWS: Final[dict[str, type[Row]]] = {
    "ledger": Ledger,
    "active": ActiveContracts,
    "contracts": ContractFiles,
    "unit": Unit,
    "meter": Meter,
    "day": DayOfUnit,
    "pack": Decided,
    "claim": Claim,
    "holdings": Holdings,
    "customer": Customer,
    "earnings": Earnings,
    "avoided": Avoided,
    "account": Account,
    "queue": Queue,
    "deferred": DeferredAward,
    "event": Event,
    "events": ZoneEvents,
    "signal": Signal,
    "retailer": Retailer,
    "business": BusinessDay,
    "code": CheckoutCode,
    "spending": Spending,
    "purchase": Purchase,
    "statement": Statement,
    "member": Member,
    "membership": Membership,
}


class View(Protocol):
    """The state before one command, and the facts of its execution that the writer gives.

    programme  parameters of the active contract set
    at_s       ledger time of this execution
    index      the index its entry will have
    """

    @property
    def programme(self) -> Programme: ...
    @property
    def at_s(self) -> UnixSeconds: ...
    @property
    def index(self) -> int: ...
    def get(self, key: str) -> Row | None:
        """The row under `key`, or None."""
        ...
