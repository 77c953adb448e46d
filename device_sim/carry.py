"""Exact flows become whole watt-hours, and no fraction of one is ever lost."""

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Final

from contracts.wire.packs import FLOWS, Interval

NOTHING_WH: Final = Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactFlows:
    """The six energies of one interval, in exact wh as measured or simulated (a measured one may be negative)."""

    pv_wh: Fraction
    load_wh: Fraction
    charge_wh: Fraction = NOTHING_WH
    discharge_wh: Fraction = NOTHING_WH
    import_wh: Fraction
    export_wh: Fraction


@dataclass(slots=True)
class Carry:
    """What each flow of one unit still owes: the part of its running sum below one wh.

    A flow sends floor(S_k) - floor(S_(k-1)) of its own running sum S, negative values included. Keeping only
    the fraction of S gives the same integers: floor(n + x) = n + floor(x) for a whole n. Each flow sent is
    therefore less than 1 wh away from the exact one, six of them less than 6 wh, so flows that balance exactly
    still balance within the 5 wh that the programme allows.
    """

    _owed_wh: dict[str, Fraction] = field(default_factory=lambda: dict.fromkeys(FLOWS, NOTHING_WH))

    def interval(self, *, start_s: int, duration_s: int, flows: ExactFlows, soc_pct: int | None = None) -> Interval:
        """Return the interval to send for `flows`, and remember the remainders for the next one."""
        whole_wh = {name: self._whole_wh(name, getattr(flows, name)) for name in FLOWS}
        return Interval(start_s=start_s, duration_s=duration_s, **whole_wh, soc_pct=soc_pct)

    def _whole_wh(self, name: str, exact_wh: Fraction) -> int:
        total_wh = self._owed_wh[name] + exact_wh
        whole_wh = floor(total_wh)
        self._owed_wh[name] = total_wh - whole_wh
        return whole_wh
