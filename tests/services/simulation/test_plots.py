"""What is drawn of a simulation is what its result says, in files that open."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from matplotlib import image
from typer.testing import CliRunner

from contracts import bundle
from contracts.rewards import RULES
from services import simulation
from services.cli import app
from services.simulation import Simulation, Span, plots
from tests.services.contract_sets.second import OWN, PROGRAMME
from tests.services.ledger.builders import Home, accept, fund, request, running

SPAN = Span(date(2026, 6, 30), date(2026, 7, 1))
SPARK = 1_000_000
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module", name="tried")
def of_six_homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    """Homes of two levels, zones and types; those that use their own gain, those that export lose."""
    parameters = bundle.from_bytes(OWN)[bundle.parameters_path(PROGRAMME)]
    parameters = parameters.replace(b"self_supply = { off = 400", b"self_supply = { off = 700")
    parameters = parameters.replace(b"green_export = { off = 200", b"green_export = { off = 100")
    with running(f"sqlite:///{tmp_path_factory.mktemp('plots') / 'sparks.db'}") as books:
        homes = [Home(f"unit-{number}", f"customer-{number}") for number in range(6)]
        accept(books.ledger, [fund(), *(asked for place, home in enumerate(homes) for asked in joining(home, place))])
        for _ in range(3):
            accept(books.ledger, [home.record(load_wh=20 + 50 * place) for place, home in enumerate(homes)])
        yield simulation.simulate(books.engine, SPAN, lambda _done, _size: None, parameters=parameters)


def joining(home: Home, place: int) -> Iterator[Any]:
    commands: list[Any] = [asked.command for asked in home.joining()]
    unit, enrolment, claim = commands
    yield request(replace(unit, zone=("toronto", "ottawa")[place % 2], pv_nameplate_w=(4_000, 9_000)[place % 2]))
    yield request(replace(enrolment, level=("saver", "partner")[place // 3]))
    yield request(claim)


def bars(axes: Any) -> list[tuple[float, float]]:
    """Width and height of each bar."""
    return [(bar.get_width(), bar.get_height()) for bar in axes.patches]


def test_every_plot_is_a_file_that_opens_as_picture_and_as_drawing(tried: Simulation, tmp_path: Path):
    written = plots.draw(tried, tmp_path / "plots")

    assert sorted(path.name for path in written) == sorted(
        f"{name}.{form}" for name in ("cost", "homes", "groups") for form in ("png", "svg")
    )
    for path in written:
        if path.suffix == ".png":
            pixels = image.imread(path)
            assert pixels.shape == (540, 1080, 4)
            assert len({tuple(pixel) for pixel in pixels[::9, ::9].reshape(-1, 4).tolist()}) > 3
        else:
            texts = {"".join(text.itertext()).strip() for text in ET.parse(path).getroot().iter(f"{SVG}text")}
            assert texts & {"local day", "homes", "zone"}


def test_the_same_result_is_drawn_as_the_same_bytes(tried: Simulation, tmp_path: Path):
    one, two = (plots.draw(tried, tmp_path / name) for name in ("one", "two"))

    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_every_axis_says_what_it_measures(tried: Simulation):
    for name, figure in plots.figures(tried).items():
        for axes in figure.axes:
            assert axes.get_xlabel() and axes.get_ylabel(), name
        legends = [axes.get_legend() for axes in figure.axes] + figure.legends
        assert any(legends), name


def test_the_bars_of_cost_are_those_of_the_result(tried: Simulation):
    by_rule, by_day = plots.figures(tried)["cost"].axes
    cost = tried.document()["cost"]

    wanted = [
        cost[side]["micro_sparks_by_rule"].get(rule, 0) / SPARK for side in ("present", "proposed") for rule in RULES
    ]
    assert [height for _, height in bars(by_rule)] == wanted
    assert sum(height for _, height in bars(by_day)) == pytest.approx(sum(wanted))
    assert [label.get_text() for label in by_day.get_xticklabels()] == ["30 Jun"]


def test_as_many_homes_are_drawn_as_gain_or_lose_and_on_the_right_side(tried: Simulation):
    (axes,) = plots.figures(tried)["homes"].axes
    homes = tried.document()["homes"]

    left = sum(bar.get_height() for bar in axes.patches if bar.get_x() + bar.get_width() <= 1e-9)
    right = sum(bar.get_height() for bar in axes.patches if bar.get_x() >= -1e-9)
    assert (homes["gain"], homes["lose"]) == (right, left)
    assert homes["gain"] > 0 < homes["lose"]
    assert axes.get_title().startswith(f"{homes['gain']} homes gain, {homes['lose']} lose")


@pytest.mark.parametrize(("place", "key"), [(0, "by_level"), (1, "by_zone"), (2, "by_home_type")])
def test_each_group_s_gains_and_losses_are_those_of_the_result(tried: Simulation, place: int, key: str):
    axes = plots.figures(tried)["groups"].axes[place]
    groups = tried.document()[key]

    gained = [group["gained_micro_sparks"] / SPARK for group in groups.values()]
    lost = [-group["lost_micro_sparks"] / SPARK for group in groups.values()]
    assert [width for width, _ in bars(axes)] == gained + lost
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [f"{name}\n({group['homes']} homes)" for name, group in groups.items()]
    assert len(groups) == 2


def test_without_anything_to_draw_with_nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setenv("SPARKS_DATA_DIR", str(tmp_path / "no ledger"))
    days = ["--from", "2026-06-30", "--to", "2026-06-30"]

    done = CliRunner().invoke(app, ["contract", "simulate", "--code", *days, "--plots", str(tmp_path)])

    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "needs Matplotlib" in done.stderr
