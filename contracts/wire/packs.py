"""Packs of measured intervals, as SenML-CBOR (RFC 8428, RFC 9100).

A pack is an array of records. The first carries the base fields: bver 26 (Wh is a secondary unit), bn, the
unit's name, and bt, the start of the first interval. Records give `seq`, `prev`, `interval` and, per
interval, its flows.

Where the text of the interface leaves a corner open, SenML decides, else the stricter reading:
- the first record may carry a value beside the base fields; a record may have no name, and then means
  nothing;
- `t` = 0 says the same as no `t`; `seq`, `prev`, `interval` and `lost` belong to the start, so to no other
  `t`;
- a known name has its one value field, its unit (none for `seq`, `prev`, `lost`) and no second value field;
  labels without a meaning here (`ut`, `s`, unknown ones) are ignored, but negative ones, which are base
  fields;
- an `interval` of 0 or less is read where it is unambiguous, and then refused as `interval_shape`;
- a gap pack has no first interval: it may leave out bt, and it carries no `interval`, flow or `soc`;
- of a malformed pack, `seq` and `prev` count as read if each is there once and sound, and no base value
  shifts it.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import cbor2

from contracts.wire.cbor import NotDeterministic, load, remembered

REMEMBERED: Final = 1_024  # payloads
INTERVALS_MAX: Final = 200
ENERGY_WH_MAX: Final = 1_000_000
FIRST_PREV: Final = bytes(32)  # what the first pack of a unit names as the hash of the one before it

_BVER, _BN, _BT, _BASE_VALUE = -1, -2, -3, -5
_NAME, _UNIT, _VALUE, _TIME, _DATA = 0, 1, 2, 6, 8
_BASE_LABELS: Final = frozenset({_BVER, _BN, _BT})
_ONLY_INT: Final = frozenset({int})  # no bool, no float
_VALUE_LABELS: Final = frozenset({_VALUE, 3, 4, _DATA})  # v, vs, vb, vd
_BVER_WITH_SECONDARY_UNITS: Final = 26
_INTERVAL_S_PLAIN_MAX: Final = 2**32  # what is longer is not read as written: its times may be beyond every bound
_TIME_ABSOLUTE_MIN: Final = 2**28  # a smaller time would be relative to now (RFC 8428 4.5.3)
_INTEGER_MAX: Final = 2**53
_HASH_LENGTH: Final = 32

_DEVICE_ID: Final = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_BASE_NAME: Final = re.compile(r"urn:dev:ops:32473-([a-z0-9-]{1,64})_", re.ASCII)


class Interval(NamedTuple):
    """What one unit measured in one interval; an energy may be negative here and is refused later.

    start_s, duration_s  UTC Unix seconds; seconds
    soc_pct              charge of the battery at the end, 0-100, if the unit has one
    """

    start_s: int
    duration_s: int
    pv_wh: int
    load_wh: int
    charge_wh: int
    discharge_wh: int
    import_wh: int
    export_wh: int
    soc_pct: int | None = None

    @property
    def flows_wh(self) -> tuple[int, ...]:
        """The six energies, in the order of FLOWS."""
        return self[2:8]


FLOWS: Final = ("pv_wh", "load_wh", "charge_wh", "discharge_wh", "import_wh", "export_wh")
"""The six energies of an Interval, in their order everywhere."""


@dataclass(frozen=True, slots=True)
class Pack:
    """1 to 200 contiguous intervals of one duration.

    seq   1, 2, 3, ... per unit
    prev  SHA-256 of the message with the pack before it; FIRST_PREV for seq 1
    """

    device_id: str
    seq: int
    prev: bytes
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class GapPack:
    """The unit declares: no missing number from `seq` to below `lost` will come. `prev` is evidence only."""

    device_id: str
    seq: int
    prev: bytes
    lost: int


@dataclass(frozen=True, slots=True)
class BadPack:
    """A malformed pack, with what could be read of it. `seq` and `prev` are both there or both None."""

    seq: int | None
    prev: bytes | None
    device_id: str | None


class _Field(NamedTuple):
    """How a known name is written: its value field, its unit, and its bounds (of bytes: of their length)."""

    label: int
    unit: str | None
    least: int
    largest: int


_FLOWS: Final = ("pv", "load", "charge", "discharge", "import", "export")
_FIELDS: Final[dict[str, _Field]] = {
    "seq": _Field(_VALUE, None, 1, _INTEGER_MAX),
    "prev": _Field(_DATA, None, _HASH_LENGTH, _HASH_LENGTH),
    "lost": _Field(_VALUE, None, 1, _INTEGER_MAX),
    "interval": _Field(_VALUE, "s", -_INTEGER_MAX, _INTEGER_MAX),
    **dict.fromkeys(_FLOWS, _Field(_VALUE, "Wh", -_INTEGER_MAX, ENERGY_WH_MAX)),
    "soc": _Field(_VALUE, "%EL", 0, 100),
}

_Record = dict[Any, Any]  # strangers choose the labels

# What a pack says of its known names: (name, t) -> value.
_Values = dict[tuple[str, int], Any]


def is_device_id(text: str) -> bool:
    """Return whether `text` can name a unit: 1-64 of a-z, 0-9 and the hyphen."""
    return _DEVICE_ID.fullmatch(text) is not None


def message_hash(message: bytes) -> bytes:
    """Return the SHA-256 of a whole COSE message, by which the next pack, receipts and the ledger name it."""
    return hashlib.sha256(message).digest()


@lru_cache(REMEMBERED)
def read(payload: bytes) -> Pack | GapPack | BadPack:
    """Return what `payload` says; whatever it is, nothing is raised. Remembered, like a message's parts."""
    return read_as_written(payload) or read_by_records(payload)


def read_by_records(payload: bytes) -> Pack | GapPack | BadPack:
    """`read`, looking at every record of whatever was sent."""
    try:
        records = remembered(payload)
    except NotDeterministic:
        return BadPack(None, None, None)
    if type(records) is not list or not records or any(type(record) is not dict for record in records):
        return BadPack(None, None, None)
    return _sound_pack(records) or _bad_pack(records)


@lru_cache(REMEMBERED)
def read_as_written(payload: bytes) -> Pack | None:
    """Return the sound pack whose payload `write` makes byte for byte, or None: then `read` looks at every record.

    Equal bytes say that the payload is deterministic and holds nothing else, so that nothing more has to be checked
    than the bounds; most units write like this, and it is several times as fast.
    """
    try:
        pack = _supposed_pack(load(payload))
        return pack if pack is not None and write(pack) == payload else None
    except (NotDeterministic, AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None


def write(pack: Pack | GapPack) -> bytes:
    """Return the payload that says `pack`; raise ValueError if its intervals are no contiguous row."""
    # Labels stand in the order of their encodings, so that the shortest form that the library writes is the one.
    first: _Record = {
        _NAME: "seq",
        _VALUE: pack.seq,
        _BVER: _BVER_WITH_SECONDARY_UNITS,
        _BN: _base_name(pack.device_id),
    }
    records: list[_Record] = [first, {_NAME: "prev", _DATA: pack.prev}]
    if isinstance(pack, GapPack):
        records.append({_NAME: "lost", _VALUE: pack.lost})
        return cbor2.dumps(records)
    first[_BT], interval_s = _start_and_interval_s(pack.intervals)
    records.append({_NAME: "interval", _UNIT: "s", _VALUE: interval_s})
    for k, interval in enumerate(pack.intervals):
        time: _Record = {_TIME: k * interval_s} if k else {}
        named = zip(_FLOWS, interval.flows_wh, strict=True)
        records += [{_NAME: name, _UNIT: "Wh", _VALUE: wh, **time} for name, wh in named]
        if interval.soc_pct is not None:
            records.append({_NAME: "soc", _UNIT: "%EL", _VALUE: interval.soc_pct, **time})
    return cbor2.dumps(records)


def _sound_pack(records: list[_Record]) -> Pack | GapPack | None:
    base = _base(records[0])
    soundness = (_is_sound_record(record, is_first=at == 0) for at, record in enumerate(records))
    if base is None or not all(soundness):
        return None
    values = _values(records)
    if values is None:
        return None
    device_id, start_s = base
    seq, prev = values.pop(("seq", 0), None), values.pop(("prev", 0), None)
    if seq is None or prev is None:
        return None
    lost = values.pop(("lost", 0), None)
    if lost is not None:
        return None if values else GapPack(device_id, seq, prev, lost)
    intervals = _intervals(values, start_s)
    return Pack(device_id, seq, prev, intervals) if intervals else None


def _base(record: _Record) -> tuple[str, int | None] | None:
    """The unit's id and the start of the first interval (if stated), or None if a base field is wrong."""
    device_id, start_s = _device_id(record), record.get(_BT)
    if device_id is None or record.get(_BVER) != _BVER_WITH_SECONDARY_UNITS or type(record[_BVER]) is not int:
        return None
    if _BT in record and (type(start_s) is not int or start_s < _TIME_ABSOLUTE_MIN):
        return None
    return device_id, start_s


def _base_name(device_id: str) -> str:
    return f"urn:dev:ops:32473-{device_id}_"


def _device_id(record: _Record) -> str | None:
    base_name = record.get(_BN)
    match = _BASE_NAME.fullmatch(base_name) if type(base_name) is str else None
    return match[1] if match else None


def _is_sound_record(record: _Record, *, is_first: bool) -> bool:
    """Whether the labels, the name and all integers of a record are such as a pack may have."""
    for label, item in record.items():
        if type(label) is int:
            is_base = is_first and label in _BASE_LABELS
            if not (is_base or 0 <= label <= _INTEGER_MAX):
                return False
        elif type(label) is not str or label.endswith("_"):
            return False
        if _is_beyond_range(item):
            return False
    return type(record.get(_NAME, "")) is str


def _is_beyond_range(item: object) -> bool:
    """Whether any integer in `item`, however deep, is beyond +-2^53."""
    if type(item) is int:
        return not -_INTEGER_MAX <= item <= _INTEGER_MAX
    if type(item) is list:
        return any(map(_is_beyond_range, item))
    if type(item) is dict:
        return any(map(_is_beyond_range, item)) or any(map(_is_beyond_range, item.values()))
    return False


def _values(records: list[_Record]) -> _Values | None:
    """The values of all known names, or None if one is wrong or given twice."""
    values: _Values = {}
    for record in records:
        name: str = record.get(_NAME, "")
        field = _FIELDS.get(name)
        if field is None:
            continue
        value, time_s = _value(record, field), record.get(_TIME, 0)
        if value is None or type(time_s) is not int or (name, time_s) in values:
            return None
        values[name, time_s] = value
    return values


def _value(record: _Record, field: _Field) -> Any:
    """The value of a record, or None if it is not written as `field` asks."""
    label, unit, least, largest = field
    value = record.get(label)
    size = value if label == _VALUE else len(value) if type(value) is bytes else None
    if type(size) is not int or not least <= size <= largest or record.get(_UNIT) != unit:
        return None
    return value if len(_VALUE_LABELS & record.keys()) == 1 else None


def _intervals(values: _Values, start_s: int | None) -> tuple[Interval, ...] | None:
    """The intervals that use up exactly these values, or None."""
    duration_s = values.pop(("interval", 0), None)
    count = sum(name == "pv" for name, _ in values)
    if start_s is None or duration_s is None or not 1 <= count <= INTERVALS_MAX:
        return None
    intervals = []
    for time_s in [k * duration_s for k in range(count)]:
        flows_wh = [values.pop((name, time_s), None) for name in _FLOWS]
        if None in flows_wh:
            return None
        pv_wh, load_wh, charge_wh, discharge_wh, import_wh, export_wh = flows_wh
        intervals.append(
            Interval(
                start_s=start_s + time_s,
                duration_s=duration_s,
                pv_wh=pv_wh,
                load_wh=load_wh,
                charge_wh=charge_wh,
                discharge_wh=discharge_wh,
                import_wh=import_wh,
                export_wh=export_wh,
                soc_pct=values.pop(("soc", time_s), None),
            )
        )
    return None if values else tuple(intervals)


def _bad_pack(records: list[_Record]) -> BadPack:
    device_id = _device_id(records[0])
    seq, prev = _only_value(records, "seq"), _only_value(records, "prev")
    if seq is None or prev is None:
        return BadPack(None, None, device_id)
    return BadPack(seq, prev, device_id)


def _only_value(records: list[_Record], name: str) -> Any:
    """The value that a malformed pack gives `name`: soundly, and once; else None."""
    found = [record for record in records if record.get(_NAME) == name]
    if len(found) != 1 or any(_BASE_VALUE in record for record in records):
        return None
    (record,) = found
    time_s = record.get(_TIME, 0)
    return _value(record, _FIELDS[name]) if type(time_s) is int and time_s == 0 else None


def _start_and_interval_s(intervals: tuple[Interval, ...]) -> tuple[int, int]:
    if not 1 <= len(intervals) <= INTERVALS_MAX:
        raise ValueError(f"a pack has 1 to {INTERVALS_MAX} intervals, got {len(intervals)}")
    start_s, duration_s = intervals[0].start_s, intervals[0].duration_s
    for k, interval in enumerate(intervals):
        if interval.duration_s != duration_s or interval.start_s != start_s + k * duration_s:
            raise ValueError(f"interval {k} does not follow the one before it")
    return start_s, duration_s


def _supposed_pack(records: Any) -> Pack | None:
    """The pack that these records are if `write` wrote them, with every value within its bounds; may raise.

    Whatever is wrong otherwise shows in what `write` makes of it.
    """
    base, prev, interval, *flows = records
    start_s, seq, duration_s = base[_BT], base[_VALUE], interval[_VALUE]
    width = len(FLOWS) + (len(flows) > len(FLOWS) and flows[len(FLOWS)][_NAME] == "soc")
    count, rest = divmod(len(flows), width)
    values = [record[_VALUE] for record in flows]
    is_bounded = (
        _ONLY_INT.issuperset(map(type, (start_s, seq, duration_s, *values)))
        and type(prev[_DATA]) is bytes
        and not rest
        and 1 <= count <= INTERVALS_MAX
        and 1 <= seq <= _INTEGER_MAX
        and _TIME_ABSOLUTE_MIN <= start_s <= _INTEGER_MAX
        and 0 < duration_s <= _INTERVAL_S_PLAIN_MAX
        and len(prev[_DATA]) == _HASH_LENGTH
        and min(values) >= -_INTEGER_MAX
        and max(values) <= ENERGY_WH_MAX
        and (width == len(FLOWS) or all(0 <= soc_pct <= 100 for soc_pct in values[len(FLOWS) :: width]))
    )
    device_id = _device_id(base)
    if not is_bounded or device_id is None:
        return None
    intervals = tuple(
        Interval(start_s + k * duration_s, duration_s, *values[k * width : (k + 1) * width]) for k in range(count)
    )
    return Pack(device_id, seq, prev[_DATA], intervals)
