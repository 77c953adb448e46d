"""The calls of the scope `fleet` on units."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from contracts.commands import CorrectUnit, IssueClaimCode, ReplaceKey, SuspendUnit
from contracts.wire import signatures
from services import calls
from services.database import reading
from services.encoding import bytes_of
from services.idempotency import SECRET_ALREADY_SHOWN, Answer, Asked, asked_by
from services.identity import Scope
from services.moments import rfc3339
from services.operations import census, instructions, registration
from services.operations.office import Office
from services.operations.shapes import (
    ClaimCode,
    Correction,
    Device,
    DeviceId,
    DeviceMoved,
    Devices,
    KeyReplaced,
    NewDevices,
    NewKey,
    RegisteredDevices,
)
from services.problems import Problem
from services.setaside import parking


def fleet_router(office: Office) -> APIRouter:
    """Return the router of everything under `/v1/devices`."""
    caller = office.tokens.organisation(Scope.FLEET)
    router = APIRouter(prefix="/v1/devices", tags=["fleet"], dependencies=[Depends(caller)])
    asking = Depends(asked_by(caller))

    @router.post("", status_code=201, response_model=RegisteredDevices, responses=calls.keyed())
    def register(body: NewDevices, asked: Asked = asking) -> Response:
        """Register up to 10,000 units; secrets are shown in the first answer only."""
        return office.answers.answer(asked, lambda: registration.register(office, asked, body.devices))

    @router.get("", responses=calls.signed_in("invalid_cursor"))
    def list_devices(cursor: str | None = None, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> Devices:
        """Units by id, a page at a time."""
        return census.devices(office, cursor=cursor, limit=limit)

    @router.get("/{device_id}", responses=calls.signed_in("unknown_device"))
    def show(device_id: DeviceId) -> Device:
        """A unit: as registered, its keys, how far its packs are decided, what is missing."""
        return census.device(office, device_id)

    @router.patch("/{device_id}", responses=calls.signed_in("unknown_device"))
    def correct(device_id: DeviceId, body: Correction) -> Device:
        """Correct nameplate or zone; what was decided stays, a refused pack may be decided again."""
        _correct(office, device_id, body)
        return census.device(office, device_id)

    _add_moves(router, office, asking)
    return router


def _add_moves(router: APIRouter, office: Office, asking: Any) -> None:
    """The calls on one unit that need an Idempotency-Key."""

    @router.post("/{device_id}/suspend", responses=calls.keyed("unknown_device"))
    def suspend(device_id: DeviceId, asked: Asked = asking) -> DeviceMoved:
        """Set a unit's messages aside from now on."""
        office.ask(asked, SuspendUnit(device_id, suspended=True))
        return DeviceMoved(device_id=device_id, state="suspended")

    @router.post("/{device_id}/resume", responses=calls.keyed("unknown_device"))
    def resume(device_id: DeviceId, asked: Asked = asking) -> DeviceMoved:
        """Take a unit's messages again, and ask it for those that were set aside."""
        office.ask(asked, SuspendUnit(device_id, suspended=False))
        instructions.ask_to_resend(office, asked, device_id)
        return DeviceMoved(device_id=device_id, state="active")

    @router.post(
        "/{device_id}/keys",
        status_code=201,
        responses=calls.keyed("unknown_device", "key_number_taken", "key_in_use", "bad_key_signature"),
    )
    def replace_key(device_id: DeviceId, body: NewKey, asked: Asked = asking) -> KeyReplaced:
        """Give a unit another key from a number on; without the old key's signature the old one is revoked."""
        return _replace_key(office, asked, device_id, body)

    @router.post(
        "/{device_id}/claim-codes",
        status_code=201,
        response_model=ClaimCode,
        responses=calls.keyed("unknown_device"),
    )
    def issue_claim_code(device_id: DeviceId, asked: Asked = asking) -> Response:
        """A new claim code for 90 days; the one before ends. Shown in the first answer only."""
        return office.answers.answer(asked, lambda: _issue_claim_code(office, asked, device_id))


def _correct(office: Office, device_id: str, body: Correction) -> None:
    unit = census.unit_of(office, device_id)
    said = body.model_dump(exclude_none=True)
    if not said:
        raise Problem("validation_failed", "Nothing to correct is named.", extras={"fields": []})
    present = {
        "pv_nameplate_w": unit.pv_nameplate_w,
        "battery_capacity_wh": unit.battery_capacity_wh,
        "battery_power_w": unit.battery_power_w,
        "zone": unit.zone,
    }
    if {**present, **said} != present:
        office.ask_anew(CorrectUnit(device_id=device_id, **{**present, **said}))


def _replace_key(office: Office, asked: Asked, device_id: str, body: NewKey) -> KeyReplaced:
    public_key = _bytes_of("public_key", body.public_key)
    signature = None if body.signature is None else _bytes_of("signature", body.signature)
    if len(public_key) != signatures.PUBLIC_KEY_LENGTH:
        raise _invalid("public_key", f"expected {signatures.PUBLIC_KEY_LENGTH} bytes")
    with reading(office.engine) as session:
        parked_seq = parking.highest_seqs(session.connection(), [device_id]).get(device_id, 0)
    office.ask(
        asked,
        ReplaceKey(
            device_id=device_id,
            public_key=public_key,
            from_seq=body.from_seq,
            signature=signature,
            parked_seq=parked_seq,
        ),
    )
    return KeyReplaced(device_id=device_id, kid=signatures.key_id(public_key).hex(), from_seq=body.from_seq)


def _issue_claim_code(office: Office, asked: Asked, device_id: str) -> Answer:
    code = registration.claim_code(office, asked, device_id)
    accepted = office.ask(asked, IssueClaimCode(device_id, registration.claim_hash(code)))
    return Answer(
        201,
        {"expires_at": rfc3339(accepted.result["expires_s"])},
        once={"claim_code": code},
        again={"code": SECRET_ALREADY_SHOWN},
    )


def _bytes_of(field: str, text: str) -> bytes:
    data = bytes_of(text)
    if data is None:
        raise _invalid(field, "expected base64url")
    return data


def _invalid(field: str, message: str) -> Problem:
    fields = [{"field": field, "message": message}]
    return Problem("validation_failed", "The request does not have the shape asked for.", extras={"fields": fields})
