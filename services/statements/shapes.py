"""The bodies of these calls, as OpenAPI shows them."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

_DATE: Final = "2026-07-06"
_FIGURES: Final[dict[str, Any]] = {
    "date": _DATE,
    "index": 4713,
    "closed_at": "2026-07-07T04:00:12Z",
    "size": 4713,
    "reserve_micro_cad": 25_000_000_000,
    "paid_out_micro_cad": 1_200_000_000,
    "issued_micro_sparks": 812_500_000_000,
    "outstanding_micro_sparks": 692_500_000_000,
    "owed_by_retailers_micro_sparks": 0,
    "settled_micro_sparks": 120_000_000_000,
    "fees_micro_sparks": 0,
    "deferred_micro_sparks": 0,
    "tree": {"root": "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k", "depth": 12},
}
_STATEMENT: Final[dict[str, Any]] = {
    "format": "sparks-statement-v1",
    **_FIGURES,
    "words": ["The books of 2026-07-06, closed at 2026-07-07T04:00:12Z."],
    "contract_version": "9b0f6c5d...",
    "evidence": {
        "entry": "hwFxcHVibGlzaF9z...",
        "request": {"bytes": "iHFwdWJsaXNoX3N0...", "salt": "q83vASNFZ4mrze8BI0VniQ"},
        "effects": {"bytes": "g4CBgg...", "salt": "EjRWeJq83vASNFZ4mrze8A"},
        "result": "rmNkYXkZUJk...",
    },
    "proof": "c2sp.org/tlog-proof@v1\nindex 4713\n...\n\nsparks.example/ledger\n4714\n...",
    "keys": "sparks.example/ledger+1a2b3c4d+AQ...\nquorum 0\n",
}
_NODE: Final[dict[str, Any]] = {"hash": "q83vASNF...", "micro_sparks": 812_345, "deferred_micro_sparks": 0}
_PROOF: Final[dict[str, Any]] = {
    "format": "sparks-liability-proof-v1",
    "account": "customer/5f0c1b7e9a3d4c2e8b6a7f1d0e9c8b7a",
    "micro_sparks": 12_500_000,
    "deferred_micro_sparks": 0,
    "words": ["When the books of 2026-07-06 were closed, the balance was 12.500000 sparks, held ones included."],
    "leaves": [
        {"place": 3071, "salt": "EjRWeJq8...", "micro_sparks": 12_500_000, "deferred_micro_sparks": 0, "path": [_NODE]}
    ],
    "statement": _STATEMENT,
}


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True)


class Tree(_Shown):
    """What the ledger commits to: the root over all that is owed, and how far it is from the leaves."""

    root: Annotated[str, Field(description="base64url")]
    depth: int


class Figures(_Shown):
    """What the books held when they were closed for a day, computed by the contracts."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_FIGURES]})

    date: Annotated[str, Field(json_schema_extra={"format": "date"})]
    index: Annotated[int, Field(description="the entry that publishes the statement")]
    closed_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    size: Annotated[int, Field(description="the size of the log at which the figures hold")]
    reserve_micro_cad: int
    paid_out_micro_cad: int
    issued_micro_sparks: int
    outstanding_micro_sparks: Annotated[
        int, Field(description="with customers (free and held) and retailers, of whom one that owes counts as 0")
    ]
    owed_by_retailers_micro_sparks: int
    settled_micro_sparks: int
    fees_micro_sparks: int
    deferred_micro_sparks: Annotated[int, Field(description="awards that wait for funds, in none of the others")]
    tree: Tree


class Statements(_Shown):
    """A page of what is published, the newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_FIGURES], "next_cursor": None}]})

    items: list[Figures]
    next_cursor: str | None


class SignedStatement(Figures):
    """A statement with all that proves it: `sparks statement verify FILE` needs nothing else."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_STATEMENT]})

    format: Annotated[str, Field(description="sparks-statement-v1")]
    words: Annotated[list[str], Field(description="the same in plain sentences")]
    contract_version: Annotated[str, Field(description="hex; of the contract set that executed the entry")]
    evidence: Annotated[dict[str, Any], Field(description="the bytes that the entry commits to, base64url")]
    proof: Annotated[str, Field(description="C2SP tlog-proof under the newest checkpoint")]
    keys: Annotated[str, Field(description="who signed the checkpoint, in the form of /log/keys")]


class LiabilityProof(_Shown):
    """The leaves over which a balance is split, their ways to the root, and the statement that commits to it."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_PROOF]})

    format: Annotated[str, Field(description="sparks-liability-proof-v1")]
    account: Annotated[str, Field(description="customer/{customer_id} or retailer/{retailer_id}")]
    micro_sparks: Annotated[int, Field(description="the balance when the books were closed, held sparks included")]
    deferred_micro_sparks: int
    words: list[str]
    leaves: Annotated[list[dict[str, Any]], Field(description="none for who was owed nothing")]
    statement: SignedStatement
