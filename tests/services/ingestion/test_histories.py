"""No pack, however bad, leaves its unit or another stuck or delayed: random histories of real units, to the end.

Units with durable outboxes sign packs; the way to the platform loses, doubles, reorders and corrupts messages; clocks
are ahead, packs are lost at the unit for good, ingestion is killed and begins again. Then all goes well for a while,
and in the end every outbox is empty, the ledger has decided every number once, and the counts add up.
"""

import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from contracts.state import Decided
from contracts.units import HOUR_S, Wh
from contracts.wire.packs import Interval
from device_sim.outbox import OutboxFile
from device_sim.unit import Outgoing, Unit
from tests.services.ingestion.platform import PLATFORM_KEYS, Platform, platform_at
from tests.services.ledger.builders import NOON_S, Home

STEPS: Final = ("measure", "measure_ahead", "measure_wrong", "lose_at_home", "reconnect", "wait", "work", "restart")
UNITS: Final = 3
DAMAGE_PCT: Final = 10
END_ROUNDS_MAX: Final = 60


@dataclass(slots=True)
class Street:
    """Some units, the way to the platform, and the platform."""

    platform: Platform
    file: OutboxFile
    chance: Random
    loss_pct: int = 25
    units: list[Unit] = field(init=False)
    next_s: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.units = [self.unit(f"unit-{n}") for n in range(UNITS)]

    def send(self, unit: Unit, outgoing: list[Outgoing]) -> None:
        """Publish; on a bad day some messages get lost, doubled, damaged or overtaken."""
        messages = [out.message for out in outgoing]
        if self.loss_pct and self.chance.random() < 0.3:
            self.chance.shuffle(messages)
        for message in messages:
            fate = self.chance.randrange(100)
            if fate < self.loss_pct:
                continue
            if fate < self.loss_pct + DAMAGE_PCT and self.loss_pct:
                damaged = bytearray(message)
                damaged[self.chance.randrange(len(damaged))] ^= 1 << self.chance.randrange(8)
                self.platform.transport.deliver(unit.device_id, bytes(damaged))
            for _ in range(1 + (fate > 95)):
                self.platform.transport.deliver(unit.device_id, message)

    def measure(self, unit: Unit, *, ahead_s: int = 0, pv_wh: Wh = 100) -> None:
        start_s = self.next_s.get(unit.device_id, NOON_S - 11 * HOUR_S)
        self.next_s[unit.device_id] = start_s + 300
        interval = Interval(start_s + ahead_s, 300, pv_wh, 0, 0, 0, 0, pv_wh, 50)
        self.send(unit, [unit.measure([interval])])

    def hear(self) -> None:
        """Units take in what the platform sent; on a bad day not all of it."""
        for unit in self.units:
            receipts = self.platform.transport.receipts.pop(unit.device_id, [])
            commands = self.platform.transport.commands.pop(unit.device_id, [])
            if self.loss_pct and self.chance.random() < 0.3:
                continue
            for message in receipts:
                answer = unit.on_receipt(message)
                assert isinstance(answer, list), answer
                self.send(unit, answer)
            for message in commands:
                answer = unit.on_command(message, self.platform.books.clock.now_s())
                assert isinstance(answer, list), answer
                self.send(unit, answer)

    def step(self, step: str) -> None:
        place = self.chance.randrange(UNITS)
        unit = self.units[place]
        match step:
            case "measure":
                self.measure(unit)
            case "measure_ahead":
                self.measure(unit, ahead_s=self.chance.randrange(1, 24) * HOUR_S)
            case "measure_wrong":
                self.measure(unit, pv_wh=self.chance.choice([-1, 90_000]))
            case "lose_at_home":
                self.lose_at_home(place)
            case "reconnect":
                self.send(unit, unit.on_connected())
            case "wait":
                self.platform.wait(self.chance.choice([1, 40, 400]))
            case "work":
                self.platform.work()
            case "restart":
                self.restart()
        self.hear()

    def lose_at_home(self, place: int) -> None:
        """A pack is gone from the outbox for good; the unit begins again and finds out when it is asked for it."""
        device_id, last_seq = self.units[place].device_id, self.units[place].last_seq
        if last_seq < 2:
            return
        with self.file.batch():
            lost = (device_id, self.chance.randrange(1, last_seq))
            self.file.write("DELETE FROM held WHERE device_id = ? AND seq = ? AND lost IS NULL", *lost)
        self.units[place] = self.unit(device_id)

    def unit(self, device_id: str) -> Unit:
        return Unit(self.file.of(device_id), seed=Home(device_id).seed, platform=PLATFORM_KEYS)

    def restart(self) -> None:
        """Ingestion is killed within a batch, and begins again with what broker and database have."""
        submit = self.platform.books.ledger.submit
        happened = self.chance.random() < 0.5

        class Killed(BaseException):
            pass

        def killed(requests):
            if happened:
                submit(requests)
            raise Killed

        object.__setattr__(self.platform.books.ledger, "submit", killed)
        with contextlib.suppress(Killed):
            self.platform.work()
        object.__delattr__(self.platform.books.ledger, "submit")
        self.platform.start()

    def end_well(self) -> None:
        """From now on nothing goes wrong, and time passes."""
        self.loss_pct = 0
        for _ in range(END_ROUNDS_MAX):
            if not any(unit.held_count for unit in self.units):
                return
            for unit in self.units:
                self.send(unit, unit.on_connected())
            self.platform.work()
            self.hear()
            self.platform.wait(HOUR_S)
            self.hear()


@given(steps=st.lists(st.sampled_from(STEPS), min_size=10, max_size=60), seed=st.integers(0, 2**32))
@settings(max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_every_history_ends_with_empty_outboxes_and_all_numbers_decided(steps: list[str], seed: int):
    homes = [Home(f"unit-{n}", f"customer-{n}") for n in range(UNITS)]
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        file = OutboxFile(Path(name) / "outbox.db")
        stack.callback(file.close)
        platform = stack.enter_context(platform_at(f"sqlite:///{name}/sparks.db", *homes))
        street = Street(platform, file, Random(seed))

        for step in steps:
            street.step(step)
            platform.counts()
        street.end_well()
        units = street.units

        assert [unit.held_count for unit in units] == [0] * UNITS
        assert [platform.meter(unit.device_id).seq for unit in units] == [unit.last_seq for unit in units]
        assert platform.transport.unacknowledged == []
        counts = platform.counts()
        assert counts.get("waiting", 0) == 0
        decided = [platform.decided(seq, unit.device_id) for unit in units for seq in range(1, unit.last_seq + 1)]
        on_ledger = [row for row in decided if isinstance(row, Decided)]
        assert sum(not row.refusal for row in on_ledger) >= counts.get("accepted", 0)
