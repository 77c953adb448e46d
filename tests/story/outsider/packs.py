"""SenML packs as a stranger writes them."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tests.story.outsider.cose import encoded

BASE_VERSION: Final = 26
NO_PACK: Final = bytes(32)
"""`prev` of the first pack."""
Record = dict[int | str, Any]


class Flows(NamedTuple):
    """What one interval moved, in wh."""

    pv: int = 0
    load: int = 0
    charge: int = 0
    discharge: int = 0
    drawn: int = 0
    export: int = 0

    def records(self, offset_s: int) -> list[Record]:
        """One record for each flow."""
        time: Record = {6: offset_s} if offset_s else {}
        names = ("pv", "load", "charge", "discharge", "import", "export")
        return [{0: name, 1: "Wh", 2: wh, **time} for name, wh in zip(names, self, strict=True)]


def message_hash(message: bytes) -> bytes:
    """What `prev` and a receipt's `pack` name a pack by."""
    return hashlib.sha256(message).digest()


def base(device_id: str, start_s: int) -> Record:
    """The base fields, alone in a record."""
    return {-1: BASE_VERSION, -2: f"urn:dev:ops:32473-{device_id}_", -3: start_s}


def pack(
    device_id: str,
    *,
    seq: int,
    prev: bytes,
    start_s: int,
    interval_s: int,
    flows: Sequence[Flows],
    extra: Sequence[Record] = (),
    base_alone: bool = True,
) -> bytes:
    """The payload of a pack. Base fields stand in a record of their own, or in that of `seq`."""
    first: Record = {0: "seq", 2: seq}
    begin = [base(device_id, start_s), first] if base_alone else [{**base(device_id, start_s), **first}]
    records = [*begin, {0: "prev", 8: prev}, {0: "interval", 1: "s", 2: interval_s}]
    for index, one in enumerate(flows):
        records += one.records(index * interval_s)
    return encoded([*records, *extra])


def gap_pack(device_id: str, *, seq: int, prev: bytes, start_s: int, lost: int) -> bytes:
    """The payload that says: no missing number below `lost` will come."""
    return encoded([base(device_id, start_s), {0: "seq", 2: seq}, {0: "prev", 8: prev}, {0: "lost", 2: lost}])
