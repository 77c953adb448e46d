"""The ledger in the writer's own process: `client.Ledger` without a network."""

import asyncio
from collections.abc import Sequence

from contracts.commands import Request
from contracts.state import Decided, Row
from contracts.units import UnixSeconds
from services.ledger.client import Erasable, Evidence, Head, Outcome, PackEvidence, Recorded
from services.ledger.queries import Queries
from services.ledger.writer import Writer


class LocalLedger:
    """Asks the writer, reads what is committed; see `client.Ledger` for the methods."""

    def __init__(self, writer: Writer, queries: Queries) -> None:
        self._writer = writer
        self._queries = queries

    def submit(self, requests: Sequence[Request]) -> list[Outcome]:
        return self._writer.ask(requests).result()

    async def ask(self, request: Request) -> Outcome:
        (outcome,) = await asyncio.wrap_future(self._writer.ask([request]))
        return outcome

    def rows(self, keys: Sequence[str]) -> list[Row | None]:
        return self._queries.rows(keys)

    def stored(self, keys: Sequence[str]) -> list[bytes | None]:
        """See `client.Ledger.stored`; who asks from another process makes rows of them."""
        return self._queries.stored(keys)

    async def read(self, keys: Sequence[str]) -> list[Row | None]:
        return await asyncio.to_thread(self._queries.rows, keys)

    def find(self, kind: str, *, after: str = "", limit: int = 100) -> list[tuple[str, Row]]:
        return self._queries.find(kind, after=after, limit=limit)

    def entries_of(self, accounts: Sequence[str], *, before: int | None = None, limit: int = 50) -> list[Recorded]:
        return self._queries.entries_of(accounts, before=before, limit=limit)

    def entry(self, index: int) -> Recorded | None:
        return self._queries.entry(index)

    def evidence(self, index: int) -> Evidence | None:
        return self._queries.evidence(index)

    def packs(self, device_id: str, *, from_s: UnixSeconds, to_s: UnixSeconds) -> list[PackEvidence]:
        return self._queries.packs(device_id, from_s=from_s, to_s=to_s)

    def refusals(self, device_id: str, *, after_seq: int, to_seq: int) -> list[tuple[int, Decided]]:
        return self._queries.refusals(device_id, after_seq=after_seq, to_seq=to_seq)

    def erasable(self, customer_id: str) -> Erasable:
        return self._queries.erasable(customer_id)

    def balances(self, index: int, *, after: str = "", limit: int = 10_000) -> list[tuple[str, int]]:
        return self._queries.balances(index, after=after, limit=limit)

    def head(self) -> Head:
        return self._queries.head()

    async def final_size(self) -> int:
        return await asyncio.to_thread(self.final_size_now)

    def final_size_now(self) -> int:
        """See `client.Ledger.final_size_now`."""
        final = self._queries.final()
        return final.size if final else 0
