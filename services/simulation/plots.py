"""Draws a simulation: what it costs, how each home's sparks change, who gains and who loses. One PNG and one SVG each.

Needs Matplotlib, which no other part of the platform does: the extra `plots`.
"""

from collections.abc import Sequence
from datetime import date
from math import ceil, floor
from pathlib import Path
from typing import Any, Final

from contracts.rewards import RULES
from services.simulation.result import Simulation
from services.simulation.span import UNIX_EPOCH_ORDINAL

PRESENT: Final = "#4c72b0"
PROPOSED: Final = "#dd8452"
GAIN: Final = "#55a868"
LOSE: Final = "#c44e52"
MICRO_SPARKS_PER_SPARK: Final = 1_000_000
BINS: Final = 20


class NoPlots(Exception):
    """There is nothing to draw with."""


def draw(simulation: Simulation, folder: Path) -> list[Path]:
    """Write every plot into `folder`; return the files. Raises NoPlots without Matplotlib."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise NoPlots("--plots needs Matplotlib: pip install 'sparks[plots]'") from None
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    # The same numbers give the same file: no date, and ids that follow from the content.
    with mpl.rc_context(
        {"svg.hashsalt": "sparks", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        for name, draw_on in (("cost", _cost), ("homes", _homes), ("groups", _groups)):
            figure = Figure(figsize=(9, 4.5), layout="constrained")
            draw_on(figure, simulation)
            for form, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
                path = folder / f"{name}.{form}"
                figure.savefig(path, dpi=120, metadata=metadata)
                written.append(path)
    return written


def _cost(figure: Any, simulation: Simulation) -> None:
    """Sparks by rule, and by local day."""
    by_rule, by_day = figure.subplots(1, 2)
    figure.suptitle(f"What customers earned, {simulation.first} to {simulation.last}")
    sides = (("present", simulation.present, PRESENT, -0.2), ("proposed", simulation.proposed, PROPOSED, 0.2))
    days = sorted(simulation.present.days.keys() | simulation.proposed.days.keys())
    for name, side, color, shift in sides:
        places = [place + shift for place in range(len(RULES))]
        by_rule.bar(places, [_sparks(side.by_rule[rule]) for rule in RULES], width=0.4, color=color, label=name)
        heights = [_sparks(side.days[day]) for day in days]
        by_day.bar([place + shift for place in range(len(days))], heights, width=0.4, color=color, label=name)
    by_rule.set_xticks(range(len(RULES)), [rule.replace("_", "\n") for rule in RULES])
    by_rule.set_ylabel("sparks")
    by_rule.set_title("by rule")
    by_rule.legend(frameon=False)
    by_day.set_title("by local day")
    shown = range(0, len(days), max(1, len(days) // 6))
    by_day.set_xticks(shown, [date.fromordinal(days[place] + UNIX_EPOCH_ORDINAL).strftime("%d %b") for place in shown])
    by_day.set_xlim(-1, max(len(days), 3))
    by_day.set_ylabel("sparks")


def _homes(figure: Any, simulation: Simulation) -> None:
    """How many homes gain or lose how much."""
    axes = figure.subplots()
    changes = [_sparks(change.micro_sparks) for change in simulation.changes()]
    gains, losses = [change for change in changes if change > 0], [change for change in changes if change < 0]
    width = (max(changes, default=0) - min(changes, default=0)) / BINS or 1
    for part, color in ((losses, LOSE), (gains, GAIN)):
        # Bins end at 0, so that none holds a home that gains beside one that loses; who stays the same is in none.
        first, last = floor(min(part, default=0) / width), ceil(max(part, default=0) / width)
        axes.hist(part, bins=[place * width for place in range(first, last + 2)], color=color, edgecolor="white")
    axes.axvline(0, color="black", linewidth=1)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("change in the span, sparks a home")
    axes.set_ylabel("homes")
    same = len(changes) - len(gains) - len(losses)
    axes.set_title(f"{len(gains)} homes gain, {len(losses)} lose, {same} stay as they are (not shown)")


def _groups(figure: Any, simulation: Simulation) -> None:
    """Sparks gained and lost together, by level, zone and home type."""
    document = simulation.document()
    kinds = (("by_level", "level"), ("by_zone", "zone"), ("by_home_type", "home type"))
    figure.suptitle("Sparks gained and lost, homes of a group together")
    for axes, (key, title) in zip(figure.subplots(1, 3), kinds, strict=True):
        _one_kind(axes, title, document[key])


def _one_kind(axes: Any, title: str, groups: dict[str, dict[str, int]]) -> None:
    names: Sequence[str] = list(groups)
    axes.barh(names, [_sparks(groups[name]["gained_micro_sparks"]) for name in names], height=0.5, color=GAIN)
    axes.barh(names, [-_sparks(groups[name]["lost_micro_sparks"]) for name in names], height=0.5, color=LOSE)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(names)), [f"{name}\n({groups[name]['homes']} homes)" for name in names])
    axes.set_ylim(max(len(names), 2) - 0.4, -0.6)
    axes.set_xlabel("sparks")
    axes.set_title(f"by {title}")


def _sparks(micro_sparks: int) -> float:
    return micro_sparks / MICRO_SPARKS_PER_SPARK
