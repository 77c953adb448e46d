"""What a command did, as the bytes that an entry commits to."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import bundle, effects, state
from contracts.commands import EnrollCustomer, LeaveUnit, OpenLedger
from contracts.effects import KEY_LENGTH_MAX, Draft, Effects, Posting, Reason, Rejected
from contracts.execute import execute
from contracts.memory import Memory
from contracts.state import Account, ActiveContracts, ContractFiles, Customer, Ledger, Signal
from contracts.wire import cbor
from tests.contracts.builders import FILES, a_ledger, a_record

SALT = b"s" * 16
ANN = state.customer_key("ann")


def effects_of(command) -> Effects:
    done = execute(a_ledger(), command)
    assert isinstance(done, Effects)
    return done


def commitment(done: Effects, salt: bytes = SALT) -> bytes:
    return effects.to_bytes(done, command_salt=salt, rows=effects.row_bytes(done))


def test_a_draft_shows_its_own_writes_before_the_view():
    view = a_ledger()
    draft = Draft(view)
    draft.put("signal/0", Signal(1))
    draft.put("signal/0", Signal(2))
    draft.drop(ANN)

    assert draft.get("signal/0", Signal) == Signal(2)
    assert draft.get(ANN, Customer) is None
    assert view.get("signal/0") is None
    assert isinstance(view.get(ANN), Customer)


def test_a_row_of_another_type_than_asked_for_is_a_bug_and_raises():
    draft = Draft(a_ledger())

    with pytest.raises(TypeError, match="holds a Customer, not a Signal"):
        draft.get(ANN, Signal)


@pytest.mark.parametrize("customer_id", ["a\0b", "a" * KEY_LENGTH_MAX])
def test_a_row_that_not_every_copy_could_keep_is_never_written(customer_id):
    assert execute(a_ledger(), EnrollCustomer(customer_id, "saver")) == Rejected(Reason.INVALID_ID)


def test_a_memory_takes_over_what_was_written_and_what_was_dropped():
    view = Memory(a_ledger().programme, rows={"signal/0": Signal(1), "signal/3600": Signal(2)})
    draft = Draft(view)
    draft.drop("signal/0")
    draft.put("signal/7200", Signal(3))
    view.apply(draft)

    assert (view.rows, view.index) == ({"signal/3600": Signal(2), "signal/7200": Signal(3)}, 1)


def test_executing_changes_nothing_by_itself():
    view = a_ledger()
    rows = dict(view.rows)
    execute(view, a_record())

    assert (view.rows, view.index) == (rows, 6)


def test_rows_are_given_in_the_order_of_their_keys_and_a_dropped_one_as_none():
    done = Effects({"signal/9": Signal(1), "signal/1": None, "signal/5": Signal(2)}, (), {})

    assert list(effects.row_bytes(done).items()) == [
        ("signal/1", None),
        ("signal/5", state.to_bytes(Signal(2))),
        ("signal/9", state.to_bytes(Signal(1))),
    ]


def test_the_commitment_holds_postings_hashes_of_rows_and_a_salted_result():
    done = Effects(
        {"signal/1": None, "signal/2": Signal(7)}, (Posting("spark", "a", -1), Posting("spark", "b", 1)), {"n": 1}
    )
    result_sha256 = hashlib.sha256(SALT + cbor.encode({"n": 1})).digest()
    row_sha256 = hashlib.sha256(state.to_bytes(Signal(7))).digest()

    assert cbor.decode(commitment(done)) == [
        [["spark", "a", -1], ["spark", "b", 1]],
        [["signal/1", None], ["signal/2", row_sha256]],
        result_sha256,
    ]


@pytest.mark.parametrize(
    "other",
    [
        Effects({"signal/2": Signal(8)}, (Posting("spark", "a", -1),), {"n": 1}),
        Effects({"signal/3": Signal(7)}, (Posting("spark", "a", -1),), {"n": 1}),
        Effects({"signal/2": None}, (Posting("spark", "a", -1),), {"n": 1}),
        Effects({}, (Posting("spark", "a", -1),), {"n": 1}),
        Effects({"signal/2": Signal(7)}, (Posting("spark", "a", -2),), {"n": 1}),
        Effects({"signal/2": Signal(7)}, (Posting("cad", "a", -1),), {"n": 1}),
        Effects({"signal/2": Signal(7)}, (), {"n": 1}),
        Effects({"signal/2": Signal(7)}, (Posting("spark", "a", -1),), {"n": 2}),
    ],
)
def test_any_other_effect_commits_to_other_bytes(other):
    done = Effects({"signal/2": Signal(7)}, (Posting("spark", "a", -1),), {"n": 1})

    assert commitment(other) != commitment(done)
    assert commitment(done, b"t" * 16) != commitment(done)


@given(st.permutations([("account/spark/a", Account(1)), ("account/spark/b", Account(2)), ("signal/0", Signal(3))]))
def test_the_order_in_which_rows_were_written_does_not_matter(writes):
    done = Effects(dict(writes), (), {})

    assert commitment(done) == commitment(Effects(dict(sorted(writes)), (), {}))


@pytest.mark.parametrize("command", [a_record(), EnrollCustomer("bob", "saver"), LeaveUnit("ann", "unit-1")])
def test_every_result_has_one_encoding(command):
    done = effects_of(command)

    assert cbor.encode(cbor.decode(effects.result_bytes(done))) == effects.result_bytes(done)


def test_a_log_is_opened_once():
    view = a_ledger()
    opened = execute(view, OpenLedger("sparks.example/ledger", "ontario", FILES))
    assert isinstance(opened, Effects)
    version = bundle.version_of(bundle.from_bytes(FILES))
    assert opened.writes == {
        state.LEDGER_KEY: Ledger("sparks.example/ledger", "ontario"),
        state.contracts_key(version): ContractFiles(FILES),
        state.ACTIVE_KEY: ActiveContracts(version, view.index),
    }

    view.apply(opened)
    again = execute(view, OpenLedger("other", "ontario", FILES))
    assert again == effects.Rejected(effects.Reason.LEDGER_ALREADY_OPEN)
