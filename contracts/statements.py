"""The daily statement: what the books hold, out of the accounts that hold totals, and the proof of who is owed it.

Whoever re-executes these entries computes every figure again, so none is the operator's word. It costs the same
however many customers there are.
"""

from dataclasses import replace
from typing import Any

from contracts import accounts, state
from contracts.closing import CloseBooks, PublishStatement
from contracts.effects import Asset, Draft, Effects, Reason, Rejected
from contracts.state import Queue, Statement
from contracts.wire import liabilities


def close(draft: Draft, command: CloseBooks) -> Effects | Rejected:
    """Close the books for the day that is just over; once. The figures are those of the tree with this entry."""
    if command.day != draft.programme.local_day(draft.at_s) - 1:
        return Rejected(Reason.INVALID_DAY)
    key = state.statement_key(command.day)
    if draft.get(key, Statement) is not None:
        return Rejected(Reason.STATEMENT_EXISTS)
    statement = _figures(draft)
    draft.put(key, statement)
    return draft.effects(**_told(command.day, statement))


def publish(draft: Draft, command: PublishStatement) -> Effects | Rejected:
    """Commit to who is owed what: the root's sums must be those of the closed books, to the micro_spark."""
    key = state.statement_key(command.day)
    closed = draft.get(key, Statement)
    if closed is None:
        return Rejected(Reason.UNKNOWN_STATEMENT)
    if closed.root:
        return Rejected(Reason.STATEMENT_EXISTS)
    is_deep = liabilities.DEPTH_MIN <= command.depth <= liabilities.DEPTH_MAX
    if len(command.root) != liabilities.HASH_BYTES or not is_deep:
        return Rejected(Reason.INVALID_ROOT)
    owed = (closed.outstanding_micro_sparks, closed.deferred_micro_sparks)
    if (command.micro_sparks, command.deferred_micro_sparks) != owed:
        return Rejected(Reason.TOTAL_DIFFERS, {"micro_sparks": owed[0], "deferred_micro_sparks": owed[1]})
    published = replace(closed, root=command.root, depth=command.depth, published_at=draft.index)
    draft.put(key, published)
    return draft.effects(**_told(command.day, published))


def _figures(draft: Draft) -> Statement:
    issued = -accounts.balance(draft, Asset.SPARK, accounts.MINTED)
    settled = accounts.balance(draft, Asset.SPARK, accounts.SETTLED)
    fees = accounts.balance(draft, Asset.SPARK, accounts.FEES)
    queue = draft.get(state.QUEUE_KEY, Queue) or Queue()
    return Statement(
        closed_at=draft.index,
        closed_s=draft.at_s,
        reserve_micro_cad=accounts.balance(draft, Asset.CAD, accounts.RESERVE),
        paid_out_micro_cad=accounts.balance(draft, Asset.CAD, accounts.PAID_OUT),
        issued_micro_sparks=issued,
        outstanding_micro_sparks=issued - settled - fees + queue.retailers_owe_micro_sparks,
        owed_by_retailers_micro_sparks=queue.retailers_owe_micro_sparks,
        settled_micro_sparks=settled,
        fees_micro_sparks=fees,
        deferred_micro_sparks=-accounts.balance(draft, Asset.DEFERRED, accounts.WAITING),
    )


def _told(day: int, statement: Statement) -> dict[str, Any]:
    """The answer: all that the statement says, by name."""
    return {"day": day} | {name: getattr(statement, name) for name in Statement.__dataclass_fields__}
