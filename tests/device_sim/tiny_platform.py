"""The platform as one unit sees it, in a hundred lines: it decides numbers in order, and answers.

Only what the interface promises about a pack's place; a pack in its place counts if its chain and its time are right.
"""

from collections import Counter
from itertools import count
from random import Random

from contracts.wire import cose, packs, receipts, signatures
from device_sim.unit import PlatformKeys

RECEIPT_SEED, COMMAND_SEED = bytes([1]) * 32, bytes([2]) * 32
PLATFORM_KEYS = PlatformKeys(
    receipts=(signatures.public_key_of(RECEIPT_SEED),), commands=(signatures.public_key_of(COMMAND_SEED),)
)
FOREVER_S = 2**40


def signed_receipt(receipt: receipts.Receipt, *, seed: bytes = RECEIPT_SEED) -> bytes:
    return cose.build(receipts.write(receipt), content_type=cose.CBOR, seed=seed)


def signed_command(instruction: receipts.Instruction, *, seed: bytes = COMMAND_SEED) -> bytes:
    return cose.build(receipts.write(instruction), content_type=cose.CBOR, seed=seed)


class TinyPlatform:
    """Judges the messages of one unit.

    accepted  the intervals that count      became  how many messages became what
    voids     numbers declared lost         asked   how often each number was asked for
    """

    def __init__(self, device_id: str, public_key: bytes) -> None:
        self.device_id = device_id
        self.keys = [(1, public_key)]
        self.hashes: dict[int, bytes] = {}
        self.parked: dict[int, bytes] = {}
        self.accepted: list[packs.Interval] = []
        self.refused: list[tuple[int, str]] = []
        self.voids: set[int] = set()
        self.asked: Counter[int] = Counter()
        self.became: Counter[str] = Counter()
        self._ids = count(1)
        self._unreported = 0

    @property
    def next_seq(self) -> int:
        return len(self.hashes) + 1

    @property
    def highest_seq(self) -> int:
        """The highest number decided or parked."""
        return max([self.next_seq - 1, *self.parked])

    def receipt(self) -> bytes | None:
        """The retained receipt, if anything is decided."""
        seq = self.next_seq - 1
        if not seq:
            return None
        return signed_receipt(
            receipts.Receipt(self.device_id, seq, self.hashes[seq], seq, "tiny", tuple(self.refused[-50:]))
        )

    def resend(self) -> bytes | None:
        """Ask for the next number, if a later one waits for it."""
        if not self.parked:
            return None
        self.asked[self.next_seq] += 1
        instruction_id = f"ask-{next(self._ids)}"
        return signed_command(receipts.Resend(self.device_id, instruction_id, 0, FOREVER_S, self.next_seq))

    def receive(self, message: bytes) -> bytes | None:
        """Judge a message; return a receipt if one is due."""
        pack = self._verified(message)
        if pack is None:
            return None
        if isinstance(pack, packs.GapPack):
            self.became["void"] += 1
            return self._declare_lost(pack, packs.message_hash(message))
        if pack.seq < self.next_seq:
            is_same = self.hashes[pack.seq] == packs.message_hash(message)
            self.became["duplicate" if is_same else "equivocation"] += 1
            return self.receipt()
        if pack.seq > self.next_seq + 4_096:
            self.became["too_far_ahead"] += 1
            return None
        if self.parked.setdefault(pack.seq, message) != message:
            self.became["equivocation"] += 1
            return self.receipt()
        return self._decide()

    def _verified(self, message: bytes) -> packs.Pack | packs.GapPack | None:
        sign1 = cose.parse(message, content_type=cose.SENML_CBOR)
        if isinstance(sign1, cose.Flaw):
            self.became[sign1] += 1
            return None
        pack = packs.read(sign1.payload)
        assert not isinstance(pack, packs.BadPack)
        is_gap = isinstance(pack, packs.GapPack)
        public_key = [key for from_seq, key in self.keys if is_gap or from_seq <= pack.seq][-1]
        if sign1.kid != signatures.key_id(public_key):
            self.became["unknown_key"] += 1
            return None
        if not cose.is_signed_by(sign1, public_key):
            self.became["bad_signature"] += 1
            return None
        return pack

    def _declare_lost(self, gap: packs.GapPack, gap_hash: bytes) -> bytes | None:
        while self.next_seq < gap.lost:
            if self.next_seq not in self.parked:
                self.voids.add(self.next_seq)
                self.hashes[self.next_seq] = gap_hash
            self._record_parked()
        return self.receipt()

    def _decide(self) -> bytes | None:
        """Decide all that is in its place now."""
        first, is_closing_gap = self.next_seq, len(self.parked) > 1
        self._record_parked()
        decided = self.next_seq - first
        self._unreported += decided
        if decided and (first == 1 or is_closing_gap or self._unreported >= 12):
            self._unreported = 0
            return self.receipt()
        return None

    def _record_parked(self) -> None:
        while message := self.parked.pop(self.next_seq, None):
            self._record(message)

    def _record(self, message: bytes) -> None:
        pack = self._verified(message)
        assert isinstance(pack, packs.Pack)
        previous = pack.seq - 1
        is_chained = previous in self.voids or pack.prev == self.hashes.get(previous, packs.FIRST_PREV)
        last = self.accepted[-1] if self.accepted else None
        if not is_chained:
            self.refused.append((pack.seq, "broken_chain"))
        elif last and pack.intervals[0].start_s < last.start_s + last.duration_s:
            self.refused.append((pack.seq, "interval_overlap"))
        else:
            self.accepted += pack.intervals
        self.hashes[pack.seq] = packs.message_hash(message)


def intervals(how_many: int = 1, *, start_s: int = 1_800_000_000, chance: Random | None = None) -> list[packs.Interval]:
    """Contiguous five-minute intervals in which the sun serves the house and the rest is exported."""
    pv_wh = [chance.randrange(10, 400) if chance else 200 for _ in range(how_many)]
    return [packs.Interval(start_s + 300 * k, 300, pv, 10, 0, 0, 0, pv - 10, 50) for k, pv in enumerate(pv_wh)]
