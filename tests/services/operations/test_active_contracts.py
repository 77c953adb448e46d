"""What is shown, and what a proposal is tried with, are the contracts that are active on the ledger."""

import hashlib
from typing import Any

import pytest

from contracts import bundle, execute
from contracts.wire import cbor
from services import contract_sets
from services.encoding import text_of
from tests.services.contract_sets.second import OWN, PROGRAMME, other_rule, replaced
from tests.services.operations.conftest import Desk, code_of
from tests.services.operations.council import decide, found, propose

PARAMETERS = bundle.from_bytes(OWN)[bundle.parameters_path(PROGRAMME)]


def activate(desk: Desk, files: bytes, *members: str) -> dict[str, Any]:
    version = contract_sets.version_of(files).hex()
    decided = decide(desk, {"kind": "activate_contracts", "version": version, "files": text_of(files)}, *members)
    assert decided["state"] == "carried", decided
    return decided


def with_parameter(old: bytes, new: bytes) -> bytes:
    assert PARAMETERS.count(old) == 1
    return contract_sets.with_parameters(OWN, PROGRAMME, PARAMETERS.replace(old, new))


def test_how_many_have_to_approve_follows_the_active_parameters(desk):
    found(desk, "hydro", "interac", "auditor")
    assert desk.as_().get("/v1/members").json()["approvals_needed"] == 2

    activate(desk, with_parameter(b"approvals_above_bp = 5000", b"approvals_above_bp = 9900"), "hydro", "interac")

    assert desk.as_().get("/v1/members").json()["approvals_needed"] == 3
    assert propose(desk, {"kind": "set_quorum", "quorum": 1})["needed"] == 3
    assert decide(desk, {"kind": "set_quorum", "quorum": 1}, "hydro", "interac")["state"] == "open"


def test_how_long_a_key_lasts_and_what_a_role_is_given_follow_them_too(desk):
    found(desk, "hydro", "grocer")
    files = with_parameter(b'retailer = ["governance", "statements"]', b'retailer = ["governance", "checkout"]')
    activate(desk, files, "hydro", "grocer")

    by_name = {item["collection"]: item for item in desk.as_().get("/v1/collections").json()["items"]}

    assert "grocer" in by_name["checkout"]["members"]
    activate(
        desk, with_parameter(b"member_key_s_default = 31_536_000", b"member_key_s_default = 60"), "hydro", "grocer"
    )
    assert desk.as_().get("/v1/members").json()["key_s_default"] == 60


def test_a_proposal_is_tried_with_the_active_code_not_the_program_s_own(desk):
    """The active code carries no quorum at all: what this program's own would take is refused at once."""
    found(desk, "hydro")
    stricter = replaced(OWN, "membership.py", b"if not 0 <= command.quorum <= cosigners:", b"if command.quorum >= 0:")
    activate(desk, stricter, "hydro")

    answer = desk.programme.post("/v1/proposals", {"kind": "set_quorum", "quorum": 1})

    assert code_of(answer) == (422, "invalid_quorum")


def test_a_command_that_the_active_contracts_have_not_is_not_proposed(desk):
    found(desk, "hydro")
    activate(
        desk, replaced(OWN, "governed.py", b'KIND: ClassVar[str] = "set_quorum"', b'KIND: ClassVar[str] = "x"'), "hydro"
    )

    answer = desk.programme.post("/v1/proposals", {"kind": "set_quorum", "quorum": 1})

    assert answer.json()["code"] == "other_contracts"


@pytest.mark.parametrize("which", [OWN, other_rule()], ids=["first", "second"])
def test_the_files_of_every_set_that_was_active_are_open_to_all(desk, which):
    found(desk, "hydro")
    activate(desk, other_rule(), "hydro")
    version = contract_sets.version_of(which).hex()

    answer = desk.as_().get(f"/v1/contracts/{version}")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/cbor")
    assert bundle.version_of(cbor.decode(answer.content)).hex() == version


def test_a_set_that_was_never_active_is_not_found(desk):
    unknown = hashlib.sha256(b"none").hexdigest()

    assert code_of(desk.as_().get(f"/v1/contracts/{unknown}")) == (404, "unknown_contracts")
    assert desk.as_().get(f"/v1/contracts/{execute.version().hex()}").status_code == 200
