"""What members and the operator do from the command line, over HTTP only: propose, look, sign, approve, publish.

A member signs bytes that the platform shows it. What they say is read out of these very bytes, so that nobody signs
one thing and is shown another.
"""

import hashlib
import json
import uuid
from contextlib import closing
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, Final

from contracts import approvals, bundle
from contracts.commands import BY_KIND
from contracts.units import UnixSeconds
from contracts.wire import cbor, signatures
from device_sim.people import Caller, Operator
from services import contract_sets
from services.clock import SystemClock
from services.encoding import bytes_of, text_of
from services.keys import KeyFileUnusable, read_seed
from services.member_calls import MemberCall
from services.moments import rfc3339, unix_s
from services.simulation import DIGEST, digest_of

PROGRAMME: Final = "ontario"
BYTES_SHOWN_MAX: Final = 1_024
APPROVAL: Final = "sparks-approval"
# Fields shown in hex, as `sparks contract simulate` and `status` print them; keys are base64url everywhere.
HASHES: Final = frozenset({"version", "simulation"})
"""What the bytes begin with that a member signs (`contracts.approvals`)."""


class NothingToSign(ValueError):
    """What the platform shows is no proposal, or not what it was said to be; the message is one line."""


class Anyone(Caller):
    """A caller of what is open to all."""

    def token(self) -> str:
        """There is none to get: what is open to all asks for none."""
        raise NothingToSign("this call needs the operator's credentials")


class AsMember(Caller):
    """A caller in a member's own name: each POST is signed by its `govern` key."""

    def __init__(self, base_url: str, *, origin: str, member_id: str, seed: bytes, now_s: UnixSeconds) -> None:
        super().__init__(base_url)
        self._said: dict[str, Any] = {"origin": origin, "member_id": member_id, "time_s": now_s}
        self._seed = seed

    def token(self) -> str:
        """There is none to get: the signature was not taken."""
        raise NothingToSign(f"the platform does not take the signature of {self._said['member_id']}: is its key valid?")

    def post(self, path: str, body: dict[str, Any] | None = None, *, key: str | None = None) -> Any:
        """POST, signed; the JSON of the answer."""
        shown, content = f'"{key or uuid.uuid4()}"', json.dumps(body or {}).encode()
        call = MemberCall(method="POST", path=path, key=shown, body=content, **self._said)
        headers = {"Idempotency-Key": shown, "Authorization": call.signed(self._seed)}
        return self._call("POST", path, content=content, headers={**headers, "Content-Type": "application/json"})


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the platform is, and who proposes.

    operator  the file with `client_id` and `client_secret`
    member    a member that proposes in its own name instead, and the seed of its `govern` key
    """

    url: str
    operator: Path
    member: tuple[str, bytes] | None = None

    def look(self, path: str, **query: Any) -> Any:
        """GET something that is open to all."""
        with closing(Anyone(self.url)) as caller:
            return caller.get(path, **query)

    def propose(self, body: dict[str, Any]) -> dict[str, Any]:
        """Propose a governed command; the proposal."""
        with closing(self._proposer()) as caller:
            made: dict[str, Any] = caller.post("/v1/proposals", body)
            return made

    def publish_statement(self, day: date) -> dict[str, Any]:
        """Publish the statement of a day that is over; its figures."""
        with closing(Operator(self.url, **_credentials(self.operator))) as caller:
            return caller.publish_statement(day.isoformat())

    def _proposer(self) -> Caller:
        if self.member is None:
            return Operator(self.url, **_credentials(self.operator))
        member_id, seed = self.member
        origin = str(self.look("/v1/members")["origin"])
        now_s = SystemClock().now_s()
        return AsMember(self.url, origin=origin, member_id=member_id, seed=seed, now_s=now_s)

    def approve(self, proposal: dict[str, Any], member_id: str, seed: bytes) -> dict[str, Any]:
        """Sign what a proposal shows and send the signature; the proposal as it stands then."""
        signature = signatures.sign(seed, signed_bytes(proposal))
        with closing(Anyone(self.url)) as caller:
            body = {"member_id": member_id, "signature": text_of(signature)}
            approved: dict[str, Any] = caller.post(f"/v1/proposals/{proposal['id']}/approvals", body)
            return approved


def activation(params: Path | None, simulation: Path | None) -> dict[str, Any]:
    """The body that proposes these parameters, or this program's own contracts, with what trying them came to.

    Raises NothingToSign for a result that is not of them or is not what its hash says.
    """
    files = contract_sets.own_files(PROGRAMME)
    carried: dict[str, Any] = {"files": text_of(files)}
    if params is not None:
        parameters = params.read_bytes()
        files = contract_sets.with_parameters(files, PROGRAMME, parameters)
        carried = {"parameters": parameters.decode()}
    version = bundle.version_of(bundle.from_bytes(files)).hex()
    body = {"kind": "activate_contracts", "version": version, **carried}
    if simulation is None:
        return body
    try:
        result = json.loads(simulation.read_text(encoding="utf-8"))
        tried, digest = result["contracts"]["proposed"], digest_of(result).hex()
    except (ValueError, KeyError, TypeError):
        raise NothingToSign(f"{simulation}: no result of a simulation") from None
    if result.get(DIGEST) != digest or (tried != version and params is None):
        raise NothingToSign(f"{simulation}: not the result of these contracts")
    # Where other code is active than this program's, the version is that code's: the simulation knows it.
    return body | {"version": tried, "simulation": digest}


def contract_files(url: str, version: str) -> bytes:
    """The files of a contract set, tested against its version (hex). Raises NothingToSign, CallFailed."""
    with closing(Anyone(url)) as caller:
        files = caller.fetch(f"/v1/contracts/{version}")
    if contract_sets.version_of(files).hex() != version:
        raise NothingToSign(f"what the platform gives as contract set {version[:12]} hashes to another version")
    return files


def signed_bytes(proposal: dict[str, Any]) -> bytes:
    """The bytes that a proposal asks to sign; raises NothingToSign."""
    data = bytes_of(str(proposal.get("to_sign", "")))
    if not data:
        raise NothingToSign("the platform shows no bytes to sign")
    return data


def said(to_sign: bytes) -> list[tuple[str, str]]:
    """What somebody says who signs these bytes, by name: the log, the command and its fields. Raises NothingToSign."""
    try:
        value = cbor.decode(to_sign)
    except ValueError:
        value = None
    if not isinstance(value, list) or len(value) < 3 or value[0] != APPROVAL or value[2] not in BY_KIND:
        raise NothingToSign("the bytes to sign are no proposal that this version knows")
    names = [field.name for field in fields(BY_KIND[value[2]]) if field.name != "approvals"]
    if len(names) != len(value) - 3:
        raise NothingToSign(f"the bytes to sign are no {value[2]} that this version knows")
    return [
        ("log", str(value[1])),
        ("command", value[2]),
        *((name, _text(part, in_hex=name in HASHES)) for name, part in zip(names, value[3:], strict=True)),
    ]


def proven_key(members: dict[str, Any], seed: bytes, member_id: str, use: str, until: str | None) -> dict[str, str]:
    """A new key as a proposal names it: valid from now, with its own signature that its owner holds it.

    members  as `GET /v1/members` shows them: the log's name, its time, and how long a key lasts
    """
    from_s = unix_s(members["at"])
    until_s = unix_s(until) if until else from_s + int(members["key_s_default"])
    key = approvals.proven_key(
        seed, origin=members["origin"], member_id=member_id, use=use, from_s=from_s, until_s=until_s
    )
    return {
        "public_key": text_of(key[0]),
        "use": use,
        "from_at": rfc3339(from_s),
        "until_at": rfc3339(until_s),
        "proof": text_of(key[-1]),
    }


def new_key(members: dict[str, Any], text: str, member_id: str, use: str, until: str | None = None) -> dict[str, str]:
    """The new key that is named: by its seed file, or by a file that `sparks member prove` wrote for whoever holds it.

    Raises KeyFileUnusable.
    """
    path = Path(text)
    if path.suffix != ".json":
        if not path.is_file():
            raise KeyFileUnusable(f"{text}: no file; name a new key's seed file, or what `sparks member prove` wrote")
        return proven_key(members, read_seed(path), member_id, use, until)
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        key = {name: str(said[name]) for name in ("public_key", "use", "from_at", "until_at", "proof")}
    except (OSError, ValueError, KeyError, TypeError):
        raise KeyFileUnusable(f"{path}: not what `sparks member prove` writes") from None
    if key["use"] != use:
        raise KeyFileUnusable(f"{path}: a key for {key['use']}, not for {use}")
    return key


def public_key_of(text: str) -> str:
    """The public key in base64url that is named: itself, or that of a seed file."""
    if (path := Path(text)).suffix == ".seed" or path.is_file():
        return text_of(signatures.public_key_of(read_seed(path)))
    if len(bytes_of(text) or b"") != signatures.PUBLIC_KEY_LENGTH:
        raise KeyFileUnusable(f"{text}: neither a file nor the base64url of a public key")
    return text


def _text(value: object, *, in_hex: bool = False) -> str:
    if value is None:
        return "none"
    if isinstance(value, bytes):
        if len(value) > BYTES_SHOWN_MAX:
            return f"{len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()}"
        return value.hex() if in_hex else text_of(value)
    return " ".join(_text(item) for item in value) if isinstance(value, list) else str(value)


def _credentials(path: Path) -> dict[str, str]:
    try:
        client = json.loads(path.read_text(encoding="ascii"))
        return {name: str(client[name]) for name in ("client_id", "client_secret")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"no operator's credentials ({error.__class__.__name__})"
        raise KeyFileUnusable(f"{path}: {what}; name them with --operator") from None
