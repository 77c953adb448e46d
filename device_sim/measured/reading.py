"""One door for every path that `sparks replay` is given: a flows file or a household folder."""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path

from device_sim.measured import flows, households
from device_sim.measured.rows import Measured, UnreadableFile


def read(paths: Sequence[Path], *, start: date | None = None, has_battery: bool = True) -> Measured:
    """Return all homes by name: a folder is read as households, anything else as flows.

    start         first local day of household folders; without it their names say
    has_battery   whether households get the battery of their homes.csv; flows say themselves what they measured
    Raises UnreadableFile with one line, also if two sources claim a home of the same name.
    """
    folders = [path for path in paths if path.is_dir()]
    homes, unreadable = flows.read([path for path in paths if not path.is_dir()])
    signals: dict[int, int] = {}
    for path in folders:
        folder = households.read(path, start=start, has_battery=has_battery)
        homes += folder.homes
        unreadable += folder.unreadable
        signals |= folder.signals
    homes.sort(key=lambda home: home.name)
    for one, other in pairwise(homes):
        if one.name == other.name:
            raise UnreadableFile(f"{one.name}: two of the paths have a home of this name")
    return Measured(homes=tuple(homes), unreadable=tuple(unreadable), signals=signals)
