"""What units are told after the ledger has it: to send again, that an event comes, that it does not."""

from collections.abc import Iterator
from typing import Final

from contracts import state
from contracts.state import Event, Meter, Unit
from contracts.units import DAY_S, Seconds, UnixSeconds
from contracts.wire.receipts import EventCall, EventCancelled, Resend
from services.idempotency import Asked
from services.operations.office import Office

RESEND_S: Final[Seconds] = 2 * DAY_S
"""A unit that is away longer re-sends by itself when it connects; one whose clock is a day ahead still obeys."""
UNITS_PER_PAGE: Final = 1_000


def ask_to_resend(office: Office, asked: Asked, device_id: str) -> None:
    """Ask a unit for everything that is not decided."""
    (meter,) = office.ledger.rows([state.meter_key(device_id)])
    last_seq = meter.seq if isinstance(meter, Meter) else 0
    now_s = office.clock.now_s()
    resend = Resend(device_id, asked.id[:8].hex(), now_s, now_s + RESEND_S, last_seq + 1)
    office.instruct([resend])


def call_event(office: Office, event_id: str, *, issued_s: UnixSeconds, reserve_pct: int) -> None:
    """Tell every unit of the event's zone; the instruction's id is the event's, so that told twice it is one.

    Of an event that was cancelled since nobody is told: this may be a declaration that is sent again.
    """
    event = _event(office, event_id)
    if event.cancelled:
        return
    for device_ids in _units_of(office, event.zone):
        office.instruct(
            [
                EventCall(
                    device_id=device_id,
                    id=event_id,
                    issued_s=issued_s,
                    expires_s=event.end_s,
                    start_s=event.start_s,
                    end_s=event.end_s,
                    discharge_w=event.discharge_w,
                    reserve_pct=reserve_pct,
                )
                for device_id in device_ids
            ]
        )


def cancel_event(office: Office, event_id: str, *, issued_s: UnixSeconds) -> None:
    """Tell every unit of the event's zone that it does not take place."""
    event = _event(office, event_id)
    expires_s = max(event.end_s, issued_s + 1)
    for device_ids in _units_of(office, event.zone):
        office.instruct(
            [
                EventCancelled(device_id, f"{event_id}/cancelled", issued_s, expires_s, event_id)
                for device_id in device_ids
            ]
        )


def _event(office: Office, event_id: str) -> Event:
    (event,) = office.ledger.rows([state.event_key(event_id)])
    if not isinstance(event, Event):
        raise LookupError(f"the ledger took a command on the event {event_id}, which it does not have")
    return event


def _units_of(office: Office, zone: str) -> Iterator[list[str]]:
    """The units of a zone, page by page: a province has a million."""
    after = ""
    while page := office.ledger.find("unit", after=after, limit=UNITS_PER_PAGE):
        after = page[-1][0]
        units = [unit.device_id for _, unit in page if isinstance(unit, Unit) and unit.zone == zone]
        if units:
            yield units
