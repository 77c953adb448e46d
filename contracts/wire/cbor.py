"""Deterministic CBOR (RFC 8949 4.2.1): each value has one encoding, and only that one is read.

Values are int, bytes, str, list (a tuple is written as one), dict, bool, None and float; map keys are int,
bytes or str. Everything else is refused both ways: tags (but those of big integers), `undefined` and
unassigned simple values, other kinds of keys. Floats pass through untouched because strangers may send
them; nothing here computes with them.
"""

import math
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NoReturn

import cbor2

DEPTH_MAX: Final = 16

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP = range(6)
_PLAIN: Final = frozenset({int, bytes, str, bool, type(None)})
_KEY_TYPES: Final = frozenset({int, bytes, str})
_HEAD_FORMS: Final = ((0xFF, 24, 1), (0xFFFF, 25, 2), (0xFFFF_FFFF, 26, 4), (0xFFFF_FFFF_FFFF_FFFF, 27, 8))


class NotDeterministic(ValueError):
    """These bytes are not the one deterministic encoding of a value."""


def decode(data: bytes) -> Any:
    """Return the value that `data` is the one encoding of; raise NotDeterministic if it is of none.

    Arrays become lists. Nesting deeper than DEPTH_MAX is refused.
    """
    value = load(data)
    try:
        canonical = encode(value)
    except (cbor2.CBORError, TypeError) as error:
        raise NotDeterministic(str(error)) from error
    if canonical != data:
        raise NotDeterministic("the bytes are not the shortest form of their value")
    return value


def load(data: bytes) -> Any:
    """Return the value of `data`, deterministic or not; raise NotDeterministic for what is no CBOR or not read here."""
    try:
        return cbor2.loads(
            data,
            max_depth=DEPTH_MAX,
            allow_indefinite=False,
            semantic_decoders=_TAG_DECODERS,
            tag_hook=_refuse_tag,
        )
    except (cbor2.CBORError, TypeError) as error:
        raise NotDeterministic(str(error)) from error


remembered: Final = lru_cache(1_024)(decode)
"""`decode` for bytes that several readers look at soon after each other. What it returns must not be changed."""


def encode(value: object) -> bytes:
    """Return the deterministic encoding of `value`; raise TypeError for a kind that has none here."""
    try:
        # cbor2 writes the shortest heads and keeps the order of keys, several times as fast as what is below.
        return cbor2.dumps(_in_order(value))
    except _NotPlain:
        return _any(value)


def _is_short(key: object) -> bool:
    """The keys of our own maps; nothing longer is remembered, and no bool, which a cache takes for an int."""
    return (type(key) is int and -24 <= key < 24) or (type(key) is str and len(key) <= _SHORT_TEXT_LENGTH_MAX)


class _NotPlain(Exception):
    """A value of which only the writers here make the one encoding."""


def _in_order(value: Any) -> Any:
    """The same plain value with the keys of its maps in the order of their encodings; raises _NotPlain."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list or kind is tuple:
        return [item if type(item) in _PLAIN else _in_order(item) for item in value]
    if kind is dict and all(map(_is_short, value)):
        keys = _ordered(tuple(value))
        return {key: item if type(item := value[key]) in _PLAIN else _in_order(item) for key in keys}
    raise _NotPlain


@lru_cache(4096)
def _ordered(keys: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Short keys of a map in the order of their encodings."""
    return tuple(sorted(keys, key=_any))


def _any(value: object) -> bytes:
    writer = _WRITERS.get(type(value)) or _writer_of_subclass(type(value))
    return writer(value)


def _head(major: int, argument: int) -> bytes:
    """The initial byte of a data item and its argument, in the fewest bytes (RFC 8949 3)."""
    if argument < 24:
        return bytes((major << 5 | argument,))
    for largest, info, size in _HEAD_FORMS:
        if argument <= largest:
            return bytes((major << 5 | info,)) + argument.to_bytes(size, "big")
    raise TypeError("argument beyond 64 bits")


@lru_cache(4096)
def _integer_of_64_bits(value: int) -> bytes:
    return _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value)


def _integer(value: int) -> bytes:
    if -(1 << 64) <= value < 1 << 64:
        return _integer_of_64_bits(value)
    # RFC 8949 3.4.3: tag 2 or 3 of the magnitude without leading zeros, only where 64 bits are too few.
    tag, argument = (b"\xc2", value) if value >= 0 else (b"\xc3", -1 - value)
    return tag + _byte_string(argument.to_bytes((argument.bit_length() + 7) // 8, "big"))


def _byte_string(value: bytes) -> bytes:
    return _head(_BYTES, len(value)) + value


def _text(value: str) -> bytes:
    return _short_text(value) if len(value) <= _SHORT_TEXT_LENGTH_MAX else _any_text(value)


def _any_text(value: str) -> bytes:
    utf8 = value.encode()
    return _head(_TEXT, len(utf8)) + utf8


# The names that fill every pack are encoded once; longer texts would let strangers fill the memory.
_SHORT_TEXT_LENGTH_MAX: Final = 16
_short_text: Final = lru_cache(4096)(_any_text)


def _array(value: list[object] | tuple[object, ...]) -> bytes:
    return _head(_ARRAY, len(value)) + b"".join([_any(item) for item in value])


def _map(value: dict[Any, object]) -> bytes:
    if not _KEY_TYPES.issuperset(map(type, value)):
        raise TypeError("a map key is an int, bytes or str")
    # No encoded key is the beginning of another, so sorting whole entries sorts them by key, bytewise.
    entries = sorted([_any(key) + _any(item) for key, item in value.items()])
    return _head(_MAP, len(value)) + b"".join(entries)


def _boolean(value: bool) -> bytes:
    return b"\xf5" if value else b"\xf4"


def _null(_: None) -> bytes:
    return b"\xf6"


def _float(value: float) -> bytes:
    """The shortest of 16, 32 and 64 bits that holds `value` exactly; every NaN is 0x7e00 (RFC 8949 4.2.2)."""
    if math.isnan(value):
        return b"\xf9\x7e\x00"
    for initial, form in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            packed = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, packed)[0] == value:
            return initial + packed
    return b"\xfb" + struct.pack(">d", value)


_WRITERS: Final[dict[type, Callable[[Any], bytes]]] = {
    int: _integer,
    bytes: _byte_string,
    str: _text,
    list: _array,
    tuple: _array,
    dict: _map,
    bool: _boolean,
    type(None): _null,
    float: _float,
}


def _writer_of_subclass(kind: type) -> Callable[[Any], bytes]:
    """The writer for a str or int enumeration member, which is written as its value."""
    for known in (int, str):
        if issubclass(kind, known):
            return _WRITERS[known]
    raise TypeError(f"{kind.__name__} has no deterministic CBOR here")


def _refuse_tag(_value: object, _immutable: bool) -> NoReturn:
    raise TypeError("a tag that nothing here uses")


def _big_integer(sign: int) -> Callable[[Any, bool], int]:
    def read(magnitude: Any, is_key: bool) -> int:
        # Big integers are cheap to choose with colliding hashes, so a map of them would be slow to read.
        if is_key or type(magnitude) is not bytes:
            raise TypeError("a big integer is a byte string, and no map key")
        argument = int.from_bytes(magnitude, "big")
        return argument if sign > 0 else -1 - argument

    return read


# cbor2 would make dates, regular expressions, shared references and more of these.
_TAGS_OF_CBOR2: Final = (
    *(0, 1, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100),
    *(256, 258, 260, 261, 1004, 43_000, 55_799),
)
_TAG_DECODERS: Final[dict[int, Callable[[Any, bool], Any]]] = {
    **dict.fromkeys(_TAGS_OF_CBOR2, _refuse_tag),
    2: _big_integer(1),
    3: _big_integer(-1),
}
