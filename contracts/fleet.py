"""The fleet: units as registered, corrected and suspended, the keys they sign with, the codes that claim them."""

from dataclasses import replace

from contracts import state
from contracts.commands import CorrectUnit, IssueClaimCode, RegisterUnit, ReplaceKey, SuspendUnit
from contracts.effects import Draft, Effects, Reason, Rejected
from contracts.state import Claim, Meter, Unit, UnitKey
from contracts.wire import signatures
from contracts.wire.keys import key_change_bytes
from contracts.wire.packs import is_device_id

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


def register(draft: Draft, command: RegisterUnit) -> Effects | Rejected:
    """A unit joins the fleet."""
    key = state.unit_key(command.device_id)
    if not is_device_id(command.device_id):
        return Rejected(Reason.INVALID_DEVICE_ID)
    if draft.get(key, Unit) is not None:
        return Rejected(Reason.DEVICE_EXISTS)
    if len(command.public_key) != PUBLIC_KEY_BYTES:
        return Rejected(Reason.BAD_KEY_SIGNATURE)
    if _is_bad_nameplate(command):
        return Rejected(Reason.INVALID_NAMEPLATE)
    if draft.get(state.claim_key(command.claim_hash), Claim) is not None:
        return Rejected(Reason.CLAIM_CODE_EXISTS)
    unit = Unit(
        device_id=command.device_id,
        pv_nameplate_w=command.pv_nameplate_w,
        battery_capacity_wh=command.battery_capacity_wh,
        battery_power_w=command.battery_power_w,
        zone=command.zone,
        keys=(UnitKey(command.public_key, 1, 0, revoked=False),),
        suspended=False,
        claim_hash=command.claim_hash,
        holder=None,
        held_from_s=0,
        had_holder=False,
    )
    draft.put(key, unit)
    _open_claim(draft, unit.device_id, command.claim_hash)
    return draft.effects(device=unit.device_id, expires_s=draft.at_s + draft.programme.claim_code_s)


def correct(draft: Draft, command: CorrectUnit) -> Effects | Rejected:
    """The nameplate or zone was wrong; what was decided stays, a refused pack may be decided again."""
    unit = draft.get(state.unit_key(command.device_id), Unit)
    if unit is None:
        return Rejected(Reason.UNKNOWN_DEVICE)
    if _is_bad_nameplate(command):
        return Rejected(Reason.INVALID_NAMEPLATE)
    corrected = replace(
        unit,
        pv_nameplate_w=command.pv_nameplate_w,
        battery_capacity_wh=command.battery_capacity_wh,
        battery_power_w=command.battery_power_w,
        zone=command.zone,
    )
    draft.put(state.unit_key(unit.device_id), corrected)
    return draft.effects(device=unit.device_id)


def suspend(draft: Draft, command: SuspendUnit) -> Effects | Rejected:
    """Set a unit's messages aside from now on, or take them again."""
    unit = draft.get(state.unit_key(command.device_id), Unit)
    if unit is None:
        return Rejected(Reason.UNKNOWN_DEVICE)
    draft.put(state.unit_key(unit.device_id), replace(unit, suspended=command.suspended))
    return draft.effects(device=unit.device_id, suspended=command.suspended)


def replace_key(draft: Draft, command: ReplaceKey) -> Effects | Rejected:
    """From `from_seq` on the unit signs with the new key; lower numbers verify under the old one whenever they come.

    Without the old key's signature the old key is revoked and verifies nothing any more (interfaces.md, Keys).
    """
    unit = draft.get(state.unit_key(command.device_id), Unit)
    if unit is None:
        return Rejected(Reason.UNKNOWN_DEVICE)
    meter = draft.get(state.meter_key(unit.device_id), Meter) or Meter()
    taken_seq = max(meter.seq, command.parked_seq)
    if command.from_seq <= taken_seq:
        return Rejected(Reason.KEY_NUMBER_TAKEN, {"seq": taken_seq})
    if any(known.public_key == command.public_key for known in unit.keys):
        return Rejected(Reason.KEY_IN_USE)
    if len(command.public_key) != PUBLIC_KEY_BYTES or not _is_vouched(command, unit.keys):
        return Rejected(Reason.BAD_KEY_SIGNATURE)
    keys = tuple(_ended(known, command) for known in unit.keys)
    new = UnitKey(command.public_key, command.from_seq, 0, revoked=False)
    draft.put(state.unit_key(unit.device_id), replace(unit, keys=(*keys, new)))
    return draft.effects(device=unit.device_id, from_seq=command.from_seq)


def issue_claim_code(draft: Draft, command: IssueClaimCode) -> Effects | Rejected:
    """A new claim code; the one before ends."""
    unit = draft.get(state.unit_key(command.device_id), Unit)
    if unit is None:
        return Rejected(Reason.UNKNOWN_DEVICE)
    if draft.get(state.claim_key(command.claim_hash), Claim) is not None:
        return Rejected(Reason.CLAIM_CODE_EXISTS)
    if unit.claim_hash:
        draft.drop(state.claim_key(unit.claim_hash))
    draft.put(state.unit_key(unit.device_id), replace(unit, claim_hash=command.claim_hash))
    _open_claim(draft, unit.device_id, command.claim_hash)
    return draft.effects(device=unit.device_id, expires_s=draft.at_s + draft.programme.claim_code_s)


def _open_claim(draft: Draft, device_id: str, claim_hash: bytes) -> None:
    expires_s = draft.at_s + draft.programme.claim_code_s
    draft.put(state.claim_key(claim_hash), Claim(device_id, expires_s))


def _ended(known: UnitKey, command: ReplaceKey) -> UnitKey:
    """A key that would have signed `from_seq` or later numbers signs them no more; not vouched for, it is revoked."""
    if known.until_seq and known.until_seq <= command.from_seq:
        return known
    return known._replace(until_seq=command.from_seq, revoked=known.revoked or command.signature is None)


def _is_vouched(command: ReplaceKey, keys: tuple[UnitKey, ...]) -> bool:
    """Signed by the key that would have signed `from_seq`, or vouched for by the fleet's operator."""
    if command.signature is None:
        return True
    change = key_change_bytes(command.device_id, command.public_key, command.from_seq)
    old = next((known for known in keys if known.signs(command.from_seq)), None)
    if old is None or len(command.signature) != SIGNATURE_BYTES:
        return False
    return signatures.verify(old.public_key, change, command.signature)


def _is_bad_nameplate(command: RegisterUnit | CorrectUnit) -> bool:
    return min(command.pv_nameplate_w, command.battery_capacity_wh, command.battery_power_w) < 0
