"""A large purchase is answered once members have co-signed its entry; asked again, with the first answer."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi import FastAPI
from sqlalchemy import insert, select

from contracts import programmes, state
from contracts.programmes import Programme
from contracts.state import Membership
from services import database, problems
from services.gateway.authorizations import authorizations_router
from services.ledger.tables import CHECKPOINTS, COSIGNATURES, STATE
from tests.services.customers.platform import Platform, Who

ABOVE_CENTS = 500


@pytest.fixture
def ann(platform: Platform) -> Who:
    who = platform.customer()
    platform.earn(who, 2_000)
    return who


@pytest.fixture
def careful_shop(platform: Platform) -> Iterator[Who]:
    """A retailer whose gateway waits for finality above ABOVE_CENTS."""
    app = FastAPI()
    problems.install(app)

    async def programme() -> Programme:
        return replace(programmes.load(), final_above_cents=ABOVE_CENTS)

    app.include_router(authorizations_router(ledger=platform.ledger, tokens=platform.tokens, programme=programme))
    shop = platform.retailer()
    yield replace(shop, platform=replace(platform, app=app))


def co_sign_all(platform: Platform) -> None:
    """Put down what one member's copy has signed, where a quorum is one."""
    with database.transaction(platform.engine) as session:
        row = Membership(0, ("hydro",), 1)
        value = {"key": state.MEMBERSHIP_KEY, "version": 0, "value": state.to_bytes(row), "due_s": None}
        session.execute(insert(STATE).values(**value))
    co_sign_newest(platform)


def co_sign_newest(platform: Platform) -> None:
    """Put down that the member has signed the newest checkpoint."""
    with database.transaction(platform.engine) as session:
        size = max(size for (size,) in session.execute(select(CHECKPOINTS.c.size)))
        signed = {"size": size, "member_id": "hydro", "line": "\u2014 hydro.example/all AAAA\n", "time_s": 1}
        session.execute(insert(COSIGNATURES).values(**signed))


def test_a_large_purchase_waits_for_finality_and_is_made_once(platform: Platform, ann: Who, careful_shop: Who):
    code = ann.code()
    first = careful_shop.pay(code, ABOVE_CENTS + 1, key="large")

    assert (first.status_code, first.json()["code"]) == (503, "finality_pending")
    assert first.headers["retry-after"] == "1"
    after_first = ann.sparks()

    co_sign_all(platform)
    again = careful_shop.pay(code, ABOVE_CENTS + 1, key="large")

    assert (again.status_code, again.json()["status"]) == (201, "captured")
    assert ann.sparks() == after_first


def test_a_small_purchase_and_a_decline_wait_for_nobody(ann: Who, careful_shop: Who):
    assert careful_shop.pay(ann.code(), ABOVE_CENTS).json()["status"] == "captured"
    assert careful_shop.pay("1" * 18, ABOVE_CENTS + 1).json()["status"] == "declined"
