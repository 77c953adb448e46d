"""A member's HTTP face: its witness, its copy of the log, and how it is."""

from hashlib import sha256
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.ledger.queries import Scope
from services.member.memory import Memory
from services.member.node import Node
from services.member.witness import Witness
from services.problems import Problem

TEXT: Final = "text/plain; charset=utf-8"


def member_router(node: Node, witness: Witness, origin: str) -> APIRouter:
    """Routes of the witness (C2SP tlog-witness) and of the node's own status."""
    router = witness_router(node.memory, witness, origin)

    @router.get("/v1/member/status")
    def status() -> dict[str, object]:
        """How far this copy is, how far behind, and what disagreed."""
        status = node.status()
        return shown(node.memory, origin, scope=node.scope(), size=status.size, operator_size=status.operator_size)

    return router


def witness_router(memory: Memory, witness: Witness, origin: str) -> APIRouter:
    """`POST /add-checkpoint`, and what was co-signed last."""
    router = APIRouter(tags=["member"])

    @router.post("/add-checkpoint", response_class=Response)
    async def add_checkpoint(request: Request) -> Response:
        """Co-sign a checkpoint that continues the last one, once this copy has executed all of it."""
        answer = await run_in_threadpool(witness.add, await request.body())
        headers = {"Retry-After": "1"} if answer.status == 503 else {}
        response = Response(answer.body, answer.status, headers=headers)
        response.headers["Content-Type"] = answer.media_type
        return response

    @router.get(f"/{sha256(origin.encode()).hexdigest()}/checkpoint", response_class=Response)
    def cosigned() -> Response:
        """The newest checkpoint that this member has co-signed."""
        found = memory.cosigned(origin)
        if found is None:
            raise Problem("not_found", "Nothing has been co-signed yet.")
        return Response(found.note, media_type=TEXT)

    return router


def shown(
    memory: Memory, origin: str, *, scope: Scope | None, size: int, operator_size: int | None
) -> dict[str, object]:
    """The status as JSON says it; without an answer of the operator nobody knows how far behind the copy is."""
    cosigned = memory.cosigned(origin)
    executed = size if scope is None else scope.executed
    return {
        "copy": "all" if scope is None else "given",
        "collections": None if scope is None else sorted(scope.collections),
        "executed": executed,
        "outside": size - executed,
        "size": size,
        "operator_size": operator_size,
        "behind": None if operator_size is None else max(operator_size - size, 0),
        "cosigned_size": cosigned.size if cosigned else 0,
        "disagreements": [
            {
                "index": found.difference.index,
                "what": f"{found.difference.table}: {found.difference.what}",
                "ours": found.difference.ours,
                "theirs": found.difference.theirs,
                "source": found.source,
                "seen_s": found.seen_s,
            }
            for found in memory.standing()
        ],
    }


class NodeMetrics(Collector):
    """`sparks_member_*`, read from the node whenever somebody looks."""

    def __init__(self, registry: CollectorRegistry, node: Node) -> None:
        self._node = node
        registry.register(self)

    def describe(self) -> list[GaugeMetricFamily]:
        return []

    def collect(self) -> list[GaugeMetricFamily]:
        status = self._node.status()
        return [
            GaugeMetricFamily("sparks_member_size", "entries copied here", value=status.size),
            GaugeMetricFamily("sparks_member_executed", "entries given and executed here", value=status.executed),
            GaugeMetricFamily(
                "sparks_member_behind",
                "entries that are signed and not executed",
                value=status.operator_size - status.size,
            ),
            GaugeMetricFamily(
                "sparks_member_disagreements", "refusals that stand: an alarm", value=status.disagreements
            ),
        ]
