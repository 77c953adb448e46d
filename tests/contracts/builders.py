"""Builders with defaults: a test shows only what matters to it."""

from typing import Any

from contracts import programmes
from contracts.commands import (
    AdmitRetailer,
    AttestIdentity,
    ClaimUnit,
    Command,
    DepositReserve,
    EnrollCustomer,
    IssueCheckoutCode,
    RecordPack,
    RegisterUnit,
)
from contracts.effects import Effects, Rejected
from contracts.execute import execute
from contracts.memory import Memory
from contracts.state import ZERO_HASH, Unit, UnitKey
from contracts.wire import cose, packs, signatures
from contracts.wire.packs import Interval, Pack

MONDAY_NOON_S = 1_783_353_600  # 2026-07-06 12:00 in Toronto, on-peak
HOUR_S = 3_600
FOR_EVER_S = 4_000_000_000
SEED = bytes(range(32))
CODE = b"c" * 32


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


def a_message(seq: int = 1, prev: bytes = ZERO_HASH, *intervals: Interval, device_id: str = "unit-1") -> bytes:
    """A signed pack, of one interval unless others are given."""
    payload = packs.write(Pack(device_id, seq, prev, intervals or (an_interval(),)))
    return cose.build(payload, content_type=cose.SENML_CBOR, seed=SEED)


def a_record(seq: int = 1, prev: bytes = ZERO_HASH, *intervals: Interval) -> RecordPack:
    return RecordPack("unit-1", a_message(seq, prev, *intervals))


def hash_of(command: RecordPack) -> bytes:
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
