"""The state as a batch sees it: its own writes, over rows kept in memory, over the database."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Final, TypeAlias

from contracts.programmes import Programme
from contracts.state import Row
from contracts.units import UnixSeconds
from services.ledger.store import PACK_PREFIX, Written

CACHE_ROWS_MAX: Final = 200_000


class _Memory(Enum):
    MISSING = "nothing is known of this key"


_MISSING: Final = _Memory.MISSING

Load: TypeAlias = Callable[[Iterable[str]], Mapping[str, Written]]


class RowCache:
    """Committed rows (None: there is none) that were used lately, each with the entry that wrote it.

    Two generations instead of a list of uses: what is read from the older one moves to the newer one, and when that is
    full the older one is forgotten.
    """

    def __init__(self, rows_max: int = CACHE_ROWS_MAX) -> None:
        self._generation_max = rows_max // 2
        self._newer: dict[str, Written | None] = {}
        self._older: dict[str, Written | None] = {}

    def get(self, key: str) -> Written | _Memory | None:
        """What was written, None, or `_MISSING`."""
        found: Written | _Memory | None = self._newer.get(key, _MISSING)
        if found is _MISSING:
            found = self._older.get(key, _MISSING)
            if found is not _MISSING:
                self.put({key: found})
        return found

    def put(self, committed: Mapping[str, Written | None]) -> None:
        """Keep what is committed under these keys."""
        if len(self._newer) >= self._generation_max:
            self._older, self._newer = self._newer, {}
        self._newer.update(committed)

    def clear(self) -> None:
        """Forget everything."""
        self._newer.clear()
        self._older.clear()


class Window:
    """`contracts.state.View` for one command after another, of one batch after another.

    A batch that is handed over to be committed stands behind the one that is executed meanwhile: its rows are what
    there is, as long as nobody says that it could not be committed.

    written  the newest row of every key that the batch wrote
    index    of the entry that the next accepted command will be
    """

    def __init__(self, programme: Programme, cache: RowCache, load: Load) -> None:
        self.programme: Final = programme
        self.at_s: UnixSeconds = 0
        self.index = 0
        self.written: dict[str, Written] = {}
        self._under_way: dict[str, Written] = {}
        self._fetched: dict[str, Written | None] = {}
        self._cache = cache
        self._load = load

    def begin(self, *, at_s: UnixSeconds, index: int) -> None:
        """Start a batch."""
        self.at_s, self.index, self.written, self._fetched = at_s, index, {}, {}

    def fetch(self, keys: Iterable[str]) -> None:
        """Bring rows into memory together."""
        fetched, under_way, cached = self._fetched, self._under_way, self._cache.get
        unknown = []
        for key in keys:
            if key not in fetched:
                found = under_way.get(key) or cached(key)
                if found is _MISSING:
                    unknown.append(key)
                else:
                    fetched[key] = found
        if unknown:
            self._learn(unknown)

    def get(self, key: str) -> Row | None:
        """The row under `key` after the commands so far."""
        newest = self.known(key)
        return None if newest is None else newest.row

    def known(self, key: str) -> Written | None:
        """The same, with the entry that wrote it; None if nothing ever did."""
        newest = self.written.get(key)
        if newest is not None:
            return newest
        if key not in self._fetched:
            self.fetch((key,))
        return self._fetched[key]

    def hand_over(self) -> None:
        """The batch is complete, and about to be committed."""
        self._keep(self.written)
        self._under_way, self.written, self._fetched = self.written, {}, {}

    def committed(self) -> None:
        """What was handed over is in the database."""
        self._under_way = {}

    def forget(self) -> None:
        """Nobody knows what was committed: read everything again."""
        self.written, self._under_way, self._fetched = {}, {}, {}
        self._cache.clear()

    def _learn(self, keys: Sequence[str]) -> None:
        found = self._load(keys)
        there = {key: found.get(key) for key in keys}
        self._fetched |= there
        self._keep(there)

    def _keep(self, rows: Mapping[str, Written | None]) -> None:
        # Packs are not kept: there are as many of them as ever came.
        self._cache.put({key: newest for key, newest in rows.items() if not key.startswith(PACK_PREFIX)})
