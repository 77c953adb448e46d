"""How a customer leaves, in steps that each can be done again: closed, forgotten here, erased on the ledger, receipted.

What is still to be done stands in a row of its own from before the first step to after the last, so that a process that
ends anywhere is followed by one that goes on. Only the open hold of a purchase keeps somebody from leaving.
"""

import hashlib
import json
import threading
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.exc import IntegrityError

from contracts import accounts, state
from contracts.commands import CloseAccount, EraseCustomer, Request
from contracts.effects import Reason
from contracts.state import Holdings, Membership
from contracts.units import DAY_S, Seconds, UnixSeconds
from contracts.wire import erasures
from contracts.wire.erasures import OPERATOR, ErasureReceipt
from services import database
from services.clock import Clock
from services.customers import attempts, people
from services.customers.tables import CustomerRow, DepartureRow, ErasureReceiptRow
from services.database import DatabaseUnavailable, reading, transaction
from services.idempotency import outcome_of
from services.keys import Keys, Use
from services.ledger.client import Declined, Erasable, Ledger, LedgerUnavailable
from services.problems import Problem
from services.setaside import quarantine
from services.statements import shelf

TRIES_MAX: Final = 50
"""Rows that an erasure carries may change while it is asked for: a unit goes on measuring."""
RETRY_S: Final = 2.0
"""How often what is not done yet is tried again."""
FINAL_WAIT_S_MAX: Final[Seconds] = 14 * DAY_S
"""So long an erasure waits for members that do not co-sign; whoever leaves need not wait for ever."""

_DEPARTURES: Final = DepartureRow.__table__  # type: ignore[attr-defined]
_RECEIPTS: Final = ErasureReceiptRow.__table__  # type: ignore[attr-defined]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A customer who leaves or has left; see `tables.DepartureRow`."""

    erasure_id: str
    customer_id: str
    transfer_to: str | None
    asked_s: UnixSeconds
    statement: dict[str, Any] | None
    entry_index: int | None
    done_s: UnixSeconds | None


class Departures:
    """The table `departures`, and the steps."""

    def __init__(
        self, engine: Engine, ledger: Ledger, clock: Clock, keys: Keys, *, origin: str, backup_days: int
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._clock = clock
        self._keys = keys
        self._origin = origin
        self._backup_s = backup_days * DAY_S

    def leave(self, customer_id: str, transfer_to: str | None) -> Departure:
        """Close the account and erase; asked again, the same. Raises Problem, with an open hold `invalid_state`."""
        departure = self.of(customer_id) or self._begin(customer_id, transfer_to)
        return self._go_on(departure)

    def of(self, customer_id: str) -> Departure | None:
        """The departure of a customer, if they have asked for it."""
        return self._find(_DEPARTURES.c.customer_id == customer_id)

    def named(self, erasure_id: str) -> Departure | None:
        """The departure under an id that only the customer was told."""
        return self._find(_DEPARTURES.c.erasure_id == erasure_id)

    def refuse_gone(self, customer_id: str) -> None:
        """Raise the problem `customer_closed` for whoever has left."""
        departure = self.of(customer_id)
        if departure is not None and departure.statement is not None:
            raise Problem("customer_closed", "The account is closed for good.")

    def finish(self) -> None:
        """Go on with every departure that was cut off. Raises LedgerUnavailable, DatabaseUnavailable."""
        with reading(self._engine) as session:
            waiting = session.scalars(select(_DEPARTURES.c.customer_id).where(_DEPARTURES.c.done_s.is_(None))).all()
        for customer_id in waiting:
            departure = self.of(customer_id)
            try:
                if departure is not None:
                    self._go_on(departure)
            except Problem as problem:
                log.warning("departure_refused", code=problem.document["code"])

    def receipts(self, index: int) -> list[ErasureReceiptRow]:
        """What copies have signed for the erasure that entry `index` names."""
        query = select(_RECEIPTS).where(_RECEIPTS.c.entry_index == index).order_by(_RECEIPTS.c.who)
        with reading(self._engine) as session:
            return [ErasureReceiptRow(**row) for row in session.execute(query).mappings()]

    def keep_receipt(self, receipt: ErasureReceipt, signature: bytes) -> None:
        """Keep what a copy has signed; its first word stays."""
        row = ErasureReceiptRow(
            entry_index=receipt.index,
            who=receipt.who,
            receipt=erasures.to_bytes(receipt),
            signature=signature,
            received_s=self._clock.now_s(),
        )
        try:
            with transaction(self._engine) as session:
                session.add(row)
        except IntegrityError:
            pass  # said before

    # Steps

    def _begin(self, customer_id: str, transfer_to: str | None) -> Departure:
        row = DepartureRow(
            erasure_id=self._keys.derive("erasure id", customer_id.encode()).hex()[:32],
            customer_id=customer_id,
            transfer_to=transfer_to,
            asked_s=self._clock.now_s(),
        )
        try:
            with transaction(self._engine) as session:
                session.add(row)
        except IntegrityError:
            pass  # asked twice at once
        begun = self.of(customer_id)
        if begun is None:
            raise Problem("request_in_progress", "The account is being closed by another call.")
        return begun

    def _go_on(self, departure: Departure) -> Departure:
        if departure.statement is None:
            self._close(departure)
        if departure.done_s is None:
            self._forget(departure.customer_id)
            index = self._erase(departure)
            if index is not None:
                self._receipt(departure.customer_id, index)
        return self.of(departure.customer_id) or departure

    def _close(self, departure: Departure) -> None:
        request = self._request(CloseAccount(departure.customer_id, departure.transfer_to))
        (outcome,) = self._ledger.submit([request])
        if isinstance(outcome, Declined):
            with transaction(self._engine) as session:
                undone = (_DEPARTURES.c.customer_id == departure.customer_id, _DEPARTURES.c.statement.is_(None))
                session.execute(delete(_DEPARTURES).where(*undone))
        closed = outcome_of(outcome)
        statement = json.dumps({**closed.result, "closed_s": closed.at_s})
        self._note(departure.customer_id, statement=statement)

    def _forget(self, customer_id: str) -> None:
        """The link from id to person, what units said that is set aside, whose leaves are whose in statements."""
        person = people.by_id(self._engine, customer_id)
        (holdings,) = self._ledger.rows([state.holdings_key(customer_id)])
        with transaction(self._engine) as session:
            if person is not None:
                attempts.forget(session, person.email)
                session.execute(delete(CustomerRow).where(CustomerRow.customer_id == customer_id))  # type: ignore[arg-type]
            for device_id, from_s, until_s in holdings.units if isinstance(holdings, Holdings) else ():
                quarantine.forget(session.connection(), device_id, from_s=from_s, until_s=until_s)
            shelf.forget(session, accounts.customer(customer_id))

    def _erase(self, departure: Departure) -> int | None:
        """The entry that erases; None while what it erases is not final: members shall have executed that before."""
        customer_id = departure.customer_id
        for _ in range(TRIES_MAX):
            named = self._ledger.erasable(customer_id)
            if not self._may_erase(named, departure.asked_s):
                return None
            (outcome,) = self._ledger.submit([self._request(EraseCustomer(customer_id, named.indexes, named.rows))])
            if not (isinstance(outcome, Declined) and outcome.reason == Reason.ROWS_CHANGED):
                return outcome_of(outcome).index
        raise LedgerUnavailable("the rows of an erasure change too fast")

    def _may_erase(self, named: Erasable, asked_s: UnixSeconds) -> bool:
        """Is every entry that is named final, where there is a quorum? One that is missing delays for a time only."""
        (membership,) = self._ledger.rows([state.MEMBERSHIP_KEY])
        has_quorum = isinstance(membership, Membership) and membership.quorum > 0
        if not has_quorum or self._ledger.final_size_now() > max(named.indexes, default=-1):
            return True
        if self._clock.now_s() - asked_s < FINAL_WAIT_S_MAX:
            return False
        log.warning("erased_before_final", waited_s=FINAL_WAIT_S_MAX)
        return True

    def _receipt(self, customer_id: str, index: int) -> None:
        """Sign once nothing of it is left, in the files of the database either."""
        if not database.release_erased(self._engine):
            raise DatabaseUnavailable("somebody still reads what was erased")
        now_s = self._clock.now_s()
        receipt = ErasureReceipt(
            origin=self._origin,
            index=index,
            customer_hash=hashlib.sha256(customer_id.encode()).digest(),
            erased_s=now_s,
            backups_expire_s=now_s + self._backup_s,
            who=OPERATOR,
        )
        self.keep_receipt(receipt, erasures.sign(receipt, self._keys.seed(Use.RECEIPTS)))
        self._note(customer_id, entry_index=index, done_s=now_s, transfer_to=None)

    # Rows

    def _request(self, command: CloseAccount | EraseCustomer) -> Request:
        """The same id for the same step, so that it is done once however often it is asked for."""
        id = self._keys.derive(command.KIND, command.customer_id.encode())
        return Request(id, id, command)

    def _note(self, customer_id: str, **values: Any) -> None:
        with transaction(self._engine) as session:
            session.execute(update(_DEPARTURES).where(_DEPARTURES.c.customer_id == customer_id).values(**values))

    def _find(self, condition: Any) -> Departure | None:
        with reading(self._engine) as session:
            row = session.execute(select(_DEPARTURES).where(condition)).mappings().one_or_none()
        if row is None:
            return None
        statement = None if row["statement"] is None else json.loads(row["statement"])
        return Departure(**{**row, "statement": statement})


class Finishing:
    """A thread that goes on with what is not done: begun by an earlier process, or waiting for members to co-sign."""

    def __init__(self, departures: Departures) -> None:
        self._departures = departures
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="departures")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, whether all is done or not."""
        self._is_stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            try:
                self._departures.finish()
            except (LedgerUnavailable, DatabaseUnavailable) as error:
                log.warning("departures_wait", error=str(error))
            self._is_stopping.wait(RETRY_S)
