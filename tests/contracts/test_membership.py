"""Members are admitted, changed and removed by each other, and by nobody else."""

from dataclasses import replace
from typing import Any

import pytest

from contracts.approvals import COSIGN, GOVERN, approve_bytes, proven_key
from contracts.effects import Effects, Reason, Rejected
from contracts.governed import AddMemberKey, ChangeMember, Governed, RemoveMember, RetireMemberKey, SetQuorum
from contracts.memory import Memory
from contracts.wire import cbor, signatures
from tests.contracts.builders import MONDAY_NOON_S
from tests.contracts.members import (
    ORIGIN,
    YEAR_S,
    a_candidate,
    a_key,
    a_new_key,
    a_seed,
    an_open_ledger,
    approved,
    member_of,
    members_of,
    public_key,
    tell,
    with_members,
)

THREE = ("hydro", "interac", "auditor")


def reason_of(view: Memory, command: Governed) -> Reason:
    rows = dict(view.rows)
    answer = tell(view, command)
    assert isinstance(answer, Rejected), answer
    assert view.rows == rows
    return answer.reason


def a_change(view: Memory, member_id: str, **given: Any) -> ChangeMember:
    member = member_of(view, member_id)
    said = {name: given.get(name, getattr(member, name)) for name in ("name", "role", "url", "cosign_name")}
    return ChangeMember(members_of(view).serial, member_id, approvals=(), **said)


# Admission


def test_what_is_signed_names_the_log_the_command_and_the_serial():
    said = approve_bytes(ORIGIN, SetQuorum(7, 2, (("hydro", b"s"),)))

    assert said == cbor.encode(["sparks-approval", ORIGIN, "set_quorum", 7, 2])


def test_the_first_member_is_admitted_by_itself_alone():
    view = an_open_ledger()

    assert reason_of(view, a_candidate("hydro", serial=0)) is Reason.TOO_FEW_APPROVALS
    assert isinstance(tell(view, approved(a_candidate("hydro", serial=0), "hydro")), Effects)
    assert members_of(view).members == ("hydro",)
    assert members_of(view).serial == 1
    assert member_of(view, "hydro").keys[1].name == "hydro.example/all"


def test_a_candidate_cannot_admit_itself_once_there_are_members():
    view = with_members("hydro")

    assert reason_of(view, approved(a_candidate("auditor", serial=1), "auditor")) is Reason.TOO_FEW_APPROVALS


def test_nobody_is_made_a_member_who_did_not_sign():
    view = with_members("hydro", "interac")

    assert reason_of(view, approved(a_candidate("auditor", serial=2), "hydro", "interac")) is Reason.TOO_FEW_APPROVALS


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"role": "king"}, Reason.UNKNOWN_ROLE),
        ({"name": ""}, Reason.INVALID_MEMBER),
        ({"name": "two\nlines"}, Reason.INVALID_MEMBER),
        ({"url": "ftp://auditor.example"}, Reason.INVALID_MEMBER),
        ({"url": "https://auditor.example/a b"}, Reason.INVALID_MEMBER),
        ({"cosign_name": "auditor.example/given"}, Reason.INVALID_COSIGN_NAME),
        ({"cosign_name": "auditor+1/all"}, Reason.INVALID_COSIGN_NAME),
        ({"cosign_name": "hydro.example/all"}, Reason.COSIGN_NAME_TAKEN),
        ({"role": "retailer", "cosign_name": "auditor.example/all"}, Reason.INVALID_COSIGN_NAME),
        ({"keys": ()}, Reason.LAST_GOVERN_KEY),
        ({"keys": ((b"short", "govern", 0, 1, b""),)}, Reason.INVALID_MEMBER_KEY),
        ({"keys": ((bytes(32), "govern", MONDAY_NOON_S),)}, Reason.INVALID_MEMBER_KEY),
        ({"keys": ((bytes(32), "reign", MONDAY_NOON_S, MONDAY_NOON_S + 1, b""),)}, Reason.INVALID_MEMBER_KEY),
        ({"keys": ((bytes(32), "govern", 0, MONDAY_NOON_S + 1, b""),)}, Reason.INVALID_MEMBER_KEY),
        ({"keys": ((bytes(32), "govern", MONDAY_NOON_S - 1, MONDAY_NOON_S, b""),)}, Reason.INVALID_MEMBER_KEY),
        ({"keys": ((bytes(32), "govern", MONDAY_NOON_S, MONDAY_NOON_S + 9, b""),) * 2}, Reason.KEY_IN_USE),
        (
            {"keys": ((public_key("hydro cosign"), "govern", MONDAY_NOON_S, MONDAY_NOON_S + 9, b""),)},
            Reason.KEY_IN_USE,
        ),
        ({"keys": (a_key("hydro", "auditor govern"),)}, Reason.KEY_NOT_PROVEN),
    ],
)
def test_a_candidate_that_does_not_fit_is_refused_whoever_approves(given: dict[str, Any], reason: Reason):
    view = with_members("hydro")

    assert reason_of(view, approved(a_candidate("auditor", serial=1, **given), "hydro", "auditor")) is reason


@pytest.mark.parametrize("member_id", ["", "Hydro", "a b", "-a", "a" * 65, "a\n"])
def test_a_member_s_id_is_of_small_letters_digits_and_dashes(member_id: str):
    view = an_open_ledger()
    candidate = a_candidate("hydro", serial=0)

    assert reason_of(view, replace(candidate, member_id=member_id)) is Reason.INVALID_MEMBER


def test_an_id_is_given_once_even_if_its_member_has_gone():
    view = with_members(*THREE)
    gone = RemoveMember(members_of(view).serial, "auditor", ())
    assert isinstance(tell(view, approved(gone, "hydro", "interac")), Effects)
    again = a_candidate("auditor", serial=members_of(view).serial, keys=((bytes(32), "govern", 0, 1, b""),))

    assert reason_of(view, again) is Reason.MEMBER_EXISTS


# Approvals


def a_removal(view: Memory) -> RemoveMember:
    return RemoveMember(members_of(view).serial, "auditor", ())


def test_more_than_half_of_the_members_decide():
    view = with_members(*THREE)

    answer = tell(view, approved(a_removal(view), "hydro"))
    assert answer == Rejected(Reason.TOO_FEW_APPROVALS, {"needed": 2, "given": 1})
    assert isinstance(tell(view, approved(a_removal(view), "hydro", "interac")), Effects)
    assert members_of(view).members == ("hydro", "interac")
    assert member_of(view, "auditor").removed_s == MONDAY_NOON_S


def test_an_approval_by_somebody_who_is_no_member_refuses_all():
    view = with_members(*THREE)

    command = approved(a_removal(view), "hydro", "interac", "board")

    assert reason_of(view, command) is Reason.APPROVER_NOT_MEMBER


def test_one_member_approves_once():
    view = with_members(*THREE)
    one = approved(a_removal(view), "hydro")

    assert reason_of(view, replace(one, approvals=one.approvals * 2)) is Reason.APPROVED_TWICE


def test_an_approval_by_the_co_signing_key_or_of_other_bytes_is_none():
    view = with_members(*THREE)
    other = approved(RemoveMember(members_of(view).serial, "hydro", ()), "interac")

    assert reason_of(view, approved(a_removal(view), "hydro", interac="interac cosign")) is Reason.BAD_APPROVAL
    assert reason_of(view, replace(a_removal(view), approvals=other.approvals)) is Reason.BAD_APPROVAL
    assert reason_of(view, replace(a_removal(view), approvals=(("hydro",),))) is Reason.BAD_APPROVAL  # type: ignore[arg-type]


def test_a_key_that_has_ended_approves_nothing():
    view = with_members(*THREE)
    view.at_s += YEAR_S

    assert reason_of(view, approved(a_removal(view), "hydro", "interac")) is Reason.APPROVAL_KEY_EXPIRED


def test_an_approval_is_for_one_state_of_the_membership():
    view = with_members(*THREE)
    early = approved(SetQuorum(members_of(view).serial, 1, ()), "hydro", "interac")
    assert isinstance(tell(view, early), Effects)

    answer = tell(view, early)

    assert answer == Rejected(Reason.STALE_SERIAL, {"serial": members_of(view).serial})
    repeated = replace(early, serial=members_of(view).serial)
    assert reason_of(view, repeated) is Reason.BAD_APPROVAL


def test_a_removed_member_approves_nothing_and_what_it_signed_still_verifies():
    view = with_members(*THREE)
    tell(view, approved(a_removal(view), "hydro", "interac"))
    gone = member_of(view, "auditor")

    assert reason_of(view, approved(SetQuorum(4, 1, ()), "hydro", "auditor")) is Reason.APPROVER_NOT_MEMBER
    assert gone.has_key(COSIGN, MONDAY_NOON_S - 1) is False  # it had none before
    assert gone.keys[1].is_valid(MONDAY_NOON_S)
    signed = signatures.sign(a_seed("auditor cosign"), b"a checkpoint")
    assert signatures.verify(gone.keys[1].public_key, b"a checkpoint", signed)


# Keys


@pytest.mark.parametrize("name", ["auditor govern", "next"])
def test_a_member_renews_its_key_by_itself_and_both_are_valid_for_a_time(name: str):
    view = with_members(*THREE)
    view.at_s += YEAR_S - 1

    assert isinstance(tell(view, approved(a_new_key(view, "auditor", "next"), "auditor")), Effects)
    assert isinstance(tell(view, approved(SetQuorum(3, 0, ()), "hydro", auditor=name)), Effects)


def test_a_member_that_lost_its_key_gets_another_from_the_members():
    view = with_members(*THREE)
    view.at_s += 1
    command = a_new_key(view, "auditor", "next")

    assert reason_of(view, approved(command, "hydro")) is Reason.TOO_FEW_APPROVALS
    assert isinstance(tell(view, approved(command, "hydro", "interac")), Effects)
    assert member_of(view, "auditor").has_key("govern", view.at_s + YEAR_S - 1)


def test_a_member_adds_no_key_to_another():
    view = with_members(*THREE)

    assert reason_of(view, approved(a_new_key(view, "auditor", "mine"), "interac")) is Reason.TOO_FEW_APPROVALS


def test_a_lapsed_key_renews_nothing():
    view = with_members(*THREE)
    view.at_s += YEAR_S

    assert reason_of(view, approved(a_new_key(view, "auditor", "next"), "auditor")) is Reason.APPROVAL_KEY_EXPIRED


@pytest.mark.parametrize("key", ["auditor govern", "hydro govern", "hydro cosign"])
def test_a_public_key_is_one_member_s_and_has_one_use(key: str):
    view = with_members(*THREE)

    assert reason_of(view, approved(a_new_key(view, "auditor", key, use=COSIGN), "auditor")) is Reason.KEY_IN_USE


def test_the_keys_of_one_member_change_without_making_proposals_stale():
    view = with_members(*THREE)
    removal = approved(a_removal(view), "hydro", "interac")
    for name in ("one", "two"):
        assert isinstance(tell(view, approved(a_new_key(view, "auditor", name), "auditor")), Effects)

    assert isinstance(tell(view, removal), Effects)


def test_adding_a_key_is_approved_once():
    view = with_members(*THREE)
    first = approved(a_new_key(view, "auditor", "next"), "auditor")
    tell(view, first)

    assert reason_of(view, first) is Reason.STALE_SERIAL


def test_a_member_has_only_so_many_keys():
    view = with_members("hydro")
    for place in range(view.programme.member_keys_max - 2):
        assert isinstance(tell(view, approved(a_new_key(view, "hydro", f"key {place}"), "hydro")), Effects)

    assert reason_of(view, approved(a_new_key(view, "hydro", "more"), "hydro")) is Reason.TOO_MANY_KEYS


@pytest.mark.parametrize("said", [{"origin": "other.example/ledger"}, {"member_id": "auditor"}, {"use": COSIGN}])
def test_a_proof_is_for_one_log_one_member_and_one_use(said: dict[str, Any]):
    view = with_members("hydro")
    words = {"origin": ORIGIN, "member_id": "hydro", "use": GOVERN, **said}
    *_, proof = proven_key(a_seed("next"), from_s=view.at_s, until_s=view.at_s + YEAR_S, **words)

    command = replace(a_new_key(view, "hydro", "next"), proof=proof)

    assert reason_of(view, approved(command, "hydro")) is Reason.KEY_NOT_PROVEN


@pytest.mark.parametrize("part", ["from_s", "until_s"])
def test_a_proof_says_how_long_the_key_is_valid(part: str):
    view = with_members("hydro")
    command = a_new_key(view, "hydro", "next")

    longer = replace(command, **{part: getattr(command, part) + 1})

    assert reason_of(view, approved(longer, "hydro")) is Reason.KEY_NOT_PROVEN


def test_members_cannot_give_a_member_a_key_that_it_does_not_hold():
    view = with_members(*THREE)
    command = replace(a_new_key(view, "auditor", "next"), proof=bytes(64))

    assert reason_of(view, approved(command, "hydro", "interac")) is Reason.KEY_NOT_PROVEN


def a_retirement(view: Memory, member_id: str, name: str, until_s: int = 0) -> RetireMemberKey:
    return RetireMemberKey(member_of(view, member_id).serial, member_id, public_key(name), until_s, ())


def test_a_key_is_retired_after_the_next_one_is_there_and_never_in_the_past():
    view = with_members(*THREE)
    view.at_s += 1_000

    assert reason_of(view, approved(a_retirement(view, "auditor", "auditor govern"), "auditor")) is (
        Reason.LAST_GOVERN_KEY
    )
    tell(view, approved(a_new_key(view, "auditor", "next"), "auditor"))
    command = approved(a_retirement(view, "auditor", "auditor govern", until_s=5), auditor="next")
    assert isinstance(tell(view, command), Effects)
    assert member_of(view, "auditor").keys[0].until_s == view.at_s
    assert reason_of(view, approved(a_retirement(view, "auditor", "auditor govern"), auditor="next")) is (
        Reason.UNKNOWN_MEMBER_KEY
    )


def test_what_puts_the_quorum_out_of_reach_is_refused():
    view = with_members(*THREE, quorum=3)

    assert reason_of(view, approved(a_removal(view), "hydro", "interac")) is Reason.QUORUM_OUT_OF_REACH
    assert reason_of(view, approved(a_retirement(view, "auditor", "auditor cosign"), "auditor")) is (
        Reason.QUORUM_OUT_OF_REACH
    )
    renamed = a_change(view, "auditor", cosign_name="auditor.example/2/all")
    assert reason_of(view, approved(renamed, "hydro", "interac")) is Reason.QUORUM_OUT_OF_REACH
    tell(view, approved(SetQuorum(3, 2, ()), "hydro", "interac"))
    assert isinstance(tell(view, approved(a_removal(view), "hydro", "interac")), Effects)


# The rest


def test_a_quorum_is_at_most_the_number_of_those_who_can_co_sign():
    view = with_members(*THREE)

    assert reason_of(view, approved(SetQuorum(3, 4, ()), "hydro", "interac")) is Reason.INVALID_QUORUM
    assert reason_of(view, approved(SetQuorum(3, -1, ()), "hydro", "interac")) is Reason.INVALID_QUORUM
    view.at_s += YEAR_S
    assert reason_of(view, approved(SetQuorum(3, 1, ()), "hydro", "interac")) is Reason.INVALID_QUORUM


def test_the_last_member_stays():
    view = with_members("hydro")

    assert reason_of(view, approved(RemoveMember(1, "hydro", ()), "hydro")) is Reason.LAST_MEMBER


def test_under_another_co_signing_name_the_keys_of_the_old_one_end():
    view = with_members(*THREE)
    view.at_s += 10
    command = a_change(view, "auditor", role="retailer", cosign_name="auditor.example/given")

    assert isinstance(tell(view, approved(command, "hydro", "auditor")), Effects)
    changed = member_of(view, "auditor")
    assert changed.role == "retailer"
    assert (changed.keys[1].until_s, changed.keys[1].name) == (view.at_s, "auditor.example/all")
    assert isinstance(tell(view, approved(a_new_key(view, "auditor", "next", use=COSIGN), "auditor")), Effects)
    assert member_of(view, "auditor").keys[-1].name == "auditor.example/given"


def test_a_role_of_other_collections_needs_a_name_that_says_so():
    view = with_members(*THREE)

    command = a_change(view, "auditor", role="retailer")

    assert reason_of(view, approved(command, "hydro", "auditor")) is Reason.INVALID_COSIGN_NAME


@pytest.mark.parametrize(
    "command",
    [
        RemoveMember(3, "nobody", ()),
        ChangeMember(3, "nobody", "N", "auditor", "", "n/all", ()),
        AddMemberKey(0, "nobody", bytes(32), "govern", 0, 1, b"", ()),
        RetireMemberKey(0, "nobody", bytes(32), 0, ()),
    ],
)
def test_who_is_no_member_is_unknown(command: Governed):
    assert reason_of(with_members(*THREE), command) is Reason.UNKNOWN_MEMBER
