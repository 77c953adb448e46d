"""Which rows are kept as they were: those that decide what a pack earns, so that an old award can be explained.

A unit's meter changes with every pack and is kept only when its local day changes, or when something other than a
pack changed it. The meter before any pack is then the last one kept, moved on by the packs since: at most a local
day's. The other rows that a pack reads change seldom, and every version of them is kept.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from contracts.commands import EraseCustomer, RecordPack

_DAY: Final = "day/"
_METER: Final = "meter/"
_SELDOM: Final = ("unit/", "customer/", "events/", "signal/", _DAY, _METER)


def kept(kind: str, rows: Mapping[str, bytes | None]) -> Iterator[tuple[str, bytes]]:
    """The rows among those that an entry of this kind wrote (as stored) whose version is kept."""
    if kind == RecordPack.KIND and not any(key.startswith(_DAY) for key in rows):
        return
    for key, data in rows.items():
        if data is not None and key.startswith(_SELDOM):
            yield key, data


def with_carried(command: Any, rows: Mapping[str, bytes | None]) -> Mapping[str, bytes | None]:
    """The rows that an entry wrote, and those that an erasure carries.

    What was kept by the entries that it erases is gone; an award after them is explained from these.
    """
    return {**rows, **dict(command.rows)} if command.KIND == EraseCustomer.KIND else rows
