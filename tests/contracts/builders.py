"""Builders with defaults: a test shows only what matters to it."""

from typing import Any

from contracts import accounts, bundle, programmes, state
from contracts.checkout import AdmitRetailer, Authorize, IssueCheckoutCode
from contracts.commands import (
    AttestIdentity,
    ClaimUnit,
    Command,
    DeclareLost,
    DepositReserve,
    EnrollCustomer,
    RecordPack,
    RegisterUnit,
)
from contracts.effects import Asset, Draft, Effects, Rejected
from contracts.execute import execute
from contracts.memory import Memory
from contracts.state import ZERO_HASH, Account, Decided, Meter, Purchase, Unit, UnitKey
from contracts.units import MICRO_SPARKS_PER_CENT
from contracts.wire import cbor, cose, packs, signatures
from contracts.wire.packs import GapPack, Interval, Pack

MONDAY_NOON_S = 1_783_353_600  # 2026-07-06 12:00 in Toronto, on-peak
HOUR_S = 3_600
FOR_EVER_S = 4_000_000_000
SEED = bytes(range(32))
CODE = b"c" * 32
FILES = bundle.to_bytes({"__init__.py": b"", "programmes/ontario.toml": b""})
"""Of a contract set that nobody executes."""


def an_interval(start_s: int = MONDAY_NOON_S, **given: Any) -> Interval:
    """A balanced hour: 1,000 wh of sun, all used at home."""
    flows = {"pv_wh": 1_000, "load_wh": 1_000, "charge_wh": 0, "discharge_wh": 0, "import_wh": 0, "export_wh": 0}
    return Interval(start_s=start_s, duration_s=given.pop("duration_s", HOUR_S), **(flows | given))


def a_unit(**given: Any) -> Unit:
    fields: dict[str, Any] = {
        "device_id": "unit-1",
        "pv_nameplate_w": 5_000,
        "battery_capacity_wh": 10_000,
        "battery_power_w": 5_000,
        "zone": "toronto",
        "keys": (UnitKey(signatures.public_key_of(SEED), 1, 0, revoked=False),),
        "suspended": False,
        "claim_hash": b"",
        "holder": "ann",
        "held_from_s": 0,
        "had_holder": False,
    }
    return Unit(**(fields | given))


def a_message(
    seq: int = 1, prev: bytes = ZERO_HASH, *intervals: Interval, device_id: str = "unit-1", seed: bytes = SEED
) -> bytes:
    """A signed pack, of one interval unless others are given."""
    payload = packs.write(Pack(device_id, seq, prev, intervals or (an_interval(),)))
    return cose.build(payload, content_type=cose.SENML_CBOR, seed=seed)


def a_malformed_message(seq: int | None = 1, prev: bytes = ZERO_HASH, *, seed: bytes = SEED) -> bytes:
    """A signed pack without a single flow; its number can be read unless it is None."""
    base = {-1: 26, -2: "urn:dev:ops:32473-unit-1_", -3: MONDAY_NOON_S}
    records = [base | {0: "prev", 8: prev}, *([] if seq is None else [{0: "seq", 2: seq}])]
    return cose.build(cbor.encode(records), content_type=cose.SENML_CBOR, seed=seed)


def a_gap_message(
    seq: int, lost: int, *, prev: bytes = ZERO_HASH, device_id: str = "unit-1", seed: bytes = SEED
) -> bytes:
    """A signed gap pack: no missing number from `seq` to below `lost` will come."""
    payload = packs.write(GapPack(device_id, seq, prev, lost))
    return cose.build(payload, content_type=cose.SENML_CBOR, seed=seed)


def a_record(seq: int = 1, prev: bytes = ZERO_HASH, *intervals: Interval) -> RecordPack:
    return RecordPack("unit-1", a_message(seq, prev, *intervals))


def a_gap(seq: int, lost: int, *parked: int) -> DeclareLost:
    return DeclareLost("unit-1", a_gap_message(seq, lost), parked)


def hash_of(command: RecordPack | DeclareLost) -> bytes:
    return packs.message_hash(command.message)


def do(view: Memory, command: Command) -> Effects | Rejected:
    """Execute; take the effects over if there are any."""
    done = execute(view, command)
    if isinstance(done, Effects):
        view.apply(done)
    return done


def done(view: Memory, command: Command) -> dict[str, Any]:
    """Execute a command that must be accepted; its result."""
    effects = do(view, command)
    assert isinstance(effects, Effects), effects
    return dict(effects.result)


def rejected(view: Memory, command: Command) -> str:
    """Execute a command that must be rejected; the reason."""
    rejection = do(view, command)
    assert isinstance(rejection, Rejected), rejection
    return str(rejection.reason)


def a_ledger(*, at_s: int = MONDAY_NOON_S + HOUR_S, deposit_cents: int = 10_000_000, claimed: bool = True) -> Memory:
    """Ann, verified, holds unit-1; SHOP takes sparks at TILL; the reserve is funded."""
    view = Memory(programmes.load(), at_s=at_s)
    done(view, EnrollCustomer("ann", "saver"))
    done(view, AttestIdentity("ann", "enhanced", "bank", FOR_EVER_S))
    done(view, RegisterUnit("unit-1", signatures.public_key_of(SEED), 5_000, 10_000, 5_000, "toronto", b"k" * 32))
    if claimed:
        done(view, ClaimUnit("ann", b"k" * 32))
    if deposit_cents:
        done(view, DepositReserve(deposit_cents * 10_000, "first"))
    done(view, AdmitRetailer("SHOP", "Shop", ("TILL",), 0))
    return view


def with_sparks(view: Memory, *, hours: int = 20) -> Memory:
    """Ann earns in `hours` of sun, and has a checkout code."""
    prev = ZERO_HASH
    for hour in range(hours):
        start_s = view.at_s - HOUR_S * (hours - hour)
        record = a_record(hour + 1, prev, an_interval(start_s, pv_wh=5_000, load_wh=5_000))
        done(view, record)
        prev = hash_of(record)
    done(view, IssueCheckoutCode("ann", CODE, 50_000))
    return view


def balance(view: Memory, account: str, asset: Asset = Asset.SPARK) -> int:
    """The balance of an account, in the asset's unit."""
    row = view.rows.get(state.account_key(asset, account))
    return row.balance if isinstance(row, Account) else 0


def award(view: Memory, micro_sparks: int, customer_id: str = "ann") -> bool:
    """Award as a pack would, in an entry of its own; True if it was minted."""
    draft = Draft(view)
    is_minted = accounts.mint(draft, customer_id, micro_sparks)
    view.apply(draft)
    return is_minted


def with_cents(cents: int, *, bonus_bp: int = 0, deposit_cents: int = 10_000_000) -> Memory:
    """Ann has the sparks of so many cents; SHOP gives this bonus."""
    view = a_ledger(deposit_cents=deposit_cents)
    award(view, cents * MICRO_SPARKS_PER_CENT)
    del view.rows[state.retailer_key("SHOP")]
    done(view, AdmitRetailer("SHOP", "Shop", ("TILL",), bonus_bp))
    return view


def buy(
    view: Memory, amount_cents: int, name: str = "sale", *, capture: bool = True, retailer_id: str = "SHOP"
) -> Purchase:
    """Ann shows a new code and a retailer authorises; the purchase, which may be declined."""
    code = name.encode().ljust(32)
    done(view, IssueCheckoutCode("ann", code, view.programme.amount_cents_max))
    done(view, Authorize(name, retailer_id, "TILL", amount_cents, code, capture, "till roll 1"))
    return purchase(view, name)


def purchase(view: Memory, name: str = "sale") -> Purchase:
    row = view.rows[state.purchase_key(name)]
    assert isinstance(row, Purchase)
    return row


def meter(view: Memory) -> Meter:
    row = view.rows.get(state.meter_key("unit-1"), Meter())
    assert isinstance(row, Meter)
    return row


def late_ledger() -> Memory:
    """A ledger at a time when every pack of a short chain is due."""
    return a_ledger(at_s=MONDAY_NOON_S + 2 * HOUR_S)


def decided(view: Memory, seq: int) -> Decided | None:
    row = view.rows.get(state.pack_key("unit-1", seq))
    assert row is None or isinstance(row, Decided)
    return row
