"""Signatures verified in another process: the answers are those of this one, whatever becomes of the other."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from contracts.evidence import Check
from contracts.wire import signatures
from services.ledger.signature_checks import AHEAD_MIN, SignatureChecks

SEED = bytes(range(32))
ROOT = Path(__file__).parents[3]
CORES = len(os.sched_getaffinity(0))


def some(count: int, *, wrong: int) -> list[Check]:
    """Checks of which the one in place `wrong` fails."""
    messages = [f"message {place}".encode() for place in range(count)]
    signed = [
        signatures.sign(SEED, b"another" if place == wrong else message) for place, message in enumerate(messages)
    ]
    public_key = signatures.public_key_of(SEED)
    return [Check(public_key, message, signature) for message, signature in zip(messages, signed, strict=True)]


@pytest.fixture
def checks() -> Iterator[SignatureChecks]:
    made = SignatureChecks(before_min=0)
    yield made
    made.close()


def others() -> set[int]:
    """The processes that verify for this one (multiprocessing has one of its own besides)."""
    found = set()
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if any("spawn_main" in word for word in child.cmdline()):
                found.add(child.pid)
    return found


@pytest.mark.parametrize("count", [10, AHEAD_MIN + 30])
def test_only_the_wrong_signature_is_not_valid(checks: SignatureChecks, count: int):
    asked = some(count, wrong=7)
    checks.begin(asked)
    assert [place for place, check in enumerate(asked) if not checks.is_valid(check)] == [7]


def test_what_was_not_begun_is_verified_all_the_same(checks: SignatureChecks):
    checks.begin(some(AHEAD_MIN, wrong=-1))
    (good, bad) = some(2, wrong=1)
    assert (checks.is_valid(good), checks.is_valid(bad)) == (True, False)


def test_few_signatures_start_no_process(checks: SignatureChecks):
    before = others()
    checks.begin(some(AHEAD_MIN - 1, wrong=-1))
    assert others() <= before


def test_a_small_log_starts_no_process():
    before = others()
    checks = SignatureChecks()
    checks.begin(some(AHEAD_MIN, wrong=-1))
    assert others() <= before


def test_a_process_that_is_killed_leaves_every_answer_right(checks: SignatureChecks):
    before = others()
    asked = some(AHEAD_MIN, wrong=AHEAD_MIN - 1)
    checks.begin(asked)
    assert checks.is_valid(asked[0])
    for pid in others() - before:
        os.kill(pid, signal.SIGKILL)
    assert [checks.is_valid(check) for check in asked] == [True] * (AHEAD_MIN - 1) + [False]
    checks.begin(asked)
    assert not checks.is_valid(asked[-1])


def test_no_process_is_left_when_its_parent_is_killed():
    program = "from tests.services.ledger.test_signature_checks import begin_and_wait\nbegin_and_wait()"
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        started = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
    _, alive = psutil.wait_procs(started, timeout=30)
    assert (len(started) > 0, alive) == (CORES > 1, [])


def begin_and_wait() -> None:
    """What a process does that is then killed: it tells of its children, and waits."""
    checks = SignatureChecks(before_min=0)
    asked = some(AHEAD_MIN, wrong=-1)
    checks.begin(asked)
    assert checks.is_valid(asked[0])
    sys.stdout.write(" ".join(map(str, others())) + "\n")
    sys.stdout.flush()
    signal.pause()


def test_no_process_is_left_when_they_are_closed():
    before = others()
    checks = SignatureChecks(before_min=0)
    checks.begin(some(AHEAD_MIN, wrong=-1))
    started = others() - before
    assert bool(started) == (CORES > 1)
    checks.close()
    assert not others() & started
