"""What each mischief changes, and that nothing but the seed of chance decides it."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.wire import cose, packs, signatures
from device_sim.mischief import EXPECTED, Mischief, Outcome, performed, spoiled
from tests.device_sim.tiny_platform import TinyPlatform, intervals

SEED = bytes(32)
NOW_S = 1_800_000_000
SPOILING = {Mischief.CLOCK_HOURS_AHEAD, Mischief.CLOCK_DAYS_AHEAD, Mischief.IMPOSSIBLE_ENERGY}


def honest_messages(how_many: int) -> list[bytes]:
    messages: list[bytes] = []
    prev = packs.FIRST_PREV
    for seq in range(1, how_many + 1):
        pack = packs.Pack("unit-1", seq, prev, tuple(intervals(start_s=NOW_S + 300 * seq)))
        messages.append(cose.build(packs.write(pack), content_type=cose.SENML_CBOR, seed=SEED))
        prev = packs.message_hash(messages[-1])
    return messages


def test_each_mischief_says_what_has_to_become_of_it():
    assert set(EXPECTED) == set(Mischief)


@pytest.mark.parametrize("mischief", Mischief)
def test_the_same_chance_does_the_same_mischief(mischief):
    messages = honest_messages(6)

    once, again = (performed(mischief, messages, seed=SEED, chance=Random(5)) for _ in range(2))

    assert once == again


@given(st.sampled_from(sorted(set(Mischief) - SPOILING)), st.integers(2, 8), st.integers().map(Random))
def test_what_goes_on_the_wire_is_judged_as_expected(mischief, how_many, chance):
    platform = TinyPlatform("unit-1", signatures.public_key_of(SEED))

    for message in performed(mischief, honest_messages(how_many), seed=SEED, chance=chance):
        platform.receive(message)

    expected = EXPECTED[mischief]
    assert bool(platform.parked) == (expected.outcome is Outcome.WAITING)
    assert (len(platform.accepted) == how_many) == (expected.outcome is not Outcome.WAITING)
    became = {
        Outcome.QUARANTINED: {expected.reason: 1},
        Outcome.DUPLICATE: {"duplicate": 1},
    }
    assert platform.became == became.get(expected.outcome, {})


def test_a_clock_ahead_by_hours_stays_within_a_day_and_one_by_days_does_not():
    for chance in map(Random, range(50)):
        (hours,) = spoiled(Mischief.CLOCK_HOURS_AHEAD, intervals(), pv_nameplate_w=5_000, chance=chance)
        (days,) = spoiled(Mischief.CLOCK_DAYS_AHEAD, intervals(), pv_nameplate_w=5_000, chance=chance)

        assert 120 < hours.start_s - NOW_S < 86_400 - 3_600
        assert days.start_s - NOW_S > 86_400


@pytest.mark.parametrize("pv_nameplate_w", [0, 800, 5_000])
def test_impossible_energy_is_above_the_nameplate_but_balanced(pv_nameplate_w):
    (spoilt,) = spoiled(Mischief.IMPOSSIBLE_ENERGY, intervals(), pv_nameplate_w=pv_nameplate_w, chance=Random(1))

    # The nameplate rule of the programme.
    assert spoilt.pv_wh * 360_000 > pv_nameplate_w * spoilt.duration_s * 125 + 360_000
    assert spoilt.pv_wh == spoilt.load_wh + spoilt.export_wh


@pytest.mark.parametrize("mischief", sorted(set(Mischief) - SPOILING))
def test_mischief_on_the_wire_leaves_the_measurement_alone(mischief):
    measurement = intervals(3)

    assert spoiled(mischief, measurement, pv_nameplate_w=5_000, chance=Random(1)) == measurement


@pytest.mark.parametrize("mischief", sorted(SPOILING))
def test_a_spoiled_measurement_is_sent_in_good_faith(mischief):
    messages = honest_messages(3)

    assert performed(mischief, messages, seed=SEED, chance=Random(1)) == messages
