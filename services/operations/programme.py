"""The calls of the scope `programme`: retailers, reserve, identity, demand events, grid signals."""

import base64
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Response

from contracts import state
from contracts.checkout import AdmitRetailer, AttestRetailer
from contracts.commands import AttestIdentity, CancelEvent, DeclareEvent, DepositReserve, PublishSignal
from contracts.participation import UNVERIFIED
from contracts.state import Signal
from contracts.units import MICRO_CAD_PER_CENT
from services import calls
from services.encoding import text_of
from services.idempotency import SECRET_ALREADY_SHOWN, Answer, Asked, asked_by
from services.identity import Client, Scope
from services.moments import Moment, rfc3339
from services.operations import instructions
from services.operations.office import Office
from services.operations.shapes import (
    AdmittedRetailer,
    Attested,
    AttestedRetailer,
    DeclaredEvent,
    Deposit,
    Deposited,
    GridSignal,
    Identity,
    Name,
    NewEvent,
    NewRetailer,
    PublishedSignal,
    Retailer,
    RetailerId,
    RetailerIdentity,
)
from services.problems import Problem

RETAILER_ID_LENGTH: Final = 15
"""ISO 8583 DE 42, of A-Z and 0-9."""


def programme_router(office: Office) -> APIRouter:
    """Return the router of the programme's calls."""
    caller = office.tokens.organisation(Scope.PROGRAMME)
    router = APIRouter(prefix="/v1", tags=["programme"], dependencies=[Depends(caller)])
    asking: Any = Depends(asked_by(caller))
    _add_value(router, office, asking)
    _add_retailers(router, office, asking)
    _add_signals(router, office, asking)
    return router


def _add_value(router: APIRouter, office: Office, asking: Any) -> None:
    """What funds sparks, and who may spend them."""

    @router.post("/reserve-deposits", status_code=201, responses=calls.keyed())
    def deposit(body: Deposit, asked: Asked = asking) -> Deposited:
        """Pay into the reserve that funds every spark."""
        command = DepositReserve(body.amount_cents * MICRO_CAD_PER_CENT, body.reference)
        accepted = office.ask(asked, command)
        return Deposited(
            entry_index=accepted.index,
            reserve_micro_cad=accepted.result["reserve_micro_cad"],
            at=rfc3339(accepted.at_s),
        )

    @router.post(
        "/customers/{customer_id}/identity",
        status_code=201,
        responses=calls.keyed("unknown_customer", "unknown_identity_level"),
    )
    def attest_identity(customer_id: Name, body: Identity, asked: Asked = asking) -> Attested:
        """Record a provider's word on who a customer is, until it expires."""
        accepted = office.ask(asked, AttestIdentity(customer_id, body.level, body.provider, body.expires_at))
        return Attested(
            customer_id=customer_id,
            level=body.level,
            expires_at=rfc3339(body.expires_at),
            entry_index=accepted.index,
        )


def _add_retailers(router: APIRouter, office: Office, asking: Any) -> None:
    """Who takes sparks, and who vouches for them."""

    @router.post("/retailers", status_code=201, response_model=AdmittedRetailer, responses=calls.keyed())
    def admit_retailer(body: NewRetailer, asked: Asked = asking) -> Response:
        """Admit a retailer with its terminals; the client's secret is shown in the first answer only."""
        return office.answers.answer(asked, lambda: _admit_retailer(office, asked, body))

    @router.get("/retailers/{retailer_id}", responses=calls.signed_in("unknown_retailer"))
    def show_retailer(retailer_id: RetailerId) -> Retailer:
        """A retailer as admitted, and how far a provider vouches for who runs it."""
        return _retailer(office, retailer_id)

    @router.post(
        "/retailers/{retailer_id}/identity",
        status_code=201,
        responses=calls.keyed("unknown_retailer", "unknown_identity_level"),
    )
    def attest_retailer(retailer_id: RetailerId, body: RetailerIdentity, asked: Asked = asking) -> AttestedRetailer:
        """Record a provider's word on who runs a retailer, until it expires; never the personal data itself."""
        accepted = office.ask(asked, AttestRetailer(retailer_id, body.level, body.provider, body.expires_at))
        return AttestedRetailer(
            retailer_id=retailer_id,
            level=body.level,
            expires_at=rfc3339(body.expires_at),
            entry_index=accepted.index,
        )


def _add_signals(router: APIRouter, office: Office, asking: Any) -> None:
    """What the utility says to its zones.

    The ledger's entry makes it true; what units are told of it is stored before the call answers, and if anything dies
    in between, the same call again stores it again, under the same ids. In a zone of a million this takes its time.
    """

    @router.post("/events", status_code=201, responses=calls.keyed("event_exists", "event_too_soon", "invalid_event"))
    def declare_event(body: NewEvent, asked: Asked = asking) -> DeclaredEvent:
        """Declare a demand event in a zone, at least 120 s before it starts."""
        command = DeclareEvent(body.id, body.zone, body.start_at, body.end_at, body.discharge_w)
        accepted = office.ask(asked, command)
        instructions.call_event(office, body.id, issued_s=accepted.at_s, reserve_pct=body.reserve_pct)
        return DeclaredEvent(id=body.id, state="declared", entry_index=accepted.index)

    @router.post("/events/{event_id}/cancel", responses=calls.keyed("unknown_event", "invalid_state"))
    def cancel_event(event_id: Name, asked: Asked = asking) -> DeclaredEvent:
        """Cancel an event: for what is executed from now on it never was; what was earned stays."""
        accepted = office.ask(asked, CancelEvent(event_id))
        instructions.cancel_event(office, event_id, issued_s=accepted.at_s)
        return DeclaredEvent(id=event_id, state="cancelled", entry_index=accepted.index)

    @router.put("/grid-signals/{hour}", responses=calls.signed_in("invalid_hour"))
    def publish_signal(
        hour: Annotated[Moment, Path(description="the UTC hour, RFC 3339", examples=["2026-07-01T14:00:00Z"])],
        body: GridSignal,
    ) -> PublishedSignal:
        """Set the grid's carbon intensity in one hour; it changes later executions only."""
        (known,) = office.ledger.rows([state.signal_key(hour)])
        if known != Signal(body.intensity_mg_per_wh):
            office.ask_anew(PublishSignal(hour, body.intensity_mg_per_wh))
        return PublishedSignal(hour=rfc3339(hour), intensity_mg_per_wh=body.intensity_mg_per_wh)


def _retailer(office: Office, retailer_id: str) -> Retailer:
    (row,) = office.ledger.rows([state.retailer_key(retailer_id)])
    if not isinstance(row, state.Retailer):
        raise Problem("unknown_retailer", "There is no such retailer.")
    is_current = office.clock.now_s() < row.identity_expires_s
    return Retailer(
        retailer_id=row.retailer_id,
        name=row.name,
        terminals=list(row.terminals),
        bonus_bp=row.bonus_bp,
        identity=row.identity if is_current else UNVERIFIED,
        identity_provider=row.identity_provider or None,
        identity_expires_at=rfc3339(row.identity_expires_s) if row.identity_expires_s else None,
    )


def _admit_retailer(office: Office, asked: Asked, body: NewRetailer) -> Answer:
    """The ledger first, then the client: repeated after a crash, both come out the same."""
    retailer_id = _retailer_id(office, asked)
    office.ask(asked, AdmitRetailer(retailer_id, body.name, tuple(body.terminals), body.bonus_bp))
    client = Client(f"retailer-{retailer_id.lower()}", frozenset({Scope.RETAILER}), retailer_id)
    secret = text_of(office.keys.derive("retailer client", asked.id))
    office.clients.admit(client, secret)
    return Answer(
        201,
        {"retailer_id": retailer_id, "client_id": client.client_id},
        once={"client_secret": secret},
        again={"code": SECRET_ALREADY_SHOWN},
    )


def _retailer_id(office: Office, asked: Asked) -> str:
    """`R` and 14 letters of base 32 that belong to this call; 70 bits, so that no two calls get the same."""
    letters = base64.b32encode(office.keys.derive("retailer id", asked.id)).decode()
    return "R" + letters[: RETAILER_ID_LENGTH - 1]
