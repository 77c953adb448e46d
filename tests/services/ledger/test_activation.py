"""Members make another contract set active: at one entry, everywhere, and everything before it stays as it was."""

from dataclasses import replace
from itertools import count
from typing import TypeVar

import pytest

from contracts import approvals, bundle, execute, state
from contracts.approvals import COSIGN, GOVERN
from contracts.commands import DepositReserve, EnrollCustomer, Request
from contracts.effects import Reason
from contracts.governed import ActivateContracts, AdmitMember, Governed
from contracts.state import ActiveContracts, Membership
from contracts.wire import signatures
from services import contract_sets
from services.database import DatabaseUnavailable
from services.ledger import entries
from services.ledger.client import Accepted, Declined, LedgerUnavailable
from services.ledger.findings import Finding
from services.ledger.store import Batch, Store
from services.ledger.verify import verify
from tests.contracts.members import a_key, a_seed
from tests.services.contract_sets.second import OWN, PROGRAMME, other_parameters, other_rate, other_rule, replaced
from tests.services.ledger.builders import IDENTITY, NOON_S, Books, Home, fund, request, running

G = TypeVar("G", bound=Governed)
NAMES = ("hydro", "interac", "auditor")
ROLES = {"hydro": ("utility", "all"), "interac": ("network", "given"), "auditor": ("auditor", "all")}
_numbers = count()


def signed(command: G, *names: str) -> Request:
    """The command with the approvals of these members, asked under a new id."""
    message = approvals.approve_bytes(IDENTITY.origin, command)
    given = tuple((name, signatures.sign(a_seed(f"{name} {GOVERN}"), message)) for name in names)
    return request(replace(command, approvals=given), name=f"governed {next(_numbers)}")


def admit_members(books: Books) -> None:
    books.accept(*admissions())


def admissions() -> list[Request]:
    """What makes these three organisations members of a new ledger."""
    asked = []
    for serial, name in enumerate(NAMES):
        role, suffix = ROLES[name]
        keys = tuple(
            a_key(name, f"{name} {use}", use=use, from_s=NOON_S, origin=IDENTITY.origin) for use in (GOVERN, COSIGN)
        )
        command = AdmitMember(serial, name, name, role, "", f"{name}.example/{suffix}", keys, ())
        asked.append(signed(command, *NAMES[: serial + 1]))
    return asked


def serial_of(books: Books) -> int:
    (row,) = books.ledger.rows([state.MEMBERSHIP_KEY])
    assert isinstance(row, Membership)
    return row.serial


def activation(
    books: Books, files: bytes, *names: str, parameters: bytes | None = None, is_known: bool = False
) -> Request:
    """Two of three members approve that the set of these files becomes active."""
    version = bundle.version_of(bundle.from_bytes(files))
    carried = None if parameters or is_known else files
    command = ActivateContracts(serial_of(books), version, carried, parameters, b"", ())
    return signed(command, *(names or NAMES[:2]))


def active_of(books: Books) -> ActiveContracts:
    (row,) = books.ledger.rows([state.ACTIVE_KEY])
    assert isinstance(row, ActiveContracts)
    return row


def version_at(books: Books, index: int) -> bytes:
    return entries.from_bytes(books.queries.entries(index, 1)[0]).contract_version


def findings(books: Books) -> tuple[Finding, ...]:
    return verify(books.engine, signatures.public_key_of(IDENTITY.seed), lambda _done, _size: None).findings


def rate(pack: Accepted) -> int:
    """Micro-sparks for a wh that the home used itself: 100 wh of every pack of a `Home`."""
    micro_sparks: int = pack.result["awards"]["self_supply"]
    return micro_sparks // 100


def town(books: Books) -> Home:
    home = Home()
    books.accept(fund(), *home.joining())
    admit_members(books)
    return home


@pytest.mark.parametrize("files", [other_rate(), other_rule()], ids=["parameters", "code"])
def test_what_was_asked_before_it_is_executed_by_the_old_set_and_what_was_asked_after_it_by_the_new(
    database_url, files
):
    other = bundle.version_of(bundle.from_bytes(files))
    with running(database_url) as books:
        home = town(books)

        before, switched, after = books.accept(home.record(), activation(books, files), home.record())

        assert (rate(before), rate(after)) == (400, 401)
        assert [version_at(books, before.index + place) for place in range(3)] == [*[execute.version()] * 2, other]
        assert (active_of(books).version, active_of(books).activated_at) == (other, switched.index)
        assert findings(books) == ()
    with running(database_url) as books:
        (later,) = books.accept(home.record())

        assert (rate(later), version_at(books, later.index)) == (401, other)
        assert findings(books) == ()


def test_a_rule_in_code_changes_with_the_set(database_url):
    with running(database_url) as books:
        town(books)
        without = request(DepositReserve(10_000, ""), name="one")
        books.accept(without, activation(books, other_rule()))

        (outcome,) = books.ledger.submit([request(DepositReserve(10_000, ""), name="two")])

        assert outcome == Declined(Reason.INVALID_AMOUNT)
        assert findings(books) == ()


@pytest.fixture(params=["before_effect", "after_effect"])
def breaks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """A function that ends the writer's connection at the next commit: it did not happen, or nobody heard of it."""
    commit = Store.commit

    def break_next() -> None:
        def broken(store: Store, batch: Batch, *rest: object) -> None:
            monkeypatch.setattr(Store, "commit", commit)
            if request.param == "after_effect":
                commit(store, batch, *rest)
            raise DatabaseUnavailable("the connection was lost")

        monkeypatch.setattr(Store, "commit", broken)

    return break_next


def test_a_writer_that_dies_between_the_activation_and_the_next_entry_goes_on_rightly(database_url, breaks):
    with running(database_url) as books:
        home = town(books)
        asked = [activation(books, other_rule()), home.record()]
        breaks()
        with pytest.raises(LedgerUnavailable):
            books.ledger.submit(asked)
    with running(database_url) as books:
        switched, pack = books.accept(*asked)

        assert rate(pack) == 401
        assert pack.index == switched.index + 1
        assert findings(books) == ()


def test_parameters_alone_are_enough_and_a_set_that_was_active_comes_back_by_its_version(sqlite_url):
    with running(sqlite_url) as books:
        home = town(books)
        books.accept(activation(books, other_rate(), parameters=other_parameters()))
        (pack,) = books.accept(home.record())
        books.accept(activation(books, OWN, is_known=True))
        (again,) = books.accept(home.record())

        assert (rate(pack), rate(again)) == (401, 400)
        assert findings(books) == ()


def test_too_few_members_change_nothing(sqlite_url):
    with running(sqlite_url) as books:
        town(books)

        (one,) = books.ledger.submit([activation(books, other_rule(), "hydro")])

        assert one == Declined(Reason.TOO_FEW_APPROVALS, {"needed": 2, "given": 1})
        assert active_of(books).version == execute.version()


def test_without_members_the_contracts_stay(sqlite_url):
    with running(sqlite_url) as books:
        version = bundle.version_of(bundle.from_bytes(other_rule()))
        command = ActivateContracts(0, version, other_rule(), None, b"", ())

        (outcome,) = books.ledger.submit([request(command)])

        assert outcome == Declined(Reason.TOO_FEW_APPROVALS, {"needed": 1, "given": 0})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"version": bytes(32)}, Reason.BUNDLE_OF_OTHER_VERSION),
        ({"files": b"\x80"}, Reason.MALFORMED_BUNDLE),
        ({"parameters": b"x = 1"}, Reason.MALFORMED_BUNDLE),
        ({"files": None, "parameters": b"x = 1"}, Reason.INVALID_PARAMETERS),
        (
            {"files": None, "parameters": other_parameters().replace(b"hold_s = 7200", b"hold_s = 7200.5")},
            Reason.INVALID_PARAMETERS,
        ),
        *(
            ({"files": None, "parameters": changed}, Reason.INVALID_PARAMETERS)
            for changed in (
                b"x = " + b"[" * 5_000,
                other_parameters().replace(b"approvals_above_bp = 5000", b"approvals_above_bp = 10000"),
                other_parameters().replace(b"approvals_above_bp = 5000", b"approvals_above_bp = -1"),
            )
        ),
        ({"files": None}, Reason.UNKNOWN_CONTRACTS),
        ({"version": execute.version()}, Reason.CONTRACTS_ACTIVE),
        ({"simulation": b"short"}, Reason.INVALID_SIMULATION),
        ({"serial": 0}, Reason.STALE_SERIAL),
    ],
)
def test_an_activation_that_cannot_be_is_declined_with_its_reason(sqlite_url, changed, reason):
    with running(sqlite_url) as books:
        town(books)
        version = bundle.version_of(bundle.from_bytes(other_rule()))
        command = ActivateContracts(serial_of(books), version, other_rule(), None, b"", ())

        (outcome,) = books.ledger.submit([signed(replace(command, **changed), *NAMES)])

        assert isinstance(outcome, Declined)
        assert outcome.reason is reason


@pytest.mark.parametrize("first", [b"import socket", b"raise SystemExit"])
def test_a_set_that_cannot_be_loaded_never_becomes_active_though_all_have_approved_it(sqlite_url, first):
    with running(sqlite_url) as books:
        home = town(books)
        broken = replaced(OWN, "units.py", b"from typing import", first + b"\nfrom typing import")

        outcome, pack = books.ledger.submit([activation(books, broken), home.record()])

        assert outcome == Declined(Reason.CONTRACTS_UNUSABLE)
        assert isinstance(pack, Accepted)
        assert active_of(books).version == version_at(books, pack.index) == execute.version()
        assert findings(books) == ()


def test_a_command_that_the_active_set_has_not_is_declined_until_one_has_it(sqlite_url):
    lacking = replaced(OWN, "commands.py", b'"enroll_customer"', b'"enrol_customer"')
    with running(sqlite_url) as books:
        town(books)
        books.accept(activation(books, lacking))
        asked = request(EnrollCustomer("bob", "saver"))

        (declined,) = books.ledger.submit([asked])
        books.accept(activation(books, OWN, is_known=True), asked)

        assert declined == Declined(Reason.OTHER_CONTRACTS)
        assert findings(books) == ()


# An operator whose log agrees with itself


def test_files_that_do_not_hash_to_the_version_are_found(sqlite_url, monkeypatch):
    version_of, honest = bundle.version_of, other_rate()
    promised = version_of(bundle.from_bytes(honest))

    def lying(sources):
        return promised if b"not command.reference" in sources.get("accounts.py", b"") else version_of(sources)

    with running(sqlite_url) as books:
        town(books)
        with monkeypatch.context() as patched:
            patched.setattr(bundle, "version_of", lying)
            (switched,) = books.accept(activation(books, other_rule()))

        assert [(found.index, found.what) for found in findings(books)] == [
            (switched.index, "the contract rejects it: bundle_of_other_version")
        ]


def test_an_entry_under_a_set_that_was_not_active_is_found(sqlite_url):
    with running(sqlite_url) as books:
        home = town(books)
        opened = books.writer._opened
        assert opened is not None
        opened.go_on_under(contract_sets.load(other_rate(), programme=PROGRAMME))
        (pack,) = books.accept(home.record())

        first, *rest = findings(books)

        assert (first.index, first.table) == (pack.index, "entries")
        assert "was active" in first.what
        assert any(found.what == "executed again, the effects are others" for found in rest)
