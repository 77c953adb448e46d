"""The units a customer holds: claimed with the code that came along, left when moving out."""

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Depends

from contracts import state
from contracts.commands import ClaimUnit, LeaveUnit, Request
from contracts.state import Holdings, Meter, Unit
from contracts.units import UnixSeconds
from contracts.wire.packs import is_device_id
from services import calls, claim_codes
from services.customers.shapes import ClaimBody, Claimed, Devices
from services.idempotency import Asked, asked_by, outcome_of
from services.identity import Caller, Tokens
from services.ledger.client import Ledger
from services.moments import rfc3339
from services.problems import Problem

_NO_CODE: Final = bytes(32)
"""SHA-256 of no text that anybody knows."""


def devices_router(*, ledger: Ledger, tokens: Tokens, random_bytes: Callable[[int], bytes]) -> APIRouter:
    """Return the router of `/v1/me/devices`."""
    router = APIRouter(prefix="/v1/me/devices", tags=["customers"])
    _Customer: TypeAlias = Annotated[Caller, Depends(tokens.customer)]
    _Asked: TypeAlias = Annotated[Asked, Depends(asked_by(tokens.customer))]

    @router.post(
        "",
        status_code=201,
        summary="Claim a unit",
        responses=calls.keyed("customer_closed", "unknown_claim_code", "claim_code_expired", "unknown_customer"),
    )
    def claim(body: ClaimBody, caller: _Customer, asked: _Asked) -> Claimed:
        """What the unit measures earns for me from now on; the code ends."""
        # What can be no code is asked too, so that its refusal is remembered with the key like any other.
        claim_hash = claim_codes.hash_of(body.claim_code) or _NO_CODE
        (outcome,) = ledger.submit([Request(asked.id, asked.digest, ClaimUnit(caller.subject, claim_hash))])
        return Claimed(device_id=outcome_of(outcome).result["device"])

    @router.get("", summary="The units I hold", response_model=Devices, responses=calls.signed_in("customer_closed"))
    def devices(caller: _Customer) -> dict[str, Any]:
        held = [(device_id, from_s) for device_id, from_s, until_s in _holdings(caller).units if not until_s]
        keys = [key(device_id) for device_id, _ in held for key in (state.unit_key, state.meter_key)]
        rows = iter(ledger.rows(keys))
        items = [_shown(from_s, next(rows), next(rows)) for _, from_s in held]
        return {"items": items, "next_cursor": None}

    @router.delete(
        "/{device_id}",
        status_code=204,
        summary="Move out",
        responses=calls.signed_in("customer_closed", "unknown_device"),
    )
    def leave(device_id: str, caller: _Customer) -> None:
        """The unit is nobody's from now on; what it earned stays mine."""
        if not is_device_id(device_id):
            raise Problem("unknown_device", "You hold no such unit.")
        command = LeaveUnit(caller.subject, device_id)
        (outcome,) = ledger.submit([Request(random_bytes(32), bytes(32), command)])
        outcome_of(outcome)

    def _holdings(caller: Caller) -> Holdings:
        (holdings,) = ledger.rows([state.holdings_key(caller.subject)])
        return holdings if isinstance(holdings, Holdings) else Holdings()

    return router


def _shown(claimed_s: UnixSeconds, unit: object, meter: object) -> dict[str, Any]:
    """The members of `shapes.Device`."""
    if not isinstance(unit, Unit):
        raise LookupError("a unit that is held is not on the ledger")
    read = meter if isinstance(meter, Meter) else Meter()
    return {
        "device_id": unit.device_id,
        "claimed_at": rfc3339(claimed_s),
        "zone": unit.zone,
        "pv_nameplate_w": unit.pv_nameplate_w,
        "battery_capacity_wh": unit.battery_capacity_wh,
        "battery_power_w": unit.battery_power_w,
        "suspended": unit.suspended,
        "last_seq": read.seq,
        "last_interval_end_at": rfc3339(read.last_end_s) if read.last_end_s else None,
    }
