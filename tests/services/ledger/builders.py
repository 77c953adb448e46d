"""Requests, homes with signed packs, and a ledger of one's own, with defaults: a test shows only what matters to it."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine

from contracts.checkout import AdmitRetailer, Authorize, IssueCheckoutCode
from contracts.commands import (
    AttestIdentity,
    ClaimUnit,
    Command,
    DepositReserve,
    EnrollCustomer,
    RecordPack,
    RegisterUnit,
    Request,
    to_bytes,
)
from contracts.units import DAY_S, HOUR_S, MICRO_CAD_PER_CENT
from contracts.wire import cose, packs, signatures
from contracts.wire.packs import GapPack, Interval, Pack
from services import database
from services.clock import SimulatedClock
from services.ledger.client import Accepted, Ledger, LedgerUnavailable
from services.ledger.local import LocalLedger
from services.ledger.opening import LogIdentity
from services.ledger.queries import Queries
from services.ledger.writer import Writer

START_S: Final = 1_782_810_000
"""A Tuesday in June 2026, 05:00 in Toronto: on the hour."""
NOON_S: Final = START_S + 12 * HOUR_S
"""Where the clock of a ledger stands at first: homes have half a day to tell of."""
INTERVAL_S: Final = 300
IDENTITY: Final = LogIdentity(origin="sparks.test/ledger", seed=bytes(range(32)))


def request(command: Command, *, name: str | None = None, asked: str = "") -> Request:
    """A request whose id follows from `name` (else from the command), and whose digest is that of `asked`."""
    zero = bytes(32)
    named = to_bytes(Request(zero, zero, command)) if name is None else name.encode()
    return Request(hashlib.sha256(named).digest(), hashlib.sha256(asked.encode()).digest(), command)


@dataclass(slots=True)
class Home:
    """A unit with its key, and the packs it signs, each on the one before it."""

    device_id: str = "unit-1"
    customer_id: str = "customer-1"
    seq: int = 0
    last: bytes = packs.FIRST_PREV
    next_s: int = START_S
    seed: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        self.seed = hashlib.sha256(self.device_id.encode()).digest()

    @property
    def claim_hash(self) -> bytes:
        return hashlib.sha256(f"claim of {self.device_id}".encode()).digest()

    def joining(self) -> list[Request]:
        """The requests by which unit and customer are known and belong together."""
        unit = RegisterUnit(
            device_id=self.device_id,
            public_key=signatures.public_key_of(self.seed),
            pv_nameplate_w=6_000,
            battery_capacity_wh=13_500,
            battery_power_w=5_000,
            zone="toronto",
            claim_hash=self.claim_hash,
        )
        commands: list[Command] = [
            unit,
            EnrollCustomer(self.customer_id, "saver"),
            ClaimUnit(self.customer_id, self.claim_hash),
        ]
        return [request(command) for command in commands]

    def message(self, *, intervals: int = 1, pv_wh: int = 200, load_wh: int = 100) -> bytes:
        """The next pack, signed."""
        measured = tuple(
            Interval(
                start_s=self.next_s + place * INTERVAL_S,
                duration_s=INTERVAL_S,
                pv_wh=pv_wh,
                load_wh=load_wh,
                charge_wh=0,
                discharge_wh=0,
                import_wh=max(0, load_wh - pv_wh),
                export_wh=max(0, pv_wh - load_wh),
                soc_pct=50,
            )
            for place in range(intervals)
        )
        self.seq += 1
        self.next_s += intervals * INTERVAL_S
        message = self.signed(Pack(self.device_id, self.seq, self.last, measured))
        self.last = packs.message_hash(message)
        return message

    def signed(self, content: Pack | GapPack) -> bytes:
        """The COSE message with this content."""
        return cose.build(packs.write(content), content_type=cose.SENML_CBOR, seed=self.seed)

    def record(self, **measured: int) -> Request:
        """The request to record the next pack."""
        return request(RecordPack(self.device_id, self.message(**measured)))


def fund(cents: int = 1_000_000) -> Request:
    """The utility pays into the reserve."""
    return request(DepositReserve(cents * MICRO_CAD_PER_CENT, f"transfer of {cents}"))


def shop(retailer_id: str = "SHOP") -> Request:
    """A retailer with one till."""
    return request(AdmitRetailer(retailer_id, "A shop", ("TILL",), 0))


def verified(customer_id: str = "customer-1") -> Request:
    """The customer may spend."""
    return request(AttestIdentity(customer_id, "verified", "test", START_S + 1_000 * DAY_S))


def code(name: str, customer_id: str = "customer-1") -> Request:
    """A checkout code of the customer, by its name."""
    return request(IssueCheckoutCode(customer_id, code_hash(name), 100_000))


def code_hash(name: str) -> bytes:
    return hashlib.sha256(f"code {name}".encode()).digest()


def purchase(name: str, *, cents: int = 1, capture: bool = True, retailer_id: str = "SHOP") -> Request:
    """A sale at the till with the checkout code of the same name."""
    return request(Authorize(name, retailer_id, "TILL", cents, code_hash(name), capture, ""))


@dataclass(frozen=True, slots=True)
class Books:
    """A running ledger: ask it, move its clock, look into its database."""

    url: str
    engine: Engine
    clock: SimulatedClock
    writer: Writer
    queries: Queries
    ledger: LocalLedger

    def accept(self, *requests: Request) -> list[Accepted]:
        """Ask for all of them; each must be accepted."""
        return accept(self.ledger, requests)


def accept(ledger: Ledger, requests: Sequence[Request]) -> list[Accepted]:
    """Ask for all of them; each must be accepted."""
    outcomes = ledger.submit(requests)
    refused = [outcome for outcome in outcomes if not isinstance(outcome, Accepted)]
    assert refused == []
    return [outcome for outcome in outcomes if isinstance(outcome, Accepted)]


@contextmanager
def running(
    url: str,
    *,
    clock: SimulatedClock | None = None,
    migrate: bool = True,
    segments: Path | None = None,
    **options: Any,
) -> Iterator[Books]:
    """A ledger over the database at `url`, stopped in good order at the end."""
    if migrate:
        database.migrate(url)
    engine = database.engine(url, segments=segments)
    clock = clock or SimulatedClock(NOON_S)
    writer = Writer(engine, IDENTITY, clock, **options)
    queries = Queries(engine)
    try:
        writer.start()
        yield Books(url, engine, clock, writer, queries, LocalLedger(writer, queries))
    finally:
        writer.stop()
        engine.dispose()


def accept_at_last(books: Books, *asked: Request) -> list[Accepted]:
    """Ask with the same ids until the ledger can answer; each refusal takes the writer a moment."""
    while True:
        try:
            return books.accept(*asked)
        except LedgerUnavailable:
            continue
