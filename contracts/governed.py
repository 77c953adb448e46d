"""The commands that no one may decide alone: each carries the signatures of the members that approve it.

`serial` says in which state of affairs it was approved, so that a signature is never used twice: that of the
membership, or, where only one member's keys change, that of the member. `approvals` are pairs (member id, Ed25519
signature over `approvals.approve_bytes`).
"""

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from contracts.units import UnixSeconds

GOVERNANCE: Final = "governance"

Approvals: TypeAlias = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class AdmitMember:
    """An organisation becomes a member; it has to sign this too, with a `govern` key of `keys`.

    url          where its copy takes checkpoints to co-sign, empty if it keeps none
    cosign_name  under which its `cosign` keys sign; ends in /all or /given, as the role's collections are
    keys         (public key, use, from_s, until_s, proof) each; at least one of use `govern`. The proof is the key's
                 own signature over `approvals.possession_bytes`
    """

    KIND: ClassVar[str] = "admit_member"
    COLLECTION: ClassVar[str] = GOVERNANCE
    serial: int
    member_id: str
    name: str
    role: str
    url: str
    cosign_name: str
    keys: tuple[tuple[bytes, str, UnixSeconds, UnixSeconds, bytes], ...]
    approvals: Approvals


@dataclass(frozen=True, slots=True)
class ChangeMember:
    """What is said of a member is another thing now; under another `cosign_name` it signs with other keys."""

    KIND: ClassVar[str] = "change_member"
    COLLECTION: ClassVar[str] = GOVERNANCE
    serial: int
    member_id: str
    name: str
    role: str
    url: str
    cosign_name: str
    approvals: Approvals


@dataclass(frozen=True, slots=True)
class AddMemberKey:
    """A member signs with this key too, from one moment until another.

    serial  the member's; its own approval alone is enough, and without it that of the members is
    proof   the new key's own signature over `approvals.possession_bytes`
    """

    KIND: ClassVar[str] = "add_member_key"
    COLLECTION: ClassVar[str] = GOVERNANCE
    serial: int
    member_id: str
    public_key: bytes
    use: str
    from_s: UnixSeconds
    until_s: UnixSeconds
    proof: bytes
    approvals: Approvals


@dataclass(frozen=True, slots=True)
class RetireMemberKey:
    """A key ends at `until_s` instead of later, but never in the past: what it signed goes on to verify.

    serial  the member's; its own approval alone is enough, and without it that of the members is
    """

    KIND: ClassVar[str] = "retire_member_key"
    COLLECTION: ClassVar[str] = GOVERNANCE
    serial: int
    member_id: str
    public_key: bytes
    until_s: UnixSeconds
    approvals: Approvals


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """An organisation is a member no more."""

    KIND: ClassVar[str] = "remove_member"
    COLLECTION: ClassVar[str] = GOVERNANCE
    serial: int
    member_id: str
    approvals: Approvals


@dataclass(frozen=True, slots=True)
class SetQuorum:
    """That many members have to co-sign a checkpoint before it is final."""

    KIND: ClassVar[str] = "set_quorum"
    COLLECTION: ClassVar[str] = GOVERNANCE
    serial: int
    quorum: int
    approvals: Approvals


@dataclass(frozen=True, slots=True)
class ActivateContracts:
    """Another contract set executes whatever comes after this entry.

    version     of that set (`contracts.bundle`), which is what is approved
    files       all of that set's, or None
    parameters  a TOML file, for the code that is active now with other parameters, or None; without either, the set
                is one that was active before
    simulation  SHA-256 of what trying it on history came to (`sparks contract simulate`), or empty
    """

    KIND: ClassVar[str] = "activate_contracts"
    COLLECTION: ClassVar[str] = GOVERNANCE
    serial: int
    version: bytes
    files: bytes | None
    parameters: bytes | None
    simulation: bytes
    approvals: Approvals


Governed: TypeAlias = (
    AdmitMember | ChangeMember | AddMemberKey | RetireMemberKey | RemoveMember | SetQuorum | ActivateContracts
)
