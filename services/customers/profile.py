"""A customer about themself: who they are, how far they take part, whether their sparks are frozen."""

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Depends
from sqlalchemy import Engine

from contracts import state
from contracts.commands import ChooseLevel, FreezeCustomer, Request
from contracts.participation import UNVERIFIED
from contracts.state import Customer
from contracts.units import UnixSeconds
from services import calls
from services.calls import NothingBody
from services.clock import Clock
from services.customers import people
from services.customers.people import Person
from services.customers.shapes import ChangeBody, Frozen, Me
from services.idempotency import Asked, asked_by, outcome_of
from services.identity import Caller, Tokens
from services.ledger.client import Ledger
from services.moments import rfc3339
from services.problems import Problem

_NOTHING: Final = NothingBody()
_PERSONAL: Final = frozenset({"name", "postal_code", "language"})


def profile_router(
    *, engine: Engine, ledger: Ledger, clock: Clock, tokens: Tokens, random_bytes: Callable[[int], bytes]
) -> APIRouter:
    """Return the router of `/v1/me`, `/v1/me/freeze` and `/v1/me/unfreeze`."""
    router = APIRouter(prefix="/v1/me", tags=["customers"])
    _Customer: TypeAlias = Annotated[Caller, Depends(tokens.customer)]
    _Asked: TypeAlias = Annotated[Asked, Depends(asked_by(tokens.customer))]

    @router.get(
        "", summary="Who I am", response_model=Me, responses=calls.signed_in("customer_closed", "unknown_customer")
    )
    def me(caller: _Customer) -> dict[str, Any]:
        return _me(caller.subject)

    @router.patch(
        "",
        summary="Change what is mine to change",
        response_model=Me,
        responses=calls.signed_in("customer_closed", "unknown_customer", "unknown_level"),
    )
    def change(body: ChangeBody, caller: _Customer) -> dict[str, Any]:
        """A participation level takes effect at the next local midnight; a change still to come is replaced."""
        wanted = body.model_dump(exclude_unset=True)
        if "participation_level" in wanted:
            command = ChooseLevel(caller.subject, wanted["participation_level"])
            (outcome,) = ledger.submit([Request(random_bytes(32), bytes(32), command)])
            outcome_of(outcome)
        personal = {name: value for name, value in wanted.items() if name in _PERSONAL}
        if personal:
            people.change(engine, caller.subject, **personal)
        return _me(caller.subject)

    @router.post("/freeze", summary="Stop all spending", responses=calls.keyed("customer_closed", "unknown_customer"))
    def freeze(caller: _Customer, asked: _Asked, body: NothingBody = _NOTHING) -> Frozen:
        """Nobody can pay with my sparks until I unfreeze them; earning and refunds go on."""
        return _freeze(caller, asked, frozen=True)

    @router.post(
        "/unfreeze", summary="Allow spending again", responses=calls.keyed("customer_closed", "unknown_customer")
    )
    def unfreeze(caller: _Customer, asked: _Asked, body: NothingBody = _NOTHING) -> Frozen:
        return _freeze(caller, asked, frozen=False)

    def _freeze(caller: Caller, asked: Asked, *, frozen: bool) -> Frozen:
        command = FreezeCustomer(caller.subject, frozen)
        (outcome,) = ledger.submit([Request(asked.id, asked.digest, command)])
        return Frozen(frozen=outcome_of(outcome).result["frozen"])

    def _me(customer_id: str) -> dict[str, Any]:
        person = people.by_id(engine, customer_id)
        (customer,) = ledger.rows([state.customer_key(customer_id)])
        if person is None or not isinstance(customer, Customer):
            raise Problem("unknown_customer", "There is no such customer any more.")
        return shown(person, customer, now_s=clock.now_s())

    return router


def shown(person: Person, customer: Customer, *, now_s: UnixSeconds) -> dict[str, Any]:
    """The members of `shapes.Me`."""
    is_ahead = now_s < customer.level_from_s and customer.level != customer.level_before
    is_attested = customer.identity != UNVERIFIED and now_s < customer.identity_expires_s
    return {
        "customer_id": person.customer_id,
        "email": person.email,
        "name": person.name,
        "postal_code": person.postal_code,
        "language": person.language,
        "participation_level": customer.level_before if is_ahead else customer.level,
        "participation_level_next": customer.level if is_ahead else None,
        "effective_at": rfc3339(customer.level_from_s) if is_ahead else None,
        "identity": customer.identity if is_attested else UNVERIFIED,
        "identity_expires_at": rfc3339(customer.identity_expires_s) if is_attested else None,
        "frozen": customer.frozen,
        "consent": {"version": person.consent_version, "at": rfc3339(person.consent_at_s)},
        "enrolled_at": rfc3339(customer.enrolled_s),
    }
