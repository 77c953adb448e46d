"""What `remote` and `app` say to each other, as CBOR both ways; nobody else speaks it.

A call is a POST of the array of its arguments to `PATH` and the method's name; the answer is one value. Both ends are
programs of one installation that share a secret, so a body that is not of this form is a bug and raises.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Final

import cbor2

from contracts import commands, state
from contracts.commands import Request
from contracts.effects import Posting
from contracts.state import Decided
from services.ledger.client import (
    Accepted,
    Declined,
    Erasable,
    Evidence,
    Failed,
    Head,
    Input,
    Outcome,
    PackEvidence,
    Proven,
    Recorded,
    Reused,
    Running,
    reason_of,
)

PATH: Final = "/internal/ledger/"
MEDIA_TYPE: Final = "application/cbor"
REQUESTS_MAX: Final = 1_000
REQUESTS_BYTES_MAX: Final = 4 * 1024 * 1024
"""Requests of one call and their bytes together: half of what `services.problems` lets a body have."""

_ACCEPTED, _DECLINED, _REUSED, _RUNNING, _FAILED = range(5)


def to_body(value: object) -> bytes:
    """The bytes of one call or answer."""
    return cbor2.dumps(value)


def from_body(body: bytes) -> Any:
    """What `to_body` wrote; ValueError for what is no CBOR."""
    try:
        return cbor2.loads(body)
    except cbor2.CBORError as error:
        raise ValueError(str(error)) from error


def of_requests(requests: Iterable[Request]) -> list[bytes]:
    """Each request as the log commits to it."""
    return [commands.to_bytes(request) for request in requests]


def in_calls(requests: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Divide requests, in their order, into as many calls as the two limits ask for."""
    call: list[bytes] = []
    call_bytes = 0
    for request in requests:
        if call and (len(call) == REQUESTS_MAX or call_bytes + len(request) > REQUESTS_BYTES_MAX):
            yield call
            call, call_bytes = [], 0
        call.append(request)
        call_bytes += len(request)
    if call:
        yield call


def to_requests(values: Iterable[bytes]) -> list[Request]:
    """What `of_requests` wrote; ValueError for anything else."""
    return [commands.from_bytes(value) for value in values]


def of_outcome(outcome: Outcome) -> list[Any]:
    """One answer to one request."""
    match outcome:
        case Accepted():
            return [_ACCEPTED, outcome.index, outcome.at_s, dict(outcome.result), outcome.repeated]
        case Declined():
            return [_DECLINED, str(outcome.reason), dict(outcome.facts)]
        case Reused():
            return [_REUSED]
        case Running():
            return [_RUNNING]
        case Failed():
            return [_FAILED, outcome.error]


def to_outcome(value: Sequence[Any]) -> Outcome:
    """What `of_outcome` wrote."""
    kind, *rest = value
    return _OUTCOMES[kind](*rest)


def _declined(reason: str, facts: dict[str, int]) -> Declined:
    return Declined(reason_of(reason), facts)


_OUTCOMES: Final[dict[int, Callable[..., Outcome]]] = {
    _ACCEPTED: Accepted,
    _DECLINED: _declined,
    _REUSED: Reused,
    _RUNNING: Running,
    _FAILED: Failed,
}


def of_recorded(recorded: Recorded) -> list[Any]:
    """One entry as its readers need it."""
    return [
        recorded.index,
        recorded.at_s,
        recorded.kind,
        dict(recorded.command),
        [list(posting) for posting in recorded.postings],
        dict(recorded.result),
    ]


def to_recorded(value: Sequence[Any]) -> Recorded:
    """What `of_recorded` wrote."""
    index, at_s, kind, command, postings, result = value
    frozen = {name: _frozen(field) for name, field in command.items()}
    return Recorded(index, at_s, kind, frozen, tuple(Posting(*posting) for posting in postings), result)


def of_evidence(pack: PackEvidence) -> list[Any]:
    """One accepted pack."""
    return [getattr(pack, field.name) for field in fields(pack)]


def to_evidence(value: Sequence[Any]) -> PackEvidence:
    """What `of_evidence` wrote."""
    return PackEvidence(*value)


def of_entry_evidence(evidence: Evidence) -> list[Any]:
    """Everything behind one entry."""
    inputs = [[read.key, read.value, _of_proven(read.written_by)] for read in evidence.inputs]
    told = [evidence.request, evidence.request_salt, evidence.result, evidence.checkpoint]
    return [_of_proven(evidence.proven), *told, inputs]


def to_entry_evidence(value: Sequence[Any]) -> Evidence:
    """What `of_entry_evidence` wrote."""
    proven, request, request_salt, result, checkpoint, inputs = value
    read = tuple(Input(key, row, _to_proven(by)) for key, row, by in inputs)
    return Evidence(_to_proven(proven), request, request_salt, result, checkpoint, read)


def _of_proven(proven: Proven) -> list[Any]:
    return [proven.index, proven.entry, proven.effects, proven.effects_salt, list(proven.path)]


def _to_proven(value: Sequence[Any]) -> Proven:
    index, entry, effects, effects_salt, path = value
    return Proven(index, entry, effects, effects_salt, tuple(path))


def of_refusal(refusal: tuple[int, Decided]) -> list[Any]:
    """One refused pack: its number and what was decided."""
    seq, decided = refusal
    return [seq, state.values(decided)]


def to_refusal(value: Sequence[Any]) -> tuple[int, Decided]:
    """What `of_refusal` wrote."""
    seq, decided = value
    return seq, state.of_values(Decided, decided)


def of_erasable(erasable: Erasable) -> list[Any]:
    """What an erasure has to name."""
    return [list(erasable.indexes), [list(row) for row in erasable.rows]]


def to_erasable(value: Sequence[Any]) -> Erasable:
    """What `of_erasable` wrote."""
    return Erasable(*_frozen(list(value)))


def of_head(head: Head) -> list[Any]:
    """The log as last published."""
    return [head.origin, head.size, head.root, head.at_s]


def to_head(value: Sequence[Any]) -> Head:
    """What `of_head` wrote."""
    return Head(*value)


def _frozen(value: Any) -> Any:
    """A command's sequences are tuples."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
