"""Units joining the fleet, up to ten thousand in one call, each a ledger command of its own.

Secrets are derived from what was asked: if anything dies between the ledger and the broker's accounts, the same call
again finds the units registered, gives them the same accounts, and only then answers.
"""

from collections.abc import Iterator, Sequence

from pydantic import TypeAdapter, ValidationError

from contracts.commands import RegisterUnit, Request
from contracts.wire import packs
from contracts.wire.signatures import PUBLIC_KEY_LENGTH
from services import claim_codes
from services.encoding import bytes_of, text_of
from services.idempotency import SECRET_ALREADY_SHOWN, Answer, Asked, outcome_of, part_of
from services.ledger.client import Declined
from services.operations.office import Office
from services.operations.shapes import WATTS_MAX, NewDevice, Zone

_ZONE: TypeAdapter[str] = TypeAdapter(Zone)


def register(office: Office, asked: Asked, devices: Sequence[NewDevice]) -> Answer:
    """Register the units that can be; answer their secrets once, and for each of the others why not."""
    error_by_place = dict(_errors(devices))
    sound = [place for place in range(len(devices)) if place not in error_by_place]
    requests = [_request(office, asked, devices[place]) for place in sound]
    for place, outcome in zip(sound, office.ledger.submit(requests), strict=True):
        if isinstance(outcome, Declined):
            error_by_place[place] = outcome.reason
        else:
            outcome_of(outcome)
    admitted = [device.device_id for place, device in enumerate(devices) if place not in error_by_place]
    office.accounts.admit([(device_id, password(office, asked, device_id)) for device_id in admitted])
    return Answer(
        201,
        {},
        once={"items": list(_items(office, asked, devices, error_by_place, is_first=True))},
        again={"items": list(_items(office, asked, devices, error_by_place, is_first=False))}
        | ({"code": SECRET_ALREADY_SHOWN} if admitted else {}),
    )


def claim_code(office: Office, asked: Asked, device_id: str) -> str:
    """The code that this call gives the unit."""
    return claim_codes.code_from(office.keys.derive("claim code", asked.id, device_id.encode()))


def claim_hash(code: str) -> bytes:
    """How the ledger knows a code that we made."""
    known = claim_codes.hash_of(code)
    if known is None:
        raise ValueError("a claim code that we made can be read")
    return known


def password(office: Office, asked: Asked, device_id: str) -> str:
    """The broker password that this call gives the unit."""
    return text_of(office.keys.derive("broker password", asked.id, device_id.encode()))


def _errors(devices: Sequence[NewDevice]) -> Iterator[tuple[int, str]]:
    """Which items are refused before the ledger is asked, and why."""
    seen: set[str] = set()
    for place, device in enumerate(devices):
        if not packs.is_device_id(device.device_id):
            yield place, "invalid_device_id"
        elif device.device_id in seen:
            yield place, "device_exists"
        elif len(bytes_of(device.public_key) or b"") != PUBLIC_KEY_LENGTH:
            yield place, "invalid_public_key"
        elif not all(0 <= figure <= WATTS_MAX for figure in _nameplate(device)):
            yield place, "invalid_nameplate"
        elif not _is_zone(device.zone):
            yield place, "invalid_zone"
        else:
            seen.add(device.device_id)


def _nameplate(device: NewDevice) -> tuple[int, int, int]:
    return device.pv_nameplate_w, device.battery_capacity_wh, device.battery_power_w


def _is_zone(text: str) -> bool:
    try:
        _ZONE.validate_python(text)
    except ValidationError:
        return False
    return True


def _request(office: Office, asked: Asked, device: NewDevice) -> Request:
    part = part_of(asked, device.device_id)
    command = RegisterUnit(
        device_id=device.device_id,
        public_key=bytes_of(device.public_key) or b"",
        pv_nameplate_w=device.pv_nameplate_w,
        battery_capacity_wh=device.battery_capacity_wh,
        battery_power_w=device.battery_power_w,
        zone=device.zone,
        claim_hash=claim_hash(claim_code(office, asked, device.device_id)),
    )
    return Request(part.id, part.digest, command)


def _items(
    office: Office, asked: Asked, devices: Sequence[NewDevice], error_by_place: dict[int, str], *, is_first: bool
) -> Iterator[dict[str, str]]:
    for place, device in enumerate(devices):
        item = {"device_id": device.device_id}
        if place in error_by_place:
            item["error"] = error_by_place[place]
        else:
            item["mqtt_username"] = device.device_id
            if is_first:
                item["claim_code"] = claim_code(office, asked, device.device_id)
                item["mqtt_password"] = password(office, asked, device.device_id)
        yield item
