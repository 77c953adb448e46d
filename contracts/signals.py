"""What the utility says to its zones: demand events and the grid's hourly carbon intensity (programme.md)."""

from dataclasses import replace

from contracts import state
from contracts.commands import CancelEvent, DeclareEvent, PublishSignal
from contracts.effects import Draft, Effects, Reason, Rejected
from contracts.state import Event, Signal, ZoneEvents
from contracts.units import HOUR_S


def declare(draft: Draft, command: DeclareEvent) -> Effects | Rejected:
    """Declare a demand event, at least the programme's notice before it starts."""
    key = state.event_key(command.event_id)
    if draft.get(key, Event) is not None:
        return Rejected(Reason.EVENT_EXISTS)
    if command.end_s <= command.start_s or (command.discharge_w or 0) < 0:
        return Rejected(Reason.INVALID_EVENT)
    if command.start_s < draft.at_s + draft.programme.event_notice_s_min:
        return Rejected(Reason.EVENT_TOO_SOON)
    event = Event(command.zone, command.start_s, command.end_s, command.discharge_w, cancelled=False)
    draft.put(key, event)
    zone_key = state.zone_key(command.zone)
    zone = draft.get(zone_key, ZoneEvents) or ZoneEvents()
    oldest_s = draft.at_s - draft.programme.event_kept_s
    kept = (known for known in zone.events if known[2] > oldest_s)
    draft.put(zone_key, ZoneEvents((*kept, (command.event_id, command.start_s, command.end_s))))
    return draft.effects(event=command.event_id)


def cancel(draft: Draft, command: CancelEvent) -> Effects | Rejected:
    """From now on the event never was; what was earned stays."""
    key = state.event_key(command.event_id)
    event = draft.get(key, Event)
    if event is None:
        return Rejected(Reason.UNKNOWN_EVENT)
    if event.cancelled:
        return Rejected(Reason.INVALID_STATE)
    draft.put(key, replace(event, cancelled=True))
    zone_key = state.zone_key(event.zone)
    zone = draft.get(zone_key, ZoneEvents) or ZoneEvents()
    draft.put(zone_key, ZoneEvents(tuple(known for known in zone.events if known[0] != command.event_id)))
    return draft.effects(event=command.event_id, zone=event.zone)


def publish(draft: Draft, command: PublishSignal) -> Effects | Rejected:
    """Set an hour's intensity; it changes later executions only."""
    if command.hour_s % HOUR_S:
        return Rejected(Reason.INVALID_HOUR)
    if command.intensity_mg_per_wh < 0:
        return Rejected(Reason.INVALID_AMOUNT)
    draft.put(state.signal_key(command.hour_s), Signal(command.intensity_mg_per_wh))
    return draft.effects(hour_s=command.hour_s, intensity_mg_per_wh=command.intensity_mg_per_wh)
