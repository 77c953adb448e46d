"""The Ontario parameters, against the libraries that they were generated from."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import programmes
from tests.contracts.programmes import calendar_of_ontario

TORONTO = ZoneInfo("America/Toronto")
MOMENTS = st.integers(1_420_088_400, 2_240_500_000)  # 2015-01-01 to 2040-12


def test_the_calendar_in_the_file_is_what_the_libraries_say() -> None:
    assert calendar_of_ontario.text() in programmes.source("ontario")


@given(MOMENTS)
def test_local_days_and_midnights_are_those_of_the_time_zone_database(at_s: int) -> None:
    programme = programmes.load()
    local = datetime.fromtimestamp(at_s, TORONTO)
    midnight = datetime(local.year, local.month, local.day, tzinfo=TORONTO) + timedelta(days=1)

    offset = local.utcoffset()

    assert offset == timedelta(seconds=programme.local_s(at_s) - at_s)
    assert programme.next_local_midnight_s(at_s) == midnight.astimezone(UTC).timestamp()
    assert programme.local_day(programme.next_local_midnight_s(at_s)) == programme.local_day(at_s) + 1


@pytest.mark.parametrize(
    ("local", "period"),
    [
        ("2026-07-06 06:59", "off"),
        ("2026-07-06 07:00", "mid"),
        ("2026-07-06 11:00", "on"),
        ("2026-07-06 17:00", "mid"),
        ("2026-07-06 19:00", "off"),
        ("2026-07-04 12:00", "off"),  # Saturday
        ("2026-07-01 12:00", "off"),  # Canada Day
        ("2022-12-27 12:00", "off"),  # Christmas on a Sunday, after Boxing Day on Monday
        ("2021-12-28 12:00", "off"),  # Boxing Day on a Sunday, after Christmas observed on Monday
        ("2026-10-30 12:00", "on"),
        ("2026-11-02 12:00", "mid"),
        ("2026-11-02 08:00", "on"),
        ("2026-11-02 18:00", "on"),
    ],
)
def test_periods_are_ontarios_time_of_use(local: str, period: str) -> None:
    moment = datetime.fromisoformat(local).replace(tzinfo=TORONTO)

    assert programmes.load().period(int(moment.timestamp())) == period


def test_a_local_moment_given_in_another_zone_is_refused() -> None:
    text = programmes.source("ontario").replace("2015-03-08T07:00:00Z", "2015-03-08T07:00:00-05:00")

    with pytest.raises(ValueError, match="UTC"):
        programmes.parse(text)
