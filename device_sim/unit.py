"""One unit: what it signs, what it believes of the platform, and when it speaks again.

No network and no clock: each method takes what came in and returns the messages to publish. All that must
outlive a crash is in the outbox before a method returns.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Final

from contracts.wire import cose, packs, receipts, signatures
from contracts.wire.keys import key_change_bytes
from device_sim.outbox import Held, Outbox, Position

RECEIPT_SILENCE_S_MAX: Final = 3_600
AHEAD_MAX: Final = 4_096
"""How far above the next number the platform still takes a pack."""

ASKED_MAX: Final = 2
"""A number asked for once more than this, and sent again each time, is given up."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for the unit's readings topic; `seq` is its pack's, or the first one given up."""

    seq: int
    message: bytes


class Ignored(StrEnum):
    """Why a unit did nothing about a message of the platform, in the order of checking."""

    UNREADABLE = "unreadable"
    BAD_SIGNATURE = "bad_signature"
    OTHER_DEVICE = "other_device"
    REPEATED = "repeated"
    EXPIRED = "expired"
    BREAKS_RESERVE = "breaks_reserve"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformKeys:
    """The platform's 32-byte Ed25519 public keys: those for receipts sign no command."""

    receipts: tuple[bytes, ...]
    commands: tuple[bytes, ...]


class Unit:
    """The state machine of one unit. Its methods may be called from several threads.

    seed               of its first Ed25519 key; an outbox that knows the unit already keeps its own
    reserve_floor_pct  charge that its owner never gives away
    refused            how many of its packs were refused, by reason, as far as receipts told since the start
    """

    def __init__(self, outbox: Outbox, *, seed: bytes, platform: PlatformKeys, reserve_floor_pct: int = 0) -> None:
        self.device_id = outbox.device_id
        self.reserve_floor_pct = reserve_floor_pct
        self.refused: Counter[str] = Counter()
        self._outbox = outbox
        self._platform = platform
        self._silent_since_s: float | None = None
        with outbox.batch():
            if not outbox.signing_keys():
                outbox.add_signing_key(from_seq=1, seed=seed)
            self._signing_keys = outbox.signing_keys()

    # --- What it holds

    @property
    def last_seq(self) -> int:
        """The last number given, 0 before the first pack."""
        return self._outbox.position.last_seq

    @property
    def covered_seq(self) -> int:
        """The number up to which a receipt says that everything is decided."""
        return self._outbox.position.covered_seq

    @property
    def held_count(self) -> int:
        """How many messages no receipt covers yet."""
        return self._outbox.held_count

    @property
    def reach_seq(self) -> int:
        """The highest number that the platform would take now; sending a higher one is in vain."""
        return self.covered_seq + AHEAD_MAX

    def message(self, seq: int) -> bytes | None:
        """Return what is held under `seq`, or None if a receipt covers it already."""
        held = self._outbox.held(seq)
        return held.message if held else None

    # --- What it says

    def measure(
        self, intervals: Sequence[packs.Interval], *, owed_wh: Mapping[str, Fraction] | None = None
    ) -> Outgoing:
        """Give `intervals` the next number, sign and store them as one pack, and return its message.

        `owed_wh`, the remainders that the next interval starts with, are stored in the same transaction.
        Raises ValueError if they are not 1 to 200 contiguous intervals or more than a message can carry.
        """
        with self._outbox.batch():
            at = self._outbox.position
            pack = packs.Pack(self.device_id, at.last_seq + 1, at.last_hash, tuple(intervals))
            held = self._signed(pack)
            if len(held.message) > cose.MESSAGE_BYTES_MAX:
                raise ValueError(f"{len(intervals)} intervals are {len(held.message)} bytes: too many for one pack")
            self._append(held)
            if owed_wh is not None:
                self._outbox.owe(owed_wh)
        return Outgoing(held.seq, held.message)

    def owed_wh(self) -> dict[str, Fraction]:
        """Return the remainders stored with the last pack, or nothing."""
        return self._outbox.owed_wh()

    def on_connected(self) -> list[Outgoing]:
        """Return the newest pack in reach, unless it is covered; if the platform misses others, it asks."""
        held = self._outbox.newest(seq_max=self.reach_seq)
        return [Outgoing(held.seq, held.message)] if held else []

    def due(self, now_s: float) -> list[Outgoing]:
        """Return the newest pack once an hour passed without a receipt; `now_s` may count from any moment."""
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        if now_s - self._silent_since_s < RECEIPT_SILENCE_S_MAX:
            return []
        self._silent_since_s = now_s
        return self.on_connected()

    # --- What it hears

    def on_receipt(self, message: bytes) -> list[Outgoing] | Ignored:
        """Drop what the receipt covers; return what has to be signed anew and sent because of it."""
        sign1 = _signed_by(message, self._platform.receipts)
        if isinstance(sign1, Ignored):
            return sign1
        receipt = receipts.read_receipt(sign1.payload)
        if receipt is None:
            return Ignored.UNREADABLE
        if receipt.device_id != self.device_id:
            return Ignored.OTHER_DEVICE
        self._silent_since_s = None
        with self._outbox.batch():
            at = self._outbox.position
            if receipt.seq <= at.covered_seq:
                return []
            self.refused.update(reason for seq, reason in receipt.refused if seq > at.covered_seq)
            return self._cover(receipt)

    def _cover(self, receipt: receipts.Receipt) -> list[Outgoing]:
        """Take over what the receipt says; a hash that is not ours there is from another life of this unit.

        After a lost disk the platform can hold packs that this outbox never saw. Ours under the same numbers
        then never counted: they and all later ones, which chain to them, get numbers after the receipt's.
        """
        outbox, at = self._outbox, self._outbox.position
        covered = outbox.newest(seq_max=receipt.seq)
        # A number we gave up is done, whether it became void or turned up after all.
        is_ours = covered is None or covered.lost is not None or covered.hash == receipt.pack
        homeless = [] if is_ours else outbox.held_from(1)
        last = (at.last_seq, at.last_hash)
        if homeless or receipt.seq >= at.last_seq:
            last = (receipt.seq, receipt.pack)
        outbox.drop_through(max((held.seq for held in homeless), default=receipt.seq))
        outbox.move(Position(last_seq=last[0], last_hash=last[1], covered_seq=receipt.seq, covered_hash=receipt.pack))
        return [self.measure(intervals) for held in homeless if (intervals := _intervals_of(held))]

    def on_command(self, message: bytes, now_s: int) -> list[Outgoing] | Ignored:
        """Do what the platform instructs and return what it asked for; `now_s` is UTC Unix seconds."""
        sign1 = _signed_by(message, self._platform.commands)
        if isinstance(sign1, Ignored):
            return sign1
        instruction = receipts.read_instruction(sign1.payload)
        if instruction is None:
            return Ignored.UNREADABLE
        if instruction.device_id != self.device_id:
            return Ignored.OTHER_DEVICE
        with self._outbox.batch():
            if self._outbox.has_seen(instruction.id):
                return Ignored.REPEATED
            if instruction.expires_s <= now_s:
                return Ignored.EXPIRED
            return self._follow(instruction, sign1.payload, now_s)

    def _follow(self, instruction: receipts.Instruction, payload: bytes, now_s: int) -> list[Outgoing] | Ignored:
        match instruction:
            case receipts.EventCall(id=id_, end_s=end_s):
                if instruction.reserve_pct < self.reserve_floor_pct:
                    return Ignored.BREAKS_RESERVE
                forget_at_s = max(instruction.expires_s, end_s)
                self._outbox.remember_instruction(id_, forget_at_s=forget_at_s, event=payload, now_s=now_s)
                return []
            case receipts.EventCancelled(event=event, expires_s=forget_at_s):
                self._outbox.remember_instruction(instruction.id, forget_at_s=forget_at_s, now_s=now_s)
                self._outbox.cancel_event(event, forget_at_s=forget_at_s)
                return []
            case receipts.Resend(from_seq=from_seq, expires_s=forget_at_s):
                self._outbox.remember_instruction(instruction.id, forget_at_s=forget_at_s, now_s=now_s)
                return self._send_again(from_seq)

    def events(self, now_s: int) -> list[receipts.EventCall]:
        """Return the events it takes part in that are not over, the earliest first."""
        called = [receipts.read_instruction(payload) for payload in self._outbox.events()]
        kept = [event for event in called if isinstance(event, receipts.EventCall) and event.end_s > now_s]
        return sorted(kept, key=lambda event: (event.start_s, event.id))

    # --- Numbers asked for, and numbers given up

    def _send_again(self, from_seq: int) -> list[Outgoing]:
        at = self._outbox.position
        if from_seq <= at.covered_seq:
            return []  # asked before the receipt that we know
        if from_seq > at.last_seq and self._outbox.held_count:
            # It goes on from numbers of an earlier life. Our newest brings the receipt that tells which.
            return self.on_connected()
        wanted = self._outbox.held(from_seq)
        if wanted is None:
            following = self._outbox.first_after(from_seq)
            self._give_up(from_seq, lost=following.seq if following else max(at.last_seq, from_seq) + 1)
        elif wanted.lost is None and wanted.asked >= ASKED_MAX:
            self._give_up(from_seq, lost=from_seq + 1)
        else:
            self._outbox.count_ask(from_seq)
        return [Outgoing(held.seq, held.message) for held in self._outbox.held_from(from_seq)]

    def _give_up(self, seq: int, *, lost: int) -> None:
        """Hold a gap pack that declares the numbers from `seq` to below `lost` lost."""
        at = self._outbox.position
        before = self._outbox.held(seq - 1)
        prev = before.hash if before else at.covered_hash
        gap = self._signed(packs.GapPack(self.device_id, seq, prev, lost))
        self._outbox.put(gap)
        if lost > at.last_seq:
            self._outbox.move(replace(at, last_seq=lost - 1, last_hash=gap.hash))

    # --- Keys and signatures

    def key_change_signature(self, public_key: bytes, *, from_seq: int) -> bytes:
        """Return the newest key's signature that lets `public_key` sign from `from_seq` on."""
        _, seed = self._signing_keys[-1]
        return signatures.sign(seed, key_change_bytes(self.device_id, public_key, from_seq))

    def rotate(self, new_seed: bytes, *, from_seq: int) -> list[Outgoing]:
        """Sign `from_seq` and higher numbers with `new_seed`, as the platform agreed; return what changed.

        It agrees only while it holds none of these numbers. So what is held under them and under the old key
        is signed again in its place, and gap packs too, which verify under the newest key only.
        Raises ValueError if a receipt covers `from_seq`.
        """
        with self._outbox.batch():
            at = self._outbox.position
            if from_seq <= at.covered_seq:
                raise ValueError(f"number {from_seq} is decided under the old key")
            self._outbox.add_signing_key(from_seq=from_seq, seed=new_seed)
            self._signing_keys = self._outbox.signing_keys()
            new_hashes: dict[bytes, bytes] = {}
            changed = []
            for held in self._outbox.held_from(1):
                signed = self._signed_again(held, new_hashes)
                if signed.hash != held.hash:
                    new_hashes[held.hash] = signed.hash
                    self._outbox.put(signed)
                    changed.append(Outgoing(signed.seq, signed.message))
            self._outbox.move(replace(at, last_hash=new_hashes.get(at.last_hash, at.last_hash)))
        return changed

    def _signed_again(self, held: Held, new_hashes: Mapping[bytes, bytes]) -> Held:
        """The same number and content under the key that is right now; `prev` follows a pack that changed."""
        content = _content_of(held)
        if content is None:
            return held
        return self._signed(replace(content, prev=new_hashes.get(content.prev, content.prev)))

    def _signed(self, pack: packs.Pack | packs.GapPack) -> Held:
        is_gap = isinstance(pack, packs.GapPack)
        seed = [seed for from_seq, seed in self._signing_keys if is_gap or from_seq <= pack.seq][-1]
        message = cose.build(packs.write(pack), content_type=cose.SENML_CBOR, seed=seed)
        lost = pack.lost if isinstance(pack, packs.GapPack) else None
        return Held(seq=pack.seq, message=message, hash=packs.message_hash(message), lost=lost)

    def _append(self, held: Held) -> None:
        self._outbox.put(held)
        self._outbox.move(replace(self._outbox.position, last_seq=held.seq, last_hash=held.hash))


def _signed_by(message: bytes, public_keys: tuple[bytes, ...]) -> cose.Sign1 | Ignored:
    """The parts of a message of the platform that one of `public_keys` signed."""
    sign1 = cose.parse(message, content_type=cose.CBOR)
    if isinstance(sign1, cose.Flaw):
        return Ignored.UNREADABLE
    if not any(cose.is_signed_by(sign1, public_key) for public_key in public_keys):
        return Ignored.BAD_SIGNATURE
    return sign1


def _content_of(held: Held) -> packs.Pack | packs.GapPack | None:
    """What a message of ours says; None for a measurement so wrong that no number would make it count."""
    sign1 = cose.parse(held.message, content_type=cose.SENML_CBOR)
    content = packs.read(sign1.payload) if isinstance(sign1, cose.Sign1) else None
    return content if isinstance(content, packs.Pack | packs.GapPack) else None


def _intervals_of(held: Held) -> tuple[packs.Interval, ...] | None:
    content = _content_of(held)
    return content.intervals if isinstance(content, packs.Pack) else None
