"""The contract sets that a ledger carries: which one is active, its parameters, and any by its version.

Whoever shows or tests a rate, a limit or a period asks here, so that it is the one that decides what comes next.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from contracts import bundle, programmes, state
from contracts.programmes import Programme
from contracts.state import ActiveContracts, ContractFiles, Ledger, Row
from services.contract_sets.loading import UnusableBundle
from services.contract_sets.sets import ContractSet, load, own, parameters_of

FRESH_S: Final = 1.0
"""How old the answer to `CarriedSets.programme` may be."""

Stored: TypeAlias = Callable[[Sequence[str]], list[bytes | None]]
"""The committed rows under some keys, as bytes, in the same order."""


class CarriedSets:
    """Reads the sets out of a ledger's state. Threads may share one. Raises what `stored` raises, and UnusableBundle.

    monotonic  a clock in seconds
    """

    def __init__(self, stored: Stored, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stored = stored
        self._monotonic = monotonic
        self._programmes: dict[bytes, Programme] = {}
        self._sets: dict[bytes, ContractSet] = {}
        self._newest: tuple[float, Programme] | None = None

    # Parameters

    def programme(self) -> Programme:
        """The parameters that are active now, or were within the last second; reads one row a second at most."""
        fresh = self._fresh()
        if fresh is not None:
            return fresh
        at_s = self._monotonic()
        (data,) = self._stored([state.ACTIVE_KEY])
        found = self.programme_of(None if data is None else state.from_bytes(state.ACTIVE_KEY, data))
        self._newest = (at_s, found)
        return found

    async def read_programme(self) -> Programme:
        """`programme` without blocking the event loop."""
        fresh = self._fresh()
        return fresh if fresh is not None else await asyncio.to_thread(self.programme)

    def _fresh(self) -> Programme | None:
        newest = self._newest
        return newest[1] if newest is not None and self._monotonic() - newest[0] < FRESH_S else None

    def programme_of(self, active: Row | None) -> Programme:
        """The parameters of the set that the row `state.ACTIVE_KEY` names; this program's own before there is one."""
        if not isinstance(active, ActiveContracts):
            return programmes.load()
        found = self._programmes.get(active.version)
        if found is None:
            programme, files = self._files(active.version, self._stored)
            found = self._programmes[active.version] = parameters_of(files, programme)
        return found

    # Sets

    def active(self) -> ContractSet:
        """The set that executes the next entry; this program's own before there is one."""
        (data,) = self._stored([state.ACTIVE_KEY])
        active = None if data is None else state.from_bytes(state.ACTIVE_KEY, data)
        return self.of(active.version) if isinstance(active, ActiveContracts) else own(programmes.load().name)

    def of(self, version: bytes, stored: Stored | None = None) -> ContractSet:
        """The set of this version, loaded once; `stored` reads in its place, for who has a transaction open."""
        found = self._sets.get(version)
        if found is None:
            programme, files = self._files(version, stored or self._stored)
            found = self._sets[version] = load(files, programme=programme, version=version)
        return found

    def parameters_file(self, version: bytes) -> str:
        """The TOML file of the set of this version."""
        programme, files = self._files(version, self._stored)
        return bundle.from_bytes(files)[bundle.parameters_path(programme)].decode()

    def _files(self, version: bytes, stored: Stored) -> tuple[str, bytes]:
        """The name of the ledger's programme and the files of one set."""
        keys = [state.LEDGER_KEY, state.contracts_key(version)]
        opened, carried = (
            None if data is None else state.from_bytes(key, data) for key, data in zip(keys, stored(keys), strict=True)
        )
        if not isinstance(opened, Ledger) or not isinstance(carried, ContractFiles):
            raise UnusableBundle(f"the ledger does not carry contract set {version.hex()[:12]}")
        return opened.programme, carried.files
