"""What an outbox promises: nothing committed is lost, nothing half done is kept, nobody else writes."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from contracts.wire import cose, packs
from device_sim.outbox import OutboxFailed, OutboxFile, Position
from device_sim.unit import Unit
from tests.device_sim.tiny_platform import PLATFORM_KEYS, intervals

SEED = bytes(32)
ROOT = Path(__file__).parents[2]

# Prints each message once `measure` has returned it, as if it were published then.
MEASURE_FOREVER = """
import sys
from pathlib import Path
from device_sim.outbox import OutboxFile
from device_sim.unit import Unit
from tests.device_sim.tiny_platform import PLATFORM_KEYS, intervals

unit = Unit(OutboxFile(Path(sys.argv[1])).of("unit-1"), seed=bytes(32), platform=PLATFORM_KEYS)
while True:
    outgoing = unit.measure(intervals(start_s=1_800_000_000 + 300 * unit.last_seq))
    print(outgoing.seq, outgoing.message.hex(), flush=True)
"""


def a_unit(file: OutboxFile, device_id: str = "unit-1") -> Unit:
    return Unit(file.of(device_id), seed=SEED, platform=PLATFORM_KEYS)


def content(message: bytes) -> packs.Pack:
    sign1 = cose.parse(message, content_type=cose.SENML_CBOR)
    assert isinstance(sign1, cose.Sign1)
    pack = packs.read(sign1.payload)
    assert isinstance(pack, packs.Pack)
    return pack


def published_before_the_kill(path: Path, how_many: int) -> dict[int, bytes]:
    """Run a unit in its own process, kill it amid measuring, and return what it had published."""
    process = subprocess.Popen(
        [sys.executable, "-c", MEASURE_FOREVER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(how_many)]
    process.kill()
    rest, _ = process.communicate()
    whole = [*lines, *rest.splitlines(keepends=True)]
    pairs = [line.split() for line in whole if line.endswith("\n")]
    return {int(seq): bytes.fromhex(message) for seq, message in pairs}


def test_a_process_killed_while_measuring_leaves_contiguous_numbers_and_the_bytes_it_published(tmp_path):
    path = tmp_path / "outbox.sqlite"
    published: dict[int, bytes] = {}
    for how_many in (1, 30):
        published |= published_before_the_kill(path, how_many)

    file = OutboxFile(path)
    unit = a_unit(file)
    held = {seq: unit.message(seq) for seq in range(1, unit.last_seq + 1)}
    file.close()

    assert max(published) <= unit.last_seq <= max(published) + 1
    kept = {seq: message for seq, message in held.items() if message is not None}
    assert kept == held
    assert {seq: kept[seq] for seq in published} == published
    for seq in range(2, unit.last_seq + 1):
        assert content(kept[seq]).prev == packs.message_hash(kept[seq - 1])


def test_a_batch_that_fails_keeps_nothing_and_the_next_goes_on_from_before_it(tmp_path):
    file = OutboxFile(tmp_path / "outbox.sqlite")
    unit = a_unit(file)
    first = unit.measure(intervals())

    with pytest.raises(ZeroDivisionError), file.batch():
        unit.measure(intervals(start_s=1_800_000_300))
        raise ZeroDivisionError

    assert (unit.last_seq, unit.held_count) == (1, 1)
    assert content(unit.measure(intervals()).message).prev == packs.message_hash(first.message)
    file.close()


def test_a_batch_whose_part_failed_fails_even_if_the_error_was_caught_inside(tmp_path):
    file = OutboxFile(tmp_path / "outbox.sqlite")
    unit = a_unit(file)

    with pytest.raises(OutboxFailed), file.batch():
        unit.measure(intervals())
        with pytest.raises(ValueError, match="1 to 200"):
            unit.measure([])

    assert unit.last_seq == 0
    file.close()


def test_units_that_share_a_file_do_not_see_each_other(tmp_path):
    file = OutboxFile(tmp_path / "outbox.sqlite")
    one, other = a_unit(file, "unit-1"), a_unit(file, "unit-2")

    with file.batch():
        one.measure(intervals())
        one.measure(intervals())
        other.measure(intervals())

    assert [(unit.last_seq, unit.held_count) for unit in (one, other)] == [(2, 2), (1, 1)]
    file.close()


def test_remainders_are_stored_with_the_pack_and_exactly(tmp_path):
    file = OutboxFile(tmp_path / "outbox.sqlite")
    owed_wh = {"pv_wh": Fraction(1, 3), "load_wh": Fraction(999, 1_000)}
    assert a_unit(file).owed_wh() == {}

    a_unit(file).measure(intervals(), owed_wh=owed_wh)

    file.close()
    reopened = OutboxFile(tmp_path / "outbox.sqlite")
    assert a_unit(reopened).owed_wh() == owed_wh
    reopened.close()


def test_an_outbox_in_use_cannot_be_opened_by_another(tmp_path):
    path = tmp_path / "outbox.sqlite"
    file = OutboxFile(path)
    a_unit(file).measure(intervals())

    with pytest.raises(OutboxFailed, match="locked"):
        OutboxFile(path)

    file.close()


def test_only_its_owner_can_read_the_file_because_seeds_are_inside(tmp_path):
    OutboxFile(tmp_path / "outbox.sqlite").close()

    assert (tmp_path / "outbox.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_outbox_is_one_clear_error(tmp_path):
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"not a database" * 100)

    with pytest.raises(OutboxFailed, match="not a database"):
        OutboxFile(path)


def test_a_change_outside_of_a_batch_is_a_bug(tmp_path):
    file = OutboxFile(tmp_path / "outbox.sqlite")

    with pytest.raises(RuntimeError, match="batch"):
        file.of("unit-1").move(Position())

    file.close()
