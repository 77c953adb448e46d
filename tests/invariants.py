"""What must hold of a ledger whatever has happened to it, as functions over its database."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, select

from contracts import accounts, state
from contracts.commands import Request
from contracts.commands import from_bytes as request_from_bytes
from contracts.effects import Asset
from contracts.state import Account, Queue, Row
from contracts.units import MICRO_SPARKS_PER_MICRO_CAD
from services import database
from services.ledger import checkpoints, entries, merkle, payloads, tiles
from services.ledger.tables import CHECKPOINTS, ENTRIES, POSTINGS, REQUESTS, STATE, TILES


def assert_books_hold(engine: Engine) -> None:
    """Everything below."""
    assert_postings_sum_to_zero(engine)
    assert_accounts_are_the_sums_of_their_postings(engine)
    assert_nobody_is_below_zero(engine)
    assert_every_spark_is_funded(engine)
    assert_entries_commit_to_their_payloads(engine)
    assert_every_entry_answers_one_request(engine)
    assert_the_tree_is_over_all_entries(engine)
    assert_ledger_time_never_goes_back(engine)


def assert_postings_sum_to_zero(engine: Engine) -> None:
    """In each entry and asset."""
    sums: Counter[tuple[int, str]] = Counter()
    for index, asset, _, amount in _postings(engine):
        sums[index, asset] += amount
    assert [place for place, total in sums.items() if total] == []


def assert_accounts_are_the_sums_of_their_postings(engine: Engine) -> None:
    sums: defaultdict[str, int] = defaultdict(int)
    for _, asset, account, amount in _postings(engine):
        sums[state.account_key(asset, account)] += amount
    assert balances(engine) == dict(sums)


def assert_nobody_is_below_zero(engine: Engine) -> None:
    """No customer, no hold, and not the reserve."""
    below = [key for key, balance in balances(engine).items() if balance < 0 and _must_be_covered(key)]
    assert below == []


def assert_every_spark_is_funded(engine: Engine) -> None:
    """programme.md, Fully funded; a retailer that owes counts as 0."""
    held = balances(engine)

    def of(asset: Asset, account: str) -> int:
        return held.get(state.account_key(asset, account), 0)

    queue = rows(engine).get(state.QUEUE_KEY, Queue())
    assert isinstance(queue, Queue)
    gone = of(Asset.SPARK, accounts.SETTLED) + of(Asset.SPARK, accounts.FEES)
    outstanding = -of(Asset.SPARK, accounts.MINTED) - gone + queue.retailers_owe_micro_sparks
    owed = -sum(balance for key, balance in held.items() if key.startswith("account/spark/retailer/") and balance < 0)
    assert owed == queue.retailers_owe_micro_sparks
    assert outstanding <= of(Asset.CAD, accounts.RESERVE) * MICRO_SPARKS_PER_MICRO_CAD


def assert_entries_commit_to_their_payloads(engine: Engine) -> None:
    for index, entry, payload in _entries_with_payloads(engine):
        request, request_salt, effects, effects_salt = payload
        if not request:  # erased: what remains is committed to
            assert request_salt == b"", index
            assert entry.effects_commitment == entries.commitment(effects_salt, effects), index
            continue
        assert entry.command_commitment == entries.commitment(request_salt, request), index
        assert entry.effects_commitment == entries.commitment(effects_salt, effects), index
        assert entry.kind == request_from_bytes(request).command.KIND, index


def assert_every_entry_answers_one_request(engine: Engine) -> None:
    with database.reading(engine) as session:
        answered = {index: id for id, index in session.execute(select(REQUESTS.c.id, REQUESTS.c.index))}
    assert answered == {index: request.id for index, request in requests(engine).items()}
    assert len(set(answered.values())) == len(answered)


def assert_the_tree_is_over_all_entries(engine: Engine) -> None:
    """Indexes without a gap, tiles and every signed root as a second computation gives them."""
    with database.reading(engine) as session:
        leaves = [merkle.leaf_hash(entry) for (entry,) in session.execute(_in_order(ENTRIES.c.entry))]
        indexes = [index for (index,) in session.execute(_in_order(ENTRIES.c.index))]
        stored = {(level, n): hashes for level, n, hashes in session.execute(select(TILES))}
        notes = session.execute(select(CHECKPOINTS).order_by(CHECKPOINTS.c.size)).all()
    assert indexes == list(range(len(leaves)))
    assert stored == tiles.grow(0, {}, leaves)
    assert notes[-1][0] == len(leaves)
    for size, note in notes:
        checkpoint = checkpoints.parse(note.decode().partition("\n\n")[0] + "\n")
        assert checkpoint is not None
        assert (checkpoint.size, checkpoint.root) == (size, merkle.root_hash(leaves[:size]))


def assert_ledger_time_never_goes_back(engine: Engine) -> None:
    times = [entry.at_s for _, entry, _ in _entries_with_payloads(engine)]
    assert times == sorted(times)


# What they look at


def balances(engine: Engine) -> dict[str, int]:
    """The balance of every account row, by its key."""
    return {key: row.balance for key, row in rows(engine).items() if isinstance(row, Account)}


def rows(engine: Engine) -> dict[str, Row]:
    """Every row of the state but packs, by key."""
    with database.reading(engine) as session:
        found = session.execute(select(STATE.c.key, STATE.c.value)).all()
    return {key: state.from_bytes(key, data) for key, data in found}


def requests(engine: Engine) -> dict[int, Request]:
    """The request of every entry that is not erased, by index."""
    told = ((index, payload[0]) for index, _, payload in _entries_with_payloads(engine))
    return {index: request_from_bytes(request) for index, request in told if request}


def _must_be_covered(key: str) -> bool:
    return key.startswith(("account/spark/customer/", "account/spark/held/", "account/cad/reserve"))


def _in_order(column: ColumnElement[Any]) -> Select[Any]:
    return select(column).order_by(ENTRIES.c.index)


def _postings(engine: Engine) -> list[tuple[int, str, str, int]]:
    columns = (POSTINGS.c.index, POSTINGS.c.asset, POSTINGS.c.account, POSTINGS.c.amount)
    with database.reading(engine) as session:
        return [(index, asset, account, amount) for index, asset, account, amount in session.execute(select(*columns))]


def _entries_with_payloads(engine: Engine) -> Iterator[tuple[int, entries.Entry, tuple[bytes, bytes, bytes, bytes]]]:
    with database.reading(engine) as session:
        found = session.execute(select(ENTRIES.c.index, ENTRIES.c.entry).order_by(ENTRIES.c.index)).all()
        told = payloads.between(session, 0, len(found))
    assert len(told) == len(found)
    for index, entry in found:
        payload = told[index]
        parts = (payload.request, payload.request_salt, payload.effects, payload.effects_salt)
        yield index, entries.from_bytes(entry), parts
