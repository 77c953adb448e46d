"""Puts the programs of one process together, and takes them apart: all of them, or one service of the deployed shape.

Builds, starts and stops in order; decides nothing.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import Final, Self

import structlog
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services import database
from services.broker.accounts import BrokerAccounts, Login, TableAccounts
from services.broker.embedded import EmbeddedBroker
from services.broker.mosquitto import MosquittoAccounts
from services.clock import Clock
from services.customers.departures import Finishing
from services.database import DatabaseUnavailable
from services.faces import PROGRAMME, Faces, Service, queries_of
from services.ingestion.metrics import Metrics
from services.ingestion.program import Identity, Ingestion
from services.ingestion.sources.mqtt import endpoint
from services.keys import Credentials, Keys, Use
from services.ledger.archiver import Archiver
from services.ledger.client import Ledger
from services.ledger.finality import Collector
from services.ledger.local import LocalLedger
from services.ledger.members import Members
from services.ledger.notes import KeyType, VerifierKey
from services.ledger.opening import LogIdentity
from services.ledger.queries import Queries
from services.ledger.remote import RemoteLedger
from services.ledger.role import Role, show_role
from services.ledger.writer import Writer
from services.observability import READY
from services.settings import Settings
from services.statements.daily import Daily

STOP_S_MAX: Final = 2
DATABASE_WAIT_S: Final = 0.5
STATUS_BY_ROLE: Final = {Role.ACTIVE: READY, Role.STANDBY: "standby", Role.UNAVAILABLE: "unavailable"}
BROKER_HOST: Final = "127.0.0.1"
WORKERS: Final = 4
"""Of ingestion in a process, where the broker shares messages out: one judges while the other waits for the ledger."""
ENTRIES_PER_PAGE: Final = 500
"""How many entries are read at once where all are."""


log = structlog.get_logger()


class AddressInUse(Exception):
    """Somebody else listens on a port that we need."""


class UnusableSettings(ValueError):
    """These settings do not go together, or name what this program has not."""


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
        self._status: Callable[[], str] = lambda: READY
        self._own_ledger: LocalLedger | None = None
        self._accounts: BrokerAccounts | None = None
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
        listening = self._stack.enter_context(listen(settings.http_host, settings.http_port, "SPARKS_HTTP_PORT"))
        if self._has_own_broker:
            # The broker opens it again in a moment; whether it can is to be known before anything is written.
            listen(BROKER_HOST, settings.mqtt_port, "SPARKS_MQTT_PORT").close()
        port = listening.getsockname()[1]
        self.base_url = f"http://{self.settings.http_host}:{port}"
        self._on_open()
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._migrate()
        self.engine = database.engine(self.settings.database, segments=self.settings.segments)
        self._stack.callback(self.engine.dispose)
        self._start_broker()
        self.ledger = self._started_ledger()
        if Service.INGESTION in self._services:
            self._start_ingestion()
        self._start_http(listening)

    def _migrate(self) -> None:
        """Make the schema; a ledger that may stand by waits for the database, as it does later."""
        while True:
            try:
                database.migrate(self.settings.database)
                return
            except DatabaseUnavailable as error:
                if not self._may_stand_by:
                    raise
                log.warning("waiting_for_database", error=str(error))
                threading.Event().wait(DATABASE_WAIT_S)

    @property
    def _may_stand_by(self) -> bool:
        """Whoever shares a process with the ledger could do nothing while it stands by."""
        return self._services == frozenset({Service.LEDGER})

    @property
    def _has_own_broker(self) -> bool:
        return self.settings.broker_url is None and self._services == frozenset(Service)

    def _check_settings(self) -> None:
        """Raise UnusableSettings where a service is asked to run without what it needs of the others."""
        url = self.settings.broker_url
        if Service.LEDGER not in self._services and not self.settings.ledger_urls:
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
            self._accounts = _mosquitto_accounts(self.settings.broker_url, self.keys)
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
            remote = RemoteLedger(*self.settings.ledger_urls, token=self.keys.internal_token())
            self._stack.callback(remote.close)
            return remote
        identity = LogIdentity(origin=self.settings.ledger_origin, seed=self.keys.seed(Use.LOG), programme=PROGRAMME)
        writer = Writer(
            self.engine,
            identity,
            self.clock,
            accept_clock=self.settings.accept_clock,
            may_stand_by=self._may_stand_by,
        )
        writer.start()
        self._stack.callback(writer.stop)
        show_role(writer, self._registry)
        self._status = lambda: STATUS_BY_ROLE[writer.role]
        self._checks["ledger"] = lambda: writer.role is not Role.UNAVAILABLE
        self._checks["clock"] = lambda: not writer.is_clock_adrift()
        queries = queries_of(self.engine)
        self._start_collecting(queries, writer)
        self._start_archiving(queries, writer)
        self._own_ledger = self._ledger_of(writer, queries)
        return self._own_ledger

    def _start_collecting(self, queries: Queries, writer: Writer) -> None:
        log_key = VerifierKey(self.settings.ledger_origin, KeyType.ED25519, self.keys.public_key(Use.LOG))
        members = Members(queries, self.clock.now_s)
        collector = Collector(self.engine, queries, members, log_key, may_ask=writer.is_writing)
        collector.start()
        self._stack.callback(collector.stop)

    def _start_archiving(self, queries: Queries, writer: Writer) -> None:
        archiver = Archiver(
            self.engine,
            older_than_days=self.settings.archive_days,
            now_s=self.clock.now_s,
            size=queries.size,
            may_run=writer.is_writing,
        )
        archiver.start()
        self._stack.callback(archiver.stop)

    def _ledger_of(self, writer: Writer, queries: Queries) -> LocalLedger:
        return LocalLedger(writer, queries)

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
            ),
            metrics=metrics,
            client_id=client_id,
        )
        ingestion.start()
        self._stack.callback(ingestion.stop)
        self._checks[f"{client_id} connected"] = ingestion.is_connected
        self._checks[f"{client_id} working"] = ingestion.is_working

    def _start_http(self, listening: socket.socket) -> None:
        built = Faces(
            settings=self.settings,
            clock=self.clock,
            engine=self.engine,
            keys=self.keys,
            ledger=self.ledger,
            own_ledger=self._own_ledger,
            accounts=self._accounts,
        )
        if Service.CUSTOMERS in self._services:
            finishing = Finishing(built.departures())
            finishing.start()
            self._stack.callback(finishing.stop)
        if Service.OPERATIONS in self._services:
            self._start_statements(built)
        app = built.application(self._services, registry=self._registry, ready_checks=self._checks, status=self._status)
        self._stack.enter_context(served(app, listening))

    def _start_statements(self, built: Faces) -> None:
        if self.settings.statements:
            daily = Daily(built.publishing())
            daily.start()
            self._stack.callback(daily.stop)


@contextmanager
def served(app: FastAPI, listening: socket.socket) -> Iterator[None]:
    """Answer HTTP on a port that is open already, in a thread, until this ends."""
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(STOP_S_MAX)


def login_of(credentials: Credentials) -> Login:
    return Login(credentials.name, credentials.secret)


def _mosquitto_accounts(url: str, keys: Keys) -> MosquittoAccounts:
    broker = endpoint(url, login=None, shared=False)
    return MosquittoAccounts(host=broker.host, port=broker.port, admin=login_of(keys.broker_admin()), tls=broker.tls)


def listen(host: str, port: int, setting: str) -> socket.socket:
    """Open a port; raises AddressInUse, which names the setting that would choose another."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        hint = f"cannot listen on {host}:{port} ({error.strerror}); set {setting} to another port"
        raise AddressInUse(hint) from None
