"""The tree cut in tiles of height 8 (C2SP tlog-tiles): how it grows, is read, is named and is served.

A row `(level, n)` holds 1 to 256 hashes of 32 bytes, concatenated. Hash i of it is the root over the
entries `[(256n + i) * 256^level, (256n + i + 1) * 256^level)`. Only the last row of a level grows, and the
level above gets a hash only when a row is full: so the partial tile of an earlier tree is always a prefix
of the row, and the rows are the tiles and the Merkle frontier at once.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Final, Literal, TypeAlias

from services.ledger.merkle import EMPTY_ROOT, HASH_BYTES, SIZE_MAX, node_hash

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
ROW_BYTES: Final = TILE_WIDTH * HASH_BYTES
LEVEL_MAX: Final = 63
ENTRY_BYTES_MAX: Final = 0xFFFF

TileReader: TypeAlias = Callable[[int, int], bytes]
"""(level, n) -> the row, or at least the prefix that the tree size asked about needs."""

TileLevel: TypeAlias = int | Literal["entries"]


class ForgedTile(Exception):
    """A full tile does not hash to what the tile above it says."""


class ShortRow(ValueError):
    """A row lacks hashes that it has in a tree of this size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredLevel:
    """The tiles of one level: this many full ones, then one of `partial_width` hashes unless that is 0."""

    level: int
    full_tiles: int
    partial_width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Required:
    """What a log must serve for one tree size."""

    full_bundles: int
    partial_bundle_width: int
    levels: tuple[RequiredLevel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePath:
    """A tile or an entry bundle (level `entries`) by its place; `width` 256 is a full one."""

    level: TileLevel
    n: int
    width: int


# Growing


def grow(size: int, rightmost: Mapping[int, bytes], leaf_hashes: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    """Return every row that is new or longer once `leaf_hashes` are appended to a tree of `size`.

    `rightmost` has the partial row of each level of the tree before, see `rightmost_rows`. Raises ValueError
    if one is missing or of another width, or a leaf hash is not of 32 bytes.
    """
    rows: dict[tuple[int, int], bytes] = {}
    arriving = b"".join(leaf_hashes)
    if len(arriving) != HASH_BYTES * len(leaf_hashes):
        raise ValueError("a leaf hash has 32 bytes")
    for level in range(LEVEL_MAX + 1):
        if not arriving:
            break
        n, width = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
        before = rightmost.get(level, b"") if width else b""
        if len(before) != width * HASH_BYTES:
            raise ValueError(f"level {level} of a tree of {size} has a partial row of {width} hashes")
        hashes = before + arriving
        grown = [hashes[start : start + ROW_BYTES] for start in range(0, len(hashes), ROW_BYTES)]
        rows.update(((level, n + place), row) for place, row in enumerate(grown))
        arriving = b"".join(_fold(row) for row in grown if len(row) == ROW_BYTES)
    return rows


def rightmost_rows(size: int, read: TileReader) -> dict[int, bytes]:
    """Return the partial row of each level that has one, cut to its width in a tree of `size`."""
    return {
        tiles.level: _hashes(read, tiles.level, tiles.full_tiles, first=0, count=tiles.partial_width)
        for tiles in required(size).levels
        if tiles.partial_width
    }


# Reading


def root(size: int, read: TileReader) -> bytes:
    """Return the root of the tree of `size`, from one row per level. ShortRow if one is too short."""
    if size == 0:
        return EMPTY_ROOT
    return _range_root(0, size, cache(read))


def inclusion_proof(index: int, size: int, read: TileReader) -> list[bytes]:
    """Return the path from entry `index` to the root of the tree of `size`, the leaf's sibling first.

    Reads at most two rows per level. Raises ValueError unless 0 <= index < size. Source: RFC 9162 2.1.3.1.
    """
    if not 0 <= index < size:
        raise ValueError(f"no entry {index} in a tree of {size}")
    rows = cache(read)
    path = []
    begin, end = 0, size
    while end - begin > 1:
        split = _split(begin, end)
        if index < split:
            path.append(_range_root(split, end, rows))
            end = split
        else:
            path.append(_range_root(begin, split, rows))
            begin = split
    return path[::-1]


def between(index: int, size: int) -> list[tuple[int, int]]:
    """The places (level, n) of the rows between entry `index` and the root of the tree of `size`, lowest first.

    An inclusion proof reads these and no others: at each level the row above the entry, and the last one.
    """
    places = []
    for tile in required(size).levels:
        last = tile.full_tiles if tile.partial_width else tile.full_tiles - 1
        places += [(tile.level, n) for n in sorted({index >> TILE_HEIGHT * (tile.level + 1), last})]
    return places


def consistency_proof(old_size: int, size: int, read: TileReader) -> list[bytes]:
    """Return the proof that the tree of `size` appends to that of `old_size`; empty if it is equal or 0.

    Reads at most two rows per level. Raises ValueError unless 0 <= old_size <= size. Source: RFC 9162
    2.1.4.1.
    """
    if not 0 <= old_size <= size:
        raise ValueError(f"a tree of {size} does not continue one of {old_size}")
    if old_size in (0, size):
        return []
    rows = cache(read)
    path = []
    begin, end = 0, size
    while end != old_size:
        split = _split(begin, end)
        if old_size <= split:
            path.append(_range_root(split, end, rows))
            end = split
        else:
            path.append(_range_root(begin, split, rows))
            begin = split
    if begin:
        # With begin 0 this node is the old root itself, which the verifier already holds.
        path.append(_range_root(begin, end, rows))
    return path[::-1]


def authenticated(size: int, trusted_root: bytes, read: TileReader) -> TileReader | None:
    """Return a reader that vouches for each row of a tree whose root is trusted; None if the root is another.

    The partial rows are checked by the root, and every full one by the hash the tile above has for it:
    checking the root alone leaves full tiles open to change (CVE-2026-56865). The reader raises ForgedTile
    for a row that does not agree and ValueError for one outside the tree.
    """
    try:
        edge = rightmost_rows(size, read)
    except ShortRow:
        return None
    if root(size, lambda level, _: edge[level]) != trusted_root:
        return None

    def checked(level: int, n: int) -> bytes:
        full_tiles, partial_width = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
        if n == full_tiles and partial_width:
            return edge[level]
        if not 0 <= n < full_tiles:
            raise ValueError(f"no tile ({level}, {n}) in a tree of {size}")
        row = read(level, n)[:ROW_BYTES]
        above, place = divmod(n, TILE_WIDTH)
        expected = _hashes(parents, level + 1, above, first=place, count=1)
        if len(row) != ROW_BYTES or _fold(row) != expected:
            raise ForgedTile(f"tile ({level}, {n})")
        return row

    parents = cache(checked)
    return checked


def _split(begin: int, end: int) -> int:
    """Return where RFC 6962 cuts [begin, end): after the largest power of two below its length."""
    return begin + (1 << (end - begin - 1).bit_length() - 1)


def _range_root(begin: int, end: int, read: TileReader) -> bytes:
    """Return the root over entries [begin, end), a node of the tree or of an earlier one."""
    complete = []
    while begin < end:
        height = (end - begin).bit_length() - 1
        complete.append(_complete_root(height, begin >> height, read))
        begin += 1 << height
    computed = complete.pop()
    while complete:
        computed = node_hash(complete.pop(), computed)
    return computed


def _complete_root(height: int, place: int, read: TileReader) -> bytes:
    """Return the root over the `place`-th run of 2^height entries: all its hashes lie in one row."""
    level, height_in_tile = divmod(height, TILE_HEIGHT)
    n, first = divmod(place << height_in_tile, TILE_WIDTH)
    return _fold(_hashes(read, level, n, first=first, count=1 << height_in_tile))


def _hashes(read: TileReader, level: int, n: int, *, first: int, count: int) -> bytes:
    """Return `count` hashes of a row, concatenated. Raises ShortRow if it has fewer."""
    found = read(level, n)[first * HASH_BYTES : (first + count) * HASH_BYTES]
    if len(found) != count * HASH_BYTES:
        raise ShortRow(f"row ({level}, {n}) has fewer than {first + count} hashes")
    return found


def _fold(hashes: bytes) -> bytes:
    """Return the root over concatenated hashes whose number is a power of two."""
    pair_bytes = 2 * HASH_BYTES
    while len(hashes) > HASH_BYTES:
        # `node_hash` written out: this is the inner loop of every append.
        pairs = (hashes[start : start + pair_bytes] for start in range(0, len(hashes), pair_bytes))
        hashes = b"".join([sha256(b"\x01" + pair).digest() for pair in pairs])
    return hashes


# Naming and serving


def required(size: int) -> Required:
    """Return the tiles and bundles that a log with a checkpoint of `size` must serve."""
    levels = []
    for level in range(LEVEL_MAX + 1):
        full_tiles, partial_width = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
        if not full_tiles and not partial_width:
            break
        levels.append(RequiredLevel(level=level, full_tiles=full_tiles, partial_width=partial_width))
    full_bundles, partial_bundle_width = divmod(size, TILE_WIDTH)
    return Required(full_bundles=full_bundles, partial_bundle_width=partial_bundle_width, levels=tuple(levels))


def tile_path(level: TileLevel, n: int, width: int) -> str:
    """Return `tile/{L}/{N}[.p/{W}]`, as in `tile/0/x001/x234/067.p/8`. Raises ValueError for no such tile."""
    if isinstance(level, int) and not 0 <= level <= LEVEL_MAX:
        raise ValueError(f"level is `entries` or 0 to {LEVEL_MAX}, got {level}")
    if not 0 <= n <= SIZE_MAX // TILE_WIDTH or not 1 <= width <= TILE_WIDTH:
        raise ValueError(f"no tile {n} of width {width}")
    *above, last = f"{n:,}".split(",")
    # The thousands separator makes the groups; only the first may lack its zeros.
    groups = [*(f"x{group:0>3}" for group in above), f"{last:0>3}"]
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(groups)}{partial}"


_PATH: Final = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([0-9]{1,3}))?")


def parse_path(path: str) -> TilePath | None:
    """Return the tile or bundle that `path` names; None unless it is written the one way `tile_path` does."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    level_text, groups, width_text = match.groups()
    level: TileLevel = "entries" if level_text == "entries" else int(level_text)
    n = int(groups.replace("x", "").replace("/", ""))
    width = TILE_WIDTH if width_text is None else int(width_text)
    try:
        canonical = tile_path(level, n, width)
    except ValueError:
        return None
    return TilePath(level=level, n=n, width=width) if canonical == path else None


def entry_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the bundle of `entries`, each after its length in two bytes. ValueError above 65535 bytes."""
    if any(len(entry) > ENTRY_BYTES_MAX for entry in entries):
        raise ValueError(f"an entry has at most {ENTRY_BYTES_MAX} bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_bundle(data: bytes, width: int) -> list[bytes] | None:
    """Return the `width` entries of a bundle; None if there are fewer, or bytes after them."""
    entries = []
    start = 0
    for _ in range(width):
        begin = start + 2
        end = begin + int.from_bytes(data[start:begin], "big")
        if begin > len(data) or end > len(data):
            return None
        entries.append(data[begin:end])
        start = end
    return entries if start == len(data) else None
