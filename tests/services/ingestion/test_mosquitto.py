"""The whole program behind a real Mosquitto: real bytes in, receipts and commands out, on both kinds of session."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client import CollectorRegistry

from benchmarks.servers import Mosquitto
from contracts.commands import SuspendUnit
from contracts.units import DAY_S
from contracts.wire import packs
from contracts.wire.packs import GapPack
from device_sim.outbox import OutboxFile
from device_sim.unit import Unit
from services.ingestion.metrics import Metrics
from services.ingestion.program import Ingestion
from services.ingestion.sources.mqtt import endpoint
from tests.services.ingestion.platform import INGESTION, PLATFORM_KEYS, Platform, platform_at
from tests.services.ingestion.test_messages import flawed, malformed
from tests.services.ledger.builders import NOON_S, Home, request

ANSWER_S_MAX: Final = 20


def until(condition: Callable[[], bool], changed: threading.Condition) -> None:
    """Return once the condition holds."""
    with changed:
        for _ in range(ANSWER_S_MAX * 20):
            if condition():
                return
            changed.wait(0.05)
    raise AssertionError("it did not happen in time")


@dataclass(slots=True)
class Wire:
    """One client of the broker that plays all units, and remembers what the platform says to them."""

    port: int
    heard: list[tuple[str, bytes, bool]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _is_subscribed: threading.Event = field(default_factory=threading.Event)
    _client: mqtt.Client = field(init=False)

    def __enter__(self) -> "Wire":
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.connect("127.0.0.1", self.port)
        self._client.subscribe([("sparks/v1/+/receipts", 1), ("sparks/v1/+/commands", 1)])
        self._client.loop_start()
        assert self._is_subscribed.wait(ANSWER_S_MAX)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, device_id: str, *messages: bytes) -> None:
        for message in messages:
            self._client.publish(f"sparks/v1/{device_id}/readings", message, qos=1)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds; it is looked at whenever something comes, and often besides."""
        until(condition, self._changed)

    def receipts(self, device_id: str = "unit-1") -> list[bytes]:
        return [message for topic, message, _ in self.heard if topic == f"sparks/v1/{device_id}/receipts"]

    def commands(self, device_id: str = "unit-1") -> list[bytes]:
        return [message for topic, message, _ in self.heard if topic == f"sparks/v1/{device_id}/commands"]

    def _on_subscribe(self, *_: Any) -> None:
        self._is_subscribed.set()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self.heard.append((message.topic, bytes(message.payload), message.retain))
            self._changed.notify_all()


@contextmanager
def ingestion(
    platform: Platform, broker: Mosquitto, *, shared: bool = False, client_id: str = "ingestion"
) -> Iterator[Ingestion]:
    program = Ingestion(
        endpoint(broker.url, login=None, shared=shared),
        ledger=platform.books.ledger,
        engine=platform.books.engine,
        clock=platform.books.clock,
        identity=INGESTION,
        metrics=Metrics(CollectorRegistry(), platform.books.engine),
        client_id=client_id,
    )
    program.start()
    try:
        until(program.is_connected, threading.Condition())
        yield program
    finally:
        program.stop()


def total(platform: Platform) -> int:
    return sum(platform.counts().values())


@pytest.fixture
def other() -> Home:
    return Home("unit-2", "customer-2")


@pytest.fixture
def two_homes(database_url: str, home: Home, other: Home) -> Iterator[Platform]:
    with platform_at(database_url, home, other) as platform:
        yield platform


def test_every_reason_and_outcome_by_real_bytes_through_a_real_broker(
    two_homes: Platform, broker: Mosquitto, home: Home, other: Home
):
    platform = two_homes
    suspended = other.message()
    platform.books.accept(request(SuspendUnit("unit-2", suspended=True)))
    bad = flawed(home.message())
    home = Home()
    first = malformed(home)
    home.seq, home.last = 1, packs.message_hash(first)
    refused = [
        home.message(pv_wh=-1, load_wh=0),
        home.message(pv_wh=90_000, load_wh=0),
        home.message(pv_wh=200, load_wh=100),
    ]
    twin = Home(seq=home.seq, last=home.last, next_s=home.next_s)
    good, twisted = home.message(), twin.message(pv_wh=400)
    home.next_s = NOON_S - 40 * DAY_S
    late = home.message()
    home.next_s = NOON_S + 2 * DAY_S
    ahead = home.message()
    home.last = b"x" * 32
    unchained = home.message()
    gap = home.signed(GapPack("unit-1", home.seq + 1, home.last, home.seq + 3))
    lost = home.message()
    home.seq += 5_000
    beyond = home.message()
    home.seq -= 4_990
    waits = home.message()
    stream = [*bad.values(), first, *refused, good, good, twisted, late, ahead, unchained, gap, lost, beyond, waits]

    with ingestion(platform, broker), Wire(broker.port) as wire:
        wire.publish("unit-1", *stream)
        wire.publish("unit-2", suspended)
        wire.publish("unit-3", suspended)
        wire.wait_until(lambda: total(platform) == len(stream) + 2)

    assert platform.reasons() == sorted(
        [
            *bad,
            *("device_suspended", "unknown_device", "malformed_pack", "negative_energy", "above_nameplate"),
            *("equivocation", "too_late", "clock_ahead", "broken_chain", "declared_lost", "too_far_ahead"),
        ]
    )
    assert platform.counts() == {
        "accepted": 2,
        "refused": 6,
        "quarantined": 10,
        "duplicate": 1,
        "void": 1,
        "waiting": 1,
    }


@pytest.mark.parametrize("shared", [False, True], ids=["mqtt_3_1_1", "mqtt_5_shared"])
def test_a_unit_gets_its_receipts_and_commands_and_empties_its_outbox(
    sqlite_url: str, broker: Mosquitto, home: Home, shared: bool, tmp_path: Any
):
    file = OutboxFile(tmp_path / "outbox.db")
    unit = Unit(file.of("unit-1"), seed=home.seed, platform=PLATFORM_KEYS)
    sent = [unit.measure([packs.Interval(NOON_S - 3_600 + 300 * n, 300, 50, 50, 0, 0, 0, 0)]) for n in range(5)]
    with (
        platform_at(sqlite_url, home) as platform,
        ingestion(platform, broker, shared=shared),
        Wire(broker.port) as wire,
    ):
        wire.publish("unit-1", *[sent[n].message for n in (0, 2, 3, 4)])
        wire.wait_until(lambda: len(wire.commands()) == 1)
        again = unit.on_command(wire.commands()[0], NOON_S)
        assert isinstance(again, list)
        wire.publish("unit-1", *[out.message for out in again])
        wire.wait_until(lambda: platform.meter().seq == 5 and len(wire.receipts()) >= 2)
        for receipt in wire.receipts():
            assert isinstance(unit.on_receipt(receipt), list)
        with Wire(broker.port) as late:
            late.wait_until(lambda: bool(late.receipts()))
            assert late.heard[0][2], "the first that a newcomer hears is the retained one"
    assert unit.held_count == 0
    file.close()


def test_two_workers_share_the_units_messages(database_url: str, broker: Mosquitto):
    homes = [Home(f"unit-{n}", f"customer-{n}") for n in range(4)]
    with (
        platform_at(database_url, *homes) as platform,
        ingestion(platform, broker, shared=True, client_id="worker-1"),
        ingestion(platform, broker, shared=True, client_id="worker-2"),
        Wire(broker.port) as wire,
    ):
        for _ in range(30):
            for home in homes:
                wire.publish(home.device_id, home.message())
        wire.wait_until(lambda: all(platform.meter(home.device_id).seq == 30 for home in homes))
        wire.wait_until(lambda: total(platform) == 120)

        assert platform.counts() == {"accepted": 120}


def test_what_was_not_acknowledged_comes_again_after_a_restart(sqlite_url: str, broker: Mosquitto, home: Home):
    with platform_at(sqlite_url, home) as platform, Wire(broker.port) as wire:
        with ingestion(platform, broker):
            wire.publish("unit-1", home.message())
            wire.wait_until(lambda: total(platform) == 1)
        wire.publish("unit-1", *[home.message() for _ in range(30)])

        with ingestion(platform, broker):
            wire.wait_until(lambda: platform.meter().seq == 31 and total(platform) >= 31)

        # The acknowledgement of the first may have been under way when the program ended: it is a duplicate then.
        counts = platform.counts()
        assert counts.pop("duplicate", 0) <= 1
        assert counts == {"accepted": 31}


def test_a_broker_that_comes_back_is_found_again(sqlite_url: str, broker: Mosquitto, home: Home):
    with platform_at(sqlite_url, home) as platform, ingestion(platform, broker) as program:
        with Wire(broker.port) as wire:
            wire.publish("unit-1", home.message())
            wire.wait_until(lambda: total(platform) == 1)
        broker.stop()
        broker.start()
        with Wire(broker.port) as wire:
            wire.wait_until(program.is_connected)
            wire.publish("unit-1", home.message())
            wire.wait_until(lambda: total(platform) == 2)
        assert program.is_working()
