"""Compares with what other members were shown: that is what finds a log that shows each of them another history.

A thread of its own, so that a member that is slow, dead or lying keeps nobody from following. Only what the log has
signed counts against the log: whatever else another member serves says something of that member.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from services.ledger import merkle, tiles
from services.ledger.differing import Disagreed
from services.ledger.members import Members
from services.ledger.notes import VerifierKey
from services.ledger.queries import Queries
from services.ledger.tiles import ForgedTile
from services.member import trees
from services.member.operator import Log, Unreachable

ROUND_S: Final = 5.0
TIMEOUT_S: Final = 5.0

log = structlog.get_logger()

Refuse = Callable[[str, Disagreed], None]
"""(the base URL that showed it, what disagrees)"""


class Kept:
    """The tree that this copy has committed, for whoever reads beside the thread that follows."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self.size: Final = queries.size()

    def root(self, size: int) -> bytes:
        """The root as it was at `size`, at most that of now."""
        return self._queries.root(size) or b""

    def tile(self, level: int, n: int) -> bytes:
        """A row of hashes."""
        return self._queries.row(level, n)


class Gossip:
    """Asks between `start` and `stop`, each in turn, once in `round_s`.

    urls    of the other members' nodes, as they are known now
    refuse  is told what disagrees
    """

    def __init__(
        self,
        queries: Queries,
        log_key: VerifierKey,
        *,
        urls: Callable[[], Sequence[str]],
        refuse: Refuse,
        round_s: float = ROUND_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._queries = queries
        self._log_key = log_key
        self._urls = urls
        self._refuse = refuse
        self._round_s = round_s
        self._timeout_s = timeout_s
        self._logs: dict[str, Log] = {}
        self._changed = threading.Condition()
        self._rounds = 0
        self._is_running = False
        # Nobody waits at the end for a member that does not answer.
        self._thread = threading.Thread(target=self._run, name="gossip", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._is_running = True
        self._thread.start()

    def stop(self) -> None:
        """End; an answer that is outstanding is waited for as long as it may take, and no longer."""
        with self._changed:
            self._is_running = False
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(2 * self._timeout_s)

    def round(self) -> None:
        """Wait until everybody has been asked once since this was called."""
        with self._changed:
            wanted = self._rounds + 2
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._rounds >= wanted or not self._is_running)

    def compare(self, peer: Log) -> None:
        """Is what another member was shown the log that we were shown? Only what both have is compared.

        Raises Disagreed, Unreachable, LedgerUnavailable.
        """
        said, ours = trees.signed(peer.checkpoint(), self._log_key), Kept(self._queries)
        if said is None:
            raise Unreachable(f"{peer.base_url}: its checkpoint is none that the log signed")
        if said.size <= ours.size:
            trees.compare_past(ours, said, peer)
            return
        theirs = trees.tiles_of(said, peer)
        if theirs is None:
            raise Unreachable(f"{peer.base_url}: its tiles are not those of its checkpoint")
        try:
            proof = tiles.consistency_proof(ours.size, said.size, theirs)
        except ForgedTile as forged:
            raise Unreachable(f"{peer.base_url}: a tile is not the one above it: {forged}") from forged
        if not merkle.verify_consistency(ours.size, ours.root(ours.size), said.size, said.root, proof):
            trees.name_first_difference(ours, theirs, ours.size)

    # The thread

    def _run(self) -> None:
        while self._is_running:
            try:
                self._go_round()
            except Exception as error:  # whatever it is, it is asked again
                log.warning("gossip_waits", error=f"{type(error).__name__}: {error}")
            with self._changed:
                self._rounds += 1
                self._changed.notify_all()
                if self._is_running:
                    self._changed.wait(self._round_s)
        for known in self._logs.values():
            known.close()

    def _go_round(self) -> None:
        urls = list(dict.fromkeys(url.rstrip("/") for url in self._urls()))
        for gone in self._logs.keys() - set(urls):
            self._logs.pop(gone).close()
        for url in urls:
            if not self._is_running:
                return
            try:
                self.compare(self._log(url))
            except Disagreed as disagreed:
                self._refuse(url, disagreed)
            except Exception as error:  # whatever one member answers is no reason not to ask the next
                log.warning("gossip_waits", url=url, error=f"{type(error).__name__}: {error}")

    def _log(self, url: str) -> Log:
        known = self._logs.get(url)
        if known is None:
            known = self._logs[url] = Log(url, timeout_s=self._timeout_s)
        return known


def urls_of(members: Members, *, named: Sequence[str], own_id: str, asks_members: bool) -> list[str]:
    """Those that a setting names, and (if it may be asked) those of the other members on the ledger.

    A ledger that cannot be read, or has no entry yet, names nobody.
    """
    found = list(named)
    if asks_members:
        found += [member.url for member in members.present() if member.url and member.member_id != own_id]
    return found
