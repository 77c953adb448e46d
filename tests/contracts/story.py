"""Stories of a small town on one ledger: commands of every kind, legal or not, chosen by throwing dice.

`Story.command(kind, dice)` makes one command out of what the ledger knows; a property throws hypothesis' dice, the test
of determinism seeded ones. Two customers, two units, two shops; one interval of an hour per pack.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from contracts import programmes, state
from contracts.checkout import (
    AdmitRetailer,
    AttestRetailer,
    Authorize,
    Capture,
    ExpireHold,
    IssueCheckoutCode,
    Refund,
    SettleRetailer,
    Void,
)
from contracts.closing import CloseBooks, PublishStatement
from contracts.commands import (
    AttestIdentity,
    CancelEvent,
    ChooseLevel,
    ClaimUnit,
    CloseAccount,
    Command,
    CorrectUnit,
    DecideAgain,
    DeclareEvent,
    DeclareLost,
    DepositReserve,
    EnrollCustomer,
    EraseCustomer,
    FreezeCustomer,
    IssueClaimCode,
    LeaveUnit,
    OpenLedger,
    PublishSignal,
    RecordPack,
    RegisterUnit,
    ReleaseDeferred,
    ReplaceKey,
    SuspendUnit,
)
from contracts.effects import Effects, Rejected
from contracts.execute import execute
from contracts.memory import Memory
from contracts.state import Customer, Meter, Purchase, Retailer, Statement, Unit
from contracts.units import DAY_S, HOUR_S, MICRO_CAD_PER_CENT
from contracts.wire import signatures
from tests.contracts import council
from tests.contracts.builders import FILES, FOR_EVER_S, MONDAY_NOON_S, SEED, a_gap_message, a_message, an_interval

Dice = Callable[[int], int]
"""Throws a number from 0 to below its argument."""

CUSTOMERS: Final = ("ann", "bob")
UNITS: Final = ("unit-1", "unit-2")
SHOPS: Final = ("SHOP", "DELI")
LEVELS: Final = ("observer", "saver", "partner")
IDENTITIES: Final = ("unverified", "verified", "enhanced")
WAITS_S: Final = (10, 10, 60, 60, HOUR_S, HOUR_S, 3 * HOUR_S, DAY_S)


def a_hash(number: int) -> bytes:
    return number.to_bytes(32, "big")


@dataclass(slots=True)
class Story:
    """The ledger, and how many names, codes and keys were made up so far."""

    view: Memory
    messages: list[tuple[str, int, bytes]] = field(default_factory=list)
    made: int = 0
    claim_codes: int = 0
    checkout_codes: int = 0
    purchases: int = 0
    events: int = 0

    def command(self, kind: str, dice: Dice) -> Command:
        """A command of this kind, which the ledger may reject."""
        return MAKERS[kind](self, dice)

    def tell(self, command: Command) -> Effects | Rejected:
        """Execute it; take its effects over if there are any."""
        answer = execute(self.view, command)
        if isinstance(answer, Effects):
            self.view.apply(answer)
        return answer

    def wait(self, dice: Dice) -> None:
        self.view.at_s += WAITS_S[dice(len(WAITS_S))]

    def new(self) -> int:
        self.made += 1
        return self.made

    def meter(self, device_id: str) -> Meter:
        row = self.view.rows.get(state.meter_key(device_id), Meter())
        if not isinstance(row, Meter):
            raise TypeError(device_id)
        return row

    def seed(self, device_id: str, seq: int) -> bytes:
        """The seed of the unit's key for this number (0: the newest), SEED if it has none."""
        unit = self.view.rows[state.unit_key(device_id)]
        if not isinstance(unit, Unit):
            raise TypeError(device_id)
        signing = [key for key in unit.keys if key.signs(seq)] if seq else [unit.keys[-1]]
        seeds = {signatures.public_key_of(a_hash(number)): a_hash(number) for number in range(1, self.made + 1)}
        return seeds.get(signing[0].public_key, SEED) if signing else SEED

    def purchase(self, dice: Dice) -> tuple[str, str]:
        """The retailer and the id of a purchase; one of the latest that can still move, if any can."""
        rows = [row for row in self.view.rows.values() if isinstance(row, Purchase)]
        moving = [row for row in rows if row.state in ("authorized", "captured", "partially_refunded")] or rows
        if not moving:
            return SHOPS[0], "none"
        chosen = moving[-1 - dice(min(4, len(moving)))]
        return chosen.retailer_id, chosen.authorization_id


def a_town(*, deposit_cents: int) -> Story:
    """Both customers are verified and hold a unit each; both shops are open. The shops' network takes a fee of 1 %."""
    story = Story(Memory(replace(programmes.load(), settlement_fee_bp=100), at_s=MONDAY_NOON_S))
    story.tell(OpenLedger("sparks.example/ledger", "ontario", FILES))
    for customer_id, device_id, number in zip(CUSTOMERS, UNITS, (1, 2), strict=True):
        story.tell(EnrollCustomer(customer_id, "saver"))
        story.tell(AttestIdentity(customer_id, "verified", "bank", FOR_EVER_S))
        key = signatures.public_key_of(SEED)
        story.tell(RegisterUnit(device_id, key, 9_000, 10_000, 5_000, "toronto", a_hash(number)))
        story.tell(ClaimUnit(customer_id, a_hash(number)))
    story.claim_codes = story.made = 2
    for retailer_id, bonus_bp in zip(SHOPS, (0, 777), strict=True):
        story.tell(AdmitRetailer(retailer_id, retailer_id.title(), ("TILL",), bonus_bp))
    if deposit_cents:
        story.tell(DepositReserve(deposit_cents * MICRO_CAD_PER_CENT, "first"))
    return story


def _customer(dice: Dice) -> str:
    return CUSTOMERS[dice(2)]


def _unit(dice: Dice) -> str:
    return UNITS[dice(2)]


def _enroll(story: Story, dice: Dice) -> Command:
    name = ("ann", f"customer-{story.new()}")[dice(2)]
    return EnrollCustomer(name, (*LEVELS, "hero")[dice(4)])


def _attest(story: Story, dice: Dice) -> Command:
    return AttestIdentity(
        _customer(dice), IDENTITIES[(0, 1, 2, 2)[dice(4)]], "bank", story.view.at_s + HOUR_S * (1 + dice(1_000))
    )


def _register(story: Story, dice: Dice) -> Command:
    number = story.new()
    device_id = (UNITS[0], f"unit-{number}")[dice(2)]
    return RegisterUnit(device_id, a_hash(number), 5_000, 0, 0, "ottawa", a_hash(number))


def _replace_key(story: Story, dice: Dice) -> Command:
    device_id = _unit(dice)
    public_key = signatures.public_key_of(a_hash(story.new()))
    return ReplaceKey(device_id, public_key, story.meter(device_id).seq + dice(4), None, 0)


def _claim_code(story: Story, dice: Dice) -> Command:
    story.claim_codes = story.new()
    return IssueClaimCode(_unit(dice), a_hash(story.claim_codes))


def _claim(story: Story, dice: Dice) -> Command:
    return ClaimUnit(_customer(dice), a_hash(max(0, story.claim_codes - dice(2))))


def _leaver(story: Story, dice: Dice) -> str:
    """Somebody who enrolled lately; now and then one of the two by whom the town lives."""
    return _customer(dice) if dice(256) == 255 else f"customer-{max(0, story.made - dice(8))}"


def _close(story: Story, dice: Dice) -> Command:
    return CloseAccount(_leaver(story, dice), (None, CUSTOMERS[dice(2)])[dice(2)])


def _erase(story: Story, dice: Dice) -> Command:
    """Mostly of somebody who has left, if anybody has."""
    rows = story.view.rows.values()
    gone = [row.customer_id for row in rows if isinstance(row, Customer) and row.closed_s]
    name = gone[-1] if gone and dice(4) else _leaver(story, dice)
    row = story.view.rows.get(state.customer_key(name))
    carried = ((state.customer_key(name), state.to_bytes(row)),) if row else ()
    return EraseCustomer(name, tuple(range(1, 1 + dice(4))), carried)


def _pack(story: Story, dice: Dice) -> Command:
    """Mostly the next pack with a sound hour; sometimes another number, another chain, another hour, wrong energies."""
    device_id = _unit(dice)
    meter = story.meter(device_id)
    seq = meter.seq + (*(1,) * 10, 2, 0)[dice(12)]
    prev = a_hash(9) if dice(10) == 9 else meter.hash
    hour_s = story.view.at_s - story.view.at_s % HOUR_S
    after_last_s = meter.last_end_s or hour_s - HOUR_S
    odd_s = (hour_s - 2 * HOUR_S, hour_s, hour_s - 40 * DAY_S, hour_s + 3 * DAY_S)[dice(4)]
    start_s = (hour_s - HOUR_S, hour_s - HOUR_S, after_last_s, odd_s)[dice(4)]
    pv_wh, charge_wh, discharge_wh = dice(12) * 1_000, dice(5) * 1_000, dice(5) * 1_000
    into = pv_wh + discharge_wh + 2_000
    export_wh = dice(3) * 500
    load_wh = into - charge_wh - export_wh
    interval = an_interval(
        start_s,
        pv_wh=pv_wh,
        load_wh=load_wh,
        charge_wh=charge_wh,
        discharge_wh=discharge_wh,
        import_wh=2_000,
        export_wh=export_wh,
    )
    seed = story.seed(device_id, max(seq, 1))
    message = a_message(max(seq, 1), prev, interval, device_id=device_id, seed=seed)
    story.messages.append((device_id, max(seq, 1), message))
    return RecordPack(device_id, message)


def _lost(story: Story, dice: Dice) -> Command:
    device_id = _unit(dice)
    first = story.meter(device_id).seq + 1
    parked = tuple(first + k for k in range(4) if dice(2))
    message = a_gap_message(first, first + dice(5), device_id=device_id, seed=story.seed(device_id, 0))
    return DeclareLost(device_id, message, parked)


def _again(story: Story, dice: Dice) -> Command:
    if not story.messages:
        return DecideAgain(UNITS[0], 1, b"")
    return DecideAgain(*story.messages[-1 - dice(min(8, len(story.messages)))])


def _event(story: Story, dice: Dice) -> Command:
    story.events += dice(2)
    hour_s = story.view.at_s - story.view.at_s % HOUR_S
    start_s = hour_s + HOUR_S * (1 + dice(3))
    return DeclareEvent(f"event-{story.events}", "toronto", start_s, start_s + HOUR_S * dice(4), (None, 500)[dice(2)])


def _signal(story: Story, dice: Dice) -> Command:
    hour_s = story.view.at_s - story.view.at_s % HOUR_S
    return PublishSignal(hour_s - HOUR_S * dice(4), dice(200))


def _code(story: Story, dice: Dice) -> Command:
    story.checkout_codes += 1
    return IssueCheckoutCode(_customer(dice), a_hash(story.checkout_codes), 1 + dice(200))


def _authorize(story: Story, dice: Dice) -> Command:
    story.purchases += 1
    terminal = ("TILL", "ELSEWHERE")[dice(8) == 7]
    code = a_hash(max(0, story.checkout_codes - (dice(4) == 3)))
    name = f"purchase-{story.purchases}"
    return Authorize(name, SHOPS[dice(2)], terminal, dice(12), code, bool(dice(2)), "")


def _settle(story: Story, dice: Dice) -> Command:
    retailer = story.view.rows[state.retailer_key(SHOPS[dice(2)])]
    if not isinstance(retailer, Retailer):
        raise TypeError(retailer)
    return SettleRetailer(retailer.retailer_id, retailer.settled_day + 1)


def _publish(story: Story, dice: Dice) -> Command:
    """Mostly what was closed last, if anything was; a total that differs now and then."""
    closed = [(key, row) for key, row in story.view.rows.items() if isinstance(row, Statement)]
    if not closed:
        return PublishStatement(0, a_hash(1), 8, 0, 0)
    key, row = closed[-1]
    more = dice(8) == 7
    return PublishStatement(
        int(key.partition("/")[2]), a_hash(2), 8, row.outstanding_micro_sparks + more, row.deferred_micro_sparks
    )


def _decide(kind: str) -> Callable[[Story, Dice], Command]:
    return lambda story, dice: council.decided(kind, story.view, story.new(), dice)


def _cents(dice: Dice) -> int | None:
    return (None, dice(8))[dice(2)]


MAKERS: Final[dict[str, Callable[[Story, Dice], Command]]] = {
    OpenLedger.KIND: lambda story, dice: OpenLedger("sparks.example/other", "ontario", FILES),
    EnrollCustomer.KIND: _enroll,
    ChooseLevel.KIND: lambda story, dice: ChooseLevel(_customer(dice), LEVELS[(0, 1, 1, 2, 2)[dice(5)]]),
    AttestIdentity.KIND: _attest,
    FreezeCustomer.KIND: lambda story, dice: FreezeCustomer(_customer(dice), dice(6) == 5),
    RegisterUnit.KIND: _register,
    CorrectUnit.KIND: lambda story, dice: CorrectUnit(
        _unit(dice), 7_000 + dice(3) * 2_000, dice(3) * 5_000, 5_000, "toronto"
    ),
    SuspendUnit.KIND: lambda story, dice: SuspendUnit(_unit(dice), dice(6) == 5),
    ReplaceKey.KIND: _replace_key,
    IssueClaimCode.KIND: _claim_code,
    ClaimUnit.KIND: _claim,
    LeaveUnit.KIND: lambda story, dice: LeaveUnit(_customer(dice), _unit(dice)),
    CloseAccount.KIND: _close,
    EraseCustomer.KIND: _erase,
    RecordPack.KIND: _pack,
    DeclareLost.KIND: _lost,
    DecideAgain.KIND: _again,
    DeclareEvent.KIND: _event,
    CancelEvent.KIND: lambda story, dice: CancelEvent(f"event-{max(0, story.events - dice(2))}"),
    PublishSignal.KIND: _signal,
    DepositReserve.KIND: lambda story, dice: DepositReserve(dice(10) * MICRO_CAD_PER_CENT, "top-up"),
    ReleaseDeferred.KIND: lambda story, dice: ReleaseDeferred(),
    AdmitRetailer.KIND: lambda story, dice: AdmitRetailer(
        ("SHOP", f"R{story.new()}")[dice(2)], "R", ("T",), dice(3) - 1
    ),
    AttestRetailer.KIND: lambda story, dice: AttestRetailer(
        SHOPS[dice(2)], IDENTITIES[dice(3)], "registry", story.view.at_s + dice(2) * DAY_S
    ),
    IssueCheckoutCode.KIND: _code,
    Authorize.KIND: _authorize,
    Capture.KIND: lambda story, dice: Capture(*story.purchase(dice), _cents(dice)),
    Void.KIND: lambda story, dice: Void(*story.purchase(dice)),
    Refund.KIND: lambda story, dice: Refund(*story.purchase(dice), _cents(dice)),
    ExpireHold.KIND: lambda story, dice: ExpireHold(story.purchase(dice)[1]),
    SettleRetailer.KIND: _settle,
    CloseBooks.KIND: lambda story, dice: CloseBooks(story.view.programme.local_day(story.view.at_s) - dice(2)),
    PublishStatement.KIND: _publish,
    **{kind: _decide(kind) for kind in council.KINDS},
}
FREQUENT: Final = (
    *(RecordPack.KIND,) * 12,
    *(IssueCheckoutCode.KIND, Authorize.KIND) * 6,
    *(Capture.KIND, Void.KIND, Refund.KIND, ExpireHold.KIND, SettleRetailer.KIND, ReleaseDeferred.KIND) * 2,
)
"""Kinds that a story needs more of than of the others, to get anywhere."""
