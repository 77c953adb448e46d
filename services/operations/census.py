"""The fleet as its operator sees it: units as registered, how far they are, what is missing."""

from collections.abc import Sequence

from contracts import state
from contracts.state import Meter, Unit, UnitKey
from contracts.units import UnixSeconds
from contracts.wire import signatures
from services.database import reading
from services.encoding import cursor_of, place_of, text_of
from services.moments import rfc3339
from services.operations.office import Office
from services.operations.shapes import Device, DeviceKey, Devices, Gap
from services.problems import Problem
from services.setaside import parking, quarantine


def device(office: Office, device_id: str) -> Device:
    """One unit; an unknown one is a problem."""
    return _devices(office, [unit_of(office, device_id)])[0]


def devices(office: Office, *, cursor: str | None, limit: int) -> Devices:
    """A page of units, by id."""
    found = office.ledger.find("unit", after=place_of(cursor), limit=limit + 1)
    page = found[:limit]
    items = _devices(office, [unit for _, unit in page if isinstance(unit, Unit)])
    return Devices(items=items, next_cursor=cursor_of(page[-1][0]) if len(found) > limit else None)


def unit_of(office: Office, device_id: str) -> Unit:
    """The unit as the ledger has it; an unknown one is a problem."""
    (unit,) = office.ledger.rows([state.unit_key(device_id)])
    if not isinstance(unit, Unit):
        raise Problem("unknown_device", "There is no such unit.")
    return unit


def _devices(office: Office, units: Sequence[Unit]) -> list[Device]:
    ids = [unit.device_id for unit in units]
    rows = office.ledger.rows([state.meter_key(device_id) for device_id in ids])
    meters = [row if isinstance(row, Meter) else Meter() for row in rows]
    with reading(office.engine) as session:
        waiting = parking.seqs_by_device(session.connection(), ids)
        aside_s = quarantine.last_seen(session.connection(), ids)
    return [
        _shown(unit, meter, waiting.get(unit.device_id, ()), _last_seen_s(office, meter, aside_s.get(unit.device_id)))
        for unit, meter in zip(units, meters, strict=True)
    ]


def _last_seen_s(office: Office, meter: Meter, aside_s: UnixSeconds | None) -> UnixSeconds | None:
    decided = office.ledger.entry(meter.decided_at) if meter.seq else None
    seen_s = max(decided.at_s if decided else 0, aside_s or 0)
    return seen_s or None


def _shown(unit: Unit, meter: Meter, waiting: Sequence[int], last_seen_s: UnixSeconds | None) -> Device:
    return Device(
        device_id=unit.device_id,
        state="suspended" if unit.suspended else "active",
        claimed=unit.holder is not None,
        zone=unit.zone,
        pv_nameplate_w=unit.pv_nameplate_w,
        battery_capacity_wh=unit.battery_capacity_wh,
        battery_power_w=unit.battery_power_w,
        keys=[_shown_key(key) for key in unit.keys],
        last_seq=meter.seq,
        last_seen=None if last_seen_s is None else rfc3339(last_seen_s),
        last_interval_end=rfc3339(meter.last_end_s) if meter.last_end_s else None,
        waiting=len(waiting),
        gaps=_gaps(meter, waiting),
    )


def _shown_key(key: UnitKey) -> DeviceKey:
    return DeviceKey(
        kid=signatures.key_id(key.public_key).hex(),
        public_key=text_of(key.public_key),
        from_seq=key.from_seq,
        until_seq=key.until_seq or None,
        revoked=key.revoked,
    )


def _gaps(meter: Meter, waiting: Sequence[int]) -> list[Gap]:
    """Runs of numbers between the last decided one and those that wait, but for the ones declared lost."""
    taken = sorted([(seq, seq + 1) for seq in waiting] + [(first, after) for first, after, _ in meter.voids])
    gaps: list[Gap] = []
    expected = meter.seq + 1
    for first, after in taken:
        if first > expected:
            gaps.append(Gap(from_seq=expected, to_seq=first - 1))
        expected = max(expected, after)
    return gaps
