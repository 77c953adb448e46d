"""A platform small enough for one test: real ledger, real database, customers and tills over HTTP, a clock to move."""

import asyncio
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
from fastapi import FastAPI
from nacl import pwhash
from sqlalchemy import Engine

from contracts.checkout import AdmitRetailer
from contracts.commands import (
    AttestIdentity,
    Command,
    DepositReserve,
    IssueClaimCode,
    RecordPack,
    RegisterUnit,
    Request,
)
from contracts.state import ZERO_HASH
from contracts.units import DAY_S, HOUR_S
from contracts.wire import cose, packs, signatures
from contracts.wire.packs import Interval, Pack
from services import claim_codes, database, problems
from services.clock import SimulatedClock
from services.contract_sets import CarriedSets
from services.customers.departures import Departures
from services.customers.passwords import Passwords
from services.customers.router import customers_router
from services.gateway.authorizations import authorizations_router
from services.identity import Client, Clients, Scope, Tokens, oauth_router
from services.keys import Keys, Use
from services.ledger.client import Accepted, LedgerUnavailable
from services.ledger.local import LocalLedger
from services.ledger.notes import KeyType, VerifierKey
from services.ledger.opening import LogIdentity
from services.ledger.queries import Queries
from services.ledger.writer import Writer
from services.receipts import keyring
from services.statements.proving import Proving
from services.statements.publishing import Publishing
from services.statements.router import statements_router

NOON_S = 1_783_353_600  # Monday 2026-07-06 12:00 in Toronto, on-peak
FOR_EVER_S = 4_000_000_000
SEED = bytes(range(32))
PASSWORD = "correct horse battery"
CENTS_A_DAY = 200  # the daily cap of a unit
CHEAP = Passwords(opslimit=pwhash.argon2id.OPSLIMIT_MIN, memlimit_bytes=pwhash.argon2id.MEMLIMIT_MIN)


@dataclass(slots=True)
class Who:
    """Somebody with a token; every POST gets a new Idempotency-Key unless one is given."""

    platform: "Platform"
    id: str
    headers: dict[str, str]
    scopes: frozenset[Scope] = frozenset({Scope.CUSTOMER})
    retailer_id: str | None = None

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.platform.call("GET", path, headers=self.headers, **options)

    def post(self, path: str, body: object = None, *, key: str | None = None) -> httpx.Response:
        headers = self.headers | {"Idempotency-Key": key or self.platform.new_key()}
        return self.platform.call("POST", path, headers=headers, json={} if body is None else body)

    def patch(self, path: str, body: object) -> httpx.Response:
        return self.platform.call("PATCH", path, headers=self.headers, json=body)

    def delete(self, path: str, body: object = None) -> httpx.Response:
        options: dict[str, Any] = {} if body is None else {"json": body}
        return self.platform.call("DELETE", path, headers=self.headers, **options)

    def sparks(self) -> dict[str, int]:
        found: dict[str, int] = self.get("/v1/me/sparks").json()
        return found

    def code(self, **body: int) -> str:
        """A new checkout code."""
        code: str = self.post("/v1/me/checkout-codes", body).json()["code"]
        return code

    def pay(self, code: str, amount_cents: int = 100, *, key: str | None = None, **given: Any) -> httpx.Response:
        """A till of this retailer asks for `amount_cents`."""
        body = {"terminal_id": "TILL1", "amount_cents": amount_cents, "checkout_code": code} | given
        return self.post("/v1/authorizations", body, key=key)


@dataclass(slots=True)
class Platform:
    engine: Engine
    clock: SimulatedClock
    ledger: LocalLedger
    keys: Keys
    tokens: Tokens
    clients: Clients
    app: FastAPI
    loop: asyncio.AbstractEventLoop
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    # Calling

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        (response,) = self.call_together([(method, path, options)])
        return response

    def call_together(self, calls: Sequence[tuple[str, str, dict[str, Any]]]) -> list[httpx.Response]:
        """Make all calls at the same time."""

        async def make_all() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://sparks.test") as http:
                return await asyncio.gather(
                    *(http.request(method, path, **_in_ascii(given)) for method, path, given in calls)
                )

        return asyncio.run_coroutine_threadsafe(make_all(), self.loop).result(60)

    def new_key(self) -> str:
        return f"key-{next(self.numbers)}"

    # Who there is

    def customer(self, *, name: str = "", identity: str = "enhanced", **given: Any) -> Who:
        """Somebody who has enrolled, been identified and signed in."""
        email = f"{name or 'person'}-{next(self.numbers)}@example.com"
        enrolled = self.call("POST", "/v1/customers", json=an_enrolment(email=email, **given))
        assert enrolled.status_code == 201, enrolled.text
        customer_id = enrolled.json()["customer_id"]
        if identity != "unverified":
            self.do(AttestIdentity(customer_id, identity, "bank", FOR_EVER_S))
        return Who(self, customer_id, self.sign_in(email))

    def sign_in(self, email: str) -> dict[str, str]:
        answered = self.call("POST", "/v1/sessions", json={"email": email, "password": PASSWORD})
        assert answered.status_code == 201, answered.text
        return {"Authorization": f"Bearer {answered.json()['access_token']}"}

    def retailer(self, retailer_id: str = "SHOP", *, bonus_bp: int = 0) -> Who:
        """A shop with the terminal TILL1, and a token for its tills."""
        self.do(AdmitRetailer(retailer_id, f"The {retailer_id}", ("TILL1",), bonus_bp))
        return self.client(f"client-{retailer_id}", Scope.RETAILER, retailer_id=retailer_id)

    def client(self, client_id: str, *scopes: Scope, retailer_id: str | None = None) -> Who:
        """An organisation's client with a token."""
        self.clients.admit(Client(client_id, frozenset(scopes), retailer_id), "secret")
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": "secret"}
        token = self.call("POST", "/oauth/token", data=form).json()["access_token"]
        return Who(self, client_id, {"Authorization": f"Bearer {token}"}, frozenset(scopes), retailer_id)

    # What the ledger is told by others

    def do(self, *commands: Command) -> list[Accepted]:
        """Commands that the ledger must accept."""
        outcomes = self.ledger.submit([Request(os.urandom(32), bytes(32), command) for command in commands])
        accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
        assert len(accepted) == len(commands), outcomes
        return accepted

    def advance_to(self, at_s: int, *callers: Who) -> None:
        """Move the clock, let the ledger do what is due by then, and give the callers new tokens."""
        self.clock.advance_to(at_s)
        for _ in range(2):  # the writer may have looked at the clock already when the first of them comes
            self.do(DepositReserve(1, "time has passed"))
        for caller in callers:
            token = self.tokens.issue(caller.id, caller.scopes, retailer_id=caller.retailer_id).access_token
            caller.headers = {"Authorization": f"Bearer {token}"}

    def unit(self, device_id: str = "unit-1") -> str:
        """Register a unit; its claim code."""
        code = claim_codes.code_from(hashlib.sha256(device_id.encode()).digest())
        claim_hash = claim_codes.hash_of(code)
        assert claim_hash is not None
        public_key = signatures.public_key_of(SEED)
        self.do(RegisterUnit(device_id, public_key, 500_000, 10_000, 5_000, "toronto", claim_hash))
        return code

    def earn(self, customer: Who, cents: int) -> None:
        """The customer claims a new unit, whose signed packs of the last days reach the daily cap each."""
        days = cents // CENTS_A_DAY
        assert cents == days * CENTS_A_DAY <= 30 * CENTS_A_DAY
        device_id = f"unit-of-{next(self.numbers)}"
        assert customer.post("/v1/me/devices", {"claim_code": self.unit(device_id)}).status_code == 201
        today_s = self.clock.now_s() - 2 * HOUR_S
        self.record(device_id, *(an_interval(today_s - day * DAY_S) for day in reversed(range(days))))

    def record(self, device_id: str, *intervals: Interval) -> None:
        """Packs of one interval each, from the unit's first number on."""
        prev, messages = ZERO_HASH, []
        for seq, interval in enumerate(intervals, 1):
            payload = packs.write(Pack(device_id, seq, prev, (interval,)))
            messages.append(cose.build(payload, content_type=cose.SENML_CBOR, seed=SEED))
            prev = packs.message_hash(messages[-1])
        done = self.do(*(RecordPack(device_id, message) for message in messages))
        assert [one.result["outcome"] for one in done] == ["accepted"] * len(done)

    def signed(self, pack: Pack) -> bytes:
        """The message of a pack."""
        return cose.build(packs.write(pack), content_type=cose.SENML_CBOR, seed=SEED)

    def record_next(self, pack: Pack) -> bytes:
        """Record a pack that must be accepted; the hash that the next one names."""
        message = self.signed(pack)
        (done,) = self.do(RecordPack(pack.device_id, message))
        assert done.result["outcome"] == "accepted", done.result
        return packs.message_hash(message)

    def new_claim(self, device_id: str) -> str:
        """Another claim code of a unit."""
        code = claim_codes.code_from(hashlib.sha256(f"again {device_id}".encode()).digest())
        claim_hash = claim_codes.hash_of(code)
        assert claim_hash is not None
        self.do(IssueClaimCode(device_id, claim_hash))
        return code


def _in_ascii(options: dict[str, Any]) -> dict[str, Any]:
    """JSON with escapes, as any client may send it: so even half of a surrogate pair can be sent."""
    if "json" not in options:
        return options
    headers = options.get("headers", {}) | {"Content-Type": "application/json"}
    return options | {"json": None, "content": json.dumps(options["json"]).encode("ascii"), "headers": headers}


def an_enrolment(**given: Any) -> dict[str, Any]:
    """The body of `POST /v1/customers`."""
    return {
        "email": "ann@example.com",
        "password": PASSWORD,
        "name": "Ann Tremblay",
        "postal_code": "M5V 3L9",
        "language": "en",
        "consent": True,
    } | given


def an_interval(start_s: int, **given: int) -> Interval:
    """An hour of sun, all used at home, above the daily cap at any price."""
    flows = {"pv_wh": 600_000, "load_wh": 600_000, "charge_wh": 0, "discharge_wh": 0, "import_wh": 0, "export_wh": 0}
    return Interval(start_s=start_s, duration_s=given.pop("duration_s", HOUR_S), **(flows | given))


@contextmanager
def a_platform(database_url: str, folder: Path, *, reserve_cents: int = 10_000_000) -> Iterator[Platform]:
    """Run one on an empty database, with a funded reserve."""
    database.migrate(database_url)
    engine = database.engine(database_url)
    clock = SimulatedClock(NOON_S)
    keys = Keys(folder / "keys")
    writer = Writer(engine, LogIdentity(origin="sparks.example/ledger", seed=keys.seed(Use.LOG)), clock)
    writer.start()
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        platform = _assemble(engine, clock, keys, LocalLedger(writer, Queries(engine)), loop)
        if reserve_cents:
            platform.do(DepositReserve(reserve_cents * 10_000, "first"))
        yield platform
    finally:
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        writer.stop()
        engine.dispose()


def _assemble(
    engine: Engine, clock: SimulatedClock, keys: Keys, ledger: LocalLedger, loop: asyncio.AbstractEventLoop
) -> Platform:
    tokens = Tokens(keys.seed(Use.TOKENS), clock=clock, engine=engine)
    clients = Clients(engine, keys)
    log_key = VerifierKey("sparks.example/ledger", KeyType.ED25519, keys.public_key(Use.LOG))
    sets = CarriedSets(ledger.stored)

    def keys_of(note: bytes) -> str:
        return keyring.naming(log_key, note, ()).text()

    proving = Proving(engine, ledger, keys_of)
    publishing = Publishing(engine, ledger, clock, programme=sets.programme, kept_days=35)
    app = FastAPI(title="Sparks", version="1", redirect_slashes=False)
    problems.install(app, code_by_exception={LedgerUnavailable: "ledger_unavailable"})
    app.include_router(oauth_router(tokens=tokens, clients=clients))
    app.include_router(
        customers_router(
            engine=engine,
            ledger=ledger,
            clock=clock,
            tokens=tokens,
            keys=keys,
            sets=sets,
            passwords=CHEAP,
            keys_of=keys_of,
            departures=Departures(engine, ledger, clock, keys, origin="sparks.example/ledger", backup_days=35),
            proving=proving,
            origin="sparks.example/ledger",
        )
    )
    app.include_router(authorizations_router(ledger=ledger, tokens=tokens, programme=sets.read_programme))
    app.include_router(statements_router(publishing=publishing, proving=proving, tokens=tokens))
    return Platform(engine, clock, ledger, keys, tokens, clients, app, loop)
