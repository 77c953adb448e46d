"""Puts the programs of one process together, and takes them apart: all of them, or one service of the deployed shape.

Builds, starts and stops in order; decides nothing.
"""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

import uvicorn
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from contracts import programmes, state
from contracts.commands import Request
from contracts.state import Meter
from contracts.wire.receipts import Instruction
from device_sim.people import Operator
from device_sim.unit import PlatformKeys
from services import database, problems
from services.broker.accounts import BrokerAccounts, Login, TableAccounts
from services.broker.embedded import EmbeddedBroker
from services.broker.mosquitto import ControlFailed, MosquittoAccounts
from services.clock import Clock, SimulatedClock
from services.customers.passwords import Passwords
from services.customers.router import customers_router
from services.database import DatabaseUnavailable
from services.gateway.authorizations import authorizations_router
from services.idempotency import Answers
from services.identity import Clients, Tokens, oauth_router, well_known_router
from services.ingestion.metrics import Metrics
from services.ingestion.program import Identity, Ingestion
from services.ingestion.sources.mqtt import endpoint
from services.keys import Credentials, Keys, Use
from services.ledger import verify as verification
from services.ledger.app import internal_router, log_router
from services.ledger.client import Ledger, LedgerUnavailable, Outcome, Recorded
from services.ledger.local import LocalLedger
from services.ledger.notes import KeyType, VerifierKey
from services.ledger.queries import Queries
from services.ledger.remote import RemoteLedger
from services.ledger.writer import LogIdentity, Writer
from services.observability import count_requests, observability_router
from services.operations.office import Office
from services.operations.routes import operations_router
from services.setaside import instructions, quarantine, tallies
from services.settings import Settings

PROGRAMME: Final = "ontario"
STOP_S_MAX: Final = 2
BROKER_HOST: Final = "127.0.0.1"
WORKERS: Final = 2
"""Of ingestion in a process, where the broker shares messages out: one judges while the other waits for the ledger."""
UNAVAILABLE: Final = {
    LedgerUnavailable: "ledger_unavailable",
    DatabaseUnavailable: "database_unavailable",
    ControlFailed: "broker_unavailable",
}
"""What callers are told when a server behind us does not answer."""
ENTRIES_PER_PAGE: Final = 500
"""How many entries are read at once where all are."""


class AddressInUse(Exception):
    """Somebody else listens on a port that we need."""


class UnknownService(ValueError):
    """There is no service of this name."""


class UnusableSettings(ValueError):
    """These settings do not go together, or name what this program has not."""


class Service(StrEnum):
    """A program that can run in a process of its own."""

    LEDGER = "ledger"
    INGESTION = "ingestion"
    CUSTOMERS = "customers"
    GATEWAY = "gateway"
    OPERATIONS = "operations"

    @classmethod
    def named(cls, name: str) -> "Service":
        """The service of this name; raises UnknownService."""
        if name not in list(cls):
            raise UnknownService(f"there is no service {name}: choose all or one of {', '.join(cls)}")
        return cls(name)


class AnnouncedLedger(LocalLedger):
    """The ledger in this process, which wakes those who wait for a decision."""

    def __init__(self, writer: Writer, queries: Queries) -> None:
        super().__init__(writer, queries)
        self.answered = threading.Condition()

    def submit(self, requests: Sequence[Request]) -> list[Outcome]:
        outcomes = super().submit(requests)
        with self.answered:
            self.answered.notify_all()
        return outcomes


class Platform(AbstractContextManager["Platform"]):
    """The running programs, from `with` to its end.

    on_open  is called once the ports are free, before anything is written
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        services: frozenset[Service] = frozenset(Service),
        on_open: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.keys = Keys(settings.keys_dir)
        self._services = services
        self._on_open = on_open
        self._stack = ExitStack()
        self._registry = CollectorRegistry()
        self._checks: dict[str, Callable[[], bool]] = {}
        self.base_url = ""
        self.broker_url = ""
        self.ledger: Ledger

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self._stack = starting
            self._start()
            self._stack = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        self._check_settings()
        settings = self.settings
        listening = self._stack.enter_context(_listen(settings.http_host, settings.http_port, "SPARKS_HTTP_PORT"))
        if self._has_own_broker:
            # The broker opens it again in a moment; whether it can is to be known before anything is written.
            _listen(BROKER_HOST, settings.mqtt_port, "SPARKS_MQTT_PORT").close()
        port = listening.getsockname()[1]
        self.base_url = f"http://{self.settings.http_host}:{port}"
        self._on_open()
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        database.migrate(self.settings.database)
        self.engine = database.engine(self.settings.database)
        self._stack.callback(self.engine.dispose)
        self._start_broker()
        self.ledger = self._started_ledger()
        if Service.INGESTION in self._services:
            self._start_ingestion()
        self._start_http(listening)

    @property
    def _has_own_broker(self) -> bool:
        return self.settings.broker_url is None and self._services == frozenset(Service)

    def _check_settings(self) -> None:
        """Raise UnusableSettings where a service is asked to run without what it needs of the others."""
        url = self.settings.broker_url
        if Service.LEDGER not in self._services and self.settings.ledger_url is None:
            raise UnusableSettings("one service alone needs SPARKS_LEDGER_URL: where `sparks serve ledger` is")
        needs_broker = self._services & {Service.INGESTION, Service.OPERATIONS}
        if needs_broker and url is None and not self._has_own_broker:
            raise UnusableSettings("one service alone needs SPARKS_BROKER_URL: the broker to share with the others")
        if url is not None and url.startswith("nats://"):
            raise UnusableSettings(f"SPARKS_BROKER_URL={url}: this version speaks to mqtt:// and mqtts:// only")

    # Parts

    def _start_broker(self) -> None:
        if not self._services & {Service.INGESTION, Service.OPERATIONS}:
            return
        if self.settings.broker_url is not None:
            self.broker_url = self.settings.broker_url
            self._accounts: BrokerAccounts = _mosquitto_accounts(self.settings.broker_url, self.keys)
            return
        self._accounts = TableAccounts(self.engine)
        broker = EmbeddedBroker(
            port=self.settings.mqtt_port, accounts=self.engine, platform=login_of(self.keys.broker())
        )
        broker.start()
        self._stack.callback(broker.stop)
        self.broker_url = f"mqtt://{BROKER_HOST}:{broker.port}"

    def _started_ledger(self) -> Ledger:
        if Service.LEDGER not in self._services:
            remote = RemoteLedger(self.settings.ledger_url or "", self.keys.internal_token())
            self._stack.callback(remote.close)
            return remote
        identity = LogIdentity(origin=self.settings.ledger_origin, seed=self.keys.seed(Use.LOG), programme=PROGRAMME)
        writer = Writer(self.engine, identity, self.clock, accept_clock=self.settings.accept_clock)
        writer.start()
        self._stack.callback(writer.stop)
        self._checks["ledger"] = writer.is_writing
        self._checks["clock"] = lambda: not writer.is_clock_adrift()
        return AnnouncedLedger(writer, self._queries())

    def _queries(self) -> Queries:
        return Queries(self.engine, programmes.load(PROGRAMME))

    def _start_ingestion(self) -> None:
        is_shared = self.settings.broker_url is not None
        metrics = Metrics(self._registry, self.engine)
        for number in range(1, 1 + (WORKERS if is_shared else 1)):
            self._start_worker(metrics, is_shared=is_shared, client_id=f"sparks-ingestion-{number}")

    def _start_worker(self, metrics: Metrics, *, is_shared: bool, client_id: str) -> None:
        ingestion = Ingestion(
            endpoint(self.broker_url, login=login_of(self.keys.broker()), shared=is_shared),
            ledger=self.ledger,
            engine=self.engine,
            clock=self.clock,
            identity=Identity(
                origin=self.settings.ledger_origin,
                receipts_seed=self.keys.seed(Use.RECEIPTS),
                commands_seed=self.keys.seed(Use.COMMANDS),
                programme=PROGRAMME,
            ),
            metrics=metrics,
            client_id=client_id,
        )
        ingestion.start()
        self._stack.callback(ingestion.stop)
        self._checks[f"{client_id} connected"] = ingestion.is_connected
        self._checks[f"{client_id} working"] = ingestion.is_working

    def _start_http(self, listening: socket.socket) -> None:
        app = application(list(self._routers()), self._registry)
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="http", daemon=True)
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join(STOP_S_MAX)

        self._stack.callback(stop)

    def _routers(self) -> Iterator[APIRouter]:
        """The calls that this process answers."""
        tokens = Tokens(self.keys.seed(Use.TOKENS), clock=self.clock, engine=self.engine)
        yield observability_router(registry=self._registry, ready_checks=self._checks)
        if Service.LEDGER in self._services:
            public_key = self.keys.public_key(Use.LOG)
            log_key = VerifierKey(self.settings.ledger_origin, KeyType.ED25519, public_key)
            yield log_router(self._queries(), log_key)
            yield internal_router(self._own_ledger(), self.keys.internal_token())
        if Service.CUSTOMERS in self._services:
            yield customers_router(
                engine=self.engine,
                ledger=self.ledger,
                clock=self.clock,
                tokens=tokens,
                keys=self.keys,
                programme=programmes.load(PROGRAMME),
                passwords=Passwords(),
            )
        if Service.GATEWAY in self._services:
            yield authorizations_router(ledger=self.ledger, tokens=tokens)
        if Service.OPERATIONS in self._services:
            clients = Clients(self.engine, self.keys)
            clients.admit_operator()
            yield oauth_router(tokens=tokens, clients=clients)
            yield well_known_router(keys=self.keys)
            yield operations_router(self._office(tokens, clients))

    def _office(self, tokens: Tokens, clients: Clients) -> Office:
        return Office(
            engine=self.engine,
            ledger=self.ledger,
            clock=self.clock,
            keys=self.keys,
            tokens=tokens,
            clients=clients,
            answers=Answers(self.engine, self.clock),
            accounts=self._accounts,
            instruct=self._instruct,
        )

    def _instruct(self, told: Sequence[Instruction]) -> None:
        with database.transaction(self.engine) as session:
            instructions.instruct(session.connection(), told)

    # What the demo, a replay and tests ask of it

    @property
    def simulated_clock(self) -> SimulatedClock:
        """The clock of a demo or replay."""
        if not isinstance(self.clock, SimulatedClock):
            raise TypeError("this platform follows the machine's clock")
        return self.clock

    def operator(self) -> Operator:
        """A caller with the first operator's credentials."""
        credentials = self.keys.operator()
        return Operator(self.base_url, client_id=credentials.name, client_secret=credentials.secret)

    def unit_keys(self) -> PlatformKeys:
        """What units verify receipts and commands with."""
        return PlatformKeys(
            receipts=(self.keys.public_key(Use.RECEIPTS),), commands=(self.keys.public_key(Use.COMMANDS),)
        )

    def wait_until_decided(self, device_id: str, seq: int, *, timeout_s: float) -> bool:
        """Has the unit's number `seq` been decided, after `timeout_s` at most without any answer of the ledger?"""
        answered = self._own_ledger().answered
        with answered:
            while not self._is_decided(device_id, seq):
                if not answered.wait(timeout_s):
                    return self._is_decided(device_id, seq)
        return True

    def _own_ledger(self) -> AnnouncedLedger:
        if not isinstance(self.ledger, AnnouncedLedger):
            raise TypeError("the ledger of this process is in another one")
        return self.ledger

    def _is_decided(self, device_id: str, seq: int) -> bool:
        (meter,) = self.ledger.rows([state.meter_key(device_id)])
        return isinstance(meter, Meter) and meter.seq >= seq

    def recorded(self) -> Iterator[Recorded]:
        """Every entry of the ledger, in order."""
        queries = self._queries()
        for first in range(0, self.ledger.head().size, ENTRIES_PER_PAGE):
            yield from queries.recorded(first, first + ENTRIES_PER_PAGE)

    def messages(self) -> dict[str, Any]:
        """What became of the messages of units, with the reasons."""
        refused: dict[str, int] = {}
        for recorded in self.recorded():
            if recorded.kind == "record_pack" and recorded.result["outcome"] == "refused":
                reason = recorded.result["reason"]
                refused[reason] = refused.get(reason, 0) + 1
        aside: Counter[str] = Counter()
        for reasons in self.quarantined().values():
            aside.update(reasons)
        with database.reading(self.engine) as session:
            counts = tallies.counts(session.connection())
        return {**counts, "refused_by_reason": refused, "quarantined_by_reason": dict(aside)}

    def quarantined(self) -> dict[str, dict[str, int]]:
        """By unit, how many messages are in quarantine for which reason, refused packs aside."""
        with database.reading(self.engine) as session:
            return quarantine.counts_by_device(session.connection())

    def verified_head(self) -> dict[str, Any]:
        """Size and root of the log, and whether re-execution from entry 0 agrees with every byte."""
        report = verification.verify(self.engine, self.keys.public_key(Use.LOG), lambda _done, _total: None)
        return {"size": report.size, "root": report.root.hex(), "verified": report.ok}


def application(routers: Sequence[APIRouter], registry: CollectorRegistry) -> FastAPI:
    """The HTTP face of a process."""
    app = FastAPI(
        title="Sparks",
        version="1",
        summary="Green rewards on a ledger that every member can check.",
        redirect_slashes=False,
    )
    problems.install(app, code_by_exception=UNAVAILABLE)
    count_requests(app, registry=registry)
    for router in routers:
        app.include_router(router)
    return app


def login_of(credentials: Credentials) -> Login:
    return Login(credentials.name, credentials.secret)


def _mosquitto_accounts(url: str, keys: Keys) -> MosquittoAccounts:
    broker = endpoint(url, login=None, shared=False)
    return MosquittoAccounts(host=broker.host, port=broker.port, admin=login_of(keys.broker_admin()), tls=broker.tls)


def _listen(host: str, port: int, setting: str) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        hint = f"cannot listen on {host}:{port} ({error.strerror}); set {setting} to another port"
        raise AddressInUse(hint) from None
