"""The operators' calls over a running ledger, on each engine in turn."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from contracts.wire import signatures
from contracts.wire.receipts import Instruction
from services import problems
from services.broker.accounts import TableAccounts
from services.clock import SimulatedClock
from services.contract_sets import CarriedSets
from services.database import transaction
from services.encoding import text_of
from services.idempotency import Answers
from services.identity import Clients, Scope, Tokens, oauth_router
from services.keys import Keys, Use
from services.ledger.client import LedgerUnavailable
from services.operations import Office, operations_router
from services.setaside import quarantine
from services.setaside.quarantine import Aside
from tests.services.asgi import Http
from tests.services.ledger.builders import Books, running


@dataclass(slots=True, kw_only=True)
class Desk:
    """The program as its users meet it, and what stands behind it.

    instructions  everything that units were told
    """

    app: FastAPI
    office: Office
    books: Books
    instructions: list[Instruction] = field(default_factory=list)

    def as_(self, *scopes: Scope, subject: str = "operator") -> Http:
        """A client with a token of these scopes; without any, without a token."""
        return Http(self.app, token=self.token(*scopes, subject=subject) if scopes else None)

    def token(self, *scopes: Scope, subject: str = "operator") -> str:
        return self.office.tokens.issue(subject, frozenset(scopes)).access_token

    @property
    def fleet(self) -> Http:
        return self.as_(Scope.FLEET)

    @property
    def programme(self) -> Http:
        return self.as_(Scope.PROGRAMME)

    @property
    def clock(self) -> SimulatedClock:
        return self.books.clock

    def register(self, *device_ids: str, **changes: Any) -> list[dict[str, Any]]:
        """Register units; what the first answer says of each."""
        answer = self.fleet.post("/v1/devices", {"devices": [a_device(name, **changes) for name in device_ids]})
        assert answer.status_code == 201, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items


def a_device(device_id: str = "unit-1", **changes: Any) -> dict[str, Any]:
    """A unit as the body of POST /v1/devices has it; its key is that of `builders.Home`."""
    device = {
        "device_id": device_id,
        "public_key": text_of(a_public_key(device_id)),
        "pv_nameplate_w": 6_000,
        "battery_capacity_wh": 13_500,
        "battery_power_w": 5_000,
        "zone": "toronto",
    }
    return {**device, **changes}


def a_public_key(name: str) -> bytes:
    return signatures.public_key_of(a_seed(name))


def a_seed(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def an_aside(*, raw: bytes | None = b"raw", seen_s: int = 1_782_813_600, **changes: Any) -> Aside:
    """A message of unit-1 with a bad signature."""
    values = {"device_id": "unit-1", "reason": "bad_signature", "size_bytes": len(raw or b"")}
    sha256 = hashlib.sha256(raw or b"").digest()
    return Aside(**{**values, "sha256": sha256, "raw": raw, "seen_s": seen_s, **changes})


def put_aside(desk: Desk, *messages: Aside) -> str:
    """Set messages aside; the id of the first row."""
    with transaction(desk.books.engine) as session:
        quarantine.put_aside(session.connection(), messages)
        return str(quarantine.find(session.connection())[0].id)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem."""
    assert answer.headers["content-type"] == problems.MEDIA_TYPE, answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    return answer.status_code, document["code"]


def app_of(office: Office) -> FastAPI:
    """The program as an app of its own."""
    app = FastAPI()
    problems.install(app, code_by_exception={LedgerUnavailable: "ledger_unavailable"})
    app.include_router(operations_router(office))
    app.include_router(oauth_router(tokens=office.tokens, clients=office.clients))
    return app


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    """The operators' calls over a ledger of this test's own."""
    with running(database_url) as books:
        keys = Keys(tmp_path / "keys")
        clients = Clients(books.engine, keys)
        tokens = Tokens(keys.seed(Use.TOKENS), clock=books.clock, engine=books.engine)
        told: list[Instruction] = []

        def instruct(instructions: Sequence[Instruction]) -> None:
            told.extend(instructions)

        office = Office(
            engine=books.engine,
            ledger=books.ledger,
            clock=books.clock,
            keys=keys,
            tokens=tokens,
            clients=clients,
            answers=Answers(books.engine, books.clock),
            accounts=TableAccounts(books.engine),
            instruct=instruct,
            sets=CarriedSets(books.ledger.stored, monotonic=count().__next__),
            wall_clock=books.clock,
        )
        yield Desk(app=app_of(office), office=office, books=books, instructions=told)
