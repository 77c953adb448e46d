"""Everything in one process, as `sparks serve all` and the demo have it."""

import socket
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from services import database
from services.clock import SimulatedClock
from services.embedded import AddressInUse
from services.rehearsal import Rehearsal
from services.settings import Settings
from services.upkeep import require_same_schema
from tests.invariants import assert_books_hold
from tests.story.journey import measure_earn_and_pay

MONDAY_NOON_S = 1_783_353_600


def settings_in(folder: Path) -> Settings:
    return Settings(data_dir=folder, http_port=0, mqtt_port=0)


def test_measured_watt_hours_become_sparks_and_pay(tmp_path: Path) -> None:
    with Rehearsal(settings_in(tmp_path / "data"), SimulatedClock(MONDAY_NOON_S)) as platform:
        with closing(platform.operator()) as operator:
            told = measure_earn_and_pay(
                platform.base_url, platform.broker_url, operator, tmp_path / "unit", MONDAY_NOON_S
            )

        assert told["before"]["balance_micro_sparks"] == 200_000_000
        assert told["after"]["balance_micro_sparks"] == 100_000_000
        assert platform.verified_head()["verified"]
        assert_books_hold(platform.engine)


def test_a_unit_that_speaks_mqtt_5_earns_and_pays_as_well(tmp_path: Path) -> None:
    with Rehearsal(settings_in(tmp_path / "data"), SimulatedClock(MONDAY_NOON_S)) as platform:
        with closing(platform.operator()) as operator:
            told = measure_earn_and_pay(
                platform.base_url,
                platform.broker_url,
                operator,
                tmp_path / "unit",
                MONDAY_NOON_S,
                protocol=MQTTProtocolVersion.MQTTv5,
            )

        assert told["before"]["balance_micro_sparks"] == 200_000_000
        assert told["after"]["balance_micro_sparks"] == 100_000_000
        assert platform.messages()["accepted"] == 12


def test_after_a_restart_everything_is_still_there(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "data")
    with Rehearsal(settings, SimulatedClock(MONDAY_NOON_S)) as platform, closing(platform.operator()) as operator:
        measure_earn_and_pay(platform.base_url, platform.broker_url, operator, tmp_path / "unit", MONDAY_NOON_S)
        head = platform.verified_head()

    with Rehearsal(settings, SimulatedClock(MONDAY_NOON_S)) as platform:
        assert platform.verified_head() == head
        counts = platform.messages()
        outcomes = ("accepted", "refused", "quarantined", "waiting", "duplicate", "void")
        assert counts["accepted"] == 12
        assert counts["received"] == sum(counts.get(outcome, 0) for outcome in outcomes)


def test_the_whole_interface_is_documented_under_one_base_url(tmp_path: Path) -> None:
    with Rehearsal(settings_in(tmp_path), SimulatedClock(MONDAY_NOON_S)) as platform:
        document = httpx.get(f"{platform.base_url}/openapi.json").json()
        ready = httpx.get(f"{platform.base_url}/readyz")

    assert document["openapi"].startswith("3.1")
    wanted = {"/v1/customers", "/v1/me/sparks", "/v1/devices", "/v1/authorizations", "/v1/events", "/log/checkpoint"}
    assert wanted <= document["paths"].keys()
    assert not any(path.startswith("/internal") for path in document["paths"])
    assert ready.status_code == 200


def test_a_port_in_use_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(data_dir=tmp_path / "data", http_port=taken.getsockname()[1], mqtt_port=0)
        with pytest.raises(AddressInUse, match="SPARKS_HTTP_PORT"):
            Rehearsal(settings, SimulatedClock(MONDAY_NOON_S)).__enter__()

    assert not (tmp_path / "data").exists()


def test_a_schema_that_nobody_here_knows_is_refused(tmp_path: Path) -> None:
    with Rehearsal(settings_in(tmp_path), SimulatedClock(MONDAY_NOON_S)) as platform:
        url = platform.settings.database
    engine = database.engine(url)
    with database.transaction(engine) as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999_future'")
    engine.dispose()

    with pytest.raises(database.OtherSchema):
        require_same_schema(tmp_path)


def test_a_caller_signs_in_again_when_the_token_has_expired(tmp_path: Path) -> None:
    settings, clock = settings_in(tmp_path), SimulatedClock(MONDAY_NOON_S)
    with Rehearsal(settings, clock) as platform, closing(platform.operator()) as operator:
        operator.deposit(100, "first")
        clock.advance_to(MONDAY_NOON_S + 3_600)
        operator.deposit(100, "second")


@pytest.mark.parametrize(("path", "status"), [("/v1/customers", 413), ("/v1/devices", 401)])
def test_only_calls_that_need_it_take_large_bodies(tmp_path: Path, path: str, status: int) -> None:
    with Rehearsal(settings_in(tmp_path), SimulatedClock(MONDAY_NOON_S)) as platform:
        answer = httpx.post(f"{platform.base_url}{path}", content=b'{"x": "' + b"y" * 100_000 + b'"}')

    assert answer.status_code == status
