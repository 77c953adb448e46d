"""From arrivals to verdicts: reads the rows, gives each message its place, asks the ledger, keeps the answers.

A batch is judged in rounds. In a round a unit has either packs or gap packs, in the order in which they came; the
next round sees what the one before left behind. A round costs a handful of statements and calls, however many
messages it has.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Engine

from contracts.commands import Request
from contracts.evidence import Doubt
from contracts.programmes import Programme
from contracts.recording import next_seq
from contracts.state import Meter, Unit
from contracts.units import UnixSeconds
from contracts.wire.cose import Sign1
from contracts.wire.packs import GapPack
from contracts.wire.receipts import Receipt
from services.clock import Clock
from services.database import transaction
from services.ingestion import arrivals, decisions, keeping, speaker
from services.ingestion.arrivals import EQUIVOCATION, Arrival, Became, Content, Verdict, quarantined
from services.ingestion.keeping import Verdicts
from services.ingestion.lanes import Lane, Numbered, of_decided
from services.ingestion.patience import Patience
from services.ingestion.shelf import Rows, Shelf
from services.ledger.client import Accepted, Ledger, Outcome, Running

T = TypeVar("T")

ROUNDS_MAX: Final = 4
"""Rounds for one batch; a unit that mixes packs and gap packs more often than that waits for the next batch."""
RECEIPT_EVERY: Final = 12
RUNNING_S: Final = 0.05
"""How long to wait for another worker that asks the same."""


class Said(NamedTuple):
    """A message that is surely its unit's, and what it says; its number can be read."""

    arrival: Arrival
    seq: int
    content: Content


class Ask(NamedTuple):
    """A request to the ledger about a message."""

    arrival: Arrival
    seq: int
    request: Request


class Answer(NamedTuple):
    """What the ledger says; `is_first` if we asked only once."""

    outcome: Outcome
    is_first: bool


@dataclass(slots=True)
class Report:
    """What came of a batch.

    verdicts   on each message that was judged
    left       messages that wait for the next batch, in their order
    heard      the highest number of each unit that surely spoke
    unfinished units of which more can be decided at once
    receipts   that are due now, and noted as sent
    """

    verdicts: Verdicts = field(default_factory=dict)
    left: list[Arrival] = field(default_factory=list)
    heard: dict[str, int] = field(default_factory=dict)
    unfinished: set[str] = field(default_factory=set)
    receipts: list[Receipt] = field(default_factory=list)


class Judge:
    """Judges batches. One thread uses it.

    origin     the name of the ledger's log, for receipts
    programme  gives the active parameters: they say how far above the next number a pack may be parked
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        engine: Engine,
        clock: Clock,
        origin: str,
        programme: Callable[[], Programme],
        patience: Patience,
    ) -> None:
        self.shelf: Final = Shelf(ledger=ledger, engine=engine, patience=patience)
        self._ledger = ledger
        self._engine = engine
        self._clock = clock
        self._origin = origin
        self._programme = programme
        self._patience = patience
        self._ledger_s: UnixSeconds = 0

    @property
    def now_s(self) -> UnixSeconds:
        """The time as far as we know: by our clock, and never before what the ledger said last."""
        return max(self._clock.now_s(), self._ledger_s)

    # What the worker asks for

    def judge(self, batch: Sequence[Arrival]) -> Report:
        """Judge messages in order of arrival, and keep what became of them."""
        forms = [arrivals.parse(arrival) for arrival in batch]
        rows = self.shelf.rows({a.device_id for a, form in zip(batch, forms, strict=True) if isinstance(form, Sign1)})
        said: dict[str, list[Said]] = {}
        aside: Verdicts = {}
        for arrival, form in zip(batch, forms, strict=True):
            content = arrivals.examine(form, rows.units[arrival.device_id]) if isinstance(form, Sign1) else form
            if isinstance(content, Verdict):
                aside[arrival] = content
            elif content.seq is not None:
                said.setdefault(arrival.device_id, []).append(Said(arrival, content.seq, content))
        report = Report(heard={device_id: max(one.seq for one in of_unit) for device_id, of_unit in said.items()})
        self._judge_said({device_id: _segments(of_unit) for device_id, of_unit in said.items()}, rows, aside, report)
        return report

    def drain(self, device_ids: Collection[str]) -> Report:
        """Decide what waits of these units and can be decided now."""
        report = Report()
        self._round({device_id: [] for device_id in device_ids}, self.shelf.rows(device_ids), {}, report)
        return report

    def settle_overtaken(self, device_ids: Collection[str]) -> None:
        """Let go what waits although its number is decided: the program ended between the one and the other."""
        overtaken = self.shelf.overtaken(device_ids)
        decided = self.shelf.decided((one.arrival.device_id, one.seq) for one in overtaken)
        verdicts = {
            one.arrival: of_decided(one.arrival, one.seq, decided.get((one.arrival.device_id, one.seq)))
            for one in overtaken
        }
        self._keep(verdicts, {}, Report())

    def set_aside(self, arrival: Arrival, reason: str) -> Report:
        """Put a message in quarantine unjudged."""
        report = Report()
        self._keep({arrival: quarantined(reason)}, {}, report)
        return report

    # Rounds

    def _judge_said(
        self, segments: Mapping[str, list[list[Said]]], rows: Rows, aside: Verdicts, report: Report
    ) -> None:
        for place in range(ROUNDS_MAX):
            now = {device_id: of_unit[place] for device_id, of_unit in segments.items() if place < len(of_unit)}
            if now or (aside and not place):
                self._round(now, self.shelf.rows(now) if place else rows, {} if place else aside, report)
        report.left = [said.arrival for of_unit in segments.values() for late in of_unit[ROUNDS_MAX:] for said in late]

    def _round(self, now: Mapping[str, list[Said]], rows: Rows, aside: Verdicts, report: Report) -> None:
        """Judge one segment of each unit; of a unit without messages, only what waits."""
        gaps = {device_id: said for device_id, said in now.items() if said and isinstance(said[0].content, GapPack)}
        lanes = self._lanes({device_id: said for device_id, said in now.items() if device_id not in gaps}, rows)
        verdicts = aside | self._follow(lanes, rows) | _already_past(gaps, rows)
        asks = [Ask(a, seq, decisions.record_request(a)) for lane in lanes.values() for a, seq in lane.places()]
        asks += self._asks_of_gaps(gaps, rows, verdicts)
        for ask, answer in zip(asks, self._ask([ask.request for ask in asks]), strict=True):
            verdicts[ask.arrival] = decisions.verdict_of(ask.arrival, ask.seq, answer.outcome, is_first=answer.is_first)
        for lane in lanes.values():
            verdicts |= lane.finish(verdicts)
        closing = {device_id for device_id, lane in lanes.items() if lane.is_closing_gap}
        self._keep(verdicts, self.shelf.rows(_receipts_due(verdicts, rows.meters, closing)).meters, report)
        report.unfinished |= gaps.keys() | {device_id for device_id, lane in lanes.items() if lane.is_full}

    def _lanes(self, packs: Mapping[str, list[Said]], rows: Rows) -> dict[str, Lane]:
        """Every unit's messages in their places."""
        places = {(device_id, one.seq) for device_id, said in packs.items() for one in said}
        behind = {(device_id, seq) for device_id, seq in places if seq <= rows.meters[device_id].seq}
        decided, parked = _by_device(self.shelf.decided(behind)), _by_device(self.shelf.hashes(places - behind))
        seq_ahead_max = self._patience.call(self._programme).seq_ahead_max
        lanes = {}
        for device_id, said in packs.items():
            lane = lanes[device_id] = Lane(
                meter=rows.meters[device_id],
                decided=decided.get(device_id, {}),
                parked=parked.get(device_id, {}),
                seq_ahead_max=seq_ahead_max,
            )
            for one in said:
                lane.take(Numbered(one.arrival, one.seq))
        return lanes

    def _follow(self, lanes: Mapping[str, Lane], rows: Rows) -> Verdicts:
        """Let the runs go on with what waits; return verdicts on what waits and is its unit's no more."""
        at_s = self.now_s
        for lane in lanes.values():
            lane.follow(iter(()), at_s=at_s)
        verdicts: Verdicts = {}
        waiting = self.shelf.waiting({device_id: lane.expected for device_id, lane in lanes.items()}, at_s=at_s)
        for device_id, parked in waiting.items():
            lanes[device_id].follow(_still_sound(parked, rows.units[device_id], verdicts), at_s=at_s)
        return verdicts

    def _asks_of_gaps(self, gaps: Mapping[str, list[Said]], rows: Rows, settled: Verdicts) -> list[Ask]:
        parked = self.shelf.numbers(gaps)
        return [
            Ask(
                one.arrival,
                one.seq,
                decisions.lost_request(
                    one.arrival, parked=parked.get(device_id, ()), last_seq=rows.meters[device_id].seq
                ),
            )
            for device_id, said in gaps.items()
            for one in said
            if one.arrival not in settled
        ]

    # The ledger, and what is kept of its answers

    def _ask(self, requests: list[Request]) -> list[Answer]:
        """Ask for all of them, as often as it takes."""
        asked = 0

        def submit() -> list[Outcome]:
            nonlocal asked
            asked += 1
            return self._ledger.submit(requests)

        outcomes = self._patience.call(submit) if requests else []
        while any(isinstance(outcome, Running) for outcome in outcomes):
            self._patience.rest(RUNNING_S)
            outcomes = self._patience.call(submit)
        ledger_times_s = [outcome.at_s for outcome in outcomes if isinstance(outcome, Accepted)]
        self._ledger_s = max([self._ledger_s, *ledger_times_s])
        return [Answer(outcome, asked == 1) for outcome in outcomes]

    def _keep(self, verdicts: Verdicts, due: Mapping[str, Meter], report: Report) -> None:
        """One transaction for what became of a round's messages and the receipts that follow."""

        def write() -> tuple[Verdicts, list[Receipt]]:
            with transaction(self._engine) as session:
                connection = session.connection()
                final = keeping.keep(connection, verdicts, now_s=self.now_s)
                return final, speaker.receipts_for(connection, due, origin=self._origin)

        if verdicts:
            final, receipts = self._patience.call(write)
            report.verdicts |= final
            report.receipts += receipts


def _segments(said: Iterable[Said]) -> list[list[Said]]:
    """A unit's messages in order, cut where packs turn to gap packs or back."""
    return [list(of_kind) for _, of_kind in groupby(said, key=lambda one: isinstance(one.content, GapPack))]


def _by_device(by_place: Mapping[tuple[str, int], T]) -> dict[str, dict[int, T]]:
    by_device: dict[str, dict[int, T]] = {}
    for (device_id, seq), value in by_place.items():
        by_device.setdefault(device_id, {})[seq] = value
    return by_device


def _still_sound(parked: Iterable[Numbered], unit: Unit | None, verdicts: Verdicts) -> Iterator[Numbered]:
    """What waits, up to the first whose key was revoked meanwhile (it gets a verdict) or whose unit is suspended."""
    for numbered in parked:
        form = arrivals.parse(numbered.arrival)
        content = arrivals.examine(form, unit) if isinstance(form, Sign1) else form
        if isinstance(content, Verdict):
            if content.reason != Doubt.DEVICE_SUSPENDED:
                verdicts[numbered.arrival] = quarantined(content.reason, numbered.seq)
            return
        yield numbered


def _already_past(gaps: Mapping[str, list[Said]], rows: Rows) -> Verdicts:
    """Gap packs that name no number which is still missing: they change nothing."""
    return {
        one.arrival: Verdict(Became.VOID, seq=one.seq)
        for device_id, said in gaps.items()
        for one in said
        if isinstance(one.content, GapPack) and one.content.lost <= next_seq(rows.meters[device_id])
    }


def _receipts_due(verdicts: Verdicts, meters: Mapping[str, Meter], closing: set[str]) -> set[str]:
    """Units that get a receipt: after number 1 and every 12, when a gap closes, and whenever one may be missing."""
    due = set()
    for arrival, verdict in verdicts.items():
        device_id, seq = arrival.device_id, verdict.seq or 0
        match verdict.became:
            case Became.DUPLICATE | Became.VOID:
                due.add(device_id)
            case Became.QUARANTINED if verdict.reason == EQUIVOCATION:
                due.add(device_id)
            case Became.ACCEPTED | Became.REFUSED if device_id in meters:
                is_twelfth = seq // RECEIPT_EVERY > meters[device_id].seq // RECEIPT_EVERY
                if seq == 1 or is_twelfth or device_id in closing:
                    due.add(device_id)
    return due
