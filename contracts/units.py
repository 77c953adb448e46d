"""The units every number carries, and the only scale factors between them.

All are plain integers; the alias says which unit, and a name ends in it
(`load_wh`, `reserve_micro_cad`). 1 spark = 1,000,000 micro_sparks buys CAD 0.01.
"""

from typing import Final, TypeAlias

Wh: TypeAlias = int
Watt: TypeAlias = int
MicroSparks: TypeAlias = int
MicroCad: TypeAlias = int
Cents: TypeAlias = int
MgCo2e: TypeAlias = int
MgPerWh: TypeAlias = int
Bp: TypeAlias = int
UnixSeconds: TypeAlias = int
Seconds: TypeAlias = int
LocalDay: TypeAlias = int
"""Days since 1970-01-01 on the programme's wall clock."""

BP_ONE: Final = 10_000
MICRO_SPARKS_PER_CENT: Final = 1_000_000
MICRO_CAD_PER_CENT: Final = 10_000
MICRO_SPARKS_PER_MICRO_CAD: Final = 100
"""A cent is 10,000 micro_cad and 1,000,000 micro_sparks."""

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
