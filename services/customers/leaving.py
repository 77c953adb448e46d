"""Closing one's account for good, and what became of the erasure on every copy of the ledger."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Depends, Path

from contracts import state
from contracts.approvals import GOVERN
from contracts.commands import EraseCustomer
from contracts.state import Member, Membership
from contracts.units import UnixSeconds
from contracts.wire import erasures, signatures
from contracts.wire.erasures import ErasureReceipt
from services import calls
from services.clock import Clock
from services.customers.departures import Departure, Departures
from services.customers.shapes import Erasure, LeavingBody, SignedReceiptBody
from services.customers.tables import ErasureReceiptRow
from services.encoding import bytes_of, text_of
from services.identity import Caller, Tokens
from services.ledger.client import Ledger
from services.moments import rfc3339
from services.problems import Problem

_STAY: Final = LeavingBody()
_INDEX_MAX: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class _Erasures:
    """What became of each erasure, and whose word on it counts."""

    departures: Departures
    ledger: Ledger
    clock: Clock
    origin: str

    def shown(self, departure: Departure) -> dict[str, Any]:
        """The members of `shapes.Erasure`."""
        index = departure.entry_index
        rows = [] if index is None else self.departures.receipts(index)
        said = {row.who for row in rows}
        return {
            "erasure_id": departure.erasure_id,
            "state": "erasing" if departure.done_s is None else "erased",
            "entry_index": index,
            "final_statement": _statement(departure.statement or {}),
            "receipts": [_receipt(row) for row in rows],
            "waiting_for": [member_id for member_id in self._members() if member_id not in said],
        }

    def keep(self, index: int, member_id: str, body: SignedReceiptBody) -> None:
        """Keep a member's receipt; raises Problem if it is malformed, unsigned or of nothing that was erased."""
        data, signature = bytes_of(body.receipt) or b"", bytes_of(body.signature) or b""
        try:
            receipt = erasures.from_bytes(data)
        except ValueError as error:
            raise Problem("malformed_body", "The receipt is no erasure receipt in base64url.") from error
        if (receipt.origin, receipt.index, receipt.who) != (self.origin, index, member_id):
            raise Problem("malformed_body", "The receipt is of another log, entry or member.")
        if not any(signatures.verify(key, data, signature) for key in self._keys(member_id)):
            raise Problem("unauthorized", "No key of this member signed the receipt.")
        if self._erased_at(index) != receipt.customer_hash:
            raise Problem("not_found", "That entry erases no such customer.")
        self.departures.keep_receipt(receipt, signature)

    def _keys(self, member_id: str) -> Iterator[bytes]:
        (member,) = self.ledger.rows([state.member_key(member_id)])
        if isinstance(member, Member):
            now_s = self.clock.now_s()
            yield from (key.public_key for key in member.keys if key.use == GOVERN and key.is_valid(now_s))

    def _erased_at(self, index: int) -> bytes | None:
        """The hash of whom an entry erases."""
        recorded = self.ledger.entry(index)
        if recorded is None or recorded.kind != EraseCustomer.KIND:
            return None
        return hashlib.sha256(recorded.command["customer_id"].encode()).digest()

    def _members(self) -> tuple[str, ...]:
        (membership,) = self.ledger.rows([state.MEMBERSHIP_KEY])
        return membership.members if isinstance(membership, Membership) else ()


def leaving_router(*, departures: Departures, ledger: Ledger, clock: Clock, tokens: Tokens, origin: str) -> APIRouter:
    """Return the router of `DELETE /v1/me` and `/v1/erasures`."""
    router = APIRouter()
    told = _Erasures(departures=departures, ledger=ledger, clock=clock, origin=origin)
    _Customer: TypeAlias = Annotated[Caller, Depends(tokens.customer)]

    @router.delete(
        "/v1/me",
        tags=["customers"],
        summary="Leave for good",
        response_model=Erasure,
        responses=calls.signed_in(
            "invalid_state", "customer_closed", "unknown_customer", "unknown_recipient", "reserve_short"
        ),
    )
    def leave(caller: _Customer, body: LeavingBody = _STAY) -> dict[str, Any]:
        """The account is closed: units are left, deferred awards lapse, and what is left goes to `transfer_to` whole,
        or is paid out in whole cents (less than a cent stays with the programme). Then everything about me is erased,
        from every copy of the ledger. There is no way back. Asked again, the answer is the same.
        """
        return told.shown(departures.leave(caller.subject, body.transfer_to))

    @router.get(
        "/v1/erasures/{erasure_id}",
        tags=["customers"],
        summary="What became of an erasure",
        response_model=Erasure,
        responses=calls.open_to_all("not_found"),
    )
    def erasure(erasure_id: Annotated[str, Path(max_length=64)]) -> dict[str, Any]:
        """Whoever knows the id may ask: the account that it was of is gone."""
        found = departures.named(erasure_id)
        if found is None or found.statement is None:
            raise Problem("not_found", "There is no such erasure.")
        return told.shown(found)

    @router.put(
        "/v1/erasures/{index}/receipts/{member_id}",
        tags=["members"],
        status_code=204,
        summary="Say that a copy has erased",
        responses=calls.open_to_all("not_found", "unauthorized"),
    )
    def keep(
        index: Annotated[int, Path(ge=0, le=_INDEX_MAX)],
        member_id: Annotated[str, Path(max_length=64)],
        body: SignedReceiptBody,
    ) -> None:
        """The receipt that entry `index` asks of a member, signed by one of its `govern` keys; the first stays."""
        told.keep(index, member_id, body)

    return router


def _statement(statement: dict[str, Any]) -> dict[str, Any]:
    """The members of `shapes.FinalStatement`."""
    closed_s: UnixSeconds = statement["closed_s"]
    return {
        "closed_at": rfc3339(closed_s),
        "balance_micro_sparks": statement["balance"],
        "held_micro_sparks": 0,
        "lifetime_micro_sparks": statement["lifetime"],
        "lapsed_micro_sparks": statement["lapsed"],
        "paid_out_cents": statement["paid_cents"],
        "transferred_micro_sparks": statement["transferred"],
        "below_a_cent_micro_sparks": statement["to_fees"],
        "devices_left": statement["devices"],
    }


def _receipt(row: ErasureReceiptRow) -> dict[str, Any]:
    """The members of `shapes.SignedReceipt`."""
    receipt: ErasureReceipt = erasures.from_bytes(row.receipt)
    return {
        "who": receipt.who,
        "erased_at": rfc3339(receipt.erased_s),
        "backups_expire_at": rfc3339(receipt.backups_expire_s),
        "receipt": text_of(row.receipt),
        "signature": text_of(row.signature),
    }
