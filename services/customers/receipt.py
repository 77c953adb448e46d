"""The receipt of one entry, for whoever it is about."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from services import calls
from services.contract_sets import CarriedSets
from services.identity import Caller, Tokens
from services.ledger.client import Ledger
from services.problems import Problem
from services.receipts import document

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,17}")


class Receipt(BaseModel):
    """One entry with all that proves it. Keep it as it is: `sparks receipt verify FILE` needs nothing else."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "format": "sparks-receipt-v1",
                    "index": 4712,
                    "at": "2026-07-06T16:05:00Z",
                    "kind": "authorize",
                    "customer_id": "5f0c1b7e9a3d4c2e8b6a7f1d0e9c8b7a",
                    "words": ["Authorize, recorded at 2026-07-06T16:05:00Z.", "100.000000 sparks less free."],
                    "contract_version": "9b0f6c5d...",
                    "postings": [{"asset": "spark", "account": "free", "micro_sparks": -100_000_000}],
                    "postings_are_proven": True,
                    "answer": {"decline": None, "purchase": ["5f0c1b7e...", "R4K2QW7ZT9XB3MC", "TILL1"]},
                    "pack": None,
                    "evidence": {
                        "entry": "hwFpYXV0aG9yaXpl...",
                        "request": {"bytes": "i2lhdXRob3JpemVY...", "salt": "q83vASNFZ4mrze8BI0VniQ"},
                        "effects": {"bytes": "g4KDZXNwYXJr...", "salt": "EjRWeJq83vASNFZ4mrze8A"},
                        "result": "omdkZWNsaW5l...",
                    },
                    "proof": "c2sp.org/tlog-proof@v1\nindex 4712\n...\n\nsparks.example/ledger\n4713\n...",
                    "keys": "sparks.example/ledger+1a2b3c4d+AQ...\nquorum 0\n",
                }
            ]
        }
    )

    format: Annotated[str, Field(description="sparks-receipt-v1")]
    index: int
    at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    kind: Annotated[str, Field(description="what was commanded")]
    customer_id: str
    words: Annotated[list[str], Field(description="what happened, in plain sentences")]
    contract_version: Annotated[str, Field(description="hex; of the contract set that executed the entry")]
    parameters_file: Annotated[
        str | None,
        Field(description="that set's TOML file, where it is not the one that came with its code"),
    ] = None
    postings: Annotated[list[dict[str, Any]], Field(description="on your own accounts")]
    postings_are_proven: Annotated[bool, Field(description="false where one entry moved the sparks of others too")]
    answer: Annotated[dict[str, Any] | None, Field(description="what the contract answered; bytes in hex")]
    pack: Annotated[
        dict[str, Any] | None,
        Field(description="readings, the rows it was decided from, parameters, arithmetic line by line"),
    ]
    evidence: Annotated[dict[str, Any], Field(description="the bytes that the entry commits to, base64url")]
    proof: Annotated[str, Field(description="C2SP tlog-proof under the newest checkpoint")]
    keys: Annotated[str, Field(description="who signed the checkpoint, in the form of /log/keys")]


def receipt_router(*, ledger: Ledger, tokens: Tokens, sets: CarriedSets, keys_of: Callable[[bytes], str]) -> APIRouter:
    """Return the router of `/v1/me/sparks/entries/{index}/receipt`.

    sets     that the ledger carries: an entry is explained by the one that executed it
    keys_of  which keys signed a checkpoint, in the form of `/log/keys`
    """
    router = APIRouter(tags=["customers"])
    _Customer: TypeAlias = Annotated[Caller, Depends(tokens.customer)]

    @router.get(
        "/v1/me/sparks/entries/{index}/receipt",
        summary="Everything needed to check an entry without us: `sparks receipt verify FILE`",
        response_model=Receipt,
        response_model_exclude_unset=True,
        responses=calls.signed_in("customer_closed", "not_found"),
    )
    def receipt(index: str, caller: _Customer) -> dict[str, Any]:
        found = ledger.evidence(int(index)) if _INDEX.fullmatch(index) else None
        if found is not None:
            try:
                return document.issue(found, sets, customer_id=caller.subject, keys=keys_of(found.checkpoint))
            except document.NotTheirs:
                pass
        raise Problem("not_found", "There is no such entry of yours.")

    return router
