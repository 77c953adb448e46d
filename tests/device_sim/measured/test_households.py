"""Household folders: real homes against totals that others computed, and folders that are not as they should be."""

import csv
from collections import Counter
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from device_sim.measured import households
from device_sim.measured.reading import read
from device_sim.measured.rows import Measured, Reason, UnreadableFile, local_midnight_s, local_month
from tests.device_sim.acceptance import is_balanced, is_never_negative, is_within_nameplate

DATA = Path(__file__).parents[2] / "data"
FONTANA = DATA / "citylearn_fontana_2016_aug_dec"
COLUMNS = {
    "pv_wh": "generation_kwh",
    "load_wh": "load_kwh",
    "import_wh": "import_no_battery_kwh",
    "export_wh": "export_no_battery_kwh",
}
HOMES_HEADER = "home,pv_nominal_kw,battery_capacity_kwh,battery_power_kw,battery_round_trip_efficiency"
A_DAY = ["0.5,0"] * 24


def a_folder(
    parent: Path, rows: list[str], *, name: str = "street_2016_aug", houses: str = "one,4.0,6.4,5.0,0.9"
) -> Path:
    folder = parent / name
    folder.mkdir()
    (folder / "homes.csv").write_text(f"{HOMES_HEADER}\n{houses}\n")
    (folder / "one.csv").write_text("\n".join(["non_shiftable_load,solar_generation", *rows, ""]))
    return folder


def local_hours(folder: Path, start: date | None = None) -> tuple[list[int], list[int], list[tuple[int, str]]]:
    """Return start and line of each row, and what could not be read."""
    (home,) = households.read(folder, start=start, has_battery=False).homes
    return (
        [row.start_s for row in home.rows],
        [row.line for row in home.rows],
        [(row.line, row.reason) for row in home.unreadable],
    )


@pytest.fixture(scope="module")
def fontana() -> Measured:
    return read([FONTANA], has_battery=False)


@pytest.fixture(scope="module")
def fontana_with_batteries() -> Measured:
    return read([FONTANA])


def test_every_month_of_the_real_homes_agrees_with_the_reference_within_a_watt_hour(fontana: Measured) -> None:
    totals_wh: Counter[tuple[str, str, str]] = Counter()
    for home in fontana.homes:
        for row in home.rows:
            for flow in COLUMNS:
                totals_wh[home.name, local_month(row.start_s), flow] += getattr(row.interval, flow)

    with (DATA / "reference_totals.csv").open() as file:
        months = [line for line in csv.DictReader(file) if line["source"] == FONTANA.name and line["month"] != "TOTAL"]

    assert len(months) == 8 * 5
    for line in months:
        for flow, column in COLUMNS.items():
            reference_wh = Fraction(line[column]) * 1_000
            assert abs(totals_wh[line["home"], line["month"], flow] - reference_wh) <= 1, (line, flow)


def test_every_row_of_the_real_homes_is_read(fontana: Measured) -> None:
    assert [len(home.rows) for home in fontana.homes] == [3_672] * 8
    assert fontana.unreadable == () and all(home.unreadable == () for home in fontana.homes)
    assert [home.name for home in fontana.homes][:2] == ["Building_1", "Building_10"]
    assert [home.pv_nameplate_w for home in fontana.homes][:2] == [4_000, 5_000]
    assert {home.battery_capacity_wh for home in fontana.homes} == {0}


def test_every_interval_of_the_real_homes_would_be_accepted_with_and_without_battery(
    fontana: Measured, fontana_with_batteries: Measured
) -> None:
    for home in [*fontana.homes, *fontana_with_batteries.homes]:
        assert any(row.interval.discharge_wh for row in home.rows) == (home.battery_power_w > 0)
        for row in home.rows:
            assert is_balanced(row.interval)
            assert is_never_negative(row.interval)
            assert is_within_nameplate(
                row.interval, pv_nameplate_w=home.pv_nameplate_w, battery_power_w=home.battery_power_w
            )


def test_the_battery_of_the_real_homes_serves_their_evenings(
    fontana: Measured, fontana_with_batteries: Measured
) -> None:
    """What it gives the grid need not, and a tenth of what it takes is lost."""
    home, bare = fontana_with_batteries.homes[0], fontana.homes[0]

    charged_wh = sum(row.interval.charge_wh for row in home.rows)
    discharged_wh = sum(row.interval.discharge_wh for row in home.rows)
    spared_wh = sum(row.interval.import_wh for row in bare.rows) - sum(row.interval.import_wh for row in home.rows)
    assert abs(spared_wh - discharged_wh) <= 1
    assert 0 <= charged_wh * 9 // 10 - discharged_wh <= 6_400


def test_the_grids_intensity_comes_in_whole_milligrams_by_the_hour(fontana: Measured) -> None:
    first_s = local_midnight_s(date(2016, 8, 1))

    assert fontana.signals[first_s] == 171  # 0.1707244 kg/kWh
    assert fontana.signals[first_s + 3600] == 157  # 0.15731905
    assert len(fontana.signals) == 3_672
    assert all(hour_s % 3600 == 0 for hour_s in fontana.signals)


def test_a_folder_without_intensity_has_no_signals(tmp_path: Path) -> None:
    assert read([a_folder(tmp_path, A_DAY)]).signals == {}


def test_an_intensity_that_cannot_be_read_is_reported_and_its_hour_has_none(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, A_DAY)
    (folder / "carbon_intensity.csv").write_text("carbon_intensity\n0.0005\nhigh\n-1\n0.0004999\n1000.001\n")

    measured = read([folder])

    first_s = local_midnight_s(date(2016, 8, 1))
    assert measured.signals == {first_s: 1, first_s + 3 * 3600: 0}
    assert [(row.line, row.reason) for row in measured.unreadable] == [
        (3, Reason.BAD_INTENSITY),
        (4, Reason.BAD_INTENSITY),
        (6, Reason.BAD_INTENSITY),
    ]


def test_an_hour_that_the_clocks_leave_out_cannot_be_read(tmp_path: Path) -> None:
    starts_s, lines, unreadable = local_hours(a_folder(tmp_path, A_DAY), date(2016, 3, 13))

    assert unreadable == [(4, Reason.NONEXISTENT_LOCAL_TIME)]  # 02:00
    assert lines == [2, 3, *range(5, 26)]
    assert starts_s == [local_midnight_s(date(2016, 3, 13)) + 3600 * hour for hour in range(23)]


def test_an_hour_that_the_clocks_repeat_is_its_first_occurrence(tmp_path: Path) -> None:
    starts_s, _, unreadable = local_hours(a_folder(tmp_path, A_DAY), date(2016, 11, 6))

    midnight_s = local_midnight_s(date(2016, 11, 6))
    assert unreadable == []
    assert starts_s == [midnight_s + 3600 * hour for hour in (0, 1, *range(3, 25))]


def test_an_unreadable_row_keeps_its_hour_and_a_blank_line_has_none(tmp_path: Path) -> None:
    rows = ["0.0006,0", "", "nan,0", "0.0006,0,", '"0.0006,0', "0.0006,", "0.0006,0"]

    starts_s, lines, unreadable = local_hours(a_folder(tmp_path, rows))

    first_s = local_midnight_s(date(2016, 8, 1))
    assert starts_s == [first_s, first_s + 5 * 3600]
    assert lines == [2, 8]
    assert unreadable == [
        (4, Reason.BAD_ENERGY),
        (5, Reason.WRONG_COLUMN_COUNT),
        (6, Reason.BAD_CSV),
        (7, Reason.BAD_ENERGY),
    ]


def test_load_and_sun_are_exact_before_they_are_floored(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, ["0.0006,0.1"] * 2)  # 0.6 wh used, 0.4 wh of sun, 0.2 wh from the grid

    (home,) = households.read(folder, start=None, has_battery=False).homes

    sent_wh = [(r.interval.pv_wh, r.interval.load_wh, r.interval.import_wh, r.interval.export_wh) for r in home.rows]
    assert sent_wh == [(0, 0, 0, 0), (0, 1, 0, 0)]


@pytest.mark.parametrize("name", ["x_2016_aug_dec", "2016_AUG", "home 2016_august"])
def test_the_folders_name_says_when_its_rows_begin(tmp_path: Path, name: str) -> None:
    starts_s, _, _ = local_hours(a_folder(tmp_path, A_DAY, name=name))

    assert starts_s[0] == local_midnight_s(date(2016, 8, 1))


def test_a_given_start_counts_more_than_the_folders_name(tmp_path: Path) -> None:
    starts_s, _, _ = local_hours(a_folder(tmp_path, A_DAY), date(2020, 1, 15))

    assert starts_s[0] == local_midnight_s(date(2020, 1, 15))


def test_a_folder_that_does_not_say_when_it_begins_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="say with --start when"):
        read([a_folder(tmp_path, A_DAY, name="street")])


def test_a_home_without_file_and_a_file_without_home_are_reported_and_stop_nothing(tmp_path: Path) -> None:
    houses = "one,4,6.4,5,0.9\ntwo,4,6.4,5,0.9\n../one,4,6.4,5,0.9\nthree,4,6.4,5,1.5"
    folder = a_folder(tmp_path, A_DAY, houses=houses)
    (folder / "four.csv").write_text("hour,solar_generation,non_shiftable_load\n1,0,0\n")
    (folder / "weather.csv").write_text("rain\n1\n")

    measured = read([folder])

    assert [home.name for home in measured.homes] == ["one"]
    assert [(row.file.name, row.line, row.reason) for row in measured.unreadable] == [
        ("homes.csv", 4, Reason.MISSING_HOME),
        ("homes.csv", 5, Reason.BAD_NAMEPLATE),
        ("two.csv", 0, Reason.MISSING_FILE),
        ("four.csv", 2, Reason.NOT_IN_HOMES_CSV),
    ]


@pytest.mark.parametrize("missing", ["homes.csv", "one.csv"])
def test_a_folder_that_lacks_what_it_needs_is_one_clear_error(tmp_path: Path, missing: str) -> None:
    folder = a_folder(tmp_path, A_DAY)
    (folder / missing).unlink()

    with pytest.raises(UnreadableFile):
        read([folder])


def test_a_list_of_homes_without_its_columns_is_one_clear_error(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, A_DAY)
    (folder / "homes.csv").write_text("a,b\n1,2\n")

    with pytest.raises(UnreadableFile, match=r"homes\.csv: the header lacks home, pv_nominal_kw"):
        read([folder])


def test_a_file_without_its_columns_is_unreadable_row_by_row_and_takes_nothing_from_the_others(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, A_DAY, houses="one,4.0,6.4,5.0,0.9\ntwo,4.0,6.4,5.0,0.9")
    (folder / "two.csv").write_text("non_shiftable_load,sun\n1,2\n\n1,2\n")
    (folder / "carbon_intensity.csv").write_text("carbon\n0.1\n")

    measured = read([folder])
    one, two = measured.homes

    assert (len(one.rows), one.unreadable) == (24, ())
    assert (two.rows, [(row.line, row.reason) for row in two.unreadable]) == (
        (),
        [(2, Reason.MISSING_COLUMN), (4, Reason.MISSING_COLUMN)],
    )
    assert measured.signals == {}
    assert [(row.file.name, row.reason) for row in measured.unreadable] == [
        ("carbon_intensity.csv", Reason.MISSING_COLUMN)
    ]


def test_an_hour_behind_the_end_of_the_calendar_cannot_be_read(tmp_path: Path) -> None:
    starts_s, _, unreadable = local_hours(a_folder(tmp_path, A_DAY), date(9999, 12, 31))

    assert len(starts_s) == 19  # then it is midnight in Greenwich
    assert unreadable[0] == (21, Reason.NONEXISTENT_LOCAL_TIME)


def test_two_folders_with_a_home_of_one_name_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="one: two of the paths"):
        read([a_folder(tmp_path, A_DAY), a_folder(tmp_path, A_DAY, name="other_2017_jan")])


def test_a_home_whose_line_is_bad_is_a_home_of_which_no_row_can_be_read(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, A_DAY, houses="one,4,6.4,5,0.9\ntwo,4,6.4,much,0.9\nthree,4\nfour,1e7,0,0,0.9")
    for name in ("two", "three", "four"):
        (folder / f"{name}.csv").write_text("non_shiftable_load,solar_generation\n0.5,0\n\nnonsense\n")

    measured = read([folder])

    assert {home.name: len(home.rows) for home in measured.homes} == {"one": 24, "two": 0, "three": 0, "four": 0}
    assert [(row.file.name, row.line, row.reason) for home in measured.homes for row in home.unreadable] == [
        (f"{name}.csv", line, Reason.BAD_NAMEPLATE) for name in ("four", "three", "two") for line in (2, 4)
    ]
    assert [(row.file.name, row.line, row.reason) for row in measured.unreadable] == [
        ("homes.csv", 3, Reason.BAD_NAMEPLATE),
        ("homes.csv", 4, Reason.WRONG_COLUMN_COUNT),
        ("homes.csv", 5, Reason.BAD_NAMEPLATE),
    ]


def test_a_bad_line_beside_a_good_one_of_the_same_home_takes_nothing_from_it(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, A_DAY, houses="one,bad,6.4,5,0.9\none,4,6.4,5,0.9\none,worse,6.4,5,0.9")

    (home,) = read([folder]).homes

    assert (len(home.rows), home.unreadable) == (24, ())
