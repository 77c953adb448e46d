"""A platform with what the demo, a replay and tests ask beyond the interface: they wait for it and look inside."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from contracts import state
from contracts.commands import Request
from contracts.state import Meter
from device_sim.people import Operator
from device_sim.unit import PlatformKeys
from services import database
from services.clock import SimulatedClock
from services.embedded import Platform
from services.faces import Faces, queries_of
from services.keys import Use
from services.ledger import verify as verification
from services.ledger.client import Outcome, Recorded
from services.ledger.local import LocalLedger
from services.ledger.notes import KeyType, vkey
from services.ledger.queries import Queries
from services.ledger.writer import Writer
from services.setaside import quarantine, tallies

ENTRIES_PER_PAGE: Final = 500
"""How many entries are read at once where all are."""


class AnnouncedLedger(LocalLedger):
    """The ledger in this process, which wakes those who wait for a decision."""

    def __init__(self, writer: Writer, queries: Queries) -> None:
        super().__init__(writer, queries)
        self.answered = threading.Condition()

    def submit(self, requests: Sequence[Request]) -> list[Outcome]:
        outcomes = super().submit(requests)
        with self.answered:
            self.answered.notify_all()
        return outcomes


class Rehearsal(Platform):
    """The whole platform in this process, on whichever clock."""

    def _ledger_of(self, writer: Writer, queries: Queries) -> LocalLedger:
        self._announced = AnnouncedLedger(writer, queries)
        return self._announced

    def _start_statements(self, built: Faces) -> None:
        """Here a day is over when the story says so, which then asks for the statement."""

    @property
    def simulated_clock(self) -> SimulatedClock:
        """The clock of a demo or replay."""
        if not isinstance(self.clock, SimulatedClock):
            raise TypeError("this platform follows the machine's clock")
        return self.clock

    def operator(self) -> Operator:
        """A caller with the first operator's credentials."""
        credentials = self.keys.operator()
        return Operator(self.base_url, client_id=credentials.name, client_secret=credentials.secret)

    def unit_keys(self) -> PlatformKeys:
        """What units verify receipts and commands with."""
        return PlatformKeys(
            receipts=(self.keys.public_key(Use.RECEIPTS),), commands=(self.keys.public_key(Use.COMMANDS),)
        )

    def log_key(self) -> str:
        """The log's vkey, as an operator hands it to its members."""
        return vkey(self.settings.ledger_origin, KeyType.ED25519, self.keys.public_key(Use.LOG))

    def is_ready(self) -> bool:
        """Does every check of `/readyz` pass?"""
        return all(check() for check in self._checks.values())

    def wait_until_decided(self, device_id: str, seq: int, *, timeout_s: float) -> bool:
        """Has the unit's number `seq` been decided, after `timeout_s` at most without any answer of the ledger?"""
        answered = self._announced.answered
        with answered:
            while not self._is_decided(device_id, seq):
                if not answered.wait(timeout_s):
                    return self._is_decided(device_id, seq)
        return True

    def _is_decided(self, device_id: str, seq: int) -> bool:
        (meter,) = self.ledger.rows([state.meter_key(device_id)])
        return isinstance(meter, Meter) and meter.seq >= seq

    def recorded(self) -> Iterator[Recorded]:
        """Every entry of the ledger, in order."""
        queries = queries_of(self.engine)
        for first in range(0, self.ledger.head().size, ENTRIES_PER_PAGE):
            yield from queries.recorded(first, first + ENTRIES_PER_PAGE)

    def messages(self) -> dict[str, Any]:
        """What became of the messages of units, with the reasons."""
        refused: dict[str, int] = {}
        for recorded in self.recorded():
            if recorded.kind == "record_pack" and recorded.result["outcome"] == "refused":
                reason = recorded.result["reason"]
                refused[reason] = refused.get(reason, 0) + 1
        aside: Counter[str] = Counter()
        for reasons in self.quarantined().values():
            aside.update(reasons)
        with database.reading(self.engine) as session:
            counts = tallies.counts(session.connection())
        return {**counts, "refused_by_reason": refused, "quarantined_by_reason": dict(aside)}

    def quarantined(self) -> dict[str, dict[str, int]]:
        """By unit, how many messages are in quarantine for which reason, refused packs aside."""
        with database.reading(self.engine) as session:
            return quarantine.counts_by_device(session.connection())

    def verified_head(self) -> dict[str, Any]:
        """Size and root of the log, and whether re-execution from entry 0 agrees with every byte."""
        report = verification.verify(self.engine, self.keys.public_key(Use.LOG), lambda _done, _total: None)
        return {"size": report.size, "root": report.root.hex(), "verified": report.ok}
