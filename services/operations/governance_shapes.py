"""The bodies of the calls on members and proposals."""

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, StringConstraints

from services.moments import Moment
from services.operations.shapes import EXAMPLE_KEY, EXAMPLE_MOMENT, Line, Shape, Shown, example

MEMBER_KEYS_MAX: Final = 8
FILES_MAX: Final = 4 * 1024 * 1024
PARAMETERS_MAX: Final = 512 * 1024

CBOR: Final = "application/cbor"
FILES_SERVED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The files.", "content": {CBOR: {"schema": {"type": "string", "format": "binary"}}}}
}

MemberId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
ProposalId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Url = Annotated[str, StringConstraints(pattern=r"^(https?://[!-~]{1,190})?$")]
CosignName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9./_-]{0,199}$")]
Base64 = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}={0,2}$")]
Use = Literal["govern", "cosign"]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

EXAMPLE_SIGNATURE: Final = "2OCf-q2bLhXSwAXfBlM2eSvYJpOSDqTqx0dIYiFgzYJyfV4sQ0SmWQ_6dQbeS3gqz0oTz2qvH-xJc5dOWmS2Cw"


class NewMemberKey(Shape):
    public_key: Annotated[Base64, Field(description="base64url of an Ed25519 key that nobody used for anything else")]
    use: Annotated[Use, Field(description="govern: approves proposals; cosign: co-signs checkpoints")]
    from_at: Annotated[Moment | None, Field(description="valid from; now, unless given")] = None
    until_at: Annotated[Moment | None, Field(description="valid until; a year later, unless given")] = None
    proof: Annotated[
        str,
        Field(
            description="base64url: the new key's own signature over the deterministic CBOR of "
            '["sparks-member-key", origin, member_id, use, public key, from, until (unix seconds)]',
            max_length=128,
        ),
    ] = ""


class AdmitMemberBody(Shape):
    model_config = example(
        kind="admit_member",
        member_id="interac",
        name="Interac Corp.",
        role="network",
        url="https://sparks.interac.example",
        cosign_name="interac.example/given",
        keys=[
            {
                "public_key": EXAMPLE_KEY,
                "use": "govern",
                "from_at": "2026-07-06T16:00:00Z",
                "until_at": "2027-07-06T16:00:00Z",
                "proof": EXAMPLE_SIGNATURE,
            }
        ],
    )
    kind: Literal["admit_member"]
    member_id: MemberId
    name: Line
    role: Annotated[str, Field(description="utility, network, retailer, regulator or auditor", max_length=32)]
    url: Annotated[Url, Field(description="where its copy takes checkpoints to co-sign")] = ""
    cosign_name: Annotated[CosignName, Field(description="ends in /all or /given, as the role's collections are")]
    keys: Annotated[list[NewMemberKey], Field(min_length=1, max_length=MEMBER_KEYS_MAX)]


class ChangeMemberBody(Shape):
    """What is said of a member; what is left out stays as it is."""

    kind: Literal["change_member"]
    member_id: MemberId
    name: Line | None = None
    role: Annotated[str | None, Field(max_length=32)] = None
    url: Url | None = None
    cosign_name: Annotated[CosignName | None, Field(description="another one ends the member's cosign keys")] = None


class AddMemberKeyBody(NewMemberKey):
    kind: Literal["add_member_key"]
    member_id: MemberId


class RetireMemberKeyBody(Shape):
    kind: Literal["retire_member_key"]
    member_id: MemberId
    public_key: Base64
    until_at: Annotated[Moment | None, Field(description="it ends then; now, unless given")] = None


class RemoveMemberBody(Shape):
    kind: Literal["remove_member"]
    member_id: MemberId


class SetQuorumBody(Shape):
    kind: Literal["set_quorum"]
    quorum: Annotated[int, Field(ge=0, le=1_000, description="co-signatures that make a checkpoint final")]


class ActivateContractsBody(Shape):
    """Another contract set: its `files`, or `parameters` for the active code; neither for one that was active once."""

    model_config = example(kind="activate_contracts", version="5d" * 32, simulation="0f" * 32)
    kind: Literal["activate_contracts"]
    version: Annotated[Sha256, Field(description="hex: of the set that is to execute what comes next")]
    files: Annotated[str | None, Field(description="base64url: CBOR map of path to bytes", max_length=FILES_MAX)] = None
    parameters: Annotated[str | None, Field(description="a programme's TOML file", max_length=PARAMETERS_MAX)] = None
    simulation: Annotated[
        Sha256 | None, Field(description="hex: result hash of `sparks contract simulate`, which is approved too")
    ] = None


ProposalBody: TypeAlias = Annotated[
    AdmitMemberBody
    | ChangeMemberBody
    | AddMemberKeyBody
    | RetireMemberKeyBody
    | RemoveMemberBody
    | SetQuorumBody
    | ActivateContractsBody,
    Field(discriminator="kind"),
]
"""A governed command as it is proposed: its serial is that of the moment."""


class NewApproval(Shape):
    model_config = example(member_id="interac", signature=EXAMPLE_SIGNATURE)
    member_id: MemberId
    signature: Annotated[Base64, Field(description="base64url, by a govern key of the member over the bytes to sign")]


EXAMPLE_PROPOSAL: Final[dict[str, Any]] = {
    "id": "5d" * 32,
    "kind": "set_quorum",
    "state": "open",
    "fields": {"serial": 3, "quorum": 2},
    "digest": "0f" * 32,
    "proposed_at": EXAMPLE_MOMENT,
    "approvals": ["hydro"],
    "needed": 2,
}


class Proposal(Shown):
    model_config = example(**EXAMPLE_PROPOSAL)
    id: str
    kind: str
    state: Annotated[str, Field(description="open, carried or refused")]
    reason: Annotated[str | None, Field(description="why it is refused for good: the code of a problem")] = None
    fields: Annotated[
        dict[str, Any], Field(description="what is proposed; bytes in base64url, long ones by their hash")
    ]
    digest: Annotated[str, Field(description="hex, SHA-256 of the bytes to sign")]
    proposed_at: str
    proposed_by_member: Annotated[str | None, Field(description="which member; null: whoever runs the programme")] = (
        None
    )
    approvals: Annotated[list[str], Field(description="the members whose signature counts")]
    needed: Annotated[int | None, Field(description="signatures in all; null once it is closed")] = None
    entry_index: Annotated[int | None, Field(description="the ledger's entry that carried it")] = None


class ProposalToSign(Proposal):
    model_config = example(**EXAMPLE_PROPOSAL, to_sign="hG9zcGFya3MtYXBwcm92YWw")
    to_sign: Annotated[str, Field(description="base64url: what a member signs, deterministic CBOR that says it all")]


class Proposals(Shown):
    model_config = example(items=[EXAMPLE_PROPOSAL], next_cursor=None)
    items: list[Proposal]
    next_cursor: str | None


class MemberKey(Shown):
    public_key: str
    use: str
    name: Annotated[str, Field(description="under which a cosign key signs")]
    from_at: str
    until_at: str
    days_left: Annotated[int, Field(description="whole days until it ends; 0 if it has")]
    state: Annotated[str, Field(description="coming, valid, ending (soon, with nothing to follow) or ended")]


EXAMPLE_MEMBER: Final[dict[str, Any]] = {
    "member_id": "hydro",
    "name": "Hydro One",
    "role": "utility",
    "collections": ["all"],
    "url": "https://sparks.hydro.example",
    "cosign_name": "hydro.example/all",
    "serial": 0,
    "keys": [],
    "admitted_at": EXAMPLE_MOMENT,
    "removed_at": None,
}


class Member(Shown):
    model_config = example(**EXAMPLE_MEMBER)
    member_id: str
    name: str
    role: str
    collections: list[str]
    url: str
    cosign_name: str
    serial: int
    keys: list[MemberKey]
    admitted_at: str
    removed_at: str | None


class Members(Shown):
    model_config = example(
        origin="sparks.example/ledger",
        serial=1,
        quorum=0,
        at=EXAMPLE_MOMENT,
        key_s_default=31_536_000,
        approvals_needed=1,
        items=[EXAMPLE_MEMBER],
    )
    origin: Annotated[str, Field(description="the log's, which every approval names")]
    serial: int
    quorum: Annotated[int, Field(description="co-signatures that make a checkpoint final")]
    at: Annotated[str, Field(description="the platform's time, by which keys begin and end")]
    key_s_default: Annotated[int, Field(description="how long a key lasts unless it says until when")]
    approvals_needed: Annotated[int, Field(description="members that carry a proposal now")]
    items: list[Member]


class Collection(Shown):
    model_config = example(
        collection="checkout", roles=["auditor", "network", "regulator", "utility"], members=["hydro"]
    )
    collection: Annotated[str, Field(description="as it stands in the public entries")]
    roles: list[str]
    members: Annotated[list[str], Field(description="present members with one of these roles")]


class Collections(Shown):
    model_config = example(items=[{"collection": "utility", "roles": ["auditor", "utility"], "members": ["hydro"]}])
    items: list[Collection]


class Contracts(Shown):
    model_config = example(version="5d" * 32, activated_at_entry=0, program="5d" * 32)
    version: Annotated[str, Field(description="hex: of the contract set that executes the next entry")]
    activated_at_entry: Annotated[int, Field(description="the entry that made it active; the next was executed by it")]
    program: Annotated[str, Field(description="hex: of the set that this program was built with")]
