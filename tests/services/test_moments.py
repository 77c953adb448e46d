"""Moments outside are RFC 3339 in UTC, inside whole Unix seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from services.moments import Moment, rfc3339, unix_s


@given(at_s=st.integers(0, 253_402_300_799))
def test_a_moment_is_read_as_it_was_written(at_s):
    assert unix_s(rfc3339(at_s)) == at_s


@pytest.mark.parametrize(
    "text",
    ["2026-07-01T14:00:00Z", "2026-07-01t14:00:00z", "2026-07-01T14:00:00+00:00", "2026-07-01T14:00:00.000Z"],
)
def test_every_way_to_write_utc_is_read(text):
    assert unix_s(text) == 1_782_914_400


@pytest.mark.parametrize(
    "value",
    [
        *("", "2026-07-01", "2026-07-01T14:00:00", "2026-07-01 14:00:00Z", "2026-07-01T14:00:00-00:01"),
        *("2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-07-01T24:00:00Z", "2026-07-01T14:00:60Z"),
        *("2026-07-01T14:00:00.5Z", "1969-12-31T23:59:59Z", "٢٠٢٦-07-01T14:00:00Z", 1_782_914_400, None),
    ],
)
def test_what_is_no_moment_in_utc_and_whole_seconds_is_refused(value):
    class Body(BaseModel):
        at: Moment

    with pytest.raises(ValidationError):
        Body(at=value)
