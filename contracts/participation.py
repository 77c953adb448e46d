"""Who takes part and how far: customers, their level, identity and freeze, and which units they hold."""

from dataclasses import replace

from contracts import state
from contracts.commands import AttestIdentity, ChooseLevel, ClaimUnit, EnrollCustomer, FreezeCustomer, LeaveUnit
from contracts.effects import Draft, Effects, Reason, Rejected
from contracts.state import Claim, Customer, Holdings, Unit
from contracts.units import UnixSeconds

UNVERIFIED = "unverified"


def enroll(draft: Draft, command: EnrollCustomer) -> Effects | Rejected:
    """A customer takes part; the first level holds from the beginning."""
    key = state.customer_key(command.customer_id)
    if draft.get(key, Customer) is not None:
        return Rejected(Reason.CUSTOMER_EXISTS)
    if command.level not in draft.programme.levels_bp:
        return Rejected(Reason.UNKNOWN_LEVEL)
    draft.put(key, Customer(command.customer_id, command.level, command.level, 0, enrolled_s=draft.at_s))
    return draft.effects(customer=command.customer_id)


def choose_level(draft: Draft, command: ChooseLevel) -> Effects | Rejected:
    """The level from the next local midnight on; a change still to come is replaced."""
    customer = participant(draft, command.customer_id)
    if isinstance(customer, Rejected):
        return customer
    if command.level not in draft.programme.levels_bp:
        return Rejected(Reason.UNKNOWN_LEVEL)
    is_settled = draft.at_s >= customer.level_from_s
    if is_settled and command.level == customer.level:
        # Else what was measured before the last change would be paid at the level after it.
        return draft.effects(level=customer.level, effective_s=customer.level_from_s)
    present = customer.level if is_settled else customer.level_before
    from_s = draft.programme.next_local_midnight_s(draft.at_s)
    changed = replace(customer, level=command.level, level_before=present, level_from_s=from_s)
    draft.put(state.customer_key(command.customer_id), changed)
    return draft.effects(level=command.level, effective_s=from_s)


def attest_identity(draft: Draft, command: AttestIdentity) -> Effects | Rejected:
    """A provider's word on who the customer is, until it expires."""
    customer = participant(draft, command.customer_id)
    if isinstance(customer, Rejected):
        return customer
    if command.level != UNVERIFIED and command.level not in draft.programme.spending:
        return Rejected(Reason.UNKNOWN_IDENTITY_LEVEL)
    attested = replace(
        customer,
        identity=command.level,
        identity_provider=command.provider,
        identity_expires_s=command.expires_s,
    )
    draft.put(state.customer_key(command.customer_id), attested)
    return draft.effects(level=command.level)


def freeze(draft: Draft, command: FreezeCustomer) -> Effects | Rejected:
    """Stop or allow spending; freezing the frozen changes nothing."""
    customer = participant(draft, command.customer_id)
    if isinstance(customer, Rejected):
        return customer
    draft.put(state.customer_key(command.customer_id), replace(customer, frozen=command.frozen))
    return draft.effects(frozen=command.frozen)


def claim(draft: Draft, command: ClaimUnit) -> Effects | Rejected:
    """A customer shows a unit's claim code and holds it from now on (a holder goes on holding it); the code ends."""
    customer = participant(draft, command.customer_id)
    if isinstance(customer, Rejected):
        return customer
    key = state.claim_key(command.claim_hash)
    found = draft.get(key, Claim)
    if found is None:
        return Rejected(Reason.UNKNOWN_CLAIM_CODE)
    if draft.at_s >= found.expires_s:
        return Rejected(Reason.CLAIM_CODE_EXPIRED)
    unit = draft.get(state.unit_key(found.device_id), Unit)
    if unit is None:
        raise LookupError(f"claim code of the unknown unit {found.device_id}")
    draft.drop(key)
    if unit.holder == command.customer_id:
        draft.put(state.unit_key(unit.device_id), claimed(unit, command.customer_id, draft.at_s))
        return draft.effects(device=unit.device_id)
    draft.put(state.unit_key(unit.device_id), claimed(unit, command.customer_id, draft.at_s))
    if unit.holder is not None:
        _end_holding(draft, unit.holder, unit.device_id)
    _begin_holding(draft, command.customer_id, unit.device_id)
    return draft.effects(device=unit.device_id)


def leave(draft: Draft, command: LeaveUnit) -> Effects | Rejected:
    """Moving out: the unit is nobody's, and a later holder earns nothing for what lies before their claim."""
    unit = draft.get(state.unit_key(command.device_id), Unit)
    if unit is None or unit.holder != command.customer_id:
        return Rejected(Reason.UNKNOWN_DEVICE)
    draft.put(state.unit_key(unit.device_id), left(unit))
    _end_holding(draft, command.customer_id, unit.device_id)
    return draft.effects(device=unit.device_id)


def leave_all(draft: Draft, customer_id: str) -> list[str]:
    """A customer moves out of everything they hold; the units left."""
    holdings = draft.get(state.holdings_key(customer_id), Holdings) or Holdings()
    device_ids = [device_id for device_id, _, until_s in holdings.units if not until_s]
    for device_id in device_ids:
        unit = draft.get(state.unit_key(device_id), Unit)
        if unit is None:
            raise LookupError(f"{customer_id} holds the unknown unit {device_id}")
        draft.put(state.unit_key(device_id), left(unit))
        _end_holding(draft, customer_id, device_id)
    return device_ids


def participant(draft: Draft, customer_id: str) -> Customer | Rejected:
    """The customer, if they take part and have not closed their account."""
    customer = draft.get(state.customer_key(customer_id), Customer)
    if customer is None:
        return Rejected(Reason.UNKNOWN_CUSTOMER)
    return Rejected(Reason.CUSTOMER_CLOSED) if customer.closed_s else customer


def claimed(unit: Unit, customer_id: str, at_s: UnixSeconds) -> Unit:
    """The unit once this customer has claimed it; whose it is already only uses up the code."""
    if unit.holder == customer_id:
        return replace(unit, claim_hash=b"")
    had_holder = unit.had_holder or unit.holder is not None
    return replace(unit, claim_hash=b"", holder=customer_id, held_from_s=at_s, had_holder=had_holder)


def left(unit: Unit) -> Unit:
    """The unit once its holder has moved out."""
    return replace(unit, holder=None, held_from_s=0, had_holder=True)


def begun(holdings: Holdings, device_id: str, at_s: UnixSeconds) -> Holdings:
    """The holdings with one more unit, held from now on."""
    return Holdings((*holdings.units, (device_id, at_s, 0)))


def ended(holdings: Holdings, device_id: str, at_s: UnixSeconds) -> Holdings:
    """The holdings with this unit held no longer."""
    return Holdings(
        tuple(
            (held_id, from_s, at_s if held_id == device_id and not until_s else until_s)
            for held_id, from_s, until_s in holdings.units
        )
    )


def _begin_holding(draft: Draft, customer_id: str, device_id: str) -> None:
    key = state.holdings_key(customer_id)
    draft.put(key, begun(draft.get(key, Holdings) or Holdings(), device_id, draft.at_s))


def _end_holding(draft: Draft, customer_id: str, device_id: str) -> None:
    key = state.holdings_key(customer_id)
    draft.put(key, ended(draft.get(key, Holdings) or Holdings(), device_id, draft.at_s))
