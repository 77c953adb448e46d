"""The access rule: for any two units, one never reaches the other's topics."""

from hypothesis import given
from hypothesis import strategies as st

from services.broker.topics import READINGS_OF_ALL, filters_matching, may_publish, may_subscribe

DEVICE_IDS = st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True).filter(lambda name: name != "platform")
CHANNELS = st.sampled_from(["readings", "receipts", "commands"])


@given(username=DEVICE_IDS, device_id=DEVICE_IDS, channel=CHANNELS)
def test_a_unit_says_its_readings_and_hears_its_receipts_and_commands_only(
    username: str, device_id: str, channel: str
) -> None:
    topic = f"sparks/v1/{device_id}/{channel}"
    is_own = username == device_id
    assert may_publish(topic, username=username, platform="platform") == (is_own and channel == "readings")
    assert may_subscribe(topic, username=username, platform="platform") == (is_own and channel != "readings")


@given(device_id=DEVICE_IDS, channel=CHANNELS)
def test_the_platform_hears_every_reading_and_says_all_else(device_id: str, channel: str) -> None:
    topic = f"sparks/v1/{device_id}/{channel}"
    assert may_publish(topic, username="platform", platform="platform") == (channel != "readings")
    assert may_subscribe(topic, username="platform", platform="platform") == (channel == "readings")


@given(topic=st.text() | st.sampled_from(["sparks/v1/+/receipts", "sparks/#", "#", READINGS_OF_ALL]))
def test_no_unit_may_use_a_wildcard_or_a_strange_topic(topic: str) -> None:
    assert not may_publish(topic, username="unit-1", platform="platform")
    assert not may_subscribe(topic, username="unit-1", platform="platform")


@given(device_id=DEVICE_IDS, channel=CHANNELS)
def test_every_filter_that_matches_is_found_without_a_search(device_id: str, channel: str) -> None:
    topic = f"sparks/v1/{device_id}/{channel}"
    assert filters_matching(topic) == ((topic, READINGS_OF_ALL) if channel == "readings" else (topic,))
