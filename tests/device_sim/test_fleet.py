"""Units at a real broker: all that they measure is covered in the end, whatever dies meanwhile."""

import time
from base64 import urlsafe_b64decode
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from benchmarks.servers import Mosquitto, mosquitto
from contracts.wire import signatures
from device_sim.fleet import Fleet, FleetFailed, Progress, Provision
from device_sim.mischief import EXPECTED, Mischief, Outcome
from device_sim.publisher import broker_at
from tests.device_sim.tiny_platform import PLATFORM_KEYS, intervals
from tests.device_sim.tiny_service import tiny_service

NOW_S = 1_800_000_000
PATIENCE_S = 30


def provisions(how_many: int) -> list[Provision]:
    return [
        Provision(
            device_id=f"home-{k}",
            seed=bytes([k]) * 32,
            pv_nameplate_w=5_000,
            battery_capacity_wh=10_000,
            battery_power_w=5_000,
            zone="toronto",
        )
        for k in range(1, how_many + 1)
    ]


def seeds(homes: list[Provision]) -> dict[str, bytes]:
    return {home.device_id: home.seed for home in homes}


@contextmanager
def a_fleet(folder: Path, broker: Mosquitto, homes: list[Provision], **options):
    with Fleet(
        folder,
        homes,
        broker=broker_at(broker.url),
        logins={},
        platform=PLATFORM_KEYS,
        now_s=lambda: NOW_S,
        clock_s=time.monotonic,
        chance=Random(1),
        **options,
    ) as fleet:
        yield fleet


def measure(fleet: Fleet, homes: list[Provision], how_many: int) -> None:
    with fleet.batch():
        for k in range(how_many):
            for home in homes:
                fleet.measure(home.device_id, intervals(start_s=NOW_S + 300 * k))


def test_an_enrolment_names_the_public_key_of_the_units_seed():
    (home,) = provisions(1)

    enrolment = home.enrolment()

    assert urlsafe_b64decode(f"{enrolment['public_key']}=") == signatures.public_key_of(home.seed)
    assert home.seed.hex() not in repr(home) + repr(enrolment)


def test_many_units_share_one_thread_and_end_with_empty_outboxes(tmp_path, broker):
    homes = provisions(10)
    seen: list[Progress] = []
    with (
        tiny_service(broker.port, seeds(homes)) as service,
        a_fleet(tmp_path, broker, homes, on_progress=seen.append) as fleet,
    ):
        assert fleet.wait_until_connected(PATIENCE_S)
        measure(fleet, homes, 40)

        assert fleet.wait_until_empty(PATIENCE_S)

        progress = fleet.progress()
        assert (progress.connected, progress.numbered, progress.covered, progress.held) == (10, 400, 400, 0)

    assert [len(platform.accepted) for platform in service.platforms.values()] == [40] * 10
    assert seen[0].covered < 400


def test_what_was_measured_without_a_broker_is_sent_once_there_is_one(tmp_path, broker):
    homes = provisions(2)
    broker.stop()
    with a_fleet(tmp_path, broker, homes) as fleet:
        measure(fleet, homes, 30)
        assert not fleet.wait_until_empty(0.2)
        assert set(fleet.troubles()) == {"home-1", "home-2"}

        broker.start()
        with tiny_service(broker.port, seeds(homes)) as service:
            assert fleet.wait_until_empty(PATIENCE_S)

    assert [len(platform.accepted) for platform in service.platforms.values()] == [30, 30]


def test_a_broker_killed_amid_the_stream_loses_nothing(tmp_path, broker):
    homes = provisions(3)
    with tiny_service(broker.port, seeds(homes)) as service, a_fleet(tmp_path, broker, homes) as fleet:
        assert fleet.wait_until_connected(PATIENCE_S)
        measure(fleet, homes, 300)
        fleet.wait_until_empty(PATIENCE_S, held_max=600)
        broker.kill()
        broker.start()

        assert fleet.wait_until_empty(PATIENCE_S)

    platforms = service.platforms.values()
    assert [len(platform.accepted) for platform in platforms] == [300, 300, 300]
    assert [platform.became["equivocation"] for platform in platforms] == [0, 0, 0]


def test_a_fleet_that_restarts_sends_the_same_bytes_and_goes_on_with_its_numbers(tmp_path, broker):
    homes = provisions(1)
    with a_fleet(tmp_path, broker, homes) as fleet:
        measure(fleet, homes, 3)
        before = [fleet.unit("home-1").message(seq) for seq in (1, 2, 3)]

    with tiny_service(broker.port, seeds(homes)) as service, a_fleet(tmp_path, broker, homes) as fleet:
        fleet.measure("home-1", intervals(start_s=NOW_S + 900))
        assert fleet.wait_until_empty(PATIENCE_S)

    assert fleet.unit("home-1").last_seq == 4
    assert set(before) < {message for _, message in service.received}
    assert len(service.platforms["home-1"].accepted) == 4


def test_a_bug_in_the_thread_of_the_connections_reaches_whoever_waits(tmp_path, broker):
    def fail(_: Progress) -> None:
        raise ZeroDivisionError

    with (
        pytest.raises(FleetFailed, match="ZeroDivisionError"),
        a_fleet(tmp_path, broker, provisions(1), on_progress=fail) as fleet,
    ):
        fleet.wait_until_empty(PATIENCE_S, held_max=-1)


# The tiny platform knows no clock and no nameplate: those two are judged where ingestion is tested.
ON_THE_WIRE = [
    mischief
    for mischief in Mischief
    if mischief not in (Mischief.CLOCK_HOURS_AHEAD, Mischief.CLOCK_DAYS_AHEAD, Mischief.IMPOSSIBLE_ENERGY)
]


@pytest.fixture(scope="module")
def after_all_mischief(tmp_path_factory):
    """What a platform made of a fleet in which each unit commits another mischief."""
    homes = provisions(len(ON_THE_WIRE))
    folder = tmp_path_factory.mktemp("fleet")
    with (
        mosquitto() as broker,
        tiny_service(broker.port, seeds(homes)) as service,
        a_fleet(folder, broker, homes) as fleet,
    ):
        for home, mischief in zip(homes, ON_THE_WIRE, strict=True):
            measurements = [intervals(start_s=NOW_S + 300 * k) for k in range(5)]
            fleet.misbehave(home.device_id, mischief, measurements)
        assert fleet.wait_until_empty(PATIENCE_S)
    return dict(zip(ON_THE_WIRE, service.platforms.values(), strict=True))


@pytest.mark.parametrize("mischief", ON_THE_WIRE)
def test_mischief_becomes_what_is_expected_and_costs_no_honest_pack(after_all_mischief, mischief):
    platform = after_all_mischief[mischief]
    expected = EXPECTED[mischief]

    assert len(platform.accepted) == 5
    assert platform.refused == []
    if expected.outcome is Outcome.QUARANTINED:
        assert platform.became[expected.reason] == 1
    if expected.outcome is Outcome.DUPLICATE:
        assert platform.became["duplicate"] >= 1
    if expected.outcome is Outcome.WAITING:
        assert sum(platform.asked.values()) >= 1
