"""A small log in which everything has happened once: every kind of command, and the writer's own."""

import hashlib
from itertools import count

from sqlalchemy import Engine

from contracts import bundle
from contracts.checkout import (
    AdmitRetailer,
    AttestRetailer,
    Authorize,
    Capture,
    IssueCheckoutCode,
    Refund,
    SettleRetailer,
    Void,
)
from contracts.closing import CloseBooks, PublishStatement
from contracts.commands import (
    AttestIdentity,
    CancelEvent,
    ChooseLevel,
    ClaimUnit,
    CloseAccount,
    Command,
    CorrectUnit,
    DecideAgain,
    DeclareEvent,
    DeclareLost,
    DepositReserve,
    EnrollCustomer,
    EraseCustomer,
    FreezeCustomer,
    IssueClaimCode,
    LeaveUnit,
    PublishSignal,
    RecordPack,
    RegisterUnit,
    ReplaceKey,
    Request,
    SuspendUnit,
)
from contracts.governed import ActivateContracts, AddMemberKey, ChangeMember, RemoveMember, RetireMemberKey, SetQuorum
from contracts.programmes import load
from contracts.wire import cose, packs, signatures
from contracts.wire.keys import key_change_bytes
from contracts.wire.packs import GapPack, Interval, Pack
from services.clock import SimulatedClock
from services.ledger.client import Accepted, Declined, Outcome
from services.ledger.opening import LogIdentity
from services.ledger.writer import Writer
from tests.contracts.members import a_candidate, a_key, approved, public_key
from tests.services.contract_sets.second import other_parameters, other_rate

ORIGIN = "sparks.example/ledger"
LOG_SEED = hashlib.sha256(b"log").digest()
LOG_PUBLIC_KEY = signatures.public_key_of(LOG_SEED)
NOON_S = 1_783_353_600  # Monday 2026-07-06 12:00 in Toronto
HOUR_S = 3_600
DAY_S = 24 * HOUR_S


class Scribe:
    """Asks a running writer, one batch at a time, with ids of its own."""

    def __init__(self, engine: Engine, clock: SimulatedClock) -> None:
        self.clock = clock
        self.writer = Writer(engine, LogIdentity(origin=ORIGIN, seed=LOG_SEED), clock)
        self._numbers = count(1)
        self.writer.start()

    def ask(self, *commands: Command) -> list[Outcome]:
        return self.writer.ask([self._request(command) for command in commands]).result(30)

    def accepted(self, *commands: Command) -> list[Accepted]:
        outcomes = self.ask(*commands)
        assert all(isinstance(outcome, Accepted) for outcome in outcomes), outcomes
        return [outcome for outcome in outcomes if isinstance(outcome, Accepted)]

    def declined(self, *commands: Command) -> None:
        outcomes = self.ask(*commands)
        assert all(isinstance(outcome, Declined) for outcome in outcomes), outcomes

    def _request(self, command: Command) -> Request:
        id = hashlib.sha256(str(next(self._numbers)).encode()).digest()
        return Request(id, hashlib.sha256(command.KIND.encode()).digest(), command)


class Meter:
    """A unit that signs its packs in order."""

    def __init__(self, device_id: str, *, seed: bytes) -> None:
        self.device_id = device_id
        self.seed = seed
        self.seq = 0
        self._prev = packs.FIRST_PREV
        self._start_s = NOON_S

    def record(self, *, pv_wh: int = 1_000, load_wh: int | None = None) -> RecordPack:
        """The next hour; balanced unless another load is given."""
        flows = {"charge_wh": 0, "discharge_wh": 0, "import_wh": 0, "export_wh": 0}
        load_wh = pv_wh if load_wh is None else load_wh
        interval = Interval(self._start_s, HOUR_S, pv_wh=pv_wh, load_wh=load_wh, **flows)
        self.seq += 1
        self._start_s += HOUR_S
        message = self._signed(Pack(self.device_id, self.seq, self._prev, (interval,)))
        self._prev = packs.message_hash(message)
        return RecordPack(self.device_id, message)

    def lose(self, count: int) -> DeclareLost:
        """The next `count` packs will never come."""
        message = self._signed(GapPack(self.device_id, self.seq + 1, self._prev, self.seq + 1 + count))
        self.seq += count
        return DeclareLost(self.device_id, message, ())

    def change_key(self, seed: bytes) -> ReplaceKey:
        public_key, from_seq = signatures.public_key_of(seed), self.seq + 1
        change = key_change_bytes(self.device_id, public_key, from_seq)
        signature, self.seed = signatures.sign(self.seed, change), seed
        return ReplaceKey(self.device_id, public_key, from_seq, signature, 0)

    def _signed(self, content: Pack | GapPack) -> bytes:
        return cose.build(packs.write(content), content_type=cose.SENML_CBOR, seed=self.seed)


def write(engine: Engine, *, signals: int = 230) -> None:
    """Fill an empty database; `signals` grid signals make the log as long as is wanted."""
    scribe = Scribe(engine, SimulatedClock(NOON_S - HOUR_S))
    try:
        _found(scribe)
        _enroll(scribe)
        _earn(scribe)
        _pay(scribe)
        _leave(scribe)
        _tell(scribe)
        hours = [NOON_S // HOUR_S * HOUR_S + hour * HOUR_S for hour in range(signals)]
        for start in range(0, signals, 100):
            scribe.accepted(*(PublishSignal(hour_s, 40 + hour_s % 7) for hour_s in hours[start : start + 100]))
        _change_rates(scribe)
    finally:
        scribe.writer.stop()


def _found(scribe: Scribe) -> None:
    """Two members, of whom one goes again; the other has one key more, and one less."""
    at_s = scribe.clock.now_s()
    key = public_key("next")
    scribe.accepted(
        approved(a_candidate("hydro", serial=0, at_s=at_s), "hydro"),
        approved(a_candidate("auditor", serial=1, at_s=at_s), "hydro", "auditor"),
        approved(ChangeMember(2, "auditor", "Audit", "auditor", "", "auditor.example/all", ()), "hydro", "auditor"),
        approved(AddMemberKey(0, "hydro", *a_key("hydro", "next", from_s=at_s, lasts_s=DAY_S), ()), "hydro"),
        approved(RetireMemberKey(1, "hydro", key, 0, ()), hydro="next"),
        approved(SetQuorum(3, 1, ()), "hydro", "auditor"),
        approved(RemoveMember(4, "auditor", ()), "hydro", "auditor"),
    )


def _enroll(scribe: Scribe) -> None:
    scribe.accepted(EnrollCustomer("ann", "saver"), EnrollCustomer("bob", "saver"))
    scribe.declined(EnrollCustomer("ann", "saver"))
    scribe.accepted(
        AttestIdentity("ann", "enhanced", "bank", 4_000_000_000),
        RegisterUnit("unit-1", signatures.public_key_of(_seed("1")), 5_000, 10_000, 5_000, "toronto", _hash("k1")),
        RegisterUnit("unit-2", signatures.public_key_of(_seed("2")), 5_000, 10_000, 5_000, "toronto", _hash("k2")),
        ClaimUnit("ann", _hash("k1")),
        IssueClaimCode("unit-2", _hash("k3")),
        ClaimUnit("bob", _hash("k3")),
        DeclareEvent("evening", "toronto", NOON_S + 2 * HOUR_S, NOON_S + 4 * HOUR_S, 1_000),
        DeclareEvent("mistake", "toronto", NOON_S + 5 * HOUR_S, NOON_S + 6 * HOUR_S, None),
        CancelEvent("mistake"),
        AdmitRetailer("SHOP", "Shop", ("TILL",), 500),
        AttestRetailer("SHOP", "verified", "registry", 4_000_000_000),
        DepositReserve(1_000, "too little"),
    )


def _earn(scribe: Scribe) -> None:
    scribe.clock.advance_to(NOON_S + DAY_S)
    one, two = Meter("unit-1", seed=_seed("1")), Meter("unit-2", seed=_seed("2"))
    scribe.accepted(*(one.record() for _ in range(4)), one.record(load_wh=9_000), one.record())
    bright = two.record(pv_wh=9_000)
    scribe.accepted(bright)
    scribe.accepted(CorrectUnit("unit-2", 20_000, 10_000, 5_000, "toronto"), DecideAgain("unit-2", 1, bright.message))
    scribe.accepted(two.record(), two.lose(3), two.record(), two.change_key(_seed("3")), two.record())
    scribe.accepted(SuspendUnit("unit-1", True), SuspendUnit("unit-1", False))
    scribe.accepted(DepositReserve(10**9, "enough"))
    # The writer releases what waited before it takes what comes next.
    scribe.accepted(*(one.record(pv_wh=5_000) for _ in range(10)))


def _pay(scribe: Scribe) -> None:
    for place in range(4):
        scribe.accepted(IssueCheckoutCode("ann", _hash(f"code {place}"), 10_000))
    scribe.accepted(
        _authorize("sale", 0, capture=True),
        _authorize("part", 1),
        _authorize("void", 2),
        _authorize("late", 3),
        Capture("SHOP", "part", 3),
        Refund("SHOP", "sale", 2),
        Void("SHOP", "void"),
        _authorize("declined", 9),
    )
    scribe.declined(Capture("SHOP", "nothing", None))
    scribe.clock.advance_to(NOON_S + DAY_S + 3 * HOUR_S)  # the late hold ends
    scribe.accepted(FreezeCustomer("ann", True))
    scribe.accepted(FreezeCustomer("ann", False))
    scribe.clock.advance_to(NOON_S + 2 * DAY_S)
    first_day = load().local_day(NOON_S - HOUR_S) - 1
    scribe.accepted(*(SettleRetailer("SHOP", first_day + 1 + day) for day in range(2)))
    scribe.accepted(IssueCheckoutCode("ann", _hash("code 4"), 10_000), _authorize("held", 4))


def _leave(scribe: Scribe) -> None:
    scribe.accepted(ChooseLevel("bob", "partner"), LeaveUnit("bob", "unit-2"))
    scribe.accepted(EnrollCustomer("eve", "saver"), CloseAccount("eve", None), EraseCustomer("eve", (), ()))


def _tell(scribe: Scribe) -> None:
    """The statement of the day before."""
    (closed,) = scribe.accepted(CloseBooks(load().local_day(scribe.clock.now_s()) - 1))
    owed = (closed.result["outstanding_micro_sparks"], closed.result["deferred_micro_sparks"])
    scribe.accepted(PublishStatement(closed.result["day"], _hash("root"), 8, *owed))


def _change_rates(scribe: Scribe) -> None:
    """The member that is left approves other rates; what comes after them is executed by them."""
    parameters = other_parameters()
    version = bundle.version_of(bundle.from_bytes(other_rate()))
    scribe.accepted(approved(ActivateContracts(5, version, None, parameters, b"", ()), "hydro"))
    scribe.accepted(DepositReserve(10**6, "under other rates"))


def _authorize(name: str, code: int, *, capture: bool = False) -> Authorize:
    return Authorize(name, "SHOP", "TILL", 5, _hash(f"code {code}"), capture, "")


def _seed(name: str) -> bytes:
    return _hash(f"unit {name}")


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
