"""Packs: round trips, every way to be malformed, and what can still be read of such a one."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.wire.cbor import decode, encode
from contracts.wire.packs import (
    ENERGY_WH_MAX,
    FIRST_PREV,
    INTERVALS_MAX,
    BadPack,
    GapPack,
    Interval,
    Pack,
    is_device_id,
    message_hash,
    read,
    read_as_written,
    read_by_records,
    write,
)

START_S = 1_767_225_600
PREV = bytes(range(32))
FLOWS = ("pv", "load", "charge", "discharge", "import", "export")

Records = list[dict[Any, Any]]

DEVICE_IDS = st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True)
SEQS = st.integers(1, 2**53)
HASHES = st.binary(min_size=32, max_size=32)
ENERGIES = st.integers(-(2**53), ENERGY_WH_MAX)
GAP_PACKS = st.builds(GapPack, DEVICE_IDS, SEQS, HASHES, SEQS)


@st.composite
def packs(draw: st.DrawFn) -> Pack:
    start_s, duration_s = draw(st.integers(2**28, 2**40)), draw(st.integers(1, 3600))
    count = draw(st.integers(1, 5))
    rows = draw(st.lists(st.tuples(*[ENERGIES] * 6, st.none() | st.integers(0, 100)), min_size=count, max_size=count))
    intervals = (Interval(start_s + k * duration_s, duration_s, *row) for k, row in enumerate(rows))
    return Pack(draw(DEVICE_IDS), draw(SEQS), draw(HASHES), tuple(intervals))


def a_pack(intervals: int = 2, seq: int = 7) -> Pack:
    return Pack(
        "unit-1",
        seq,
        PREV,
        tuple(Interval(START_S + k * 900, 900, 10 + k, 20, 3, 4, 9, 0, 55) for k in range(intervals)),
    )


def records_of(pack: Pack | GapPack) -> Records:
    records: Records = decode(write(pack))
    return records


def with_record(name: str, changes: dict[Any, Any], without: tuple[int, ...] = ()) -> Records:
    """The records of a sound pack, the first one called `name` changed."""
    records = records_of(a_pack())
    at = next(at for at, record in enumerate(records) if record.get(0) == name)
    records[at] = {label: item for label, item in records[at].items() if label not in without} | changes
    return records


def with_base(changes: dict[Any, Any], without: tuple[int, ...] = ()) -> Records:
    return with_record("seq", changes, without)  # the record that carries the base fields


def with_more(*records: dict[Any, Any]) -> Records:
    return records_of(a_pack()) + list(records)


@given(packs() | GAP_PACKS)
def test_a_pack_survives_the_wire(pack: Pack | GapPack) -> None:
    assert read(write(pack)) == pack


@given(pack=packs(), data=st.data())
def test_the_order_of_records_after_the_base_means_nothing(pack: Pack, data: st.DataObject) -> None:
    first, *rest = records_of(pack)

    assert read(encode([first, *data.draw(st.permutations(rest))])) == pack


def test_what_was_written_is_read_as_written() -> None:
    assert read_as_written(write(a_pack())) == read_by_records(write(a_pack())) == a_pack()


@given(pack=packs() | GAP_PACKS, data=st.data())
def test_a_byte_that_changed_is_read_alike_with_and_without_the_short_way(
    pack: Pack | GapPack, data: st.DataObject
) -> None:
    payload = bytearray(write(pack))
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] = data.draw(st.integers(0, 255))

    assert read(bytes(payload)) == read_by_records(bytes(payload))


@given(
    pack=packs() | GAP_PACKS, value=st.sampled_from([True, 1.0, -1, 2**53 + 1, 2**64, b"", "1", None]), data=st.data()
)
def test_a_value_of_another_kind_is_read_alike_with_and_without_the_short_way(
    pack: Pack | GapPack, value: object, data: st.DataObject
) -> None:
    records = records_of(pack)
    record = data.draw(st.sampled_from(records))
    record[data.draw(st.sampled_from(sorted(record)))] = value

    assert read(encode(records)) == read_by_records(encode(records))


def test_a_pack_has_the_agreed_records() -> None:
    interval = Interval(START_S, 900, 10, 20, 3, 4, 9, 0)

    assert decode(write(Pack("unit-1", 1, FIRST_PREV, (interval,)))) == [
        {-1: 26, -2: "urn:dev:ops:32473-unit-1_", -3: START_S, 0: "seq", 2: 1},
        {0: "prev", 8: bytes(32)},
        {0: "interval", 1: "s", 2: 900},
        {0: "pv", 1: "Wh", 2: 10},
        {0: "load", 1: "Wh", 2: 20},
        {0: "charge", 1: "Wh", 2: 3},
        {0: "discharge", 1: "Wh", 2: 4},
        {0: "import", 1: "Wh", 2: 9},
        {0: "export", 1: "Wh", 2: 0},
    ]


def test_a_later_interval_says_how_much_later_it_starts() -> None:
    times = [record.get(6) for record in records_of(a_pack()) if record[0] in {"pv", "soc"}]

    assert times == [None, None, 900, 900]


def test_a_gap_pack_has_the_agreed_records() -> None:
    assert records_of(GapPack("unit-1", 7, PREV, 9)) == [
        {-1: 26, -2: "urn:dev:ops:32473-unit-1_", 0: "seq", 2: 7},
        {0: "prev", 8: PREV},
        {0: "lost", 2: 9},
    ]


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(with_more({0: "grid:W", 1: "W", 2: -1500}), id="an unknown name"),
        pytest.param(with_more({0: "grid:Hz", 2: 59.98}), id="a float under an unknown name"),
        pytest.param(with_more({0: "note", 3: "text"}, {0: "ok", 4: True}), id="other kinds of values"),
        pytest.param(with_more({0: "x", 2: 1}, {0: "x", 2: 1}), id="an unknown name given twice"),
        pytest.param(with_more({}), id="a record that says nothing"),
        pytest.param(with_more({2: 5}), id="a value without a name"),
        pytest.param(with_record("pv", {"firmware": "1.2"}), id="an unknown label"),
        pytest.param(with_record("pv", {9: 1, 7: 60, 5: 3}), id="labels without a meaning here"),
        pytest.param(with_record("pv", {6: 0}), id="t = 0, said or not"),
        pytest.param([*with_base({0: "name-only"}, without=(2,)), {0: "seq", 2: 7}], id="a base of its own"),
    ],
)
def test_what_has_no_meaning_here_is_ignored(records: Records) -> None:
    assert read(encode(records)) == a_pack()


def test_negative_energies_are_read_and_judged_later() -> None:
    pack = read(encode(with_record("export", {2: -(2**53)})))

    assert isinstance(pack, Pack)
    assert pack.intervals[0].export_wh == -(2**53)


@pytest.mark.parametrize("interval_s", [0, -60, 7, 2**53])
def test_an_odd_duration_is_read_and_judged_later(interval_s: int) -> None:
    pack = Pack("unit-1", 7, PREV, (Interval(START_S, interval_s, 0, 0, 0, 0, 0, 0),))

    assert read(write(pack)) == pack


@pytest.mark.parametrize("soc", [0, 100])
def test_the_bounds_themselves_are_sound(soc: int) -> None:
    assert isinstance(read(encode(with_record("soc", {2: soc}))), Pack)
    assert isinstance(read(encode(with_record("pv", {2: ENERGY_WH_MAX}))), Pack)
    assert isinstance(read(encode(with_more({0: "x", 2: 2**53}, {0: "y", 2: -(2**53)}))), Pack)
    assert read(write(a_pack(intervals=INTERVALS_MAX))) == a_pack(intervals=INTERVALS_MAX)


MALFORMED: dict[str, Records] = {
    "an energy above the limit": with_record("pv", {2: ENERGY_WH_MAX + 1}),
    "an energy beyond 2^53": with_record("pv", {2: -(2**53) - 1}),
    "an energy that is a float": with_record("pv", {2: 10.0}),
    "an energy that is a bool": with_record("pv", {2: True}),
    "an energy that is text": with_record("pv", {2: "10"}),
    "an energy without a value": with_record("pv", {}, without=(2,)),
    "an energy as text value": with_record("pv", {3: "10"}, without=(2,)),
    "an energy with two values": with_record("pv", {3: "10"}),
    "an energy as a sum": with_record("pv", {5: 10}, without=(2,)),
    "an energy in kWh": with_record("pv", {1: "kWh"}),
    "an energy without a unit": with_record("pv", {}, without=(1,)),
    "a unit that is no text": with_record("pv", {1: 1}),
    "a flow missing": [record for record in records_of(a_pack()) if record[0] != "export"],
    "a flow missing once": with_record("import", {0: "imported"}),
    "a flow twice for one t": with_more({0: "pv", 1: "Wh", 2: 10}),
    "a flow twice, once with t = 0": with_more({0: "pv", 1: "Wh", 2: 10, 6: 0}),
    "a t between two intervals": with_record("pv", {6: 450}),
    "a t that is a float": with_record("pv", {6: 0.0}),
    "a t that is a bool": with_record("pv", {6: False}),
    "a soc above 100": with_record("soc", {2: 101}),
    "a soc below 0": with_record("soc", {2: -1}),
    "a soc of another unit": with_record("soc", {1: "%"}),
    "a soc that is a float": with_record("soc", {2: 55.0}),
    "a soc of no interval": with_more({0: "soc", 1: "%EL", 2: 5, 6: 1800}),
    "a gap between intervals": [record | ({6: 1800} if 6 in record else {}) for record in records_of(a_pack())],
    "an interval before the start": [record | ({6: -900} if 6 in record else {}) for record in records_of(a_pack())],
    "no interval at all": records_of(a_pack())[:3],
    "too many intervals": records_of(a_pack(INTERVALS_MAX))
    + [{0: name, 1: "Wh", 2: 0, 6: INTERVALS_MAX * 900} for name in FLOWS],
    "no duration": with_record("interval", {0: "duration"}),
    "a duration in minutes": with_record("interval", {1: "min"}),
    "a duration without a unit": with_record("interval", {}, without=(1,)),
    "a duration that is a float": with_record("interval", {2: 900.0}),
    "a duration twice": with_more({0: "interval", 1: "s", 2: 900}),
    "a duration at another t": with_more({0: "interval", 1: "s", 2: 900, 6: 900}),
    "no bver": with_base({}, without=(-1,)),
    "another bver": with_base({-1: 10}),
    "a bver that is a float": with_base({-1: 26.0}),
    "no bt": with_base({}, without=(-3,)),
    "a relative bt": with_base({-3: 2**28 - 1}),
    "a bt that is a float": with_base({-3: float(START_S)}),
    "a bt beyond 2^53": with_base({-3: 2**53 + 1}),
    "a base unit": with_base({-4: "Wh"}),
    "a base sum": with_base({-6: 1}),
    "an unknown base field": with_base({-7: 1}),
    "a base field after the first record": with_more({-3: START_S}),
    "a label ending in _": with_record("pv", {"must_": 1}),
    "a label ending in _ under an unknown name": with_more({0: "x", "must_": 1}),
    "a label of bytes": with_more({b"x": 1}),
    "a label beyond 2^53": with_more({2**60: "x"}),
    "a name that is no text": with_more({0: 1}),
    "a name that is an array": with_more({0: []}),
    "an integer beyond 2^53 under an unknown name": with_more({0: "x", 2: 2**53 + 1}),
    "an integer below -2^53 deep inside": with_more({"x": [{"y": [-(2**53) - 1]}]}),
    "an integer beyond 2^53 as a key deep inside": with_more({"x": {2**53 + 1: 0}}),
    "an integer beyond 64 bits": with_more({0: "x", 2: 2**70}),
    "an interval and a gap": with_more({0: "lost", 2: 9}),
    "a gap with a duration": [*records_of(GapPack("unit-1", 7, PREV, 9)), {0: "interval", 1: "s", 2: 900}],
    "a gap with a soc": [*records_of(GapPack("unit-1", 7, PREV, 9)), {0: "soc", 1: "%EL", 2: 9}],
    "a gap up to 0": [*records_of(GapPack("unit-1", 7, PREV, 9))[:2], {0: "lost", 2: 0}],
    "a gap up to a fraction": [*records_of(GapPack("unit-1", 7, PREV, 9))[:2], {0: "lost", 2: 9.5}],
    "a gap twice": [*records_of(GapPack("unit-1", 7, PREV, 9)), {0: "lost", 2: 9}],
}


@pytest.mark.parametrize("records", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_pack_still_tells_its_place(records: Records) -> None:
    assert read(encode(records)) == BadPack(7, PREV, "unit-1")


@pytest.mark.parametrize(
    "base_name",
    [
        None,
        1,
        "",
        "unit-1",
        "urn:dev:ops:32473-unit-1",
        "urn:dev:ops:32473-unit-1:",
        "urn:dev:ops:32474-unit-1_",
        "urn:dev:ops:32473-_",
        "urn:dev:ops:32473-Unit-1_",
        "urn:dev:ops:32473-unit-1_\n",
        "urn:dev:ops:32473-" + "u" * 65 + "_",
    ],
)
def test_a_pack_that_names_no_unit_is_malformed(base_name: object) -> None:
    assert read(encode(with_base({-2: base_name}))) == BadPack(7, PREV, None)


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(with_record("seq", {0: "seqq"}), id="no seq"),
        pytest.param(with_record("seq", {2: 0}), id="seq 0"),
        pytest.param(with_record("seq", {2: -1}), id="a negative seq"),
        pytest.param(with_record("seq", {2: 7.0}), id="a seq that is a float"),
        pytest.param(with_record("seq", {2: True}), id="a seq that is a bool"),
        pytest.param(with_record("seq", {2: 2**53 + 1}), id="a seq beyond 2^53"),
        pytest.param(with_record("seq", {1: "s"}), id="a seq with a unit"),
        pytest.param(with_record("seq", {6: 900}), id="a seq at another time"),
        pytest.param(with_record("seq", {6: 0.0}), id="a seq at a time that is a float"),
        pytest.param(with_more({0: "seq", 2: 7}), id="seq twice"),
        pytest.param(with_more({0: "seq", 2: 8, 6: 900}), id="another seq at another time"),
        pytest.param(with_record("prev", {0: "previous"}), id="no prev"),
        pytest.param(with_record("prev", {8: bytes(31)}), id="a prev of 31 bytes"),
        pytest.param(with_record("prev", {8: "0" * 32}), id="a prev of text"),
        pytest.param(with_record("prev", {2: 1}), id="a prev with two values"),
        pytest.param(with_more({0: "prev", 8: PREV}), id="prev twice"),
        pytest.param(with_base({-5: 1}), id="a base value, which shifts every number"),
    ],
)
def test_a_pack_whose_place_is_unsound_tells_none_of_it(records: Records) -> None:
    assert read(encode(records)) == BadPack(None, None, "unit-1")


@pytest.mark.parametrize("content", [[], {}, 1, None, [1], [{}, []], "pack"])
def test_what_is_no_array_of_records_tells_nothing(content: object) -> None:
    assert read(encode(content)) == BadPack(None, None, None)


def test_a_payload_that_is_not_deterministic_tells_nothing() -> None:
    assert read(write(a_pack()) + b"\0") == BadPack(None, None, None)


def test_a_gap_pack_may_state_a_time() -> None:
    first, *rest = records_of(GapPack("unit-1", 7, PREV, 9))

    assert read(encode([first | {-3: START_S}, *rest])) == GapPack("unit-1", 7, PREV, 9)
    assert read(encode([first | {-3: 5}, *rest])) == BadPack(7, PREV, "unit-1")


LABELS = st.integers(-8, 12) | st.sampled_from(["x", "x_"])
NAMES = st.sampled_from([*FLOWS, "seq", "prev", "interval", "lost", "soc", "other"])
ITEMS = NAMES | st.integers() | st.floats() | st.booleans() | st.none() | st.binary() | st.lists(st.integers())
RECORDS = st.dictionaries(LABELS, ITEMS)


@given(pack=packs() | GAP_PACKS, odd=st.lists(RECORDS, max_size=3), data=st.data())
def test_any_records_get_a_verdict(pack: Pack | GapPack, odd: Records, data: st.DataObject) -> None:
    records = records_of(pack)
    at = data.draw(st.integers(0, len(records) - 1))
    records[at] |= data.draw(RECORDS)

    verdict = read(encode(data.draw(st.permutations(records + odd))))

    assert isinstance(verdict, Pack | GapPack | BadPack)
    if isinstance(verdict, BadPack):
        assert (verdict.seq is None) == (verdict.prev is None)
    else:
        assert read(write(verdict)) == verdict


@given(st.binary())
def test_any_bytes_get_a_verdict(payload: bytes) -> None:
    assert isinstance(read(payload), Pack | GapPack | BadPack)


@pytest.mark.parametrize(
    "intervals",
    [
        (),
        (*a_pack(INTERVALS_MAX).intervals, Interval(START_S + INTERVALS_MAX * 900, 900, 0, 0, 0, 0, 0, 0)),
        (a_pack().intervals[0], a_pack().intervals[0]),
        (a_pack().intervals[0], Interval(START_S + 900, 60, 0, 0, 0, 0, 0, 0)),
    ],
    ids=["none", "too many", "one twice", "two durations"],
)
def test_intervals_that_are_no_row_cannot_be_written(intervals: tuple[Interval, ...]) -> None:
    with pytest.raises(ValueError, match="interval"):
        write(Pack("unit-1", 1, FIRST_PREV, intervals))


def test_a_message_is_named_by_its_sha_256() -> None:
    assert message_hash(b"message") == hashlib.sha256(b"message").digest()


@pytest.mark.parametrize("text", ["a", "unit-1", "-", "0" * 64])
def test_a_device_id_is_lower_case_digits_and_hyphens(text: str) -> None:
    assert is_device_id(text)


@pytest.mark.parametrize("text", ["", "A", "unit_1", "unit/1", "\u0661", "0" * 65, "unit-1\n", "+", "#"])
def test_anything_else_is_no_device_id(text: str) -> None:
    assert not is_device_id(text)
