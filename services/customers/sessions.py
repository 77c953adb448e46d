"""Signing in and out. Guessing is slow and limited; an e-mail that nobody has takes as long as a wrong password."""

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Engine

from contracts.units import Seconds
from services.clock import Clock
from services.customers import answers, attempts, people
from services.customers.passwords import Passwords
from services.customers.shapes import Session, SignInBody, normal_email
from services.identity import Caller, Scope, Tokens
from services.problems import Problem


def sessions_router(*, engine: Engine, clock: Clock, tokens: Tokens, passwords: Passwords) -> APIRouter:
    """Return the router of `/v1/sessions`."""
    router = APIRouter(prefix="/v1/sessions", tags=["customers"])
    _Customer: TypeAlias = Annotated[Caller, Depends(tokens.customer)]

    @router.post(
        "",
        status_code=201,
        summary="Sign in",
        responses=answers.open_to_all("wrong_credentials", "too_many_requests"),
    )
    def sign_in(body: SignInBody, request: Request) -> Session:
        email = _email_or_nothing(body.email)
        address = request.client.host if request.client else ""
        wait_s = attempts.begin(engine, email=email, address=address, now_s=clock.now_s())
        if wait_s:
            raise _too_many(wait_s)
        person = people.by_email(engine, email)
        is_right = passwords.matches(body.password, None if person is None else person.password_hash)
        if person is None or not is_right:
            raise Problem("wrong_credentials", "The e-mail or the password is wrong.")
        attempts.succeed(engine, email=email, address=address)
        issued = tokens.issue(person.customer_id, frozenset({Scope.CUSTOMER}))
        return Session(access_token=issued.access_token, token_type="Bearer", expires_in=issued.expires_in_s)

    @router.delete("/current", status_code=204, summary="Sign out", responses=answers.signed_in())
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
