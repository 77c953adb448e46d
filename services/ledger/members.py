"""The members as the ledger has them now: who may see what, whose cosignatures count, and how many are needed."""

from collections.abc import Callable
from dataclasses import dataclass

from contracts import state
from contracts.approvals import COSIGN, GOVERN
from contracts.programmes import ALL_COLLECTIONS
from contracts.state import Member, Membership
from contracts.units import UnixSeconds
from services.ledger.delivering import Access
from services.ledger.notes import KeyType, VerifierKey
from services.ledger.queries import Queries


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A present member whose copy is asked for cosignatures, and the keys it may sign with now."""

    member_id: str
    url: str
    keys: tuple[VerifierKey, ...]


class Members:
    """Reads the members out of the ledger's state. Raises LedgerUnavailable."""

    def __init__(self, queries: Queries, now_s: Callable[[], UnixSeconds]) -> None:
        self._queries = queries
        self._now_s = now_s

    def access_of(self, member_id: str) -> Access | None:
        """What a present member may see and by which keys it is known now; None if it is no member."""
        wanted = [state.member_key(member_id), state.MEMBERSHIP_KEY, state.ACTIVE_KEY]
        member, membership, active = self._queries.rows(wanted)
        if not isinstance(member, Member) or not isinstance(membership, Membership):
            return None
        if member_id not in membership.members:
            return None
        now_s = self._now_s()
        keys = tuple(key.public_key for key in member.keys if key.use == GOVERN and key.is_valid(now_s))
        collections = frozenset(self._queries.sets.programme_of(active).role_collections.get(member.role, ()))
        return Access(member_id, keys, None if ALL_COLLECTIONS in collections else collections)

    def cosigners(self) -> list[Cosigner]:
        """The present members that can co-sign now, by id."""
        now_s = self._now_s()
        found = (Cosigner(member.member_id, member.url, _cosign_keys(member, now_s)) for member in self.present())
        return [cosigner for cosigner in found if cosigner.keys]

    def quorum(self) -> int:
        """How many of them make a checkpoint final; 0: none is needed, and none is final."""
        (membership,) = self._queries.rows([state.MEMBERSHIP_KEY])
        return membership.quorum if isinstance(membership, Membership) else 0

    def present(self) -> list[Member]:
        """The members that are present, by id."""
        (membership,) = self._queries.rows([state.MEMBERSHIP_KEY])
        ids = membership.members if isinstance(membership, Membership) else ()
        rows = self._queries.rows([state.member_key(member_id) for member_id in ids])
        return [row for row in rows if isinstance(row, Member)]


def _cosign_keys(member: Member, now_s: UnixSeconds) -> tuple[VerifierKey, ...]:
    return tuple(
        VerifierKey(key.name, KeyType.COSIGNATURE, key.public_key)
        for key in member.keys
        if key.use == COSIGN and key.is_valid(now_s)
    )
