"""A platform for one test: real ledger and database, a transport in memory, and clocks to move."""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client import CollectorRegistry
from sqlmodel import Session

from contracts.commands import Command
from contracts.state import Decided, Meter, meter_key, pack_key
from contracts.wire import cose, receipts, signatures
from contracts.wire.receipts import Instruction, Receipt
from device_sim.unit import PlatformKeys
from services.database import is_sqlite, reading, transaction
from services.ingestion.metrics import Metrics
from services.ingestion.patience import Patience
from services.ingestion.program import Identity, worker_of
from services.ingestion.sources.source import Message
from services.ingestion.worker import Worker
from services.setaside import parking, quarantine, tallies
from services.setaside.quarantine import Quarantined, State
from tests.services.ledger.builders import IDENTITY, Books, Home, fund, request, running

RECEIPTS_SEED: Final = bytes([1]) * 32
COMMANDS_SEED: Final = bytes([2]) * 32
INGESTION: Final = Identity(origin=IDENTITY.origin, receipts_seed=RECEIPTS_SEED, commands_seed=COMMANDS_SEED)
PLATFORM_KEYS: Final = PlatformKeys(
    receipts=(signatures.public_key_of(RECEIPTS_SEED),), commands=(signatures.public_key_of(COMMANDS_SEED),)
)
ALL_STATES: Final = tuple(State)
OUTCOMES: Final = ("accepted", "refused", "quarantined", "waiting", "duplicate", "void")


@dataclass(slots=True)
class Memory:
    """A transport that keeps what is not acknowledged, and delivers it again when asked."""

    unacknowledged: list[Message] = field(default_factory=list)
    receipts: dict[str, list[bytes]] = field(default_factory=dict)
    commands: dict[str, list[bytes]] = field(default_factory=dict)
    _waiting: deque[Message] = field(default_factory=deque)

    def deliver(self, device_id: str, *payloads: bytes) -> None:
        for payload in payloads:
            message = Message(device_id, payload)
            self.unacknowledged.append(message)
            self._waiting.append(message)

    def deliver_again(self) -> None:
        """As a broker does to a client that came back."""
        self._waiting = deque(self.unacknowledged)

    def take(self, limit: int, timeout_s: float) -> list[Message]:
        return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.unacknowledged = [kept for kept in self.unacknowledged if kept not in messages]

    def send_receipt(self, device_id: str, message: bytes) -> None:
        self.receipts.setdefault(device_id, []).append(message)

    def send_command(self, device_id: str, message: bytes, *, valid_s: int) -> None:
        self.commands.setdefault(device_id, []).append(message)


def never_stops(_seconds: float) -> bool:
    """The pause of a program that nobody ends."""
    return False


@dataclass(slots=True)
class Platform:
    """The ledger's books, the transport, and a worker that the test drives by hand."""

    books: Books
    transport: Memory = field(default_factory=Memory)
    timer_s: float = 1_000_000.0
    worker: Worker = field(init=False)
    registry: CollectorRegistry = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin again, as after a crash: with what the database and the broker have."""
        self.registry = CollectorRegistry()
        self.worker = worker_of(
            self.transport,
            ledger=self.books.ledger,
            engine=self.books.engine,
            clock=self.books.clock,
            identity=INGESTION,
            metrics=Metrics(self.registry, self.books.engine),
            patience=Patience(never_stops),
            timer=lambda: self.timer_s,
        )
        self.transport.deliver_again()

    def receive(self, device_id: str, *payloads: bytes) -> None:
        """Messages come, and are judged."""
        self.transport.deliver(device_id, *payloads)
        self.work()

    def work(self) -> None:
        """Judge all that waits at the transport, then look after the units once more."""
        while self.worker.work(idle_s=0):
            pass
        self.worker.work(idle_s=0)

    def wait(self, seconds: float) -> None:
        """Time passes for the timers, and for the ledger too."""
        self.timer_s += seconds
        self.books.clock.advance_to(self.books.clock.now_s() + int(seconds))
        self.work()

    def ask(self, *commands: Command) -> None:
        self.books.accept(*[request(command) for command in commands])

    def request_replay(self, message: bytes) -> None:
        """As an operator does."""
        with transaction(self.books.engine) as session:
            for row in quarantine.find(session.connection()):
                if row.raw == message:
                    states = (State.OPEN,)
                    assert quarantine.move(session.connection(), row.id, to=State.REPLAY_REQUESTED, states=states)

    # What became of it

    def meter(self, device_id: str = "unit-1") -> Meter:
        (row,) = self.books.ledger.rows([meter_key(device_id)])
        return row if isinstance(row, Meter) else Meter()

    def decided(self, seq: int, device_id: str = "unit-1") -> Decided | None:
        (row,) = self.books.ledger.rows([pack_key(device_id, seq)])
        assert row is None or isinstance(row, Decided)
        return row

    def counts(self) -> dict[str, int]:
        """What messages became, without the zeros; `received` is checked to be their sum."""
        # One moment for both, while messages come in.
        options = {} if is_sqlite(self.books.engine) else {"isolation_level": "REPEATABLE READ"}
        with Session(self.books.engine.execution_options(**options)) as session:
            counts = tallies.counts(session.connection())
            numbers = parking.seqs_by_device(session.connection(), parking.devices(session.connection()))
        received = counts.pop("received", 0)
        assert received == sum(counts.values())
        assert counts.get("waiting", 0) == sum(map(len, numbers.values()))
        assert min(counts.values(), default=0) >= 0
        assert set(counts) <= set(OUTCOMES)
        return {outcome: n for outcome, n in counts.items() if n}

    def quarantine(self) -> list[Quarantined]:
        with reading(self.books.engine) as session:
            return quarantine.find(session.connection(), states=ALL_STATES, limit=10_000)

    def reasons(self) -> list[str]:
        """The reasons of all rows, sorted: rows of one batch have no order."""
        return sorted(row.reason for row in self.quarantine())

    def parked(self, device_id: str = "unit-1") -> tuple[int, ...]:
        with reading(self.books.engine) as session:
            return parking.seqs_of(session.connection(), device_id)

    def receipts(self, device_id: str = "unit-1") -> list[Receipt]:
        """The receipts sent, their signatures checked."""
        found = [receipts.read_receipt(_payload(sent, PLATFORM_KEYS.receipts)) for sent in self._receipts(device_id)]
        return [receipt for receipt in found if receipt is not None]

    def commands(self, device_id: str = "unit-1") -> list[Instruction]:
        """The commands sent, their signatures checked."""
        sent = self.transport.commands.get(device_id, [])
        found = [receipts.read_instruction(_payload(message, PLATFORM_KEYS.commands)) for message in sent]
        return [instruction for instruction in found if instruction is not None]

    def _receipts(self, device_id: str) -> list[bytes]:
        return self.transport.receipts.get(device_id, [])


def _payload(message: bytes, public_keys: tuple[bytes, ...]) -> bytes:
    sign1 = cose.parse(message, content_type=cose.CBOR)
    assert isinstance(sign1, cose.Sign1)
    assert cose.is_signed_by(sign1, public_keys[0])
    return sign1.payload


@contextmanager
def platform_at(url: str, *homes: Home, **options: Any) -> Iterator[Platform]:
    """A platform that knows these homes."""
    with running(url, **options) as books:
        books.accept(fund(), *itertools.chain.from_iterable(home.joining() for home in homes))
        yield Platform(books)
