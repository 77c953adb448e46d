"""Checkout codes, which a customer shows at a till."""

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Depends

from contracts.checkout import IssueCheckoutCode
from contracts.commands import Request
from contracts.programmes import Programme
from services import calls
from services.customers import codes
from services.customers.shapes import CheckoutCode, CheckoutCodeBody
from services.idempotency import Asked, asked_by, outcome_of
from services.identity import Caller, Tokens
from services.keys import Keys
from services.ledger.client import Ledger
from services.moments import rfc3339

_DEFAULT: Final = CheckoutCodeBody()


def checkout_router(*, ledger: Ledger, tokens: Tokens, keys: Keys, programme: Callable[[], Programme]) -> APIRouter:
    """Return the router of `/v1/me/checkout-codes`."""
    router = APIRouter(prefix="/v1/me/checkout-codes", tags=["customers"])
    _Customer: TypeAlias = Annotated[Caller, Depends(tokens.customer)]
    _Asked: TypeAlias = Annotated[Asked, Depends(asked_by(tokens.customer))]

    @router.post(
        "",
        status_code=201,
        summary="A code to pay with once",
        response_model=CheckoutCode,
        responses=calls.keyed("customer_closed", "invalid_amount", "unknown_customer", "code_exists"),
    )
    def issue(caller: _Customer, asked: _Asked, body: CheckoutCodeBody = _DEFAULT) -> dict[str, Any]:
        """One approval within five minutes, of at most `max_cents`; a third decline burns it."""
        # Made from what was asked: the same call again shows the same code, and nobody has to keep it.
        code = codes.code_from(keys.derive("checkout code", asked.id))
        max_cents = programme().code_max_cents_default if body.max_cents is None else body.max_cents
        command = IssueCheckoutCode(caller.subject, codes.code_hash(code), max_cents)
        (outcome,) = ledger.submit([Request(asked.id, asked.digest, command)])
        return {"code": code, "expires_at": rfc3339(outcome_of(outcome).result["expires_s"])}

    return router
