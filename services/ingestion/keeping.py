"""Verdicts made durable: parked, in quarantine, counted. One transaction of the caller's for all of them.

Counts move with their messages: whoever takes a message from one place to another counts it there and nowhere else,
so `received` is the sum of what messages became at any moment.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from sqlalchemy import Connection

from contracts.units import UnixSeconds
from services.ingestion.arrivals import EQUIVOCATION, Arrival, Became, Verdict, quarantined
from services.setaside import parking, quarantine, tallies
from services.setaside.parking import Parked
from services.setaside.quarantine import Aside, State

RECEIVED: Final = "received"
DEVICE_ID_LENGTH_MAX: Final = 64

Verdicts: TypeAlias = dict[Arrival, Verdict]


def keep(connection: Connection, verdicts: Mapping[Arrival, Verdict], *, now_s: UnixSeconds) -> Verdicts:
    """Write down what became of these messages; return the verdicts as they came out.

    Where another worker was quicker, a message that was to be parked is a duplicate or an equivocation, and one that
    was parked is left to that worker and to its counts.
    """
    final = _parked(connection, _replayed(connection, _taken(connection, verdicts)), now_s)
    _put_aside(connection, final, now_s)
    tallies.count(connection, moves(final))
    return final


def moves(verdicts: Mapping[Arrival, Verdict]) -> Counter[str]:
    """How the counts change."""
    counts: Counter[str] = Counter()
    for arrival, verdict in verdicts.items():
        counts[arrival.was or RECEIVED] += -1 if arrival.was else 1
        counts[verdict.became] += 1
    return counts


def _taken(connection: Connection, verdicts: Mapping[Arrival, Verdict]) -> Verdicts:
    """Without those that another worker took out of the parking place."""
    leaving = {
        _place(arrival, verdict): arrival
        for arrival, verdict in verdicts.items()
        if arrival.was is Became.WAITING and verdict.became is not Became.WAITING
    }
    gone = leaving.keys() - parking.take(connection, leaving.keys()) if leaving else set()
    left_to_others = {leaving[place] for place in gone}
    return {arrival: verdict for arrival, verdict in verdicts.items() if arrival not in left_to_others}


def _replayed(connection: Connection, verdicts: Verdicts) -> Verdicts:
    """Without those that another worker judged again."""
    return {
        arrival: verdict
        for arrival, verdict in verdicts.items()
        if arrival.row is None
        or quarantine.move(connection, arrival.row.id, to=State.REPLAYED, states=(State.REPLAY_REQUESTED,))
    }


def _parked(connection: Connection, verdicts: Verdicts, now_s: UnixSeconds) -> Verdicts:
    """With those that wait now in their places, and those whose place is taken judged by what is there."""
    waiting = {arrival: verdict for arrival, verdict in verdicts.items() if verdict.became is Became.WAITING}
    due = {_place(a, v): v.due_s for a, v in waiting.items() if a.was is Became.WAITING and v.due_s is not None}
    parking.set_due(connection, due)
    new = {
        _place(arrival, verdict): arrival for arrival, verdict in waiting.items() if arrival.was is not Became.WAITING
    }
    if not new:
        return verdicts
    kept = parking.park(connection, [_row(arrival, waiting[arrival], now_s) for arrival in new.values()])
    if len(kept) == len(new):
        return verdicts
    there = parking.hashes_at(connection, new.keys() - kept)
    judged_again = {
        new[place]: Verdict(Became.DUPLICATE, seq=place[1]) if sha256 == new[place].sha256 else _equivocation(place)
        for place, sha256 in there.items()
    }
    return verdicts | judged_again


def _put_aside(connection: Connection, verdicts: Verdicts, now_s: UnixSeconds) -> None:
    aside = [
        _aside(arrival, verdict, now_s)
        for arrival, verdict in verdicts.items()
        if verdict.became in (Became.QUARANTINED, Became.REFUSED)
    ]
    quarantine.put_aside(connection, aside)
    refused_before = [
        _aside(arrival, verdict, now_s)
        for arrival, verdict in verdicts.items()
        if verdict.became is Became.DUPLICATE and verdict.reason
    ]
    quarantine.keep(connection, refused_before)


def _aside(arrival: Arrival, verdict: Verdict, now_s: UnixSeconds) -> Aside:
    is_counted = arrival.row is not None and arrival.row.reason == verdict.reason
    return Aside(
        device_id=arrival.device_id[:DEVICE_ID_LENGTH_MAX],
        sha256=arrival.sha256,
        reason=verdict.reason,
        raw=arrival.payload if verdict.keeps_raw else None,
        size_bytes=len(arrival.payload),
        seen_s=now_s,
        seq=verdict.seq,
        entry_index=verdict.entry_index,
        count=0 if is_counted else 1,
    )


def _row(arrival: Arrival, verdict: Verdict, now_s: UnixSeconds) -> Parked:
    device_id, seq = _place(arrival, verdict)
    return Parked(device_id, seq, arrival.sha256, arrival.payload, verdict.due_s, now_s)


def _place(arrival: Arrival, verdict: Verdict) -> tuple[str, int]:
    if verdict.seq is None:
        raise ValueError(f"a message without a number cannot wait: {verdict}")
    return arrival.device_id, verdict.seq


def _equivocation(place: tuple[str, int]) -> Verdict:
    return quarantined(EQUIVOCATION, place[1])


def alarms(verdicts: Mapping[Arrival, Verdict]) -> Iterator[tuple[Arrival, Verdict]]:
    """Those that somebody must look at: two packs for one number, or a pack that does not chain."""
    for arrival, verdict in verdicts.items():
        is_chain = verdict.became is Became.REFUSED and verdict.reason == "broken_chain"
        if is_chain or (verdict.became is Became.QUARANTINED and verdict.reason == EQUIVOCATION):
            yield arrival, verdict
