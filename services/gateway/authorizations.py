"""The purchases of a retailer's tills as HTTP calls; `async`, because thousands wait here for a batch of the ledger."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from contracts import state
from contracts.checkout import Authorize, Capture, Refund, Void
from contracts.commands import Command, Request
from contracts.programmes import Programme
from contracts.state import Purchase
from services import calls
from services.calls import NothingBody
from services.gateway.answers import answer, code_hash, shown
from services.gateway.shapes import AmountBody, Authorization, AuthorizationBody
from services.idempotency import Asked, asked_by, outcome_of
from services.identity import Caller, Scope, Tokens
from services.ledger.client import Ledger
from services.problems import Problem

_MOVED: Final[dict[str, Any]] = {
    "status_code": 201,
    "response_model": Authorization,
    "response_class": JSONResponse,
}
_ALL_OF_IT: Final = AmountBody()
_NOTHING: Final = NothingBody()
_ID: Final = re.compile(r"[0-9a-f]{32}")


def authorizations_router(
    *, ledger: Ledger, tokens: Tokens, programme: Callable[[], Awaitable[Programme]]
) -> APIRouter:
    """Return the router of `/v1/authorizations`.

    programme  gives the active parameters: they say above which amount a purchase is answered once its entry is final
    """
    router = APIRouter(prefix="/v1/authorizations", tags=["retailers"])
    _add_purchases(router, ledger, tokens, programme)
    _add_moves(router, ledger, tokens)
    return router


def _add_purchases(
    router: APIRouter, ledger: Ledger, tokens: Tokens, programme: Callable[[], Awaitable[Programme]]
) -> None:
    retailer = tokens.organisation(Scope.RETAILER)
    _Retailer: TypeAlias = Annotated[Caller, Depends(retailer)]
    _Asked: TypeAlias = Annotated[Asked, Depends(asked_by(retailer))]

    @router.post(
        "",
        summary="Take or hold the price of a purchase",
        responses=calls.keyed("unknown_retailer", "finality_pending"),
        **_MOVED,
    )
    async def authorize(body: AuthorizationBody, caller: _Retailer, asked: _Asked) -> JSONResponse:
        """A decline is an answer too: 201 with `status` declined and its reason.

        So is any `amount_cents` out of range, if it is a number at all: one of more than 4,300 digits is not read,
        and the whole body is `malformed_body`.
        """
        command = Authorize(
            authorization_id=asked.id.hex()[:32],
            retailer_id=_retailer_id(caller),
            terminal_id=body.terminal_id,
            amount_cents=body.amount_cents,
            code_hash=code_hash(body.checkout_code),
            capture=body.capture,
            reference=body.reference,
        )
        accepted = outcome_of(await ledger.ask(Request(asked.id, asked.digest, command)))
        told = answer(accepted.result, accepted.index)
        final_above_cents = (await programme()).final_above_cents
        is_large = final_above_cents and body.amount_cents > final_above_cents and "decline_reason" not in told
        # It is on the ledger: the same key asks again and gets this first answer, once members have co-signed it.
        if is_large and await ledger.final_size() <= accepted.index:
            raise Problem("finality_pending", "The purchase is recorded, and not yet final: ask again.")
        return JSONResponse(told, 201)

    @router.get(
        "/{authorization_id}",
        summary="A purchase as it stands",
        response_model=Authorization,
        response_class=JSONResponse,
        responses=calls.signed_in("unknown_authorization"),
    )
    async def authorization(authorization_id: str, caller: _Retailer) -> JSONResponse:
        key = state.purchase_key(_checked(authorization_id))
        (purchase,) = await ledger.read([key])
        if not isinstance(purchase, Purchase) or purchase.retailer_id != caller.retailer_id:
            raise _unknown()
        return JSONResponse(shown(purchase, purchase.index))


def _add_moves(router: APIRouter, ledger: Ledger, tokens: Tokens) -> None:
    retailer = tokens.organisation(Scope.RETAILER)
    _Retailer: TypeAlias = Annotated[Caller, Depends(retailer)]
    _Asked: TypeAlias = Annotated[Asked, Depends(asked_by(retailer))]

    async def done(asked: Asked, command: Command) -> JSONResponse:
        accepted = outcome_of(await ledger.ask(Request(asked.id, asked.digest, command)))
        return JSONResponse(answer(accepted.result, accepted.index), 201)

    @router.post(
        "/{authorization_id}/captures",
        summary="Take part or all of a hold",
        responses=calls.keyed("unknown_authorization", "invalid_state", "invalid_amount", "capture_above_hold"),
        **_MOVED,
    )
    async def capture(
        authorization_id: str, caller: _Retailer, asked: _Asked, body: AmountBody = _ALL_OF_IT
    ) -> JSONResponse:
        """The rest goes back to the customer; 0 gives all of it back."""
        return await done(asked, Capture(_retailer_id(caller), _checked(authorization_id), body.amount_cents))

    @router.post(
        "/{authorization_id}/voids",
        summary="The purchase is not to be",
        responses=calls.keyed("unknown_authorization", "invalid_state"),
        **_MOVED,
    )
    async def void(
        authorization_id: str, caller: _Retailer, asked: _Asked, body: NothingBody = _NOTHING
    ) -> JSONResponse:
        """Of a hold, or of a sale on the business day it was captured, before any refund."""
        return await done(asked, Void(_retailer_id(caller), _checked(authorization_id)))

    @router.post(
        "/{authorization_id}/refunds",
        summary="Give back part or all of a sale",
        responses=calls.keyed(
            *("unknown_authorization", "invalid_state", "customer_closed"),
            *("invalid_amount", "refund_above_sale", "refund_too_late"),
        ),
        **_MOVED,
    )
    async def refund(
        authorization_id: str, caller: _Retailer, asked: _Asked, body: AmountBody = _ALL_OF_IT
    ) -> JSONResponse:
        return await done(asked, Refund(_retailer_id(caller), _checked(authorization_id), body.amount_cents))


def _retailer_id(caller: Caller) -> str:
    """Whose till it is; a client with the scope but without a shop may do nothing here."""
    if caller.retailer_id is None:
        raise Problem("forbidden", "This client belongs to no retailer.")
    return caller.retailer_id


def _checked(authorization_id: str) -> str:
    if not _ID.fullmatch(authorization_id):
        raise _unknown()
    return authorization_id


def _unknown() -> Problem:
    return Problem("unknown_authorization", "You have no such purchase.")
