"""What processes cost while something runs: processor seconds and resident memory, by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil

MB = 1_000_000


@dataclass(slots=True)
class Watch:
    """Reads the processes (and their children) when it is made, and again when it is asked."""

    pids: Mapping[str, int]
    _before_s: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self._before_s = self._cpu_s()

    def cpu_s(self) -> dict[str, float]:
        """Processor seconds since the watch began."""
        return {name: round(now_s - self._before_s[name], 2) for name, now_s in self._cpu_s().items()}

    def rss_mb(self) -> dict[str, int]:
        """Resident memory now."""
        return {name: sum(one.memory_info().rss for one in _family(pid)) // MB for name, pid in self.pids.items()}

    def _cpu_s(self) -> dict[str, float]:
        return {name: sum(_used_s(one) for one in _family(pid)) for name, pid in self.pids.items()}


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def percentile_ms(sorted_s: list[float], percent: int) -> float:
    """The value that `percent` of the values do not exceed, in milliseconds."""
    if not sorted_s:
        return 0.0
    place = min(len(sorted_s) - 1, len(sorted_s) * percent // 100)
    return round(sorted_s[place] * 1_000, 1)
