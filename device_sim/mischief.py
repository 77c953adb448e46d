"""What a broken or dishonest unit sends, and what has to become of it.

Two kinds: some spoil the measurement, which the unit then signs in good faith (`spoiled`); the others leave the
outbox alone and do something else on the wire than send its messages once and in order (`performed`). A mischief
of one kind leaves the other function's input as it is, so both can be applied to any.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Final

from contracts.units import DAY_S, HOUR_S
from contracts.wire import cose, packs, signatures


class Mischief(StrEnum):
    REPLAY = "replay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    DROP = "drop"
    DELAY = "delay"
    FORGED_SIGNATURE = "forged_signature"
    WRONG_KEY = "wrong_key"
    TAMPERED_PAYLOAD = "tampered_payload"
    CLOCK_HOURS_AHEAD = "clock_hours_ahead"
    CLOCK_DAYS_AHEAD = "clock_days_ahead"
    IMPOSSIBLE_ENERGY = "impossible_energy"
    EQUIVOCATION = "equivocation"
    MALFORMED = "malformed"
    OVERSIZED = "oversized"


class Outcome(StrEnum):
    """What becomes of a message."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    WAITING = "waiting"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Expected:
    """What has to become of the message that is odd; the unit's own messages are accepted besides."""

    outcome: Outcome
    reason: str | None = None


EXPECTED: Final = {
    Mischief.REPLAY: Expected(Outcome.DUPLICATE),
    Mischief.DUPLICATE: Expected(Outcome.DUPLICATE),
    Mischief.REORDER: Expected(Outcome.ACCEPTED),
    # Those after the missing one wait for it, until the unit is asked for it and sends it.
    Mischief.DROP: Expected(Outcome.WAITING),
    Mischief.DELAY: Expected(Outcome.ACCEPTED),
    Mischief.FORGED_SIGNATURE: Expected(Outcome.QUARANTINED, "bad_signature"),
    Mischief.WRONG_KEY: Expected(Outcome.QUARANTINED, "unknown_key"),
    Mischief.TAMPERED_PAYLOAD: Expected(Outcome.QUARANTINED, "bad_signature"),
    # Until it is due; what the unit measures meanwhile with a clock set right overlaps it and is refused.
    Mischief.CLOCK_HOURS_AHEAD: Expected(Outcome.WAITING),
    Mischief.CLOCK_DAYS_AHEAD: Expected(Outcome.REFUSED, "clock_ahead"),
    Mischief.IMPOSSIBLE_ENERGY: Expected(Outcome.REFUSED, "above_nameplate"),
    Mischief.EQUIVOCATION: Expected(Outcome.QUARANTINED, "equivocation"),
    Mischief.MALFORMED: Expected(Outcome.QUARANTINED, "malformed_cose"),
    Mischief.OVERSIZED: Expected(Outcome.QUARANTINED, "too_large"),
}


def spoiled(
    mischief: Mischief, intervals: Sequence[packs.Interval], *, pv_nameplate_w: int, chance: Random
) -> list[packs.Interval]:
    """Return what the unit measures instead of `intervals`, which end about now."""
    match mischief:
        case Mischief.CLOCK_HOURS_AHEAD:
            shift_s = chance.randint(2, 20) * HOUR_S
        case Mischief.CLOCK_DAYS_AHEAD:
            shift_s = chance.randint(2, 20) * DAY_S
        case Mischief.IMPOSSIBLE_ENERGY:
            return [_with_impossible_sun(interval, pv_nameplate_w) for interval in intervals]
        case _:
            return list(intervals)
    return [interval._replace(start_s=interval.start_s + shift_s) for interval in intervals]


def _with_impossible_sun(interval: packs.Interval, pv_nameplate_w: int) -> packs.Interval:
    """More than twice what the panel can give, all of it exported, so that only the nameplate tells."""
    extra_wh = 2 * pv_nameplate_w * interval.duration_s // HOUR_S + 10
    return interval._replace(pv_wh=interval.pv_wh + extra_wh, export_wh=interval.export_wh + extra_wh)


def performed(mischief: Mischief, honest: Sequence[bytes], *, seed: bytes, chance: Random) -> list[bytes]:
    """Return what goes on the wire instead of `honest`, a unit's messages in order, signed with `seed`."""
    if not honest:
        return []
    # Never the last of several, so that others come after it.
    k = chance.randrange(max(1, len(honest) - 1))
    before, victim, after = [*honest[:k]], honest[k], [*honest[k + 1 :]]
    match mischief:
        case Mischief.REPLAY:
            return [*honest, victim]
        case Mischief.DUPLICATE:
            return [*before, victim, victim, *after]
        case Mischief.REORDER:
            return [*after, victim, *before]
        case Mischief.DROP:
            return [*before, *after]
        case Mischief.DELAY:
            return [*before, *after, victim]
        case Mischief.EQUIVOCATION:
            return [*before, victim, _claiming_more_sun(victim, seed), *after]
        case Mischief.CLOCK_HOURS_AHEAD | Mischief.CLOCK_DAYS_AHEAD | Mischief.IMPOSSIBLE_ENERGY:
            return list(honest)
        case _:
            return [*before, _counterfeit(mischief, victim, seed, chance), victim, *after]


def _counterfeit(mischief: Mischief, victim: bytes, seed: bytes, chance: Random) -> bytes:
    """A message that the platform cannot pin on the unit."""
    match mischief:
        case Mischief.FORGED_SIGNATURE:
            return victim[:-1] + bytes([victim[-1] ^ 1])
        case Mischief.WRONG_KEY:
            return cose.build(_payload(victim), content_type=cose.SENML_CBOR, seed=chance.randbytes(32))
        case Mischief.TAMPERED_PAYLOAD:
            signature_length = signatures.SIGNATURE_LENGTH
            return _claiming_more_sun(victim, seed)[:-signature_length] + victim[-signature_length:]
        case Mischief.MALFORMED:
            return b"\xff" + chance.randbytes(chance.randrange(200))
        case Mischief.OVERSIZED:
            return victim + bytes(cose.MESSAGE_BYTES_MAX)
    raise ValueError(f"{mischief} counterfeits nothing")


def _claiming_more_sun(message: bytes, seed: bytes) -> bytes:
    """The same pack with one wh more from the panel and for the grid in each interval."""
    pack = packs.read(_payload(message))
    if not isinstance(pack, packs.Pack):
        raise ValueError("not a unit's honest message")
    intervals = tuple(
        interval._replace(pv_wh=interval.pv_wh + 1, export_wh=interval.export_wh + 1) for interval in pack.intervals
    )
    payload = packs.write(replace(pack, intervals=intervals))
    return cose.build(payload, content_type=cose.SENML_CBOR, seed=seed)


def _payload(message: bytes) -> bytes:
    sign1 = cose.parse(message, content_type=cose.SENML_CBOR)
    if isinstance(sign1, cose.Flaw):
        raise ValueError("not a unit's honest message")
    return sign1.payload
