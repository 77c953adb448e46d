"""One batch: requests executed one after another into rows, entries and answers. Nothing is written here."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import structlog

from contracts import recording
from contracts.commands import DeclareLost, EraseCustomer, RecordPack, Request
from contracts.effects import Effects, Reason, Rejected
from contracts.units import UnixSeconds
from contracts.wire.packs import GapPack
from services.contract_sets import ContractSet, NotInThisSet
from services.database import DatabaseUnavailable
from services.ledger import answers, checkpoints, entries, merkle, rows_read, tiles
from services.ledger.answers import Known
from services.ledger.checkpoints import Checkpoint
from services.ledger.client import Accepted, Declined, Failed, Outcome, reason_of
from services.ledger.entries import SALT_BYTES, Entry
from services.ledger.store import Batch, Written
from services.ledger.subjects import subjects_of
from services.ledger.versions import kept, with_carried
from services.ledger.window import Window

Chance: TypeAlias = Callable[[int], bytes]
"""That many random bytes."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tip:
    """Where the log ends: its size, the time of its last entry, the partial tile of each level."""

    size: int
    at_s: UnixSeconds
    frontier: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Executed:
    """What a batch comes to: rows to commit, where the log then ends, an answer to each request."""

    batch: Batch
    tip: Tip
    outcomes: list[Outcome]


class Execution:
    """Executes batches for one log.

    contracts  the set that is active, for the whole batch
    seed       the log's Ed25519 seed, for checkpoints
    chance     makes the salts
    """

    def __init__(self, window: Window, *, origin: str, contracts: ContractSet, seed: bytes, chance: Chance) -> None:
        self._window: Final = window
        self._origin: Final = origin
        self._contracts: Final = contracts
        self._seed: Final = seed
        self._chance: Final = chance
        self._given: Final = rows_read.collections(contracts.programme)

    def run(self, requests: Sequence[Request], known: dict[bytes, Known], *, tip: Tip, at_s: UnixSeconds) -> Executed:
        """Execute `requests` in order at ledger time `at_s`; those in `known` are answered and not executed.

        Raises DatabaseUnavailable if a row cannot be read; any other exception of a command is its answer, `Failed`.
        """
        window = self._window
        contracts = self._contracts
        window.begin(at_s=at_s, index=tip.size)
        asked = requests if contracts.is_own_code else [_in_set(contracts, request) for request in requests]
        first_reads, second_reads = contracts.execute.first_reads, contracts.execute.second_reads
        window.fetch(key for request in asked if request for key in first_reads(request.command))
        window.fetch([key for request in asked if request for key in second_reads(window, request.command)])
        batch = Batch()
        salts = self._chance(2 * SALT_BYTES * len(requests))
        outcomes: list[Outcome] = []
        for place, request in enumerate(requests):
            before = known.get(request.id)
            if before is not None:
                outcomes.append(before.again(request))
                continue
            start = 2 * SALT_BYTES * place
            answer = self._answer(batch, request, asked[place], salts[start : start + 2 * SALT_BYTES])
            if isinstance(answer, Known):
                known[request.id] = answer
            outcomes.append(answer.outcome if isinstance(answer, Known) else answer)
        batch.rows = window.written
        return Executed(batch, self._seal(batch, tip, at_s), outcomes)

    def _answer(self, batch: Batch, request: Request, asked: Any, salts: bytes) -> Known | Declined | Failed:
        """Execute one request; `Known` is an answer that is given again when the request is asked again.

        asked  the same request as the contract set has it, or None if it has no such command
        """
        contracts = self._contracts
        if asked is None:
            return Declined(Reason.OTHER_CONTRACTS)
        noting = rows_read.Noting(self._window) if request.command.COLLECTION in self._given else None
        try:
            done = contracts.execute.execute(noting or self._window, asked.command)
            if isinstance(done, contracts.effects.Rejected):
                return self._decline(batch, request, Rejected(reason_of(done.reason), done.facts))
            index, read = self._window.index, noting.to_bytes() if noting else None
            answer = self._enter(batch, request, contracts.commands.to_bytes(asked), done, salts)
            if read is not None:
                batch.rows_read.append((index, read))
            return answer
        except DatabaseUnavailable:
            raise
        except Exception as error:  # a bug in one command is no reason to fail the others
            return failure_of(request, error)

    def _decline(self, batch: Batch, request: Request, rejected: Rejected) -> Known | Declined:
        declined = Declined(rejected.reason, rejected.facts)
        if not answers.is_remembered(request, rejected):
            return declined
        at_s, size = self._window.at_s, self._window.index
        batch.rejections.append(answers.rejection_row(request, rejected, at_s=at_s, size=size))
        return Known(request.digest, declined)

    def _enter(self, batch: Batch, request: Request, request_bytes: bytes, done: Effects, salts: bytes) -> Known:
        """Make the entry; all that can raise comes before anything is added to the batch."""
        effects = self._contracts.effects
        window, index, at_s = self._window, self._window.index, self._window.at_s
        command_salt, effects_salt = salts[:SALT_BYTES], salts[SALT_BYTES:]
        rows = effects.row_bytes(done)
        result = effects.result_bytes(done)
        effects_bytes = effects.to_bytes(done, command_salt=command_salt, rows=rows, result=result)
        entry = Entry(
            kind=request.command.KIND,
            at_s=at_s,
            collection=request.command.COLLECTION,
            contract_version=self._contracts.version,
            command_commitment=entries.commitment(command_salt, request_bytes),
            effects_commitment=entries.commitment(effects_salt, effects_bytes),
        )
        leaf = entries.to_bytes(entry)
        answer = Known(request.digest, Accepted(index, at_s, answers.result_of(result)))
        batch.entries.append((index, at_s, leaf))
        batch.payloads.append((index, request_bytes, command_salt, effects_bytes, effects_salt, result))
        batch.requests.append((request.id, request.digest, index))
        for leg, (asset, account, amount) in enumerate(done.postings):
            batch.postings.append((index, leg, str(asset), account, amount))
        subjects = subjects_of(request.command, done.writes, has_postings=bool(done.postings))
        batch.subjects.extend((index, subject) for subject in sorted(subjects))
        if request.command.KIND == EraseCustomer.KIND:
            batch.erasures.append((index, None))
        left = kept(request.command.KIND, with_carried(request.command, rows))
        batch.versions.extend((key, index, data) for key, data in left)
        for key, row in done.writes.items():
            window.written[key] = Written(index, row, rows[key])
        window.index = index + 1
        return answer

    def _seal(self, batch: Batch, tip: Tip, at_s: UnixSeconds) -> Tip:
        """Put the new entries under the tree and sign its root."""
        if not batch.entries:
            return tip
        leaves = [merkle.leaf_hash(entry) for _, _, entry in batch.entries]
        batch.tiles = tiles.grow(tip.size, tip.frontier, leaves)
        size = tip.size + len(leaves)
        frontier = {
            tile.level: batch.tiles.get((tile.level, tile.full_tiles)) or tip.frontier[tile.level]
            for tile in tiles.required(size).levels
            if tile.partial_width
        }
        root = tiles.root(size, lambda level, _: frontier[level])
        batch.checkpoints.append((size, checkpoints.sign(Checkpoint(self._origin, size, root), self._seed)))
        return Tip(size, at_s, frontier)


def _in_set(contracts: ContractSet, request: Request) -> Any:
    try:
        return contracts.request(request)
    except NotInThisSet:
        return None


def failure_of(request: Request, error: Exception) -> Failed:
    """Report a bug that only this request meets, and answer it. The report shows no variables: some are secret."""
    told = "".join(traceback.format_exception(error))
    log.error("command_failed", kind=request.command.KIND, traceback=told)
    return Failed(f"{type(error).__name__}: {error}")


def in_order(requests: Sequence[Request]) -> list[int]:
    """The places of `requests` in the order of execution: as they came, but each unit's messages by number.

    A unit's messages share the places they had. A gap pack comes after the pack of the same number.
    """
    places_of: dict[str, list[int]] = {}
    for place, request in enumerate(requests):
        if isinstance(request.command, RecordPack | DeclareLost):
            places_of.setdefault(request.command.device_id, []).append(place)
    order = list(range(len(requests)))
    for places in places_of.values():
        if len(places) > 1:
            by_number = sorted(places, key=lambda place: _number(requests[place]))
            for place, moved in zip(places, by_number, strict=True):
                order[place] = moved
    return order


def _number(request: Request) -> tuple[int, bool]:
    command = request.command
    content = recording.content_of(command.message) if isinstance(command, RecordPack | DeclareLost) else None
    seq = content.seq if content is not None else None
    return seq or 0, isinstance(content, GapPack)
