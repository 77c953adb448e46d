"""Deterministic CBOR: one encoding per value, and no bytes that could do harm."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.wire.cbor import DEPTH_MAX, NotDeterministic, decode, encode

INTEGERS = (
    st.integers() | st.integers(-(2**70), 2**70) | st.sampled_from([2**k - d for k in (8, 16, 32, 64) for d in (0, 1)])
)
SCALARS = INTEGERS | st.binary() | st.text() | st.booleans() | st.none() | st.floats(allow_nan=False)
KEYS = st.integers(-(2**64), 2**64 - 1) | st.binary() | st.text()
VALUES = st.recursive(SCALARS, lambda item: st.lists(item) | st.dictionaries(KEYS, item), max_leaves=20)


def types_of(value: object) -> object:
    """The value with the types that Python's == does not tell apart (1, 1.0, True; 0.0, -0.0)."""
    if isinstance(value, list):
        return [types_of(item) for item in value]
    if isinstance(value, dict):
        return {key: types_of(item) for key, item in value.items()}
    return type(value), repr(value)


@given(VALUES)
def test_every_value_survives_its_encoding(value: object) -> None:
    assert types_of(decode(encode(value))) == types_of(value)


@given(VALUES)
def test_an_independent_decoder_reads_the_same_value(value: object) -> None:
    assert cbor2.loads(encode(value)) == value


@pytest.mark.parametrize(
    ("value", "encoding"),
    [  # RFC 8949, appendix A
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (1_000_000, "1a000f4240"),
        (18446744073709551615, "1bffffffffffffffff"),
        (18446744073709551616, "c249010000000000000000"),
        (-18446744073709551616, "3bffffffffffffffff"),
        (-18446744073709551617, "c349010000000000000000"),
        (-1000, "3903e7"),
        (-0.0, "f98000"),
        (1.1, "fb3ff199999999999a"),
        (65504.0, "f97bff"),
        (100000.0, "fa47c35000"),
        (5.960464477539063e-8, "f90001"),
        (1.0e300, "fb7e37e43c8800759c"),
        (float("inf"), "f97c00"),
        (float("-inf"), "f9fc00"),
        (False, "f4"),
        (None, "f6"),
        (b"\1\2\3\4", "4401020304"),
        ("\u6c34", "63e6b0b4"),
        ([1, [2, 3], [4, 5]], "8301820203820405"),
        ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
    ],
)
def test_the_examples_of_the_rfc_hold(value: object, encoding: str) -> None:
    assert encode(value).hex() == encoding
    assert types_of(decode(bytes.fromhex(encoding))) == types_of(value)


def test_keys_are_ordered_by_their_bytes_not_by_length_first() -> None:
    # RFC 8949 4.2.1; by length first (RFC 7049) -1 would come before 100, and "" before b"ab".
    keys = [10, 100, -1, b"ab", "", "z", "aa"]

    assert list(decode(encode(dict.fromkeys(reversed(keys), 0)))) == keys


def test_every_nan_is_the_one_nan() -> None:
    assert encode(float("nan")).hex() == "f97e00"
    assert encode(decode(bytes.fromhex("f97e00"))).hex() == "f97e00"


@pytest.mark.parametrize(
    ("encoding", "why"),
    [
        ("", "nothing at all"),
        ("0000", "a byte after the value"),
        ("1817", "23 in two bytes"),
        ("1900ff", "255 in three bytes"),
        ("5801aa", "a length in two bytes where one is enough"),
        ("9fff", "an array of indefinite length"),
        ("5f4101ff", "a byte string in pieces"),
        ("bf0001ff", "a map of indefinite length"),
        ("a200010002", "a key twice"),
        ("a201000000", "keys out of order"),
        ("a22000186400", "keys in the order of RFC 7049"),
        ("fa3f800000", "1.0 in 32 bits"),
        ("fb3ff0000000000000", "1.0 in 64 bits"),
        ("f97e01", "a NaN with a payload"),
        ("fb7ff8000000000000", "NaN in 64 bits"),
        ("a1f93c0000", "a float as key"),
        ("a1f500", "a bool as key"),
        ("a18000", "an array as key"),
        ("a1c24901000000000000000000", "a big integer as key"),
        ("c24105", "a big integer that is small"),
        ("c24a00010000000000000000", "a big integer with a leading zero"),
        ("c201", "a big integer made of an integer"),
        ("c2", "a tag of nothing"),
        ("f7", "undefined"),
        ("e0", "an unassigned simple value"),
        ("f818", "a reserved simple value"),
        ("1c", "a reserved length"),
        ("ff", "a break of nothing"),
        ("61ff", "text that is not UTF-8"),
        ("63eda080", "text with a surrogate"),
        ("81" * DEPTH_MAX + "8100", "nesting too deep"),
        ("81" * 30_000, "nesting far too deep"),
        ("d81c81d81d00", "an array that holds itself"),
        ("9b1000000000000000", "an array of 2^60 items"),
        ("bb1000000000000000", "a map of 2^60 entries"),
        ("5b1000000000000000", "a byte string of 2^60 bytes"),
        ("7bffffffffffffffff", "a text of 2^64 bytes"),
        ("9affffffff00", "an array of 2^32 items"),
    ],
    ids=lambda text: text[:40],
)
def test_anything_but_the_one_encoding_is_refused(encoding: str, why: str) -> None:
    with pytest.raises(NotDeterministic):
        decode(bytes.fromhex(encoding))


@pytest.mark.parametrize("value", [0, b"\1" * 9, "2013-03-21T20:04:00Z", [1, 2], [2**62, 3], {}], ids=str)
def test_no_tag_is_given_a_meaning(value: object) -> None:
    for tag in [0, 1, *range(4, 300), 1004, 43_000, 55_799, 2**64 - 1]:
        with pytest.raises(NotDeterministic):
            decode(cbor2.dumps(cbor2.CBORTag(tag, value)))


@given(st.binary() | VALUES.map(encode) | VALUES.map(lambda value: cbor2.dumps(value, canonical=True)), st.data())
def test_any_bytes_are_read_exactly_or_refused_and_nothing_else(encoding: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(encoding)))
    hostile = encoding[:at] + data.draw(st.binary(max_size=3)) + encoding[at + data.draw(st.integers(0, 2)) :]
    try:
        value = decode(hostile)
    except NotDeterministic:
        return
    assert encode(value) == hostile


@pytest.mark.parametrize("value", [{1}, object(), b"".__class__, {1.5: 0}, {True: 0}, {(): 0}, {None: 0}, 1j])
def test_what_has_no_encoding_here_is_a_bug_of_the_caller(value: object) -> None:
    with pytest.raises(TypeError):
        encode(value)
