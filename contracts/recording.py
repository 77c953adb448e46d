"""A unit's packs in their order: what is decided now, what comes too early, what was lost for good.

interfaces.md 1, "What becomes of a message", steps 2 to 4, and "Gap pack". A pack in its place is always decided by one
entry: accepted, or refused; either way its number is used. What is not in its place is rejected with the reason, and
leaves no entry.
"""

from dataclasses import replace

from contracts import accounts, evidence, rewards, state
from contracts.commands import DecideAgain, DeclareLost, RecordPack
from contracts.effects import Draft, Effects, Reason, Rejected
from contracts.metering import Refusal
from contracts.rewards import Judged
from contracts.state import Decided, Meter, Unit, View
from contracts.units import UnixSeconds
from contracts.wire import cose, packs
from contracts.wire.packs import BadPack, GapPack, Pack


def record(draft: Draft, command: RecordPack) -> Effects | Rejected:
    """Decide a pack that is in its place; say of any other why it is not."""
    found = _opened(draft, command)
    if isinstance(found, Rejected):
        return found
    unit, meter, content = found
    if isinstance(content, GapPack) or content.seq is None or content.prev is None:
        return Rejected(Reason.MALFORMED_PACK)
    sha256 = packs.message_hash(command.message)
    misplaced = _misplaced(draft, unit, meter, seq=content.seq, sha256=sha256)
    if misplaced:
        return misplaced
    refusal = _refusal_in_place(draft, unit, meter, content)
    if isinstance(content, Pack) and refusal is None:
        due_s = _end_s(content) - draft.programme.clock_ahead_s_due
        if draft.at_s < due_s:
            return Rejected(Reason.NOT_YET_DUE, {"due_s": due_s})
        judged = rewards.judge(draft, unit, meter, content.intervals)
        if isinstance(judged, Judged):
            return _accept(draft, unit, content, sha256, judged)
        refusal = judged
    if refusal is None:
        raise AssertionError("a bad pack always has a refusal")
    return _refuse(draft, unit, meter, refusal, seq=content.seq, sha256=sha256)


def declare_lost(draft: Draft, command: DeclareLost) -> Effects | Rejected:
    """Void the numbers below `lost` that are neither decided nor parked; parked ones still come in order."""
    found = _opened(draft, command)
    if isinstance(found, Rejected):
        return found
    unit, meter, content = found
    if not isinstance(content, GapPack) or content.device_id != unit.device_id:
        return Rejected(Reason.MALFORMED_PACK)
    runs = _missing_runs(meter, content.lost, command.parked)
    if not runs:
        return Rejected(Reason.NOTHING_LOST, {"seq": meter.seq})
    sha256 = packs.message_hash(command.message)
    voids = tuple(sorted((*meter.voids, *((first, after, sha256) for first, after in runs))))
    after = _past_voids(replace(meter, voids=voids), draft.index)
    draft.put(state.meter_key(unit.device_id), after)
    return draft.effects(
        outcome="void", seq=after.seq, pack=after.hash, numbers=sum(end - first for first, end in runs)
    )


def decide_again(draft: Draft, command: DecideAgain) -> Effects | Rejected:
    """The second decision of a refused pack (programme.md): for the panel only, and only once accepted."""
    found = _unit_and_meter(draft, command.device_id)
    if isinstance(found, Rejected):
        return found
    unit, meter = found
    key = state.pack_key(unit.device_id, command.seq)
    decided = draft.get(key, Decided)
    if decided is None or decided.sha256 != packs.message_hash(command.message):
        return Rejected(Reason.UNKNOWN_PACK)
    if not decided.refusal or decided.again_at is not None:
        return Rejected(Reason.NOT_REFUSED)
    content = content_of(command.message)
    if not isinstance(content, Pack) or content.device_id != unit.device_id:
        return Rejected(Reason.REFUSED_AGAIN)
    due_s = _end_s(content) - draft.programme.clock_ahead_s_due
    if draft.at_s < due_s:
        return Rejected(Reason.NOT_YET_DUE, {"due_s": due_s})
    judged = rewards.judge_again(draft, unit, meter, content.intervals)
    if isinstance(judged, Refusal):
        return Rejected(Reason.REFUSED_AGAIN)
    start_s = content.intervals[0].start_s
    draft.put(key, replace(decided, start_s=start_s, end_s=_end_s(content), again_at=draft.index))
    draft.put(state.meter_key(unit.device_id), judged.meter)
    return _award(draft, unit, judged, outcome="accepted", seq=command.seq, pack=decided.sha256)


def content_of(message: bytes) -> Pack | GapPack | BadPack | None:
    """What a message says, its signature aside; None if it is no COSE_Sign1 of the profile."""
    sign1 = cose.parse(message, content_type=cose.SENML_CBOR)
    return packs.read(sign1.payload) if isinstance(sign1, cose.Sign1) else None


def days_begun(view: View, command: RecordPack) -> tuple[str, ...]:
    """Key of the local day in which the pack begins, if the unit's meter is not on it."""
    content, meter = content_of(command.message), view.get(state.meter_key(command.device_id))
    if not isinstance(content, Pack):
        return ()
    day = view.programme.local_day(content.intervals[0].start_s)
    return () if isinstance(meter, Meter) and meter.day == day else (state.day_key(command.device_id, day),)


def next_seq(meter: Meter) -> int:
    """The number that the unit's next decided pack has."""
    return meter.seq + 1


def _end_s(pack: Pack) -> UnixSeconds:
    """When the last interval ends."""
    return pack.intervals[-1].start_s + pack.intervals[-1].duration_s


def _unit_and_meter(draft: Draft, device_id: str) -> tuple[Unit, Meter] | Rejected:
    unit = draft.get(state.unit_key(device_id), Unit)
    if unit is None:
        return Rejected(Reason.UNKNOWN_DEVICE)
    if unit.suspended:
        return Rejected(Reason.DEVICE_SUSPENDED)
    return unit, draft.get(state.meter_key(device_id), Meter) or Meter()


def _opened(draft: Draft, command: RecordPack | DeclareLost) -> tuple[Unit, Meter, Pack | GapPack | BadPack] | Rejected:
    """The unit and what its message says, if one of its keys may have signed that.

    Whether it did was checked before (`contracts.evidence`); a key may have been replaced since.
    """
    found = _unit_and_meter(draft, command.device_id)
    if isinstance(found, Rejected):
        return found
    sign1 = cose.parse(command.message, content_type=cose.SENML_CBOR)
    if not isinstance(sign1, cose.Sign1):
        return Rejected(Reason.MALFORMED_COSE)
    content = packs.read(sign1.payload)
    if evidence.key_for(found[0], kid=sign1.kid, content=content) is None:
        return Rejected(Reason.UNKNOWN_KEY)
    return (*found, content)


def _misplaced(draft: Draft, unit: Unit, meter: Meter, *, seq: int, sha256: bytes) -> Rejected | None:
    """Step 3: below next it is a duplicate or worse, above next it is too early; None if it is next."""
    expected = next_seq(meter)
    if seq == expected:
        return None
    facts = {"seq": meter.seq}
    if seq > expected:
        if any(first <= seq < after for first, after, _ in meter.voids):
            return Rejected(Reason.DECLARED_LOST, facts)
        is_far = seq - expected > draft.programme.seq_ahead_max
        return Rejected(Reason.TOO_FAR_AHEAD if is_far else Reason.TOO_EARLY, facts)
    decided = draft.get(state.pack_key(unit.device_id, seq), Decided)
    if decided is None:
        return Rejected(Reason.DECLARED_LOST, facts)
    return Rejected(Reason.DUPLICATE if decided.sha256 == sha256 else Reason.EQUIVOCATION, facts)


def _refusal_in_place(draft: Draft, unit: Unit, meter: Meter, content: Pack | BadPack) -> Refusal | None:
    """Steps 2 and 4 up to the clock, in the order listed."""
    if isinstance(content, BadPack):
        return Refusal.MALFORMED_PACK
    if content.device_id != unit.device_id:
        return Refusal.WRONG_DEVICE
    if not meter.chain_open and content.prev != meter.hash:
        return Refusal.BROKEN_CHAIN
    if _end_s(content) > draft.at_s + draft.programme.clock_ahead_s_max:
        return Refusal.CLOCK_AHEAD
    if _end_s(content) < draft.at_s - draft.programme.late_s_max:
        return Refusal.TOO_LATE
    return None


def _accept(draft: Draft, unit: Unit, pack: Pack, sha256: bytes, judged: Judged) -> Effects:
    start_s = pack.intervals[0].start_s
    draft.put(state.pack_key(unit.device_id, pack.seq), Decided(sha256, "", draft.index, start_s, _end_s(pack)))
    _move_on(draft, unit, judged.meter, seq=pack.seq, sha256=sha256)
    return _award(draft, unit, judged, outcome="accepted", seq=pack.seq, pack=sha256)


def _refuse(draft: Draft, unit: Unit, meter: Meter, refusal: Refusal, *, seq: int, sha256: bytes) -> Effects:
    draft.put(state.pack_key(unit.device_id, seq), Decided(sha256, refusal, draft.index, 0, 0))
    _move_on(draft, unit, meter, seq=seq, sha256=sha256)
    return draft.effects(outcome="refused", reason=str(refusal), seq=seq, pack=sha256)


def _move_on(draft: Draft, unit: Unit, meter: Meter, *, seq: int, sha256: bytes) -> None:
    """The number is used; numbers declared lost that follow it are passed."""
    decided = replace(meter, seq=seq, hash=sha256, decided_at=draft.index, chain_open=False)
    draft.put(state.meter_key(unit.device_id), _past_voids(decided, draft.index))


def _past_voids(meter: Meter, index: int) -> Meter:
    """The meter after the void numbers that come next, if any do."""
    while meter.voids and meter.voids[0][0] <= next_seq(meter):
        _, after, sha256 = meter.voids[0]
        meter = replace(meter, seq=after - 1, hash=sha256, decided_at=index, chain_open=True, voids=meter.voids[1:])
    return meter


def _missing_runs(meter: Meter, lost: int, parked: tuple[int, ...]) -> list[tuple[int, int]]:
    """Runs [first, after) from the next number to `lost` that are neither parked nor void already."""
    taken = [(seq, seq + 1) for seq in parked] + [(first, after) for first, after, _ in meter.voids]
    runs: list[tuple[int, int]] = []
    first = next_seq(meter)
    for begin, after in sorted(taken):
        if begin >= lost:
            break
        if first < begin:
            runs.append((first, begin))
        first = max(first, after)
    if first < lost:
        runs.append((first, lost))
    return runs


def _award(draft: Draft, unit: Unit, judged: Judged, **result: object) -> Effects:
    """One mint to who holds the unit now; the answer carries the award by rule."""
    award_micro_sparks = judged.micro_sparks()
    is_minted = True
    if unit.holder is not None:
        is_minted = accounts.mint(draft, unit.holder, award_micro_sparks)
        accounts.note_avoided(draft, unit.holder, judged.avoided_mg_co2e())
    return draft.effects(
        **result,
        device=unit.device_id,
        holder=unit.holder,
        awards=judged.by_rule(),
        micro_sparks=award_micro_sparks,
        deferred=not is_minted,
        avoided_mg_co2e=judged.avoided_mg_co2e(),
    )
