"""What both brokers promise to units and to the platform."""

import pytest

from services.broker.accounts import Login
from tests.services.broker.clients import Refused, connected
from tests.services.broker.conftest import ADMIN, PLATFORM, Gate

UNIT = Login("unit-1", "password-1")
OTHER = Login("unit-2", "password-2")


@pytest.fixture(autouse=True)
def two_units(gate: Gate) -> None:
    gate.accounts.admit([UNIT, OTHER])


def test_a_reading_of_a_unit_reaches_the_platform(gate: Gate) -> None:
    with connected(gate.port, PLATFORM) as platform, connected(gate.port, UNIT) as unit:
        platform.subscribe("sparks/v1/+/readings")
        unit.publish("sparks/v1/unit-1/readings", b"pack")
        platform.wait_for(lambda: platform.payloads == [b"pack"])
        assert platform.heard[0].topic == "sparks/v1/unit-1/readings"


@pytest.mark.parametrize("login", [Login("unit-1", "password-2"), Login("unit-3", ""), Login(PLATFORM.username, "")])
def test_a_wrong_password_is_refused(gate: Gate, login: Login) -> None:
    with pytest.raises(Refused), connected(gate.port, login):
        pass


def test_a_unit_that_is_admitted_again_has_only_the_new_password(gate: Gate) -> None:
    renewed = Login("unit-1", "password-renewed")
    gate.accounts.admit([renewed])
    with connected(gate.port, renewed), pytest.raises(Refused), connected(gate.port, UNIT, client_id="again"):
        pass


def test_a_removed_unit_is_refused_and_the_others_are_not(gate: Gate) -> None:
    gate.accounts.remove([UNIT.username, "never-admitted"])
    gate.accounts.remove([UNIT.username])
    with pytest.raises(Refused), connected(gate.port, UNIT):
        pass
    with connected(gate.port, OTHER):
        pass


@pytest.mark.parametrize("username", [PLATFORM.username, ADMIN.username, "unit+1", "#", "", "u" * 65])
def test_only_device_ids_are_admitted_or_removed(gate: Gate, username: str) -> None:
    with pytest.raises(ValueError, match="no device id"):
        gate.accounts.admit([(username, "taken")])
    with pytest.raises(ValueError, match="no device id"):
        gate.accounts.remove([username])
    with connected(gate.port, PLATFORM):
        pass


def test_admitting_or_removing_nobody_changes_nothing(gate: Gate) -> None:
    gate.accounts.admit([])
    gate.accounts.remove([])
    with connected(gate.port, UNIT):
        pass


@pytest.mark.parametrize("topic", ["sparks/v1/unit-2/readings", "sparks/v1/unit-1/receipts", "elsewhere"])
def test_what_a_unit_says_outside_its_readings_is_heard_by_nobody(gate: Gate, topic: str) -> None:
    with (
        connected(gate.port, PLATFORM) as platform,
        connected(gate.port, UNIT) as unit,
        connected(gate.port, OTHER) as other,
    ):
        platform.subscribe("sparks/v1/+/readings")
        unit.subscribe("sparks/v1/unit-1/receipts")
        other.subscribe("elsewhere")
        unit.publish(topic, b"forged")
        unit.publish("sparks/v1/unit-1/readings", b"after")
        platform.publish("sparks/v1/unit-1/receipts", b"after")
        platform.publish("sparks/v1/unit-2/receipts", b"after")
        platform.wait_for(lambda: b"after" in platform.payloads)
        unit.wait_for(lambda: b"after" in unit.payloads)
        assert platform.payloads == unit.payloads == [b"after"]
        assert other.payloads == []


@pytest.mark.parametrize(
    "topic",
    [
        "sparks/v1/unit-1/receipts",
        "sparks/v1/+/receipts",
        "sparks/v1/unit-1/commands",
        "sparks/v1/+/readings",
        "sparks/#",
        "#",
    ],
)
def test_a_unit_hears_nothing_of_another(gate: Gate, topic: str) -> None:
    with (
        connected(gate.port, PLATFORM) as platform,
        connected(gate.port, UNIT) as unit,
        connected(gate.port, OTHER) as other,
    ):
        platform.publish("sparks/v1/unit-1/receipts", b"kept", retain=True)
        other.subscribe(topic)
        other.subscribe("sparks/v1/unit-2/commands")
        platform.publish("sparks/v1/unit-1/receipts", b"receipt")
        platform.publish("sparks/v1/unit-1/commands", b"command")
        unit.publish("sparks/v1/unit-1/readings", b"reading")
        platform.publish("sparks/v1/unit-2/commands", b"its own")
        other.wait_for(lambda: b"its own" in other.payloads)
        assert other.payloads == [b"its own"]


def test_a_retained_receipt_is_delivered_on_every_return(gate: Gate) -> None:
    with connected(gate.port, PLATFORM) as platform:
        platform.publish("sparks/v1/unit-1/receipts", b"up to 1", retain=True)
        platform.publish("sparks/v1/unit-1/receipts", b"up to 2", retain=True)
    for _ in range(2):
        with connected(gate.port, UNIT) as unit:
            unit.subscribe("sparks/v1/unit-1/receipts")
            unit.wait_for(lambda: unit.payloads != [])
            assert [(message.payload, message.retain) for message in unit.heard] == [(b"up to 2", True)]


def test_readings_wait_for_a_platform_that_is_away(gate: Gate) -> None:
    with connected(gate.port, PLATFORM, clean_session=False) as platform:
        platform.subscribe("sparks/v1/+/readings")
    with connected(gate.port, UNIT) as unit:
        for number in range(10):
            unit.publish("sparks/v1/unit-1/readings", b"%d" % number)
    with connected(gate.port, PLATFORM, clean_session=False) as platform:
        platform.wait_for(lambda: len(platform.heard) == 10)
        assert platform.session_present
        assert platform.payloads == [b"%d" % number for number in range(10)]


def test_readings_that_were_not_acknowledged_come_again(gate: Gate) -> None:
    with (
        connected(gate.port, PLATFORM, clean_session=False, acknowledges=False) as platform,
        connected(gate.port, UNIT) as unit,
    ):
        platform.subscribe("sparks/v1/+/readings")
        for number in range(5):
            unit.publish("sparks/v1/unit-1/readings", b"%d" % number)
        platform.wait_for(lambda: len(platform.heard) == 5)
    with connected(gate.port, PLATFORM, clean_session=False) as platform:
        platform.wait_for(lambda: len(platform.heard) == 5)
        assert platform.payloads == [b"%d" % number for number in range(5)]
        assert all(message.dup for message in platform.heard)
        platform.subscribe("sparks/v1/+/readings")  # its answer says that the acknowledgements have arrived
    with connected(gate.port, PLATFORM, clean_session=False) as platform, connected(gate.port, UNIT) as unit:
        unit.publish("sparks/v1/unit-1/readings", b"new")
        platform.wait_for(lambda: b"new" in platform.payloads)
        assert platform.payloads == [b"new"]


def test_a_message_too_large_for_a_pack_still_reaches_the_platform(gate: Gate) -> None:
    with connected(gate.port, PLATFORM) as platform, connected(gate.port, UNIT) as unit:
        platform.subscribe("sparks/v1/+/readings")
        unit.publish("sparks/v1/unit-1/readings", b"x" * 40_000)
        platform.wait_for(lambda: [len(payload) for payload in platform.payloads] == [40_000])
