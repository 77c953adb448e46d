"""The HTTP faces of the programs, put together for one process; every process documents the whole interface."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from contracts.approvals import COSIGN
from contracts.state import Member
from contracts.wire.receipts import Instruction
from services import api_docs, database, problems
from services.broker.accounts import BrokerAccounts, TableAccounts
from services.broker.mosquitto import ControlFailed
from services.clock import Clock, SystemClock
from services.contract_sets import CarriedSets
from services.customers.departures import Departures
from services.customers.passwords import Passwords
from services.customers.router import customers_router
from services.database import DatabaseUnavailable
from services.gateway.authorizations import authorizations_router
from services.idempotency import Answers
from services.identity import Clients, Tokens, oauth_router, well_known_router
from services.keys import Keys, Use
from services.ledger.app import internal_router, log_router
from services.ledger.client import Ledger, LedgerUnavailable
from services.ledger.delivering import Deliveries, deliveries_router
from services.ledger.local import LocalLedger
from services.ledger.members import Members
from services.ledger.notes import KeyType, VerifierKey
from services.ledger.queries import Queries
from services.observability import count_requests, observability_router
from services.operations.keyring import KeyMetrics
from services.operations.office import Office
from services.operations.routes import operations_router
from services.receipts import keyring
from services.setaside import instructions
from services.settings import Settings
from services.statements.metrics import StatementMetrics
from services.statements.proving import Proving
from services.statements.publishing import Publishing
from services.statements.router import statements_router

PROGRAMME: Final = "ontario"
MEMBERS_MAX: Final = 100
"""As many as a note may bear signatures (`notes.SIGNATURES_MAX`)."""
UNAVAILABLE: Final = {
    LedgerUnavailable: "ledger_unavailable",
    DatabaseUnavailable: "database_unavailable",
    ControlFailed: "broker_unavailable",
}
"""What callers are told when a server behind us does not answer."""


class UnknownService(ValueError):
    """There is no service of this name."""


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
            raise UnknownService(f"there is no service {name}: choose all, member or one of {', '.join(cls)}")
        return cls(name)


def queries_of(engine: Engine) -> Queries:
    """The read side of the ledger in this database."""
    return Queries(engine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces:
    """What the programs' routes work with.

    own_ledger  the ledger of this process, if it is here
    accounts    of the broker; None where no unit is registered
    """

    settings: Settings
    clock: Clock
    engine: Engine
    keys: Keys
    ledger: Ledger
    own_ledger: LocalLedger | None
    accounts: BrokerAccounts | None

    def application(
        self,
        services: frozenset[Service],
        *,
        registry: CollectorRegistry,
        ready_checks: Mapping[str, Callable[[], bool]],
        status: Callable[[], str],
    ) -> FastAPI:
        """The HTTP face of a process with these services; its OpenAPI document is of all."""
        common = observability_router(registry=registry, ready_checks=ready_checks, status=status)
        answered = _application([common, *self._routers(services)])
        count_requests(answered, registry=registry)
        if Service.OPERATIONS in services:
            Clients(self.engine, self.keys).admit_operator()
            registry.register(KeyMetrics(self.ledger, self.clock))
            registry.register(StatementMetrics(self.publishing()))
        documented = _application([common, *self._routers(frozenset(Service))])
        answered.openapi = documented.openapi  # type: ignore[method-assign]
        return answered

    def departures(self) -> Departures:
        """The customers who leave, for the routes and for who finishes what was cut off."""
        return Departures(
            self.engine,
            self.ledger,
            self.clock,
            self.keys,
            origin=self.settings.ledger_origin,
            backup_days=self.settings.backup_days,
        )

    def _routers(self, services: frozenset[Service]) -> Iterator[APIRouter]:
        tokens = Tokens(self.keys.seed(Use.TOKENS), clock=self.clock, engine=self.engine)
        log_key = VerifierKey(self.settings.ledger_origin, KeyType.ED25519, self.keys.public_key(Use.LOG))
        sets = CarriedSets(self.ledger.stored)
        if Service.LEDGER in services:
            queries = queries_of(self.engine)
            members = Members(queries, self.clock.now_s)
            yield log_router(queries, log_key, now_s=self.clock.now_s, members=members)
            # Members live on their machines' clocks, also beside a platform whose clock is simulated.
            given = Deliveries(self.engine, self.settings.ledger_origin, SystemClock(), members.access_of)
            yield deliveries_router(given)
            if self.own_ledger is not None:
                yield internal_router(self.own_ledger, self.keys.internal_token())
        if Service.CUSTOMERS in services:
            yield customers_router(
                engine=self.engine,
                ledger=self.ledger,
                clock=self.clock,
                tokens=tokens,
                keys=self.keys,
                sets=sets,
                passwords=Passwords(),
                keys_of=self._keys_of(log_key),
                departures=self.departures(),
                proving=self._proving(log_key),
                origin=self.settings.ledger_origin,
            )
        if Service.GATEWAY in services:
            yield authorizations_router(ledger=self.ledger, tokens=tokens, programme=sets.read_programme)
        if Service.OPERATIONS in services:
            clients = Clients(self.engine, self.keys)
            yield oauth_router(tokens=tokens, clients=clients)
            yield well_known_router(keys=self.keys)
            yield operations_router(self._office(tokens, clients, sets))
            yield statements_router(publishing=self.publishing(), proving=self._proving(log_key), tokens=tokens)

    def publishing(self) -> Publishing:
        """Who publishes the daily statements, for the routes and for who does it by the clock."""
        return Publishing(
            self.engine,
            self.ledger,
            self.clock,
            programme=CarriedSets(self.ledger.stored).programme,
            kept_days=self.settings.statement_days,
        )

    def _proving(self, log_key: VerifierKey) -> Proving:
        return Proving(self.engine, self.ledger, self._keys_of(log_key))

    def _keys_of(self, log_key: VerifierKey) -> Callable[[bytes], str]:
        """Which keys signed a checkpoint, in the form of `/log/keys`."""
        return lambda note: keyring.naming(log_key, note, self._member_keys()).text()

    def _member_keys(self) -> Iterator[VerifierKey]:
        """Every key that any member co-signed with, past ones too: their signatures still hold."""
        for _, member in self.ledger.find("member", limit=MEMBERS_MAX):
            for key in member.keys if isinstance(member, Member) else ():
                if key.use == COSIGN:
                    yield VerifierKey(key.name, KeyType.COSIGNATURE, key.public_key)

    def _office(self, tokens: Tokens, clients: Clients, sets: CarriedSets) -> Office:
        return Office(
            engine=self.engine,
            ledger=self.ledger,
            clock=self.clock,
            keys=self.keys,
            tokens=tokens,
            clients=clients,
            answers=Answers(self.engine, self.clock),
            accounts=self.accounts or TableAccounts(self.engine),
            instruct=self._instruct,
            sets=sets,
        )

    def _instruct(self, told: Sequence[Instruction]) -> None:
        with database.transaction(self.engine) as session:
            instructions.instruct(session.connection(), told)


def _application(routers: Sequence[APIRouter]) -> FastAPI:
    app = FastAPI(
        title="Sparks",
        version="1",
        summary="Green rewards on a ledger that every member can check.",
        redirect_slashes=False,
        docs_url=None,  # the framework's own pages load their parts from elsewhere: `api_docs`
        redoc_url=None,
    )
    api_docs.install(app)
    problems.install(app, code_by_exception=UNAVAILABLE)
    for router in routers:
        app.include_router(router)
    return app
