"""What everybody may read of the daily statements, and the proof that each creditor gets of their own."""

from datetime import date
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Depends, Path, Query

from contracts import accounts
from contracts.units import LocalDay
from services import calls
from services.encoding import cursor_of, number_of
from services.identity import Caller, Scope, Tokens
from services.statements import document
from services.statements.days import day_of
from services.statements.proving import Proving
from services.statements.publishing import Publishing
from services.statements.shapes import Figures, LiabilityProof, SignedStatement, Statements

PAGE_DEFAULT: Final = 31
PAGE_MAX: Final = 366
_Date: TypeAlias = Annotated[date, Path(description="the programme's calendar day", examples=["2026-07-06"])]


def statements_router(*, publishing: Publishing, proving: Proving, tokens: Tokens) -> APIRouter:
    """Return the router of `/v1/statements`."""
    router = APIRouter(prefix="/v1/statements", tags=["statements"])
    _Programme: TypeAlias = Annotated[Caller, Depends(tokens.organisation(Scope.PROGRAMME))]
    _Retailer: TypeAlias = Annotated[Caller, Depends(tokens.organisation(Scope.RETAILER))]

    @router.get(
        "", summary="What was owed and what funded it, day by day", responses=calls.open_to_all("invalid_cursor")
    )
    def list_statements(
        cursor: Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX, description="days, with or without a statement")] = PAGE_DEFAULT,
    ) -> Statements:
        """The newest first; a day without a statement is left out."""
        before = number_of(cursor)
        opened, today = publishing.opened_on(), publishing.yesterday() + 1
        after = today if before is None else min(before, today)
        first = max(opened, after - limit)
        found = proving.listed(first, after)
        more = cursor_of(str(first)) if first > opened else None
        return Statements(items=[Figures(**document.of_row(*one)) for one in found], next_cursor=more)

    @router.get(
        "/{date}",
        summary="A day's statement, with all that proves it",
        responses=calls.open_to_all("unknown_statement"),
    )
    def show_statement(date: _Date) -> SignedStatement:
        return SignedStatement(**proving.statement(day_of(date)))

    @router.put(
        "/{date}",
        summary="Publish a day's statement now",
        responses=calls.signed_in("invalid_day", "total_differs", "database_unavailable"),
    )
    def publish_statement(date: _Date, _caller: _Programme) -> Figures:
        """Of the day that is just over; asked again, the same. Without it the platform does so by itself."""
        day: LocalDay = day_of(date)
        return Figures(**document.of_row(day, publishing.publish(day)))

    @router.get(
        "/{date}/proof",
        summary="That what I, a retailer, am owed is counted",
        responses=calls.signed_in("unknown_statement", "not_found"),
    )
    def retailer_proof(date: _Date, caller: _Retailer) -> LiabilityProof:
        account = accounts.retailer(caller.retailer_id or "")
        return LiabilityProof(**proving.proof(day_of(date), account))

    return router


def own_proof_router(*, proving: Proving, tokens: Tokens) -> APIRouter:
    """Return the router of `/v1/me/statements`."""
    router = APIRouter(prefix="/v1/me/statements", tags=["customers"])
    _Customer: TypeAlias = Annotated[Caller, Depends(tokens.customer)]

    @router.get(
        "/{date}/proof",
        summary="That my balance is counted: `sparks statement verify FILE`",
        response_model=LiabilityProof,
        responses=calls.signed_in("customer_closed", "unknown_statement", "not_found"),
    )
    def own_proof(date: _Date, caller: _Customer) -> dict[str, Any]:
        return proving.proof(day_of(date), accounts.customer(caller.subject))

    return router
