"""`sparks contract propose`, `approve`, `status`: parses, calls, prints. Decides nothing."""

import json
from pathlib import Path
from typing import Annotated

import typer

from services.member_commands import URL, AsKey, AsMember, OperatorFile, Url, approve, desk_of, proposer, put_forward
from services.reporting import Json, reported

contract_app = typer.Typer(
    help="The contracts: try others on history, propose them, run vectors against them.", no_args_is_help=True
)
contract_app.command("approve")(approve)


@contract_app.command("propose")
@reported
def propose(  # noqa: PLR0917 (each is an option of the command)
    params: Annotated[Path | None, typer.Option(help="A TOML file: the active code under these parameters.")] = None,
    code: Annotated[bool, typer.Option("--code", help="This program's own contracts instead.")] = False,
    simulation: Annotated[Path | None, typer.Option(help="What `simulate --result` wrote: approved too.")] = None,
    url: Url = URL,
    operator: OperatorFile = None,
    as_member: AsMember = None,
    as_key: AsKey = None,
) -> None:
    """Propose that another contract set executes what comes next. More than half of the members have to approve."""
    from services.proposing import activation

    if code == (params is not None):
        raise typer.BadParameter("say what to propose: either --params or --code", param_hint="--params")
    put_forward(proposer(url, operator, as_member, as_key), activation(params, simulation), "", None)


@contract_app.command("fetch")
@reported
def fetch(
    version: Annotated[str, typer.Argument(help="The set's version in hex, whole, as `sparks contract status` shows.")],
    file: Annotated[Path, typer.Argument(help="Where its files are written, as one CBOR map of path to bytes.")],
    url: Url = URL,
) -> None:
    """Fetch a contract set that is or was active, and write it down if its hash is right. Nothing is executed."""
    from services.proposing import contract_files

    file.write_bytes(contract_files(url, version))
    typer.echo(f"{file}: contract set {version}", err=True)


@contract_app.command("status")
@reported
def status(url: Url = URL, as_json: Json = False) -> None:
    """Show which contract set is active, since which entry, and what is proposed, with what trying it came to.

    Compare the simulation's hash with that of your own `sparks contract simulate` before you approve: you sign it.
    """
    from services.encoding import bytes_of

    desk = desk_of(url, None)
    contracts = desk.look("/v1/contracts")
    proposals = [item for item in desk.look("/v1/proposals", limit=50)["items"] if item["kind"] == "activate_contracts"]
    typer.echo(f"active   {contracts['version']} since entry {contracts['activated_at_entry']}", err=as_json)
    is_own = contracts["program"] == contracts["version"]
    typer.echo(f"program  {contracts['program']}{'' if is_own else ' (not active)'}", err=as_json)
    for item in proposals:
        given = f"{len(item['approvals'])} of {item['needed']}" if item["needed"] else ""
        typer.echo(f"{item['id'][:16]}  {item['state']:8} {' '.join(item['approvals'])} {given}", err=as_json)
        # Both are in the bytes that members sign.
        tried = bytes_of(item["fields"]["simulation"]) or b""
        typer.echo(f"  version     {(bytes_of(item['fields']['version']) or b'').hex()}", err=as_json)
        typer.echo(f"  simulation  {tried.hex() or 'none: it was not tried on history'}", err=as_json)
    if as_json:
        typer.echo(json.dumps({**contracts, "proposals": proposals}))
