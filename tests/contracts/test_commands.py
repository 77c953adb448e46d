"""Requests as bytes: every kind survives the way, and nothing else than a ValueError comes of other bytes."""

from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import commands
from contracts.checkout import CHECKOUT
from contracts.closing import STATEMENTS
from contracts.commands import BY_KIND, UTILITY, Command, EnrollCustomer, FreezeCustomer, Request
from contracts.execute import CONTRACTS
from contracts.governed import GOVERNANCE
from contracts.wire import cbor

ID, DIGEST = bytes(32), b"d" * 32
IDS = st.binary(min_size=32, max_size=32)
JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def any_command() -> st.SearchStrategy[Command]:
    return st.sampled_from(sorted(BY_KIND)).flatmap(lambda kind: of_kind(BY_KIND[kind]))


def of_kind(kind: type[Command]) -> st.SearchStrategy[Command]:
    hints = get_type_hints(kind)
    return st.builds(kind, *(st.from_type(hints[field.name]) for field in fields(kind)))


def test_every_kind_has_a_name_of_its_own_a_collection_and_a_contract():
    assert set(BY_KIND.values()) == set(CONTRACTS)
    assert {cls.COLLECTION for cls in BY_KIND.values()} == {UTILITY, CHECKOUT, GOVERNANCE, STATEMENTS}


@pytest.mark.parametrize("kind", sorted(BY_KIND))
@given(data=st.data(), request_id=IDS, digest=IDS)
@settings(max_examples=20)
def test_a_request_survives_its_bytes(kind: str, data: st.DataObject, request_id: bytes, digest: bytes):
    request = Request(request_id, digest, data.draw(of_kind(BY_KIND[kind])))
    written = commands.to_bytes(request)

    assert commands.from_bytes(written) == request
    assert commands.to_bytes(commands.from_bytes(written)) == written


def test_the_bytes_of_a_request_are_agreed():
    request = Request(ID, DIGEST, FreezeCustomer("ann", frozen=True))

    assert commands.to_bytes(request) == cbor.encode(["freeze_customer", ID, DIGEST, "ann", True])


@given(any_command(), st.binary(min_size=1, max_size=4))
def test_bytes_after_a_request_are_refused(command: Command, more: bytes):
    with pytest.raises(ValueError):
        commands.from_bytes(commands.to_bytes(Request(ID, DIGEST, command)) + more)


@given(st.binary(max_size=80))
def test_garbage_raises_a_value_error_and_nothing_else(data: bytes):
    with pytest.raises(ValueError):
        commands.from_bytes(data)


@given(JSON_LIKE)
def test_other_values_raise_a_value_error_and_nothing_else(value: Any):
    with pytest.raises(ValueError):
        commands.from_bytes(cbor.encode(value))


@pytest.mark.parametrize(
    "value",
    [
        ["no_such_command", ID, DIGEST],
        [["enroll_customer"], ID, DIGEST, "ann", "saver"],
        [{"enroll_customer": 1}, ID, DIGEST, "ann", "saver"],
        ["enroll_customer", ID, DIGEST, "ann"],
        ["enroll_customer", ID, DIGEST, "ann", "saver", "more"],
        ["enroll_customer", ID],
        {"enroll_customer": "ann"},
    ],
)
def test_what_is_nearly_a_request_is_none(value: Any):
    with pytest.raises(ValueError):
        commands.from_bytes(cbor.encode(value))


@given(request=st.builds(Request, IDS, IDS, any_command()), data=st.data())
@settings(max_examples=100)
def test_one_changed_byte_is_another_request_or_none(request: Request, data: st.DataObject):
    written = bytearray(commands.to_bytes(request))
    written[data.draw(st.integers(0, len(written) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = commands.from_bytes(bytes(written))
    except ValueError:
        return
    assert read != request or repr(read) != repr(request)


def test_different_requests_have_different_bytes():
    ann = EnrollCustomer("ann", "saver")

    assert (
        len({commands.to_bytes(Request(ID, d, c)) for d in (ID, DIGEST) for c in (ann, FreezeCustomer("ann", True))})
        == 4
    )


@pytest.mark.parametrize(
    "value",
    [
        ["freeze_customer", bytes(32), bytes(32), "ann", "yes"],
        ["freeze_customer", bytes(32), bytes(32), 7, True],
        ["freeze_customer", "id", None, "ann", True],
        ["deposit_reserve", bytes(32), bytes(32), 1.5, "x"],
        ["deposit_reserve", bytes(32), bytes(32), True, "x"],
        ["admit_retailer", bytes(32), bytes(32), "S", "S", "TILL", 0],
    ],
)
def test_a_request_with_fields_of_other_types_is_none(value: list[object]) -> None:
    with pytest.raises(ValueError, match="a field of"):
        commands.from_bytes(cbor.encode(value))
