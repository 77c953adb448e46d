"""Draws a simulation: what it costs, how each home's sparks change, who gains and who loses. One PNG and one SVG each.

Needs Matplotlib, which no other part of the platform does: the extra `plots`.
"""

from collections.abc import Sequence
from datetime import date
from importlib.util import find_spec
from math import ceil, floor
from pathlib import Path
from typing import Any, Final

from contracts.rewards import RULES
from services.simulation.result import Simulation
from services.simulation.span import UNIX_EPOCH_ORDINAL

# Told apart by whoever does not see red and green, and in grey (Okabe and Ito's palette).
PRESENT: Final = "#999999"
PROPOSED: Final = "#0072b2"
GAIN: Final = "#009e73"
LOSE: Final = "#d55e00"
MICRO_SPARKS_PER_SPARK: Final = 1_000_000
BINS: Final = 20


class NoPlots(Exception):
    """There is nothing to draw with."""


def require() -> None:
    """Raises NoPlots without Matplotlib: for who asks before a long simulation."""
    if find_spec("matplotlib") is None:
        raise NoPlots(
            "--plots needs Matplotlib: .venv/bin/pip install '.[plots]' in the checkout, or leave --plots out"
        )


def draw(simulation: Simulation, folder: Path) -> list[Path]:
    """Write every plot into `folder`; return the files. Raises NoPlots without Matplotlib."""
    drawn = figures(simulation)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with _style():
        for name, figure in drawn.items():
            for form, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
                path = folder / f"{name}.{form}"
                figure.savefig(path, dpi=120, metadata=metadata)
                written.append(path)
    return written


def figures(simulation: Simulation) -> dict[str, Any]:
    """Every plot by its name, as a Matplotlib figure. Raises NoPlots without Matplotlib."""
    require()
    from matplotlib.figure import Figure

    drawn: dict[str, Any] = {}
    with _style():
        for name, draw_on in (("cost", _cost), ("homes", _homes), ("groups", _groups)):
            drawn[name] = Figure(figsize=(9, 4.5), layout="constrained")
            draw_on(drawn[name], simulation)
    return drawn


def _style() -> Any:
    """The same numbers give the same file: ids follow from the content, and text of an SVG is text."""
    import matplotlib as mpl

    chosen: Any = {"svg.hashsalt": "sparks", "svg.fonttype": "none", "font.size": 9}
    return mpl.rc_context(chosen | {"axes.spines.top": False, "axes.spines.right": False})


def _cost(figure: Any, simulation: Simulation) -> None:
    """Sparks by rule, and by local day."""
    by_rule, by_day = figure.subplots(1, 2)
    before, after = (_sparks(side.by_rule.total()) for side in (simulation.present, simulation.proposed))
    span = f"{simulation.first} to {simulation.last}"
    figure.suptitle(f"What customers earned, {span}: {before:,.2f} sparks, proposed {after:,.2f}")
    sides = (("present", simulation.present, PRESENT, -0.2), ("proposed", simulation.proposed, PROPOSED, 0.2))
    days = sorted(simulation.present.days.keys() | simulation.proposed.days.keys())
    for name, side, color, shift in sides:
        places = [place + shift for place in range(len(RULES))]
        by_rule.bar(places, [_sparks(side.by_rule[rule]) for rule in RULES], width=0.4, color=color, label=name)
        heights = [_sparks(side.days[day]) for day in days]
        by_day.bar([place + shift for place in range(len(days))], heights, width=0.4, color=color, label=name)
    by_rule.set_xticks(range(len(RULES)), [rule.replace("_", "\n") for rule in RULES])
    by_rule.set_xlabel("rule")
    by_rule.set_ylabel("sparks earned in the span")
    by_rule.set_title("by rule")
    by_rule.legend(frameon=False)
    by_day.set_title("by local day")
    shown = range(0, len(days), max(1, len(days) // 6))
    by_day.set_xticks(shown, [date.fromordinal(days[place] + UNIX_EPOCH_ORDINAL).strftime("%d %b") for place in shown])
    by_day.set_xlim(-1, max(len(days), 3))
    by_day.set_xlabel("local day")
    by_day.set_ylabel("sparks earned on the day")


def _homes(figure: Any, simulation: Simulation) -> None:
    """How many homes gain or lose how much."""
    axes = figure.subplots()
    changes = [_sparks(change.micro_sparks) for change in simulation.changes()]
    gains, losses = [change for change in changes if change > 0], [change for change in changes if change < 0]
    width = (max(changes, default=0) - min(changes, default=0)) / BINS or 1
    for name, part, color in (("lose", losses, LOSE), ("gain", gains, GAIN)):
        # Bins end at 0, so that none holds a home that gains beside one that loses; who stays the same is in none.
        first, last = floor(min(part, default=0) / width), ceil(max(part, default=0) / width)
        axes.hist(
            part, bins=[place * width for place in range(first, last + 2)], color=color, edgecolor="white", label=name
        )
    axes.axvline(0, color="black", linewidth=1)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("change in the span, sparks a home")
    axes.set_ylabel("homes")
    axes.legend(frameon=False)
    same = len(changes) - len(gains) - len(losses)
    axes.set_title(f"{len(gains)} homes gain, {len(losses)} lose, {same} stay as they are (not shown)")


def _groups(figure: Any, simulation: Simulation) -> None:
    """Sparks gained and lost together, by level, zone and home type."""
    document = simulation.document()
    kinds = (("by_level", "level"), ("by_zone", "zone"), ("by_home_type", "home type"))
    figure.suptitle("Sparks gained and lost, homes of a group together")
    for axes, (key, title) in zip(figure.subplots(1, 3, sharex=True), kinds, strict=True):
        _one_kind(axes, title, document[key])
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)


def _one_kind(axes: Any, title: str, groups: dict[str, dict[str, int]]) -> None:
    names: Sequence[str] = list(groups)
    axes.barh(
        names, [_sparks(groups[name]["gained_micro_sparks"]) for name in names], height=0.5, color=GAIN, label="gain"
    )
    axes.barh(
        names, [-_sparks(groups[name]["lost_micro_sparks"]) for name in names], height=0.5, color=LOSE, label="lose"
    )
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(names)), [f"{name}\n({groups[name]['homes']} homes)" for name in names])
    axes.set_ylim(max(len(names), 2) - 0.4, -0.6)
    axes.set_xlabel("change, sparks")
    axes.set_ylabel(title)


def _sparks(micro_sparks: int) -> float:
    return micro_sparks / MICRO_SPARKS_PER_SPARK
