"""The state as a batch sees it: its own writes, over rows kept in memory, over the database."""

from collections.abc import Callable, Iterable, Mapping
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
                self.put(key, found)
        return found

    def put(self, key: str, committed: Written | None) -> None:
        """Keep what is committed under `key`."""
        if len(self._newer) >= self._generation_max:
            self._older, self._newer = self._newer, {}
        self._newer[key] = committed

    def clear(self) -> None:
        """Forget everything."""
        self._newer.clear()
        self._older.clear()


class Window:
    """`contracts.state.View` for one command after another.

    written  the newest row of every key that the batch wrote
    index    of the entry that the next accepted command will be
    """

    def __init__(self, programme: Programme, cache: RowCache, load: Load) -> None:
        self.programme: Final = programme
        self.at_s: UnixSeconds = 0
        self.index = 0
        self.written: dict[str, Written] = {}
        self._cache = cache
        self._load = load

    def begin(self, *, at_s: UnixSeconds, index: int) -> None:
        """Start a batch."""
        self.at_s, self.index, self.written = at_s, index, {}

    def fetch(self, keys: Iterable[str]) -> None:
        """Bring rows into memory together."""
        unknown = {key for key in keys if self._cache.get(key) is _MISSING}
        if unknown:
            found = self._load(unknown)
            for key in unknown:
                self._cache.put(key, found.get(key))

    def get(self, key: str) -> Row | None:
        """The row under `key` after the commands so far."""
        newest = self.known(key)
        return None if newest is None else newest.row

    def known(self, key: str) -> Written | None:
        """The same, with the entry that wrote it; None if nothing ever did."""
        newest = self.written.get(key)
        if newest is not None:
            return newest
        found = self._cache.get(key)
        if found is not _MISSING:
            return found
        newest = self._load((key,)).get(key)
        if not key.startswith(PACK_PREFIX):
            self._cache.put(key, newest)
        return newest

    def commit(self) -> None:
        """The batch is committed: its rows are what there is."""
        for key, newest in self.written.items():
            if not key.startswith(PACK_PREFIX):
                self._cache.put(key, newest)
        self.written = {}

    def forget(self) -> None:
        """Nobody knows what was committed: read everything again."""
        self.written = {}
        self._cache.clear()
