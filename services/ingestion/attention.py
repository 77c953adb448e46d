"""What has to be done although no message came: gaps asked for, packs whose time has come, instructions, replays."""

import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeVar

import structlog
from sqlalchemy import Connection, Engine

from contracts.recording import next_seq
from contracts.wire import receipts
from contracts.wire.receipts import Resend
from services.database import transaction
from services.ingestion import arrivals
from services.ingestion.arrivals import Became
from services.ingestion.judge import Judge, Report
from services.ingestion.keeping import alarms
from services.ingestion.metrics import Metrics
from services.ingestion.patience import Patience
from services.ingestion.speaker import Speaker
from services.ingestion.watch import ASK_PAUSE_S, Watch
from services.setaside import instructions, parking, quarantine

T = TypeVar("T")

LOOKS_MAX: Final = 500
"""Units that are looked at together."""
STUCK_S: Final = 1.0
"""When to try again where a pack that seemed due did not go on: the ledger's clock is behind ours."""
INSTRUCTIONS_MAX: Final = 1_000
REPLAYS_MAX: Final = 100

log = structlog.get_logger(__name__)


class Attention:
    """Looks after the units between batches. The worker's thread uses it.

    timer   a wall clock in seconds, for pauses between commands; not the ledger's time, which may be simulated
    new_id  makes the ids of commands
    """

    def __init__(
        self,
        *,
        judge: Judge,
        speaker: Speaker,
        metrics: Metrics,
        engine: Engine,
        patience: Patience,
        timer: Callable[[], float],
        new_id: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._judge = judge
        self._speaker = speaker
        self._metrics = metrics
        self._engine = engine
        self._patience = patience
        self._timer = timer
        self._new_id = new_id
        self._watch = Watch()

    def begin(self) -> None:
        """Take up what an earlier run left: parked packs are looked at at once."""
        waiting = self._judge.shelf.look(parking.devices)
        for start in range(0, len(waiting), LOOKS_MAX):
            self._judge.settle_overtaken(waiting[start : start + LOOKS_MAX])
        now_s = self._timer()
        for device_id, seq in self._highest(waiting).items():
            self._watch.hear(device_id, seq, now_s)
            self._watch.look_at(device_id, now_s)

    def take_in(self, report: Report) -> None:
        """Tell units and the operator what came of a batch, and remember who has numbers that are not decided."""
        self._speaker.send_receipts(report.receipts)
        self._metrics.note(report.verdicts)
        for arrival, verdict in alarms(report.verdicts):
            log.warning("alarm", reason=verdict.reason, device_id=arrival.device_id, seq=verdict.seq)
        now_s = self._timer()
        decided = {
            (arrival.device_id, verdict.seq)
            for arrival, verdict in report.verdicts.items()
            if verdict.became in (Became.ACCEPTED, Became.REFUSED)
        }
        for device_id, seq in report.heard.items():
            # Where the highest number heard is decided there is no gap.
            if (device_id, seq) not in decided or device_id in self._watch.units:
                self._watch.hear(device_id, seq, now_s)
        self._watch.look_at_all(report.unfinished, now_s)

    def look_after_units(self) -> None:
        """Decide what waits and is due; ask for what is missing."""
        now_s = self._timer()
        self._watch.look_at_all(self._watch.come_due(self._judge.now_s), now_s)
        device_ids = self._watch.due(now_s, LOOKS_MAX)
        if device_ids:
            self._look(device_ids, now_s)

    def send_instructions(self) -> None:
        """Send what other programs want units to be told; a resend command only where its pause is over."""
        if self._judge.shelf.look(lambda connection: instructions.pending(connection, limit=1)):
            self._write(self._send_pending)

    def replay(self) -> None:
        """Judge again, from step 1, what people asked for."""
        wanted = (quarantine.State.REPLAY_REQUESTED,)
        rows = self._judge.shelf.look(lambda c: quarantine.find(c, states=wanted, limit=REPLAYS_MAX))
        cut = [row.id for row in rows if not row.is_whole]
        if cut:
            note = "its bytes are not kept, so it cannot be judged again"
            self._write(
                lambda c: [quarantine.move(c, id, to=quarantine.State.OPEN, states=wanted, note=note) for id in cut]
            )
        whole = [arrivals.of_quarantine(row) for row in rows if row.is_whole]
        if whole:
            self.take_in(self._judge.judge(whole))

    # Looking at units

    def _look(self, device_ids: Sequence[str], now_s: float) -> None:
        rows = self._judge.shelf.rows(device_ids)
        highest = self._highest(device_ids)
        wanted = {device_id: next_seq(meter) for device_id, meter in rows.meters.items()}
        parked = {one.device_id: one for one in self._judge.shelf.look(lambda c: parking.next_of(c, wanted))}
        drainable, missing = [], {}
        for device_id, seq in wanted.items():
            unit, waiting = rows.units[device_id], parked.get(device_id)
            if max(highest.get(device_id, 0), self._watch.units[device_id].heard_seq) < seq:
                self._watch.forget(device_id)
            elif unit is None or unit.suspended:
                self._watch.look_at(device_id, now_s + ASK_PAUSE_S)
            elif waiting is None:
                missing[device_id] = seq
            elif waiting.due_s is not None and waiting.due_s > self._judge.now_s:
                self._watch.wait_until(device_id, waiting.due_s)
            else:
                drainable.append(device_id)
        self._ask_for(missing, now_s)
        if drainable:
            self._drain(drainable, now_s)

    def _drain(self, device_ids: Sequence[str], now_s: float) -> None:
        report = self._judge.drain(device_ids)
        self.take_in(report)
        went_on = {a.device_id for a, verdict in report.verdicts.items() if verdict.became is not Became.WAITING}
        self._watch.look_at_all(went_on, now_s)
        self._watch.look_at_all(set(device_ids) - went_on, now_s + STUCK_S)

    def _highest(self, device_ids: Sequence[str]) -> dict[str, int]:
        return self._judge.shelf.look(lambda connection: parking.highest_seqs(connection, device_ids))

    def _ask_for(self, missing: dict[str, int], now_s: float) -> None:
        """Send a resend command for each number that has been missing for long enough."""
        wanted = [device_id for device_id, seq in missing.items() if self._watch.is_missing(device_id, seq, now_s)]
        if not wanted:
            return
        for device_id in self._claim(wanted, now_s):
            seq = missing[device_id]
            self._speaker.ask_again(device_id, id=self._new_id(), from_seq=seq, now_s=self._judge.now_s)
            self._watch.asked(device_id, now_s)
            log.info("resend_asked", device_id=device_id, from_seq=seq)
        self._watch.look_at_all(wanted, now_s + ASK_PAUSE_S)

    def _claim(self, device_ids: Collection[str], now_s: float) -> set[str]:
        return self._write(
            lambda c: (
                instructions.claim_asks(c, device_ids, now_s=int(now_s), pause_s=ASK_PAUSE_S) if device_ids else set()
            )
        )

    # Instructions of others

    def _send_pending(self, connection: Connection) -> None:
        """Sent before the rows are gone: a crash in between sends some twice, and units ignore an id they had."""
        waiting = instructions.pending(connection, limit=INSTRUCTIONS_MAX)
        said = {one.id: receipts.read_instruction(one.payload) for one in waiting}
        resends = {one.device_id for one in waiting if isinstance(said[one.id], Resend)}
        now_s = self._timer()
        may = instructions.claim_asks(connection, resends, now_s=int(now_s), pause_s=ASK_PAUSE_S)
        done = []
        for one in waiting:
            instruction = said[one.id]
            if isinstance(instruction, Resend) and one.device_id not in may:
                continue
            done.append(one.id)
            if instruction is not None and instruction.expires_s > self._judge.now_s:
                valid_s = instruction.expires_s - self._judge.now_s
                self._speaker.send_command(one.device_id, one.payload, valid_s=valid_s)
        instructions.sent(connection, done)

    def _write(self, function: Callable[[Connection], T]) -> T:
        def write() -> T:
            with transaction(self._engine) as session:
                return function(session.connection())

        return self._patience.call(write)
