"""Flows files: exact decimals, strict rows, tolerant files, and back again."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.wire.packs import Interval
from device_sim.measured import flows
from device_sim.measured.rows import DEFAULT_ZONE, NAMEPLATE_MAX, MeasuredHome, Reason, UnreadableFile

HEADER = "home,start,interval_s,pv_wh,load_wh,charge_wh,discharge_wh,import_wh,export_wh"
MIDNIGHT_S = 1_464_753_600  # 2016-06-01T00:00:00-04:00


def a_row(home: str = "a", start: str = "2016-06-01T00:00:00-04:00", interval_s: str = "300", **flows_wh: str) -> str:
    usual = dict.fromkeys(("pv_wh", "load_wh", "charge_wh", "discharge_wh", "import_wh", "export_wh"), "0")
    return ",".join([home, start, interval_s, *(usual | flows_wh).values()])


def a_file(folder: Path, *rows: str, name: str = "flows.csv", header: str = HEADER) -> Path:
    path = folder / name
    path.write_bytes("\n".join([header, *rows, ""]).encode())
    return path


def the_home(path: Path) -> MeasuredHome:
    homes, unreadable = flows.read([path])
    assert unreadable == []
    (home,) = homes
    return home


def reasons(path: Path) -> list[tuple[int, str]]:
    homes, nobodys = flows.read([path])
    return sorted((row.line, row.reason) for row in [*nobodys, *(r for home in homes for r in home.unreadable)])


def test_decimals_are_exact_and_remainders_are_carried(tmp_path: Path) -> None:
    # 0.1 has no float: a tenth added ten times must still be one watt-hour.
    path = a_file(tmp_path, *[a_row(pv_wh="0.1", export_wh="1e-1")] * 20)

    sent_wh = [(row.interval.pv_wh, row.interval.export_wh) for row in the_home(path).rows]

    assert sent_wh == ([(0, 0)] * 9 + [(1, 1)]) * 2


def test_what_can_be_read_is_passed_on_as_it_was_measured(tmp_path: Path) -> None:
    path = a_file(
        tmp_path,
        a_row(start="2016-06-01T04:00:00Z", pv_wh="-0.5", load_wh="2000000"),
        a_row(start="2016-06-01T04:00:00Z", interval_s="7"),
        a_row(start="2016-05-31 23:00:00-04:00", interval_s="-300"),
        a_row(start="2016-06-01t00:00:00.000-04:00", interval_s="86400.0"),
    )

    rows = the_home(path).rows

    assert [(row.line, row.start_s, row.end_s) for row in rows] == [
        (2, MIDNIGHT_S, MIDNIGHT_S + 300),
        (3, MIDNIGHT_S, MIDNIGHT_S + 7),
        (4, MIDNIGHT_S - 3600, MIDNIGHT_S - 3900),
        (5, MIDNIGHT_S, MIDNIGHT_S + 86_400),
    ]
    assert (rows[0].interval.pv_wh, rows[0].interval.load_wh) == (-1, 2_000_000)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (a_row() + ",0", Reason.WRONG_COLUMN_COUNT),
        ("a,2016-06-01T00:00:00-04:00,300", Reason.WRONG_COLUMN_COUNT),
        (a_row(home='"a'), Reason.BAD_CSV),
        (a_row(home=" "), Reason.MISSING_HOME),
        (a_row(start="2016-06-01T00:00:00"), Reason.MISSING_OFFSET),
        (a_row(start=""), Reason.BAD_START),
        (a_row(start="1464753600"), Reason.BAD_START),
        (a_row(start="2016-06-31T00:00:00Z"), Reason.BAD_START),
        (a_row(start="2016-06-01T24:00:00Z"), Reason.BAD_START),
        (a_row(start="2016-06-01T00:00:00.5Z"), Reason.BAD_START),
        (a_row(start="2016-06-01T00:00:00+99:00"), Reason.BAD_START),
        (a_row(interval_s=""), Reason.BAD_INTERVAL),
        (a_row(interval_s="300.5"), Reason.BAD_INTERVAL),
        (a_row(interval_s="five"), Reason.BAD_INTERVAL),
        (a_row(interval_s="1e15"), Reason.BAD_INTERVAL),
        (a_row(pv_wh=""), Reason.BAD_ENERGY),
        (a_row(load_wh="NaN"), Reason.BAD_ENERGY),
        (a_row(charge_wh="inf"), Reason.BAD_ENERGY),
        (a_row(discharge_wh="-Infinity"), Reason.BAD_ENERGY),
        (a_row(import_wh="1_000"), Reason.BAD_ENERGY),
        (a_row(export_wh="1/3"), Reason.BAD_ENERGY),
        (a_row(pv_wh="0x10"), Reason.BAD_ENERGY),
        (a_row(pv_wh="1 2"), Reason.BAD_ENERGY),
        (a_row(pv_wh="1e99999999"), Reason.BAD_ENERGY),
        (a_row(pv_wh="١٢"), Reason.BAD_ENERGY),
        (a_row(pv_wh="1\0"), Reason.BAD_ENERGY),
        (HEADER, Reason.BAD_START),
    ],
)
def test_a_row_that_cannot_be_read_is_reported_and_stops_nothing(tmp_path: Path, row: str, reason: Reason) -> None:
    path = a_file(tmp_path, a_row(pv_wh="0.6"), row, a_row(pv_wh="0.6"))

    homes, _ = flows.read([path])

    assert reasons(path) == [(3, reason)]
    assert [row.interval.pv_wh for home in homes for row in home.rows] == [0, 1]  # 1.2: its sums were not touched


def test_a_charge_that_cannot_be_read_makes_the_row_unreadable_and_an_empty_one_does_not(tmp_path: Path) -> None:
    path = a_file(
        tmp_path, a_row() + ",", a_row() + ",57.9", a_row() + ",full", a_row() + ",101", header=HEADER + ",soc_pct"
    )

    assert [row.interval.soc_pct for row in the_home(path).rows] == [None, 57, 101]
    assert reasons(path) == [(4, Reason.BAD_SOC)]


def test_an_unreadable_row_belongs_to_the_home_it_names(tmp_path: Path) -> None:
    path = a_file(
        tmp_path,
        "b,half a row",  # b is known from the last line
        "c,half a row",  # perhaps half a name
        a_row(home="d", start="never"),
        a_row(home="b"),
    )

    homes, nobodys = flows.read([path])

    assert {home.name: [row.line for row in home.unreadable] for home in homes} == {"b": [2], "d": [4]}
    assert [(row.line, row.reason) for row in nobodys] == [(3, Reason.WRONG_COLUMN_COUNT)]


def test_marks_line_ends_blank_lines_and_quotes_of_other_programs_are_tolerated(tmp_path: Path) -> None:
    path = tmp_path / "flows.csv"
    row = '"a", "2016-06-01T00:00:00-04:00","300", 1,"2",3,4,5,6'
    path.write_bytes(f"\ufeff\r\n{HEADER}\r\n\r\n   \r\n{row}\r\n\r\n{row}".encode())

    home = the_home(path)

    assert home.name == "a"
    assert [row.line for row in home.rows] == [5, 7]
    assert home.rows[0].interval == Interval(MIDNIGHT_S, 300, 1, 2, 3, 4, 5, 6)


def test_names_that_differ_in_a_byte_that_is_not_utf8_remain_two_homes(tmp_path: Path) -> None:
    path = a_file(tmp_path)
    path.write_bytes(path.read_bytes() + a_row("caf~").encode().replace(b"~", b"\xe9") + b"\n")
    path.write_bytes(path.read_bytes() + a_row("caf~").encode().replace(b"~", b"\xe8") + b"\n")

    homes, unreadable = flows.read([path])

    assert [home.name for home in homes] == ["caf\\xe9", "caf\\xe8"]
    assert unreadable == []


def test_zeros_that_a_power_cut_left_behind_are_one_unreadable_row(tmp_path: Path) -> None:
    path = a_file(tmp_path, a_row(), "\0" * 4096)

    assert reasons(path) == [(3, Reason.WRONG_COLUMN_COUNT)]


@pytest.mark.parametrize(
    "content", ["", "\n\n", a_row(), HEADER.replace("pv_wh", "pv_kwh"), HEADER + ",note", '"' + HEADER]
)
def test_a_file_with_another_header_is_one_clear_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "flows.csv"
    path.write_text(content)

    with pytest.raises(UnreadableFile, match=r"flows\.csv: the header must be home,start,interval_s") as error:
        flows.read([path])

    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"gone\.csv: No such file"):
        flows.read([tmp_path / "gone.csv"])


def test_a_home_without_nameplate_gets_what_its_largest_rows_need(tmp_path: Path) -> None:
    path = a_file(
        tmp_path,
        a_row(pv_wh="100.01", charge_wh="10", discharge_wh="20.5"),
        a_row(pv_wh="900", interval_s="3600", charge_wh="200"),
        a_row(pv_wh="9000", charge_wh="nonsense"),  # unreadable: says nothing
        a_row(pv_wh="9000", interval_s="0"),  # no time, no power
    )

    home = the_home(path)

    assert home.pv_nameplate_w == 1_201  # ceil(100.01 * 12)
    assert (home.battery_power_w, home.battery_capacity_wh) == (246, 4 * 246)
    assert home.zone == DEFAULT_ZONE


def test_a_home_that_only_consumes_has_no_roof_and_no_battery(tmp_path: Path) -> None:
    home = the_home(a_file(tmp_path, a_row(load_wh="5", import_wh="5")))

    assert (home.pv_nameplate_w, home.battery_power_w, home.battery_capacity_wh) == (0, 0, 0)


def test_nameplates_beside_the_file_are_taken_where_they_can_be_read(tmp_path: Path) -> None:
    path = a_file(tmp_path, a_row("a", pv_wh="1"), a_row("b", pv_wh="1"))
    header = "home,pv_nameplate_w,battery_capacity_wh,battery_power_w,zone"
    a_file(tmp_path, "a,7000,10000,5000,west", "b,much,1,1,west", name="homes.csv", header=header)

    homes, nobodys = flows.read([path])

    a, b = homes
    assert (a.pv_nameplate_w, a.battery_capacity_wh, a.battery_power_w, a.zone) == (7_000, 10_000, 5_000, "west")
    assert (b.pv_nameplate_w, b.zone) == (12, DEFAULT_ZONE)
    assert [(row.file.name, row.line, row.reason) for row in nobodys] == [("homes.csv", 3, Reason.BAD_NAMEPLATE)]


@pytest.mark.parametrize(
    "line",
    [
        "a,5000,0,0,Zone/1",
        "a,5000,0,0," + "z" * 65,
        "a,5000,0,0,\u00e9toile",
        "a,1000000001,0,0,west",
        "a,0,1e300,0,west",
        "a,0,0,-1,west",
        "a,0,0,0.5,west",
    ],
)
def test_a_nameplate_that_no_unit_can_have_is_reported_and_the_rows_say_instead(tmp_path: Path, line: str) -> None:
    path = a_file(tmp_path, a_row("a", pv_wh="1"))
    a_file(tmp_path, line, name="homes.csv", header="home,pv_nameplate_w,battery_capacity_wh,battery_power_w,zone")

    (home,), nobodys = flows.read([path])

    assert (home.pv_nameplate_w, home.zone, len(home.rows)) == (12, DEFAULT_ZONE, 1)
    assert [(row.line, row.reason) for row in nobodys] == [(2, Reason.BAD_NAMEPLATE)]


def test_one_absurd_row_needs_no_more_than_a_unit_can_have(tmp_path: Path) -> None:
    path = a_file(tmp_path, a_row(pv_wh="1e9"), a_row(interval_s="1", charge_wh="5e5"), a_row(discharge_wh="1e300"))

    home = the_home(path)

    sizes = (home.pv_nameplate_w, home.battery_capacity_wh, home.battery_power_w)
    assert sizes == (NAMEPLATE_MAX, NAMEPLATE_MAX, NAMEPLATE_MAX)


def test_a_home_goes_on_from_one_file_to_the_next(tmp_path: Path) -> None:
    june = a_file(tmp_path, a_row(pv_wh="0.5"), name="june.csv")
    july = a_file(tmp_path, a_row(pv_wh="0.5"), name="july.csv")

    (home,), _ = flows.read([june, july])

    assert [(row.file.name, row.interval.pv_wh) for row in home.rows] == [("june.csv", 0), ("july.csv", 1)]


def test_a_window_keeps_the_rows_that_start_in_it(tmp_path: Path) -> None:
    starts = [f"2016-06-01T0{hour}:00:00-04:00" for hour in range(4)]
    home = the_home(a_file(tmp_path, *[a_row(start=start, pv_wh="6") for start in starts]))

    window = home.between(from_s=MIDNIGHT_S + 3600, to_s=MIDNIGHT_S + 3 * 3600)

    assert [row.line for row in window.rows] == [3, 4]
    assert window.pv_nameplate_w == home.pv_nameplate_w


ENERGIES_WH = st.integers(-(2**40), 2**40)
INTERVALS = st.builds(
    Interval,
    st.integers(0, 4_000_000_000),
    st.integers(1, 86_400),
    *[ENERGIES_WH] * 6,
    soc_pct=st.none() | st.integers(0, 100),
)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1).filter(
    lambda name: name.strip() == name
)


@given(st.lists(st.tuples(NAMES, INTERVALS), max_size=20))
def test_what_is_exported_reads_back_as_the_same_intervals(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, Interval]]
) -> None:
    path = tmp_path_factory.mktemp("export") / "flows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        flows.write(file, rows)

    homes, unreadable = flows.read([path])

    assert unreadable == [] and all(home.unreadable == () for home in homes)
    read = {home.name: [row.interval for row in home.rows] for home in homes}
    assert read == {name: [interval for other, interval in rows if other == name] for name, _ in rows}


@given(st.binary(max_size=400))
def test_whatever_follows_the_header_every_line_is_read_or_reported(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    path = tmp_path_factory.mktemp("noise") / "flows.csv"
    path.write_bytes(HEADER.encode() + b"\n" + noise)

    homes, nobodys = flows.read([path])

    text = noise.decode("utf-8", errors="backslashreplace").replace("\r\n", "\n").replace("\r", "\n")
    lines = [line for line in text.split("\n") if line.strip()]
    counted = len(nobodys) + sum(len(home.rows) + len(home.unreadable) for home in homes)
    assert counted == len(lines)
