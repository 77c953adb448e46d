"""Signing in and out. Guessing is slow and limited; an e-mail that nobody has takes as long as a wrong password."""

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Engine

from contracts.units import Seconds
from services import calls
from services.clock import Clock
from services.customers import attempts, people
from services.customers.departures import Departures
from services.customers.passwords import Passwords
from services.customers.shapes import Session, SignInBody, normal_email
from services.idempotency import SECRET_ALREADY_SHOWN, Answer, Answers, Asked, asked_by_anyone, keyed_digest
from services.identity import Caller, Scope, Tokens
from services.keys import Keys
from services.problems import Problem


def sessions_router(
    *,
    engine: Engine,
    clock: Clock,
    tokens: Tokens,
    keys: Keys,
    answers: Answers,
    passwords: Passwords,
    departures: Departures,
) -> APIRouter:
    """Return the router of `/v1/sessions`."""
    router = APIRouter(prefix="/v1/sessions", tags=["customers"])
    _Customer: TypeAlias = Annotated[Caller, Depends(tokens.customer)]
    _Asked: TypeAlias = Annotated[Asked | None, Depends(asked_by_anyone)]

    @router.post(
        "",
        status_code=201,
        summary="Sign in",
        response_model=Session,
        response_model_exclude_unset=True,
        responses=calls.open_to_all(*calls.KEY_OPTIONAL, "wrong_credentials", "customer_closed", "too_many_requests"),
    )
    def sign_in(body: SignInBody, request: Request, asked: _Asked) -> Response:
        """The token is shown in the first answer only; a repeat with the same key says `secret_already_shown`."""
        email = _email_or_nothing(body.email)
        address = request.client.host if request.client else ""
        # A repeat counts too: whether it is one tells whether its password is that of the first.
        wait_s = attempts.begin(engine, email=email, address=address, now_s=clock.now_s())
        if wait_s:
            raise _too_many(wait_s)
        answered = answers.answer(keyed_digest(keys, asked), lambda: _sign_in(email, body.password))
        attempts.succeed(engine, email=email, address=address)
        return answered

    def _sign_in(email: str, password: str) -> Answer:
        person = people.by_email(engine, email)
        is_right = passwords.matches(password, None if person is None else person.password_hash)
        if person is None or not is_right:
            raise Problem("wrong_credentials", "The e-mail or the password is wrong.")
        departures.refuse_gone(person.customer_id)
        issued = tokens.issue(person.customer_id, frozenset({Scope.CUSTOMER}))
        return Answer(
            201,
            {"token_type": "Bearer", "expires_in": issued.expires_in_s},
            once={"access_token": issued.access_token},
            again={"code": SECRET_ALREADY_SHOWN},
        )

    @router.delete("/current", status_code=204, summary="Sign out", responses=calls.signed_in())
    def sign_out(caller: _Customer) -> None:
        tokens.revoke(caller)

    return router


def _email_or_nothing(text: str) -> str:
    """The e-mail as it is kept, or "" for what can be nobody's: that is found out as slowly as any other wrong one."""
    try:
        return normal_email(text)
    except ValueError:
        return ""


def _too_many(wait_s: Seconds) -> Problem:
    return Problem(
        "too_many_requests", "Too many attempts. Wait before the next one.", headers={"Retry-After": str(wait_s)}
    )
