"""All calls of customers as one router."""

import os
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import Engine

from services.clock import Clock
from services.contract_sets import CarriedSets
from services.customers.checkout import checkout_router
from services.customers.consumption import consumption_router
from services.customers.departures import Departures
from services.customers.devices import devices_router
from services.customers.enrolment import enrolment_router
from services.customers.leaving import leaving_router
from services.customers.passwords import Passwords
from services.customers.profile import profile_router
from services.customers.receipt import receipt_router
from services.customers.sessions import sessions_router
from services.customers.sparks import sparks_router
from services.idempotency import Answers
from services.identity import Caller, Tokens
from services.keys import Keys
from services.ledger.client import Ledger
from services.statements.proving import Proving
from services.statements.router import own_proof_router


def customers_router(
    *,
    engine: Engine,
    ledger: Ledger,
    clock: Clock,
    tokens: Tokens,
    keys: Keys,
    sets: CarriedSets,
    passwords: Passwords,
    keys_of: Callable[[bytes], str],
    departures: Departures,
    proving: Proving,
    origin: str,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> APIRouter:
    """Return the router of the customers' calls (interfaces.md 3).

    passwords  what a hash of a password costs
    sets       that the ledger carries: the active one's parameters, and each by which an entry was executed
    keys_of    which keys signed a checkpoint, in the form of `/log/keys`: receipts name them
    departures who leaves; its `finish` is for who starts the process
    proving    the proof that a balance is counted in a day's statement
    origin     of the log, which erasure receipts name
    """
    router = APIRouter()
    answers = Answers(engine, clock)
    router.include_router(
        enrolment_router(
            engine=engine,
            ledger=ledger,
            clock=clock,
            keys=keys,
            programme=sets.programme,
            answers=answers,
            passwords=passwords,
            random_bytes=random_bytes,
        )
    )
    router.include_router(
        sessions_router(
            engine=engine,
            clock=clock,
            tokens=tokens,
            keys=keys,
            answers=answers,
            passwords=passwords,
            departures=departures,
        )
    )
    router.include_router(
        leaving_router(departures=departures, ledger=ledger, clock=clock, tokens=tokens, origin=origin)
    )

    def present(caller: Annotated[Caller, Depends(tokens.customer)]) -> None:
        departures.refuse_gone(caller.subject)

    still_here = [Depends(present)]
    router.include_router(
        profile_router(engine=engine, ledger=ledger, clock=clock, tokens=tokens, random_bytes=random_bytes),
        dependencies=still_here,
    )
    router.include_router(
        devices_router(ledger=ledger, tokens=tokens, random_bytes=random_bytes), dependencies=still_here
    )
    router.include_router(sparks_router(ledger=ledger, tokens=tokens), dependencies=still_here)
    router.include_router(own_proof_router(proving=proving, tokens=tokens), dependencies=still_here)
    router.include_router(
        receipt_router(ledger=ledger, tokens=tokens, sets=sets, keys_of=keys_of), dependencies=still_here
    )
    router.include_router(
        consumption_router(ledger=ledger, clock=clock, tokens=tokens, programme=sets.programme), dependencies=still_here
    )
    router.include_router(checkout_router(ledger=ledger, tokens=tokens, keys=keys, programme=sets.programme))
    return router
