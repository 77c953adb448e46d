"""`sparks member`: parses, calls, prints. Decides nothing."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from services.reporting import Json, reported

member_app = typer.Typer(
    help="Members: their keys, what they decide together, and a member's copy of the ledger.", no_args_is_help=True
)

Url = Annotated[str, typer.Option(help="Where the platform answers.")]
OperatorFile = Annotated[
    Path | None, typer.Option("--operator", help="Credentials that propose; keys/operator.json below SPARKS_DATA_DIR.")
]
Sign = Annotated[
    Path | None, typer.Option("--sign", help="Seed file of the member's govern key: approve it at once as this member.")
]
AsMember = Annotated[
    str | None, typer.Option("--as", help="Propose in this member's own name, and approve it; needs --as-key.")
]
AsKey = Annotated[Path | None, typer.Option("--as-key", help="Seed file of that member's govern key.")]
MemberId = Annotated[str, typer.Argument(help="The member: small letters, digits and -.")]


def _moment(text: str | None) -> str | None:
    from services.moments import unix_s

    try:
        if text is not None:
            unix_s(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


Until = Annotated[
    str | None, typer.Option(help="UTC moment at which it ends, like 2027-07-01T00:00:00Z.", callback=_moment)
]
URL = "http://127.0.0.1:8000"


@member_app.command("keys")
@reported
def keys(url: Url = URL, as_json: Json = False) -> None:
    """Show the members' keys: use, until when, days left, and a warning 90 days before the last one of a use ends.

    Exit code 0 whatever the keys say: the metric sparks_member_key_days_left is for alarms.
    """
    rows = [(member, key) for member in desk_of(url, None).look("/v1/members")["items"] for key in member["keys"]]
    typer.echo(f"{'member':20} {'use':7} {'key':12} {'until':20} {'days':>5}  state", err=as_json)
    for member, key in rows:
        line = f"{member['member_id']:20} {key['use']:7} {key['public_key'][:12]:12} {key['until_at']:20}"
        typer.echo(f"{line} {key['days_left']:>5}  {key['state']}", err=as_json)
    ending = [(member["member_id"], key) for member, key in rows if key["state"] == "ending"]
    for member_id, key in ending:
        typer.echo(f"sparks: {member_id}: renew its {key['use']} key within {key['days_left']} days", err=True)
    if as_json:
        shown = [{"member_id": member["member_id"], **key} for member, key in rows]
        typer.echo(json.dumps({"keys": shown, "ending": len(ending)}))


@member_app.command("new-key")
@reported
def new_key(
    name: Annotated[str, typer.Argument(help="What the file is called: NAME.seed.")],
    folder: Annotated[Path, typer.Option(help="Where it is written.")] = Path(),
) -> None:
    """Make an Ed25519 key: writes NAME.seed, which only you can read, and prints the public key to hand over.

    Make one for each use: `govern` to approve, `cosign` to co-sign checkpoints. No key is ever used for both. Keep a
    copy of the file off line; whoever has it signs in the member's name.
    """
    from services.encoding import text_of
    from services.keys import new_seed

    path = folder / f"{name}.seed"
    public_key = text_of(new_seed(path))
    typer.echo(f"{path}: keep it secret, keep a copy", err=True)
    typer.echo(public_key)


@member_app.command("prove")
@reported
def prove(
    seed: Annotated[Path, typer.Argument(help="Seed file of the new key.")],
    member: Annotated[str, typer.Option("--as", help="The member, or who is to be one, whose key it is.")],
    use: Annotated[str, typer.Option(help="govern or cosign.")] = "govern",
    until: Until = None,
    url: Url = URL,
) -> None:
    """Print a new key with the proof that you hold it, for whoever proposes it: `... > KEY.json`.

    The key signs for whom, for what and for how long it is. Where you propose yourself, name the seed file instead.
    """
    from services.keys import read_seed
    from services.proposing import proven_key

    typer.echo(json.dumps(proven_key(desk_of(url, None).look("/v1/members"), read_seed(seed), member, use, until)))


@member_app.command("admit")
@reported
def admit(  # noqa: PLR0917 (each is an option of the command)
    member_id: MemberId,
    name: Annotated[str, typer.Option(help="The organisation, as people call it.")],
    role: Annotated[str, typer.Option(help="utility, network, retailer, regulator or auditor.")],
    govern_key: Annotated[str, typer.Option(help="Its seed file, or the KEY.json that `prove` wrote.")],
    cosign_name: Annotated[str, typer.Option(help="Ends in /all or /given, as the role's collections are.")],
    cosign_key: Annotated[str | None, typer.Option(help="Its seed file, or the KEY.json that `prove` wrote.")] = None,
    address: Annotated[str, typer.Option(help="Where its copy takes checkpoints to co-sign.")] = "",
    sign: Sign = None,
    url: Url = URL,
    operator: OperatorFile = None,
    as_member: AsMember = None,
    as_key: AsKey = None,
) -> None:
    """Propose a new member. It has to approve this itself, and more than half of the members have to.

    The first member, the utility, is approved by itself alone:

      sparks member new-key hydro-govern
      sparks member admit hydro --name 'Hydro One' --role utility --govern-key hydro-govern.seed \\
        --cosign-name hydro.example/all --sign hydro-govern.seed
    """
    from services.proposing import new_key

    named = {"govern": govern_key, "cosign": cosign_key}
    members = desk_of(url, operator).look("/v1/members")
    body = {
        "kind": "admit_member",
        "member_id": member_id,
        "name": name,
        "role": role,
        "url": address,
        "cosign_name": cosign_name,
        "keys": [new_key(members, key, member_id, use) for use, key in named.items() if key],
    }
    put_forward(proposer(url, operator, as_member, as_key), body, member_id, sign)


@member_app.command("renew")
@reported
def renew(  # noqa: PLR0917 (each is an option of the command)
    member_id: MemberId,
    key: Annotated[str, typer.Option(help="The new key: its seed file, or the KEY.json that `prove` wrote.")],
    use: Annotated[str, typer.Option(help="govern or cosign.")] = "govern",
    until: Until = None,
    sign: Sign = None,
    url: Url = URL,
    operator: OperatorFile = None,
    as_member: AsMember = None,
    as_key: AsKey = None,
) -> None:
    """Propose one more key for a member, beside the one that ends: its own approval with --sign is enough.

    A member that lost its key is given another by the members: leave --sign out, and have more than half of them
    approve.
    """
    from services.proposing import new_key

    members = desk_of(url, operator).look("/v1/members")
    body = {"kind": "add_member_key", "member_id": member_id, **new_key(members, key, member_id, use, until)}
    put_forward(proposer(url, operator, as_member, as_key), body, member_id, sign)


@member_app.command("retire")
@reported
def retire(  # noqa: PLR0917 (each is an option of the command)
    member_id: MemberId,
    key: Annotated[str, typer.Option(help="The key to end: public key, or its seed file.")],
    until: Until = None,
    sign: Sign = None,
    url: Url = URL,
    operator: OperatorFile = None,
    as_member: AsMember = None,
    as_key: AsKey = None,
) -> None:
    """Propose that a key ends, now unless --until says when. What it signed goes on to verify.

    Add the next key first (`sparks member renew`): the last govern key of a member is never retired.
    """
    from services.proposing import public_key_of

    body = {"kind": "retire_member_key", "member_id": member_id, "public_key": public_key_of(key)}
    put_forward(
        proposer(url, operator, as_member, as_key), body | ({"until_at": until} if until else {}), member_id, sign
    )


@member_app.command("remove")
@reported
def remove(
    member_id: MemberId,
    url: Url = URL,
    operator: OperatorFile = None,
    as_member: AsMember = None,
    as_key: AsKey = None,
) -> None:
    """Propose that an organisation is a member no more: it signs nothing from then on, what it signed stays good.

    More than half of the members have to approve, itself among them. Refused where too few would be left to co-sign.
    """
    put_forward(
        proposer(url, operator, as_member, as_key), {"kind": "remove_member", "member_id": member_id}, member_id, None
    )


@member_app.command("quorum")
@reported
def quorum(
    members: Annotated[int, typer.Argument(min=0, help="How many.")],
    url: Url = URL,
    operator: OperatorFile = None,
    as_member: AsMember = None,
    as_key: AsKey = None,
) -> None:
    """Propose how many members must co-sign a checkpoint before it is final. More than half have to approve.

    At most as many as have a cosign key that is valid now; `/log/keys` says what it is.
    """
    put_forward(proposer(url, operator, as_member, as_key), {"kind": "set_quorum", "quorum": members}, "", None)


@member_app.command("proposals")
@reported
def list_proposals(
    limit: Annotated[int, typer.Option(min=1, max=50, help="How many, the newest first.")] = 20,
    url: Url = URL,
    as_json: Json = False,
) -> None:
    """Show what was proposed, the newest first: its id, what, who approved, and what became of it."""
    items = desk_of(url, None).look("/v1/proposals", limit=limit)["items"]
    for item in items:
        approvals = f"{len(item['approvals'])} of {item['needed']}" if item["needed"] else ""
        about = item["fields"].get("member_id", "")
        typer.echo(f"{item['id'][:16]}  {item['state']:8} {item['kind']:18} {about:20} {approvals}", err=as_json)
    if as_json:
        typer.echo(json.dumps({"proposals": items}))


@member_app.command("approve")
@reported
def approve(
    proposal: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    member: Annotated[str, typer.Option("--as", help="The member that approves.")],
    sign: Annotated[Path, typer.Option("--sign", help="Seed file of the member's govern key.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: Url = URL,
) -> None:
    """Show what a proposal says, ask, sign it and send the signature. The key never leaves this machine.

    What is shown is read out of the very bytes that are signed.
    """
    from services.keys import read_seed
    from services.proposing import said, signed_bytes

    seed = read_seed(sign)
    desk = desk_of(url, None)
    shown = desk.look(f"/v1/proposals/{_whole_id(desk, proposal)}")
    for name, value in said(signed_bytes(shown)):
        typer.echo(f"{name:>12}  {value}", err=True)
    if not yes:
        typer.confirm(f"approve this as {member}?", abort=True, err=True)
    _tell(desk.approve(shown, member, seed))


def put_forward(desk: Any, body: dict[str, Any], member_id: str, sign: Path | None) -> None:
    """Propose, and approve at once: as the member that proposes, and with the seed file that is given."""
    from services.keys import read_seed

    seeds = [(member_id, read_seed(sign))] if sign else []
    if desk.member is not None and desk.member[0] not in [name for name, _ in seeds]:
        seeds.insert(0, desk.member)
    proposal = desk.propose(body)
    for name, seed in seeds:
        if proposal["state"] == "open":
            proposal = desk.approve(proposal, name, seed)
    _tell(proposal)


def _tell(proposal: dict[str, Any]) -> None:
    """What a proposal has come to; its id alone on standard output."""
    if proposal["state"] == "carried":
        typer.echo(f"carried: entry {proposal['entry_index']}", err=True)
    else:
        given = f"{len(proposal['approvals'])} of {proposal['needed']} approvals"
        typer.echo(f"{proposal['state']}: {given}; sparks member approve ID", err=True)
    typer.echo(proposal["id"])


def _whole_id(desk: Any, beginning: str) -> str:
    from services.proposing import NothingToSign

    whole = 64
    if len(beginning) == whole:
        return beginning
    ids = [item["id"] for item in desk.look("/v1/proposals", limit=50)["items"] if item["id"].startswith(beginning)]
    if len(ids) != 1:
        many = f"{len(ids)} of them begin" if ids else "none of them begins"
        raise NothingToSign(f"{many} with {beginning}: `sparks member proposals` shows the newest")
    return str(ids[0])


def desk_of(url: str, operator: Path | None, member: tuple[str, bytes] | None = None) -> Any:
    """The platform as members meet it."""
    from services.proposing import Desk
    from services.settings import load

    return Desk(url, operator or load().keys_dir / "operator.json", member)


def proposer(url: str, operator: Path | None, as_member: str | None, as_key: Path | None) -> Any:
    """The platform as whoever proposes meets it: with the operator's credentials, or a member in its own name."""
    from services.keys import read_seed

    if (as_member is None) != (as_key is None):
        raise typer.BadParameter("a member proposes with --as and --as-key together", param_hint="--as")
    member = (as_member, read_seed(as_key)) if as_member is not None and as_key is not None else None
    return desk_of(url, operator, member)
