"""`sparks replay`: measured homes through the whole platform, and every row accounted for."""

import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.wire.packs import FLOWS, Interval
from device_sim.measured.rows import Measured, MeasuredHome, Row
from services.harvest import Harvest
from services.replay import Replayed, check_export_path, units_of
from tests.story.commands import json_of, sparks

DATA = Path(__file__).parents[1] / "data"
HOMES = DATA / "citylearn_fontana_2016_aug_dec"
HEADER = "home,start,interval_s,pv_wh,load_wh,charge_wh,discharge_wh,import_wh,export_wh"


def by_home(summary: dict[str, Any]) -> dict[str, Any]:
    return {home["home"]: home for home in summary["homes"]}


def a_flows_file(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_measured_homes_keep_their_energy_and_export_what_was_accepted(tmp_path: Path) -> None:
    export = tmp_path / "accepted.csv"
    span = ("--from", "2016-11-04", "--to", "2016-11-08")  # the clocks go back on the 6th
    summary = json_of(sparks(tmp_path / "d", "replay", HOMES, "--no-battery", *span, "--export", export, "--json"))

    assert summary["ledger"]["verified"] is True
    exported: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(FLOWS, 0))
    for row in csv.DictReader(export.open()):
        for flow in FLOWS:
            exported[row["home"]][flow] += int(row[flow])
    for name, home in by_home(summary).items():
        assert home["packs"] == home["intervals"] == 5 * 24
        assert {flow: home[flow] for flow in FLOWS} == exported[name]
        assert home["months"]["2016-11"] == exported[name]
        assert home["pv_wh"] + home["import_wh"] - home["load_wh"] - home["export_wh"] in range(-120, 121)
    assert not list((tmp_path / "d").glob("replay-*"))


def test_what_was_exported_replays_to_the_same_sparks(tmp_path: Path) -> None:
    export = tmp_path / "accepted.csv"
    rows = [f"a,2026-07-06T{hour:02d}:00:00-04:00,3600,2500.5,1000.25,0,0,0,1500.25" for hour in range(8, 16)]
    flows = a_flows_file(tmp_path / "flows.csv", *rows)

    first = json_of(sparks(tmp_path / "d", "replay", flows, "--export", export, "--json"))
    again = json_of(sparks(tmp_path / "d", "replay", export, "--json"))

    assert [home["micro_sparks"] for home in again["homes"]] == [home["micro_sparks"] for home in first["homes"]]
    assert first["homes"][0]["pv_wh"] == 20_004


def test_every_row_is_accepted_refused_for_its_reason_or_unreadable(tmp_path: Path) -> None:
    flows = a_flows_file(
        tmp_path / "flows.csv",
        "a,2026-07-06T08:00:00-04:00,3600,1000,1000,0,0,0,0",
        "a,2026-07-06T08:30:00-04:00,1800,500,500,0,0,0,0",  # overlap
        "a,2026-07-06T09:00:00-04:00,3600,-5,0,0,0,5,0",  # negative
        "a,2026-07-06T09:30:00-04:00,3600,500,500,0,0,0,0",  # crosses the hour
        "a,2026-07-06T10:00:00-04:00,90,5,5,0,0,0,0",  # shape
        "a,2026-07-06T10:00:00-04:00,3600,1000,10,0,0,0,0",  # imbalance
        "a,2026-07-06T11:00:00-04:00,3600,oops,10,0,0,0,0",  # unreadable
        "a,2026-07-06 noon,3600,1,1,0,0,0,0",  # unreadable
        "a,2026-07-06T12:00:00-04:00,3600,2000000,2000000,0,0,0,0",  # malformed: above any meter
        "a,2026-09-30T12:00:00-04:00,3600,9,9,0,0,0,0",  # a mistyped month: far ahead of the clock
        "a,2026-05-01T12:00:00-04:00,3600,9,9,0,0,0,0",  # more than 30 days late
        "a,2026-07-06T13:00:00-04:00,3600,700,700,0,0,0,0",
    )
    done = sparks(tmp_path / "d", "replay", flows, "--json")

    (home,) = json_of(done)["homes"]
    assert (home["packs"], home["intervals"], home["unreadable"]) == (10, 2, 2)
    assert home["refused"] == {
        "interval_overlap": 1,
        "negative_energy": 1,
        "interval_crosses_hour": 1,
        "interval_shape": 1,
        "energy_imbalance": 1,
        "malformed_pack": 1,
        "clock_ahead": 1,
        "too_late": 1,
    }
    assert home["quarantined"] == {}
    assert f"{flows}:8: bad_energy" in done.stderr
    assert f"{flows}:9: bad_start" in done.stderr


@pytest.mark.parametrize("content", ["", "not,a,flows,file\n1,2,3,4\n"])
def test_a_file_that_is_none_is_one_clear_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "flows.csv"
    path.write_text(content)

    done = sparks(tmp_path / "d", "replay", path)

    assert done.returncode == 1
    assert done.stderr.startswith("sparks: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_absurd_row_a_bad_zone_and_rows_of_no_home_stop_nothing_and_are_all_accounted_for(tmp_path: Path) -> None:
    flows = a_flows_file(
        tmp_path / "flows.csv",
        "C,2024-06-01T00:00:00Z,900,0,100,0,0,100,0",
        "C,2024-06-01T00:15:00Z,900,1000000000,100,0,0,0,0",
        "C,2024-06-01T00:30:00Z,1,500000,500000,0,0,0,0",
        ",2024-06-01T00:45:00Z,900,0,100,0,0,100,0",
        "C,2024-06-01T00:45:00Z,900,0,x,0,0,100,0",
    )
    (tmp_path / "homes.csv").write_text(
        "home,pv_nameplate_w,battery_capacity_wh,battery_power_w,zone\nC,5000,0,0,Zone/1\n"
    )

    told = json_of(sparks(tmp_path / "d", "replay", flows, "--json"))

    (home,) = told["homes"]
    assert (home["intervals"], home["unreadable"]) == (1, 1)
    assert home["refused"] == {"malformed_pack": 1, "interval_shape": 1}
    assert sorted((row["file"], row["line"], row["reason"]) for row in told["unreadable"]) == [
        (str(flows), 5, "missing_home"),
        (str(flows), 6, "bad_energy"),
        (str(tmp_path / "homes.csv"), 2, "bad_nameplate"),
    ]


def replayed(*rows: Row) -> Replayed:
    """One home of which every row was accepted."""
    home = MeasuredHome(name="a", pv_nameplate_w=0, battery_capacity_wh=0, battery_power_w=0, zone="z", rows=rows)
    units = units_of([home])
    harvest = Harvest(intervals=[row.interval for row in rows])
    measured = Measured(homes=(home,), unreadable=(), signals={})
    return Replayed(measured, units, {units[0].provision.device_id: harvest}, {}, {})


def a_measured_row() -> Row:
    return Row(Path("flows.csv"), 2, Interval(1_464_753_600, 300, 1, 2, 3, 4, 5, 6))


def test_an_export_takes_the_place_of_what_was_there_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    link = tmp_path / "export.csv"
    link.symlink_to("real.csv")

    check_export_path(link)
    assert link.read_text() == "old"
    replayed(a_measured_row()).export(link)

    assert link.is_symlink()
    assert (tmp_path / "real.csv").read_text().splitlines()[1] == "a,2016-06-01T04:00:00+00:00,300,1,2,3,4,5,6,"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.csv", "real.csv"]


def test_an_export_that_fails_half_way_leaves_the_old_file_whole(tmp_path: Path) -> None:
    export = tmp_path / "export.csv"
    export.write_text("old")
    impossible = replace(a_measured_row(), interval=a_measured_row().interval._replace(start_s=10**15))

    with pytest.raises((ValueError, OverflowError)):
        replayed(a_measured_row(), impossible).export(export)

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("export.csv", "old")]


def test_an_export_to_a_device_is_written_to_it() -> None:
    null = Path("/dev/null")

    check_export_path(null)
    replayed(a_measured_row()).export(null)

    assert null.is_char_device()


@pytest.mark.parametrize("name", ["gone/export.csv", ".", "file/export.csv", "x" * 300])
def test_a_path_that_cannot_be_exported_to_is_known_beforehand(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("a file")

    with pytest.raises(OSError, match=r"\[Errno"):
        check_export_path(tmp_path / name)

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
