"""What a unit signs, believes and does, as promised to the platform; and that no history leaves it stuck."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.wire import cose, packs, receipts, signatures
from contracts.wire.keys import key_change_bytes
from device_sim.outbox import OutboxFile
from device_sim.unit import AHEAD_MAX, Ignored, Outgoing, Unit
from tests.device_sim.tiny_platform import (
    FOREVER_S,
    PLATFORM_KEYS,
    TinyPlatform,
    intervals,
    signed_command,
    signed_receipt,
)

DEVICE = "unit-1"
SEED = bytes(range(32))
NOW_S = 1_800_000_000


def a_unit(file: OutboxFile, *, seed: bytes = SEED, reserve_floor_pct: int = 20) -> Unit:
    return Unit(file.of(DEVICE), seed=seed, platform=PLATFORM_KEYS, reserve_floor_pct=reserve_floor_pct)


def measured(unit: Unit, how_many: int) -> list[Outgoing]:
    """Packs of one interval each, one after the other."""
    return [unit.measure(intervals(start_s=NOW_S + 300 * (unit.last_seq + k))) for k in [0] * how_many]


def a_receipt(outgoing: Outgoing, *, device_id: str = DEVICE, refused: tuple[tuple[int, str], ...] = ()) -> bytes:
    receipt = receipts.Receipt(device_id, outgoing.seq, packs.message_hash(outgoing.message), 7, "tiny", refused)
    return signed_receipt(receipt)


def a_resend(from_seq: int, *, id_: str = "a", device_id: str = DEVICE, expires_s: int = FOREVER_S) -> bytes:
    return signed_command(receipts.Resend(device_id, id_, 0, expires_s, from_seq))


def an_event(id_: str = "e", *, reserve_pct: int = 20, start_s: int = NOW_S + 600) -> receipts.EventCall:
    return receipts.EventCall(DEVICE, id_, NOW_S, NOW_S + 60, start_s, start_s + 3_600, 2_000, reserve_pct)


def content(outgoing: Outgoing) -> packs.Pack | packs.GapPack | packs.BadPack:
    sign1 = cose.parse(outgoing.message, content_type=cose.SENML_CBOR)
    assert isinstance(sign1, cose.Sign1)
    return packs.read(sign1.payload)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[OutboxFile]:
    opened = OutboxFile(tmp_path / "outbox.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def unit(file: OutboxFile) -> Unit:
    return a_unit(file)


def an_hour(start_s: int, *, energy_wh: int) -> packs.Interval:
    e = energy_wh
    return packs.Interval(start_s, 3_600, e, e, e, e, e, e, 50)


def intervals_of(outgoing: Outgoing) -> tuple[packs.Interval, ...]:
    said = content(outgoing)
    assert isinstance(said, packs.Pack)
    return said.intervals


class TestMeasuring:
    def test_packs_are_numbered_from_one_and_name_the_hash_of_the_one_before(self, unit):
        first, second = measured(unit, 2)

        assert content(first).prev == packs.FIRST_PREV
        assert (content(first).seq, content(second).seq) == (1, 2)
        assert content(second).prev == packs.message_hash(first.message)

    def test_a_pack_is_signed_by_the_units_key(self, unit):
        (outgoing,) = measured(unit, 1)

        sign1 = cose.parse(outgoing.message, content_type=cose.SENML_CBOR)

        assert isinstance(sign1, cose.Sign1)
        assert cose.is_signed_by(sign1, signatures.public_key_of(SEED))

    def test_intervals_that_are_not_contiguous_get_no_number(self, unit):
        with pytest.raises(ValueError, match="does not follow"):
            unit.measure([*intervals(), *intervals(start_s=NOW_S + 900)])

        assert (unit.last_seq, unit.held_count) == (0, 0)

    def test_more_than_a_message_can_carry_gets_no_number(self, unit):
        heavy = [an_hour(NOW_S + 3_600 * k, energy_wh=900_000 + k) for k in range(packs.INTERVALS_MAX)]

        with pytest.raises(ValueError, match="too many for one pack"):
            unit.measure(heavy)

        assert unit.last_seq == 0


class TestReceipts:
    def test_a_receipt_drops_what_it_covers_and_nothing_else(self, unit):
        sent = measured(unit, 5)

        assert unit.on_receipt(a_receipt(sent[2])) == []

        assert [seq for seq in range(1, 6) if unit.message(seq)] == [4, 5]

    def test_a_refused_pack_is_covered_like_any_other_and_counted_once(self, unit):
        sent = measured(unit, 3)

        unit.on_receipt(a_receipt(sent[1], refused=((2, "energy_imbalance"),)))
        unit.on_receipt(a_receipt(sent[2], refused=((2, "energy_imbalance"), (3, "clock_ahead"))))

        assert unit.held_count == 0
        assert unit.refused == {"energy_imbalance": 1, "clock_ahead": 1}

    def test_an_old_receipt_changes_nothing(self, unit):
        sent = measured(unit, 3)
        unit.on_receipt(a_receipt(sent[1]))

        unit.on_receipt(a_receipt(sent[0]))

        assert unit.covered_seq == 2

    @pytest.mark.parametrize(
        ("message", "why"),
        [
            (b"junk", Ignored.UNREADABLE),
            (a_resend(1), Ignored.BAD_SIGNATURE),  # the key for commands signs no receipt
            (a_receipt(Outgoing(1, b""), device_id="unit-2"), Ignored.OTHER_DEVICE),
        ],
    )
    def test_a_message_that_is_no_receipt_for_it_is_ignored(self, unit, message, why):
        measured(unit, 1)

        assert unit.on_receipt(message) is why
        assert unit.held_count == 1

    def test_an_instruction_is_no_receipt_whoever_signed_it(self, unit):
        message = cose.build(receipts.write(an_event()), content_type=cose.CBOR, seed=bytes([1]) * 32)

        assert unit.on_receipt(message) is Ignored.UNREADABLE


class TestSilence:
    def test_on_connecting_the_newest_pack_is_sent_again_with_the_same_bytes(self, unit):
        sent = measured(unit, 3)

        assert unit.on_connected() == [sent[2]]

    def test_on_connecting_nothing_is_sent_if_all_is_covered(self, unit):
        (sent,) = measured(unit, 1)
        unit.on_receipt(a_receipt(sent))

        assert unit.on_connected() == []

    def test_the_newest_pack_is_one_that_the_platform_would_take(self, unit, file):
        with file.batch():
            measured(unit, AHEAD_MAX + 2)

        (outgoing,) = unit.on_connected()

        assert outgoing.seq == AHEAD_MAX

    def test_after_an_hour_without_a_receipt_the_newest_pack_is_sent_again_once_an_hour(self, unit):
        sent = measured(unit, 2)

        assert unit.due(50.0) == []
        assert unit.due(50.0 + 3_599) == []
        assert unit.due(50.0 + 3_600) == [sent[1]]
        assert unit.due(50.0 + 3_601) == []
        assert unit.due(50.0 + 7_200) == [sent[1]]

    def test_a_receipt_breaks_the_silence(self, unit):
        sent = measured(unit, 2)
        unit.due(0.0)
        unit.on_receipt(a_receipt(sent[0]))

        assert unit.due(3_600.0) == []
        assert unit.due(7_200.0) == [sent[1]]


class TestResends:
    def test_a_resend_brings_the_same_bytes_from_the_number_asked_for(self, unit):
        sent = measured(unit, 4)

        assert unit.on_command(a_resend(3), NOW_S) == sent[2:]

    def test_what_a_receipt_covers_is_not_sent_again(self, unit):
        sent = measured(unit, 4)
        unit.on_receipt(a_receipt(sent[3]))

        assert unit.on_command(a_resend(3), NOW_S) == []

    def test_a_number_asked_for_a_third_time_is_given_up_with_a_gap_pack(self, unit):
        sent = measured(unit, 4)
        assert unit.on_command(a_resend(2, id_="a"), NOW_S) == sent[1:]
        assert unit.on_command(a_resend(2, id_="b"), NOW_S) == sent[1:]

        gap, *others = unit.on_command(a_resend(2, id_="c"), NOW_S)

        assert content(gap) == packs.GapPack(DEVICE, 2, packs.message_hash(sent[0].message), 3)
        assert others == sent[2:]

    def test_a_gap_pack_asked_for_again_keeps_its_bytes(self, unit):
        measured(unit, 2)
        (gap, _) = [unit.on_command(a_resend(1, id_=id_), NOW_S) for id_ in "abc"][-1]

        again = [unit.on_command(a_resend(1, id_=id_), NOW_S)[0] for id_ in "defgh"]

        assert set(again) == {gap}

    def test_after_a_newest_pack_given_up_the_next_names_the_gap_packs_hash(self, unit):
        measured(unit, 1)
        (gap,) = [unit.on_command(a_resend(1, id_=id_), NOW_S) for id_ in "abc"][-1]

        (after,) = measured(unit, 1)

        assert content(after).prev == packs.message_hash(gap.message)
        assert unit.on_receipt(a_receipt(gap)) == []
        assert unit.message(2) == after.message

    def test_numbers_that_a_lost_disk_held_are_declared_lost_up_to_the_next_one_held(self, unit):
        unit.on_receipt(a_receipt(Outgoing(5, b"of an earlier life")))

        (gap,) = unit.on_command(a_resend(6), NOW_S)

        assert content(gap) == packs.GapPack(DEVICE, 6, packs.message_hash(b"of an earlier life"), 7)
        assert measured(unit, 1)[0].seq == 7


class TestALostDisk:
    def test_a_unit_that_lost_its_disk_goes_on_after_its_retained_receipt(self, unit):
        last = Outgoing(41, b"of an earlier life")

        assert unit.on_receipt(a_receipt(last)) == []

        (after,) = measured(unit, 1)
        assert (content(after).seq, content(after).prev) == (42, packs.message_hash(last.message))

    def test_what_it_measured_before_it_heard_the_receipt_is_signed_anew_after_it(self, unit):
        before = measured(unit, 3)

        anew = unit.on_receipt(a_receipt(Outgoing(2, b"of an earlier life")))

        assert [content(outgoing).seq for outgoing in anew] == [3, 4, 5]
        assert [intervals_of(outgoing) for outgoing in anew] == [intervals_of(outgoing) for outgoing in before]
        assert content(anew[0]).prev == packs.message_hash(b"of an earlier life")
        assert (unit.last_seq, unit.held_count) == (5, 3)


class TestInstructions:
    @pytest.mark.parametrize(
        ("message", "why"),
        [
            (b"junk", Ignored.UNREADABLE),
            (a_receipt(Outgoing(1, b"")), Ignored.BAD_SIGNATURE),  # the key for receipts signs no command
            (a_resend(1, device_id="unit-2"), Ignored.OTHER_DEVICE),
            (a_resend(1, expires_s=NOW_S), Ignored.EXPIRED),
            (signed_command(an_event(reserve_pct=19)), Ignored.BREAKS_RESERVE),
        ],
    )
    def test_an_instruction_that_is_not_for_it_now_is_ignored(self, unit, message, why):
        measured(unit, 1)

        assert unit.on_command(message, NOW_S) is why
        assert unit.events(NOW_S) == []

    def test_an_instruction_is_followed_once_also_after_a_restart(self, file):
        unit = a_unit(file)
        sent = measured(unit, 1)

        assert unit.on_command(a_resend(1), NOW_S) == sent
        assert a_unit(file).on_command(a_resend(1), NOW_S) is Ignored.REPEATED

    def test_an_event_that_leaves_the_owners_reserve_is_kept_until_it_is_over(self, file):
        event = an_event(reserve_pct=20)

        assert a_unit(file).on_command(signed_command(event), NOW_S) == []

        restarted = a_unit(file)
        assert restarted.events(NOW_S) == [event]
        assert restarted.events(event.end_s) == []

    def test_a_cancelled_event_does_not_take_place(self, unit):
        unit.on_command(signed_command(an_event("e")), NOW_S)
        unit.on_command(signed_command(an_event("f")), NOW_S)

        unit.on_command(signed_command(receipts.EventCancelled(DEVICE, "c", 0, FOREVER_S, "e")), NOW_S)

        assert [event.id for event in unit.events(NOW_S)] == ["f"]

    def test_an_event_that_arrives_after_its_cancellation_does_not_take_place(self, unit):
        unit.on_command(signed_command(receipts.EventCancelled(DEVICE, "c", 0, FOREVER_S, "e")), NOW_S)

        assert unit.on_command(signed_command(an_event("e")), NOW_S) is Ignored.REPEATED


class TestKeys:
    NEW_SEED = bytes([9]) * 32

    def test_the_old_key_consents_to_the_new_one(self, unit):
        new_key = signatures.public_key_of(self.NEW_SEED)

        signature = unit.key_change_signature(new_key, from_seq=3)

        agreed = key_change_bytes(DEVICE, new_key, 3)
        assert signatures.verify(signatures.public_key_of(SEED), agreed, signature)

    def test_numbers_below_the_change_stay_with_the_old_key_and_keep_their_bytes(self, file):
        unit = a_unit(file)
        before = measured(unit, 2)

        assert unit.rotate(self.NEW_SEED, from_seq=4) == []

        assert [unit.message(1), unit.message(2)] == [outgoing.message for outgoing in before]
        keys = [signed_with(outgoing) for outgoing in [*before, *measured(a_unit(file), 2)]]
        old, new = (signatures.key_id(signatures.public_key_of(seed)) for seed in (SEED, self.NEW_SEED))
        assert keys == [old, old, old, new]

    def test_held_numbers_from_the_change_on_are_signed_again_in_their_places(self, unit):
        before = measured(unit, 3)

        again = unit.rotate(self.NEW_SEED, from_seq=2)

        assert [content(outgoing).seq for outgoing in again] == [2, 3]
        assert content(again[0]).prev == packs.message_hash(before[0].message)
        assert content(again[1]).prev == packs.message_hash(again[0].message)
        assert content(*measured(unit, 1)).prev == packs.message_hash(again[1].message)

    def test_a_gap_pack_verifies_under_the_newest_key(self, unit):
        measured(unit, 2)
        for id_ in "abc":
            unit.on_command(a_resend(1, id_=id_), NOW_S)

        gap, _ = unit.rotate(self.NEW_SEED, from_seq=2)

        assert isinstance(content(gap), packs.GapPack)
        assert signed_with(gap) == signatures.key_id(signatures.public_key_of(self.NEW_SEED))

    def test_a_decided_number_cannot_change_its_key(self, unit):
        (sent,) = measured(unit, 1)
        unit.on_receipt(a_receipt(sent))

        with pytest.raises(ValueError, match="decided"):
            unit.rotate(self.NEW_SEED, from_seq=1)


def signed_with(outgoing: Outgoing) -> bytes:
    sign1 = cose.parse(outgoing.message, content_type=cose.SENML_CBOR)
    assert isinstance(sign1, cose.Sign1)
    return sign1.kid


class Life:
    """A unit, a platform, and a network between them that loses, repeats and reorders."""

    def __init__(self, folder: Path, chance: Random) -> None:
        self.folder = folder
        self.chance = chance
        self.platform = TinyPlatform(DEVICE, signatures.public_key_of(SEED))
        self.seed = SEED
        self.disks = 0
        self.file = OutboxFile(folder / "0.sqlite")
        self.unit = a_unit(self.file)
        self.up: list[bytes] = []
        self.down: list[tuple[str, bytes]] = []
        self.measured: list[packs.Interval] = []

    def measure(self) -> None:
        new = intervals(self.chance.randint(1, 3), start_s=NOW_S + 3_600 * (len(self.measured) + 1), chance=self.chance)
        self.measured += new
        self.send([self.unit.measure(new)])

    def send(self, answer: list[Outgoing] | Ignored) -> None:
        if not isinstance(answer, Ignored):
            self.up += [outgoing.message for outgoing in answer]

    def hear(self, topic: str, message: bytes) -> None:
        if topic == "receipts":
            self.send(self.unit.on_receipt(message))
        else:
            self.send(self.unit.on_command(message, NOW_S))

    def deliver_one(self) -> None:
        """Deliver any message there is, both ways alike."""
        k = self.chance.randrange(len(self.up) + len(self.down)) if self.up or self.down else None
        if k is None:
            return
        if k < len(self.up):
            self.receipt(self.platform.receive(self.up.pop(k)))
        else:
            self.hear(*self.down.pop(k - len(self.up)))

    def receipt(self, receipt: bytes | None) -> None:
        if receipt is not None:
            self.down.append(("receipts", receipt))

    def lose_one(self) -> None:
        if self.up:
            self.up.pop(self.chance.randrange(len(self.up)))

    def repeat_one(self) -> None:
        if self.up:
            self.up.append(self.chance.choice(self.up))

    def ask(self) -> None:
        resend = self.platform.resend()
        if resend is not None:
            self.down.append(("commands", resend))

    def restart(self) -> None:
        self.file.close()
        self.file = OutboxFile(self.folder / f"{self.disks}.sqlite")
        self.unit = a_unit(self.file, seed=self.seed)
        self.connect()

    def connect(self) -> None:
        retained = self.platform.receipt()
        if retained is not None:
            self.hear("receipts", retained)
        self.send(self.unit.on_connected())

    def lose_disk(self) -> None:
        self.disks += 1
        self.restart()

    def rotate(self) -> None:
        from_seq = self.platform.highest_seq + 1 + self.chance.randrange(2)
        self.seed = self.chance.randbytes(32)
        self.platform.keys.append((from_seq, signatures.public_key_of(self.seed)))
        self.send(self.unit.rotate(self.seed, from_seq=from_seq))

    def settle(self) -> int:
        """Let everything arrive, and ask for what is missing; return after how many rounds the outbox was empty."""
        for rounds in range(200):
            while self.up or self.down:
                self.deliver_one()
            if not self.unit.held_count and not self.platform.parked:
                return rounds
            self.ask()
            self.send(self.unit.on_connected())
        raise AssertionError(f"stuck at {self.platform.next_seq} with {self.unit.held_count} held")


STEPS = ["measure"] * 4 + ["deliver_one"] * 6 + ["lose_one", "repeat_one", "ask", "restart"]
CHANCES = st.integers(0, 2**32).map(Random)


def a_life(folder: str, steps: list[str], chance: Random) -> Life:
    life = Life(Path(folder), chance)
    for step in steps:
        getattr(life, step)()
    life.settle()
    life.file.close()
    return life


@given(st.lists(st.sampled_from([*STEPS, "rotate"]), max_size=60), CHANCES)
def test_whatever_the_network_does_every_interval_counts_once_or_its_number_was_asked_for_three_times(steps, chance):
    with tempfile.TemporaryDirectory() as folder:
        life = a_life(folder, steps, chance)

    platform = life.platform
    assert platform.refused == []
    assert platform.became["equivocation"] == 0
    assert all(platform.asked[seq] >= 3 for seq in platform.voids)
    missing = set(life.measured) - set(platform.accepted)
    assert bool(missing) == bool(platform.voids)
    assert len(platform.accepted) == len(set(platform.accepted))


@given(st.lists(st.sampled_from([*STEPS, "lose_disk"]), max_size=60), CHANCES)
def test_a_unit_that_loses_its_disk_again_and_again_is_never_stuck(steps, chance):
    with tempfile.TemporaryDirectory() as folder:
        life = a_life(folder, steps, chance)

    assert len(life.platform.accepted) == len(set(life.platform.accepted))
    assert set(life.platform.accepted) <= set(life.measured)
