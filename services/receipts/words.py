"""A receipt's first lines: what happened, in plain sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.ledger.entries import Entry
from services.moments import rfc3339


def of_entry(entry: Entry, answer: Mapping[str, Any], postings: Sequence[Mapping[str, Any]]) -> list[str]:
    """What an entry was to the customer whose postings these are."""
    lines = [f"{entry.kind.replace('_', ' ').capitalize()}, recorded at {rfc3339(entry.at_s)}."]
    if answer.get("outcome") == "accepted":
        lines.append(f"Pack {answer['seq']} of unit {answer['device']} earned {sparks(answer['micro_sparks'])}.")
        if answer["deferred"]:
            lines.append("They wait until the programme's reserve funds them.")
    if answer.get("outcome") == "refused":
        lines.append(f"Pack {answer['seq']} was refused and earned nothing: {answer['reason']}.")
    lines.extend(_moved(posting) for posting in postings)
    return lines


def sparks(micro_sparks: int) -> str:
    """An amount as people read it, exact: 1.250000 sparks."""
    whole, rest = divmod(abs(micro_sparks), 1_000_000)
    return f"{'-' if micro_sparks < 0 else ''}{whole}.{rest:06} sparks"


def _moved(posting: Mapping[str, Any]) -> str:
    what = "waiting for the reserve" if posting["asset"] == "deferred" else posting["account"]
    change = "more" if posting["micro_sparks"] > 0 else "less"
    return f"{sparks(abs(posting['micro_sparks']))} {change} {what}."
