"""The numbers of one unit in one round: what goes to the ledger now, what waits, what was decided before.

Step 3 of interfaces.md 1. Pure; the rows come as arguments. The ledger judges the place again, and its answer is the
one that counts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from contracts.recording import next_seq
from contracts.state import Decided, Meter
from contracts.units import UnixSeconds
from services.ingestion.arrivals import (
    DECLARED_LOST,
    EQUIVOCATION,
    TOO_FAR_AHEAD,
    Arrival,
    Became,
    Verdict,
    quarantined,
)

RUN_MAX: Final = 500
"""Packs of one unit that go to the ledger together; so a receipt's list of refusals fits its 32 KiB."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """A pack with its number; `due_s` is known of one that waits for its time."""

    arrival: Arrival
    seq: int
    due_s: UnixSeconds | None = None


@dataclass(slots=True)
class Lane:
    """One unit's round.

    meter     the unit's row
    decided   rows of the numbers that arrived and are decided
    parked    SHA-256 of what waits under the numbers that arrived
    expected  the number that the run needs next
    run       packs that go to the ledger, in order
    early     packs that came before their turn, by number
    echoes    later messages of a number that is in `run` or `early`, with the first one
    verdicts  on what needs no ledger
    is_closing_gap  the run took up something that came before its turn
    """

    meter: Meter
    decided: Mapping[int, Decided]
    parked: Mapping[int, bytes]
    seq_ahead_max: int
    expected: int = 0
    run: list[Numbered] = field(default_factory=list)
    early: dict[int, Numbered] = field(default_factory=dict)
    echoes: list[tuple[Numbered, Arrival]] = field(default_factory=list)
    verdicts: dict[Arrival, Verdict] = field(default_factory=dict)
    is_closing_gap: bool = False
    _first: dict[int, Arrival] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.expected = self._past_voids(next_seq(self.meter))

    @property
    def is_full(self) -> bool:
        """May there be more that could be decided now?"""
        return len(self.run) == RUN_MAX

    def take(self, numbered: Numbered) -> None:
        """Give one message its place; call it in order of arrival."""
        arrival, seq = numbered.arrival, numbered.seq
        verdict = self._known(arrival, seq)
        if verdict is not None:
            self.verdicts[arrival] = verdict
        elif seq in self._first:
            self.echoes.append((numbered, self._first[seq]))
        elif seq - self.expected > self.seq_ahead_max:
            self.verdicts[arrival] = quarantined(TOO_FAR_AHEAD, seq)
        else:
            self._first[seq] = arrival
            if seq == self.expected and not self.is_full:
                self._append(numbered)
            else:
                self.early[seq] = numbered

    def follow(self, waiting: Iterator[Numbered], *, at_s: UnixSeconds) -> None:
        """Let the run go on with what came early, or waits (in order of number) and is due by `at_s`."""
        parked = next(waiting, None)
        while not self.is_full:
            while parked is not None and parked.seq < self.expected:
                parked = next(waiting, None)
            numbered = self.early.pop(self.expected, parked)
            if numbered is None or numbered.seq != self.expected or (numbered.due_s or 0) > at_s:
                break
            self.is_closing_gap = True
            self._append(numbered)

    def places(self) -> list[tuple[Arrival, int]]:
        """The run: what to ask the ledger about, in order."""
        return [(numbered.arrival, numbered.seq) for numbered in self.run]

    def finish(self, answers: Mapping[Arrival, Verdict]) -> dict[Arrival, Verdict]:
        """All verdicts on this unit's messages, once those of its run are known."""
        verdicts = dict(self.verdicts)
        verdicts |= {numbered.arrival: answers[numbered.arrival] for numbered in self.run}
        verdicts |= {early.arrival: Verdict(Became.WAITING, seq=early.seq) for early in self.early.values()}
        verdicts |= {numbered.arrival: _of_echo(numbered, first, verdicts[first]) for numbered, first in self.echoes}
        return verdicts

    def _append(self, numbered: Numbered) -> None:
        self.run.append(numbered)
        self.expected = self._past_voids(numbered.seq + 1)

    def _known(self, arrival: Arrival, seq: int) -> Verdict | None:
        """The verdict on a number that is decided, void or parked; None if it is free."""
        if seq <= self.meter.seq:
            return of_decided(arrival, seq, self.decided.get(seq))
        if any(first <= seq < after for first, after, _ in self.meter.voids):
            return quarantined(DECLARED_LOST, seq)
        if seq in self.parked:
            is_same = self.parked[seq] == arrival.sha256
            return Verdict(Became.DUPLICATE, seq=seq) if is_same else quarantined(EQUIVOCATION, seq)
        return None

    def _past_voids(self, seq: int) -> int:
        for first, after, _ in self.meter.voids:
            if first <= seq < after:
                seq = after
        return seq


def of_decided(arrival: Arrival, seq: int, decided: Decided | None) -> Verdict:
    """The verdict on a message whose number is decided (None: void)."""
    if decided is None:
        return quarantined(DECLARED_LOST, seq)
    if decided.sha256 != arrival.sha256:
        return quarantined(EQUIVOCATION, seq)
    if arrival.was is not Became.WAITING:
        # The reason goes along: a crash may have come between its entry and its place in quarantine.
        return Verdict(Became.DUPLICATE, decided.refusal, seq, decided.index)
    became = Became.REFUSED if decided.refusal else Became.ACCEPTED
    return Verdict(became, decided.refusal, seq, decided.index)


def _of_echo(numbered: Numbered, first: Arrival, verdict: Verdict) -> Verdict:
    if verdict.became is Became.QUARANTINED:
        return verdict
    if first.sha256 == numbered.arrival.sha256:
        return Verdict(Became.DUPLICATE, seq=numbered.seq)
    return quarantined(EQUIVOCATION, numbered.seq)
