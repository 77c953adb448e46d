"""A customer's sparks: how many, and every entry that moved them."""

from collections.abc import Iterable
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Depends, Query

from contracts import accounts, state
from contracts.effects import Asset
from contracts.state import Account, Avoided, Earnings, Retailer, Row
from contracts.units import MICRO_SPARKS_PER_CENT
from services import calls
from services.customers import statement
from services.customers.shapes import Sparks, SparksEntries
from services.customers.statement import Line
from services.encoding import cursor_of, number_of
from services.identity import Caller, Tokens
from services.ledger.client import Ledger
from services.moments import rfc3339

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 200


def sparks_router(*, ledger: Ledger, tokens: Tokens) -> APIRouter:
    """Return the router of `/v1/me/sparks`."""
    router = APIRouter(prefix="/v1/me/sparks", tags=["customers"])
    _Customer: TypeAlias = Annotated[Caller, Depends(tokens.customer)]

    @router.get("", summary="How many sparks I have", responses=calls.signed_in("customer_closed"))
    def sparks(caller: _Customer) -> Sparks:
        return balance_of(ledger, caller.subject)

    @router.get(
        "/entries",
        summary="What became of my sparks, newest first",
        response_model=SparksEntries,
        response_model_exclude_unset=True,
        responses=calls.signed_in("customer_closed", "invalid_cursor"),
    )
    def entries(
        caller: _Customer,
        cursor: Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
    ) -> dict[str, Any]:
        found = ledger.entries_of(statement.accounts_of(caller.subject), before=number_of(cursor), limit=limit + 1)
        lines = [statement.line_of(recorded, caller.subject) for recorded in found[:limit]]
        names = _names(ledger, (line.purchase.retailer_id for line in lines if line.purchase))
        return {
            "items": [_item(line, names) for line in lines],
            "next_cursor": cursor_of(str(lines[-1].index)) if len(found) > limit else None,
        }

    return router


def balance_of(ledger: Ledger, customer_id: str) -> Sparks:
    """What a customer has; see `shapes.Sparks`."""
    free, held = accounts.customer(customer_id), accounts.held(customer_id)
    free_row, held_row, deferred_row, earned, avoided = ledger.rows(
        [
            state.account_key(Asset.SPARK, free),
            state.account_key(Asset.SPARK, held),
            state.account_key(Asset.DEFERRED, free),
            state.earnings_key(customer_id),
            state.avoided_key(customer_id),
        ]
    )
    earnings = earned if isinstance(earned, Earnings) else Earnings()
    available, on_hold = _balance(free_row), _balance(held_row)
    return Sparks(
        balance_micro_sparks=available + on_hold,
        held_micro_sparks=on_hold,
        available_micro_sparks=available,
        deferred_micro_sparks=_balance(deferred_row),
        value_cents=available // MICRO_SPARKS_PER_CENT,
        lifetime_micro_sparks=earnings.minted_micro_sparks,
        avoided_mg_co2e=avoided.mg_co2e if isinstance(avoided, Avoided) else 0,
    )


def _balance(row: Row | None) -> int:
    return row.balance if isinstance(row, Account) else 0


def _names(ledger: Ledger, retailer_ids: Iterable[str]) -> dict[str, str]:
    wanted = sorted(set(retailer_ids))
    found = ledger.rows([state.retailer_key(retailer_id) for retailer_id in wanted])
    return {row.retailer_id: row.name for row in found if isinstance(row, Retailer)}


def _item(line: Line, names: dict[str, str]) -> dict[str, Any]:
    """The members of `shapes.SparksEntry` that this line has."""
    item: dict[str, Any] = {
        "index": line.index,
        "at": rfc3339(line.at_s),
        "kind": line.kind,
        "micro_sparks": line.micro_sparks,
        "awards": dict(line.awards),
    }
    if line.held_micro_sparks:
        item["held_micro_sparks"] = line.held_micro_sparks
    if line.deferred_micro_sparks:
        item["deferred_micro_sparks"] = line.deferred_micro_sparks
    if line.device_id is not None:
        item["device_id"] = line.device_id
    if line.purchase is not None:
        item["retailer"] = line.purchase.retailer_id
        item["retailer_name"] = names[line.purchase.retailer_id]
        item["authorization_id"] = line.purchase.authorization_id
        item["amount_cents"] = line.purchase.amount_cents
    return item
