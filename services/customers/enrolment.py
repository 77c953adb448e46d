"""How a person becomes a customer: a pseudonym on the ledger first, then the person behind it here.

In this order a crash in between costs a pseudonym that nobody uses, and never leaves a person who cannot sign in; the
same call again finishes what was begun.
"""

from collections.abc import Callable
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Depends, Response
from sqlalchemy import Engine

from contracts import state
from contracts.commands import EnrollCustomer, Request
from contracts.programmes import Programme
from services import calls
from services.clock import Clock
from services.customers import people
from services.customers.passwords import Passwords
from services.customers.people import Person
from services.customers.shapes import Enrolled, EnrolmentBody
from services.idempotency import Answer, Answers, Asked, asked_by_anyone, keyed_digest, outcome_of
from services.keys import Keys
from services.ledger.client import Ledger
from services.problems import Problem

CONSENT_VERSION: Final = "2026-11"
"""Which text a person agrees to today; the text itself lies with the programme."""


def enrolment_router(
    *,
    engine: Engine,
    ledger: Ledger,
    clock: Clock,
    keys: Keys,
    programme: Callable[[], Programme],
    answers: Answers,
    passwords: Passwords,
    random_bytes: Callable[[int], bytes],
) -> APIRouter:
    """Return the router of `POST /v1/customers`."""
    router = APIRouter(tags=["customers"])
    _Asked: TypeAlias = Annotated[Asked | None, Depends(asked_by_anyone)]

    @router.post(
        "/v1/customers",
        status_code=201,
        summary="Enrol",
        response_model=Enrolled,
        responses=calls.open_to_all(*calls.KEY_OPTIONAL, "email_taken", "unknown_level"),
    )
    def enrol(body: EnrolmentBody, asked: _Asked) -> Response:
        """The first participation level holds from the beginning; without one it is the programme's own."""
        # The body names a person and their password: what is kept of it must tell nobody anything.
        keyed = keyed_digest(keys, asked)
        return answers.answer(keyed, lambda: _enrol(body, keyed or Asked(random_bytes(32), bytes(32))))

    def _enrol(body: EnrolmentBody, asked: Asked) -> Answer:
        customer_id = keys.derive("customer id", asked.id).hex()[:32]
        if _is_taken(customer_id, body.email):
            raise _taken()
        command = EnrollCustomer(customer_id, body.participation_level or programme().first_level)
        (outcome,) = ledger.submit([Request(asked.id, asked.digest, command)])
        outcome_of(outcome)
        if people.by_id(engine, customer_id) is None and not people.add(engine, _person(customer_id, body)):
            raise _taken()
        return Answer(201, {"customer_id": customer_id})

    def _is_taken(customer_id: str, email: str) -> bool:
        """Is the e-mail another's? What is on the ledger already is a call repeated: the ledger knows its body."""
        known = people.by_email(engine, email)
        if known is None or known.customer_id == customer_id:
            return False
        return ledger.rows([state.customer_key(customer_id)]) == [None]

    def _person(customer_id: str, body: EnrolmentBody) -> Person:
        now_s = clock.now_s()
        return Person(
            customer_id=customer_id,
            email=body.email,
            password_hash=passwords.hash(body.password),
            name=body.name,
            postal_code=body.postal_code,
            language=body.language,
            consent_version=CONSENT_VERSION,
            consent_at_s=now_s,
            created_s=now_s,
        )

    return router


def _taken() -> Problem:
    return Problem("email_taken", "Somebody has enrolled with this e-mail already.")
