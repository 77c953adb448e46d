"""Payloads for members: who may have which, what was delivered to whom, and what they signed for it."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request, Response
from sqlalchemy import Engine, insert, select, update
from sqlmodel import Session

from contracts import commands, effects, state
from contracts.commands import EraseCustomer, OpenLedger
from contracts.state import Decided
from contracts.wire import signatures
from services.clock import Clock
from services.database import transaction
from services.ledger import deliveries, entries, payloads
from services.ledger.deliveries import NUMBER, PATH, RECEIPT, SCHEME, TOLERANCE_S, Notice, Page, Payload
from services.ledger.store import PACK_PREFIX, pack_place
from services.ledger.tables import DELIVERIES, ENTRIES, PACKS, ROWS_READ, STATE
from services.problems import Problem, responses

ENTRIES_MAX: Final = 500
BYTES_MAX: Final = 4 * 1024 * 1024
NAMED_AT_ONCE: Final = 400
_CREDENTIALS: Final = re.compile(
    SCHEME + r' member="([a-z0-9-]{1,64})", time="([0-9]{1,15})", signature="([\w=-]{1,100})"'
)


_DECIDED: Final = (PACKS.c.sha256, PACKS.c.refusal, PACKS.c.index, PACKS.c.start_s, PACKS.c.end_s, PACKS.c.again_at)


@dataclass(frozen=True, slots=True)
class Access:
    """What a member may see, and by which of its keys it is known now.

    collections  whose payloads it gets; None: all
    """

    member_id: str
    public_keys: tuple[bytes, ...]
    collections: frozenset[str] | None

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Did one of the member's keys sign this?"""
        return any(signatures.verify(key, message, signature) for key in self.public_keys)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A page as it goes out, and the number under which it is to be signed for."""

    number: int
    body: bytes


class Deliveries:
    """What goes to members. `access_of` knows the members that are present."""

    def __init__(self, engine: Engine, origin: str, clock: Clock, access_of: Callable[[str], Access | None]) -> None:
        self._engine = engine
        self._origin = origin
        self._clock = clock
        self._access_of = access_of

    def caller(self, authorization: str, *, method: str, target: str) -> Access:
        """Which member makes this call; Problem `unauthorized` for what proves nobody's."""
        shown = _CREDENTIALS.fullmatch(authorization)
        access = self._access_of(shown[1]) if shown else None
        if shown is None or access is None or abs(int(shown[2]) - self._clock.now_s()) > TOLERANCE_S:
            raise _unauthorized()
        message = deliveries.call_bytes(
            origin=self._origin, member_id=shown[1], method=method, target=target, time_s=int(shown[2])
        )
        if not access.signed(message, _base64(shown[3])):
            raise _unauthorized()
        return access

    def deliver(self, access: Access, first: int, receipt: bytes | None) -> Delivery:
        """The page that begins at entry `first`, written down; Problem `delivery_not_signed_for` if one before is not.

        What was asked for and may never have arrived is delivered again, under its number.
        """
        with transaction(self._engine) as session:
            last = _newest(session, access.member_id)
            is_repeat = last is not None and last.receipt is None and last.first == first and receipt is None
            if last is not None and last.receipt is None and not is_repeat:
                self._sign_for(session, access, last, receipt)
            page = page_of(session, first, access.collections)
            body = deliveries.to_bytes(page)
            number = 1 if last is None else last.number + (not is_repeat)
            said = {"after": page.after, "sha256": hashlib.sha256(body).digest(), "at_s": self._clock.now_s()}
            if is_repeat:
                mine = (DELIVERIES.c.member_id == access.member_id, DELIVERIES.c.number == number)
                session.execute(update(DELIVERIES).where(*mine).values(**said))
            elif page.after > first:
                row = {"member_id": access.member_id, "number": number, "first": first, **said}
                session.execute(insert(DELIVERIES).values(**row))
            else:
                number = 0  # nothing was delivered, and nothing is to be signed for
        return Delivery(number, body)

    def _sign_for(self, session: Session, access: Access, last: Any, receipt: bytes | None) -> None:
        """Keep what the member signed for the delivery before."""
        message = deliveries.receipt_bytes(
            origin=self._origin,
            member_id=access.member_id,
            number=last.number,
            page_range=(last.first, last.after),
            sha256=last.sha256,
        )
        if receipt is None or not access.signed(message, receipt):
            detail = f"Delivery {last.number}, from entry {last.first} on, is not signed for: ask for it again."
            raise Problem("delivery_not_signed_for", detail, extras={"number": last.number, "first": last.first})
        mine = (DELIVERIES.c.member_id == access.member_id, DELIVERIES.c.number == last.number)
        session.execute(update(DELIVERIES).where(*mine).values(receipt=receipt))


def deliveries_router(given: Deliveries) -> APIRouter:
    """The route by which members fetch payloads."""
    router = APIRouter(tags=["members"])
    content = {deliveries.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}
    served: dict[int | str, dict[str, Any]] = {200: {"description": "A page of payloads.", "content": content}}

    @router.get(
        PATH,
        response_class=Response,
        responses=served | responses("unauthorized", "delivery_not_signed_for", "ledger_unavailable"),
    )
    def payloads(
        request: Request,
        from_: Annotated[int, Query(alias="from", ge=0, lt=1 << 62)],
        authorization: Annotated[str, Header()] = "",
        sparks_received: Annotated[str, Header(alias=RECEIPT)] = "",
    ) -> Response:
        """Payloads of the collections that the calling member belongs to, in CBOR; see docs/decisions."""
        target = f"{request.url.path}?{request.url.query}"
        access = given.caller(authorization, method="GET", target=target)
        delivery = given.deliver(access, from_, _base64(sparks_received) if sparks_received else None)
        return Response(delivery.body, media_type=deliveries.MEDIA_TYPE, headers={NUMBER: str(delivery.number)})

    return router


def _newest(session: Session, member_id: str) -> Any:
    mine = select(DELIVERIES).where(DELIVERIES.c.member_id == member_id)
    return session.execute(mine.order_by(DELIVERIES.c.number.desc()).limit(1)).first()


def page_of(session: Session, first: int, collections: frozenset[str] | None) -> Page:
    """As many entries as fit, with the payloads of these collections."""
    wanted = (ENTRIES.c.index >= first, ENTRIES.c.index < first + ENTRIES_MAX)
    leaves = session.execute(
        select(ENTRIES.c.index, ENTRIES.c.entry, ROWS_READ.c.rows)
        .select_from(ENTRIES.outerjoin(ROWS_READ, ROWS_READ.c.index == ENTRIES.c.index))
        .where(*wanted)
        .order_by(ENTRIES.c.index)
    ).all()
    stored = payloads.between(session, first, first + len(leaves))
    after, size_bytes, given, notices = first, 0, {}, {}
    for index, entry, read in leaves:
        kept = stored.get(index)
        if kept is None or index != after:
            break
        size_bytes += sum(map(len, kept)) + len(read or b"")
        if after > first and size_bytes > BYTES_MAX:
            break
        after = index + 1
        payload = Payload(
            kept.request or None, kept.request_salt or None, kept.effects, kept.effects_salt, kept.result or None
        )
        if collections is None:
            given[index] = payload
            continue
        said = entries.from_bytes(entry)
        if said.collection in collections or said.kind == OpenLedger.KIND:
            given[index] = payload._replace(read=read) if payload.request else payload
        elif said.kind == EraseCustomer.KIND:
            notices[index] = _notice(session, kept.request, collections)
    if collections is not None:
        return Page(first, after, given, collections, notices)
    told = {
        index: payload if payload.request is not None else payload._replace(rows=_rows(session, index, payload.effects))
        for index, payload in given.items()
    }
    return Page(first, after, told)


def _notice(session: Session, request: bytes, collections: frozenset[str]) -> Notice:
    """What a member of these collections is told of an erasure."""
    command: Any = commands.from_bytes(request).command
    erased: list[int] = []
    for start in range(0, len(command.erased), NAMED_AT_ONCE):
        wanted = ENTRIES.c.index.in_(command.erased[start : start + NAMED_AT_ONCE])
        found = session.execute(select(ENTRIES.c.index, ENTRIES.c.entry).where(wanted).order_by(ENTRIES.c.index))
        erased += [index for index, entry in found if entries.from_bytes(entry).collection in collections]
    return Notice(hashlib.sha256(command.customer_id.encode()).digest(), tuple(erased))


def _rows(session: Session, index: int, effects_bytes: bytes) -> tuple[tuple[str, bytes], ...]:
    """The rows that an erased entry wrote and nobody after it."""
    keys = [key for key, sha256 in effects.outline(effects_bytes).written.items() if sha256 is not None]
    newest = select(STATE.c.key, STATE.c.value).where(STATE.c.key.in_(keys), STATE.c.version == index)
    found = {key: bytes(value) for key, value in session.execute(newest)}
    for place in (pack_place(key) for key in keys if key.startswith(PACK_PREFIX)):
        mine = (PACKS.c.device_id == place[0], PACKS.c.seq == place[1], PACKS.c.version == index)
        decided = session.execute(select(*_DECIDED).where(*mine)).first()
        if decided is not None:
            found[state.pack_key(*place)] = state.to_bytes(Decided(*decided))
    return tuple(sorted(found.items()))


def _base64(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.encode())
    except (binascii.Error, ValueError):
        return b""


def _unauthorized() -> Problem:
    return Problem("unauthorized", "No present member signed this call now.", headers={"WWW-Authenticate": SCHEME})
