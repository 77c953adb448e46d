"""One long story, always the same, told by `python -m tests.contracts.scenario`: prints the SHA-256 of all it did."""

import hashlib
import random
import sys
from collections import Counter

from contracts import commands, effects, execute
from contracts.commands import Request
from contracts.effects import Rejected
from tests.contracts.story import FREQUENT, MAKERS, a_town

STEPS = 8_000
SALT = bytes(16)


def told(steps: int = STEPS) -> tuple[str, Counter[str]]:
    """The digest of everything that happened, and how often each kind was executed."""
    dice = random.Random(20_261_123).randrange
    story = a_town(deposit_cents=20)
    kinds = (*MAKERS, *FREQUENT)
    digest = hashlib.sha256(execute.version())
    executed: Counter[str] = Counter()
    for number in range(steps):
        if not dice(4):
            story.wait(dice)
        command = story.command(kinds[dice(len(kinds))], dice)
        digest.update(commands.to_bytes(Request(number.to_bytes(32, "big"), bytes(32), command)))
        answer = story.tell(command)
        if isinstance(answer, Rejected):
            digest.update(f"{answer.reason}{sorted(answer.facts.items())}".encode())
            continue
        executed[command.KIND] += 1
        rows = effects.row_bytes(answer)
        digest.update(effects.to_bytes(answer, command_salt=SALT, rows=rows))
        for key, row in rows.items():
            digest.update(key.encode() + (row or b""))
    return digest.hexdigest(), executed


if __name__ == "__main__":
    sys.stdout.write(told()[0])
