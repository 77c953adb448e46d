"""Bytes as text, and cursors that only their own list understands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.encoding import bytes_of, cursor_of, number_of, place_of, text_of
from services.problems import Problem


@given(data=st.binary())
def test_bytes_come_back_padded_or_not(data):
    text = text_of(data)

    assert bytes_of(text) == bytes_of(text + "=" * (-len(text) % 4)) == data


@pytest.mark.parametrize("text", ["A", "AB+/", "é", "AB C", "AB"])
def test_what_is_not_base64url_is_no_bytes(text):
    assert bytes_of(text) is None


@given(place=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_a_list_goes_on_after_the_place_that_its_cursor_names(place):
    assert place_of(cursor_of(place)) == place


@given(number=st.integers(0, 10**18 - 1))
def test_a_list_goes_on_after_the_row_that_its_cursor_names(number):
    assert number_of(cursor_of(str(number))) == number


def test_without_a_cursor_a_list_begins_at_the_beginning():
    assert place_of(None) == ""
    assert number_of(None) is None


@pytest.mark.parametrize("cursor", ["", "!", "A", "MQ==", text_of(b"\xff"), text_of(b"\0")])
def test_what_no_page_gave_is_refused(cursor):
    for read in (place_of, number_of):
        with pytest.raises(Problem, match="cursor"):
            read(cursor)


@pytest.mark.parametrize("place", ["-1", "01", "1.5", "home-0001", "9" * 19, "٣"])
def test_a_place_that_is_no_number_is_no_row(place):
    with pytest.raises(Problem, match="cursor"):
        number_of(cursor_of(place))
