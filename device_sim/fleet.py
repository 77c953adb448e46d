"""Many units on one machine: who they are, their outboxes in a folder, their connections to one broker."""

from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from random import Random
from threading import Condition
from types import TracebackType
from typing import Final, Self

from contracts.wire import packs, signatures
from device_sim.loop import Loop
from device_sim.mischief import Mischief, performed, spoiled
from device_sim.outbox import OutboxFile
from device_sim.publisher import Broker, Login, Publisher
from device_sim.unit import Outgoing, PlatformKeys, Unit

NUDGE_S: Final = 0.5
"""How long to wait for a receipt before the newest pack is sent again to ask for one."""

PROGRESS_S: Final = 0.1


class FleetFailed(Exception):
    """The thread that drives the connections ended by a bug, which is the cause of this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """What a unit leaves the factory with.

    seed               of its Ed25519 key, 32 bytes
    reserve_floor_pct  charge that its owner never gives away
    """

    device_id: str
    seed: bytes = field(repr=False)
    pv_nameplate_w: int
    battery_capacity_wh: int
    battery_power_w: int
    zone: str
    reserve_floor_pct: int = 0

    def enrolment(self) -> dict[str, str | int]:
        """Return the unit's item in the body of `POST /v1/devices`."""
        public_key = urlsafe_b64encode(signatures.public_key_of(self.seed)).rstrip(b"=").decode()
        return {
            "device_id": self.device_id,
            "public_key": public_key,
            "pv_nameplate_w": self.pv_nameplate_w,
            "battery_capacity_wh": self.battery_capacity_wh,
            "battery_power_w": self.battery_power_w,
            "zone": self.zone,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a fleet stands.

    numbered   packs that have a number, ever
    covered    numbers that a receipt covers
    held       messages that no receipt covers yet
    queued     messages on their way to the broker
    refused    packs refused since the start, by reason, as far as receipts told
    """

    connected: int
    numbered: int
    covered: int
    held: int
    queued: int
    refused: Mapping[str, int]


class Fleet:
    """Units and their connections, from `with` to its end.

    folder   holds the fleet's outbox; what it holds from before is sent first
    logins   by device_id; a broker that asks nobody needs none
    now_s    UTC Unix seconds by the units' clocks
    clock_s  seconds from any moment, never backwards
    on_progress  is called by the thread of the connections, some times a second; it must return at once
    """

    def __init__(
        self,
        folder: Path,
        provisions: Iterable[Provision],
        *,
        broker: Broker,
        logins: Mapping[str, Login],
        platform: PlatformKeys,
        now_s: Callable[[], int],
        clock_s: Callable[[], float],
        chance: Random,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.provisions = {provision.device_id: provision for provision in provisions}
        self._clock_s = clock_s
        self._chance = chance
        self._on_progress = on_progress
        self._next_progress_s = 0.0
        self._turned = Condition()
        folder.mkdir(parents=True, exist_ok=True)
        self._outboxes = OutboxFile(folder / "outbox.sqlite")
        self._loop = Loop(self._outboxes, clock_s=clock_s, on_turn=self._turn_ended)
        self._publishers: dict[str, Publisher] = {}
        with self._outboxes.batch():
            for provision in self.provisions.values():
                unit = Unit(
                    self._outboxes.of(provision.device_id),
                    seed=provision.seed,
                    platform=platform,
                    reserve_floor_pct=provision.reserve_floor_pct,
                )
                login = logins.get(provision.device_id)
                publisher = Publisher(unit, broker, login=login, now_s=now_s, chance=chance)
                self._publishers[provision.device_id] = publisher
                self._loop.add(publisher)

    def __enter__(self) -> Self:
        self._loop.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.stop()
        self._outboxes.close()
        if error is None:
            self._raise_crash()

    # --- What the units say

    def unit(self, device_id: str) -> Unit:
        return self._publishers[device_id].unit

    def batch(self) -> AbstractContextManager[None]:
        """Group what is measured inside into one durable commit; it is sent once that is done."""
        return self._outboxes.batch()

    def measure(
        self,
        device_id: str,
        intervals: Sequence[packs.Interval],
        *,
        owed_wh: Mapping[str, Fraction] | None = None,
    ) -> Outgoing:
        """Have a unit pack, sign, store and send `intervals`; see `Unit.measure`."""
        outgoing = self.unit(device_id).measure(intervals, owed_wh=owed_wh)
        self._send(device_id, [outgoing])
        return outgoing

    def misbehave(self, device_id: str, mischief: Mischief, measurements: Sequence[Sequence[packs.Interval]]) -> None:
        """Have a unit number and store `measurements`, a pack each, and commit `mischief` with them."""
        provision, publisher = self.provisions[device_id], self._publishers[device_id]
        with self._outboxes.batch():
            honest = [
                publisher.unit.measure(
                    spoiled(mischief, intervals, pv_nameplate_w=provision.pv_nameplate_w, chance=self._chance)
                )
                for intervals in measurements
            ]
        messages = [outgoing.message for outgoing in honest]
        for message in performed(mischief, messages, seed=provision.seed, chance=self._chance):
            publisher.offer_stray(message, after_seq=publisher.unit.last_seq)
        self._loop.wake(publisher)

    def _send(self, device_id: str, outgoing: Sequence[Outgoing]) -> None:
        publisher = self._publishers[device_id]
        publisher.offer(outgoing)
        self._loop.wake(publisher)

    # --- How far they are

    def progress(self) -> Progress:
        publishers = self._publishers.values()
        refused: Counter[str] = Counter()
        for publisher in publishers:
            refused.update(publisher.unit.refused)
        return Progress(
            connected=sum(publisher.trouble is None for publisher in publishers),
            numbered=sum(publisher.unit.last_seq for publisher in publishers),
            covered=sum(publisher.unit.covered_seq for publisher in publishers),
            held=sum(publisher.unit.held_count for publisher in publishers),
            queued=sum(publisher.queued for publisher in publishers),
            refused=refused,
        )

    def troubles(self) -> dict[str, str]:
        """Return, by device_id, why a unit is not connected."""
        return {
            device_id: publisher.trouble
            for device_id, publisher in self._publishers.items()
            if publisher.trouble is not None
        }

    @property
    def outbox_trouble(self) -> str | None:
        """Why units could not write down what they heard, the last time that they could not, or None."""
        return self._loop.trouble

    def wait_until_connected(self, timeout_s: float) -> bool:
        """Return whether all units are connected, after `timeout_s` at most."""
        return self._wait(lambda: not self.troubles(), timeout_s)

    def wait_until_called(self, events: int, timeout_s: float, *, now_s: int) -> bool:
        """Return whether every unit knows of so many events that are not over, after `timeout_s` at most."""
        units = [publisher.unit for publisher in self._publishers.values()]
        return self._wait(lambda: all(len(unit.events(now_s)) >= events for unit in units), timeout_s)

    def wait_until_empty(self, timeout_s: float, *, held_max: int = 0) -> bool:
        """Return whether receipts cover all but `held_max` messages, after `timeout_s` at most.

        A platform gives a receipt for every twelfth pack only. So where nothing happens for a while, the units
        send their newest pack again, which is answered by one.
        """
        deadline_s = self._clock_s() + timeout_s
        before = self.progress()
        while before.held > held_max:
            left_s = deadline_s - self._clock_s()
            if left_s <= 0:
                return False
            if self._wait(lambda: self.progress().held <= held_max, min(NUDGE_S, left_s)):
                return True
            now = self.progress()
            if now == before:
                self._nudge()
            before = now
        return True

    def _nudge(self) -> None:
        for device_id, publisher in self._publishers.items():
            if not publisher.queued:
                self._send(device_id, publisher.unit.on_connected())

    def _wait(self, is_done: Callable[[], bool], timeout_s: float) -> bool:
        with self._turned:
            done = self._turned.wait_for(lambda: self._loop.crash is not None or is_done(), timeout_s)
        self._raise_crash()
        return done

    def _raise_crash(self) -> None:
        if self._loop.crash is not None:
            raise FleetFailed(repr(self._loop.crash)) from self._loop.crash

    def _turn_ended(self) -> None:
        with self._turned:
            self._turned.notify_all()
        if self._on_progress is None or self._loop.crash is not None:
            return
        if self._clock_s() >= self._next_progress_s:
            self._next_progress_s = self._clock_s() + PROGRESS_S
            self._on_progress(self.progress())
