"""A fleet for the load: real keys, packs signed in advance, in the order in which units would send them."""

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.commands import RegisterUnit
from contracts.units import HOUR_S
from contracts.wire import cose, packs, signatures
from contracts.wire.packs import Interval, Pack

ZONE = "bench"


@dataclass(frozen=True, slots=True)
class BenchUnit:
    """One unit of the load."""

    device_id: str
    seed: bytes

    @property
    def claim_hash(self) -> bytes:
        """The SHA-256 of its claim code, as far as the ledger is concerned."""
        return packs.message_hash(self.device_id.encode())

    def registration(self) -> RegisterUnit:
        """The command that registers it; its panel is large enough to earn the day's cap in an hour."""
        public_key = signatures.public_key_of(self.seed)
        return RegisterUnit(self.device_id, public_key, 400_000, 10_000, 5_000, ZONE, self.claim_hash)


def units(count: int, *, name: str = "bench") -> list[BenchUnit]:
    """The same units in every run."""
    return [BenchUnit(f"{name}-{number:06d}", number.to_bytes(32, "big")) for number in range(1, count + 1)]


def messages(fleet: list[BenchUnit], *, packs_each: int, intervals: int, start_s: int) -> Iterator[tuple[str, bytes]]:
    """(device id, COSE bytes): every unit's first pack, then every unit's second, and so on; made as they are asked."""
    last_hash = {unit.device_id: packs.FIRST_PREV for unit in fleet}
    for seq in range(1, packs_each + 1):
        for number, unit in enumerate(fleet):
            measured = _measured(start_s + (seq - 1) * intervals * 300, intervals, number)
            payload = packs.write(Pack(unit.device_id, seq, last_hash[unit.device_id], measured))
            message = cose.build(payload, content_type=cose.SENML_CBOR, seed=unit.seed)
            last_hash[unit.device_id] = packs.message_hash(message)
            yield unit.device_id, message


def sunny_hours(unit: BenchUnit, *, hours: int, start_s: int) -> list[bytes]:
    """Packs of hours with so much sun that each local day earns its cap."""
    last_hash, made = packs.FIRST_PREV, []
    for hour in range(hours):
        interval = Interval(start_s + hour * HOUR_S, HOUR_S, 400_000, 400_000, 0, 0, 0, 0)
        payload = packs.write(Pack(unit.device_id, hour + 1, last_hash, (interval,)))
        message = cose.build(payload, content_type=cose.SENML_CBOR, seed=unit.seed)
        last_hash = packs.message_hash(message)
        made.append(message)
    return made


def _measured(start_s: int, count: int, home: int) -> tuple[Interval, ...]:
    """Five-minute intervals of a home whose sun covers the load, which differs, and charges the battery a little."""
    starts = [start_s + 300 * k for k in range(count)]
    loads_wh = [50 + (at_s // 300 * 37 + home * 53) % 120 for at_s in starts]
    return tuple(
        Interval(at_s, 300, 300, load_wh, 100, 0, 0, 200 - load_wh, load_wh % 100)
        for at_s, load_wh in zip(starts, loads_wh, strict=True)
    )
