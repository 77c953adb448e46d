"""An operator's ledger and a member's node, each with its own database, and only HTTP between them."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import cbor2
import httpx
from fastapi import APIRouter, Request, Response
from sqlalchemy import Engine, delete, insert, select, update
from sqlmodel import Session

from contracts.approvals import COSIGN, GOVERN, approve_bytes, proven_key
from contracts.governed import AdmitMember, SetQuorum
from contracts.units import UnixSeconds
from contracts.wire import signatures
from services import database
from services.clock import SimulatedClock
from services.ledger import checkpoints, entries, merkle, notes, tiles
from services.ledger.app import log_router
from services.ledger.checkpoints import Checkpoint
from services.ledger.copying import Copyist
from services.ledger.delivering import Access, Deliveries, deliveries_router
from services.ledger.given_copying import GivenCopyist
from services.ledger.members import Members
from services.ledger.queries import Queries
from services.ledger.tables import CHECKPOINTS, ENTRIES, PAYLOADS, TILES
from services.ledger.verify import Report, verify
from services.member.app import member_router
from services.member.erasures import Receipts
from services.member.follower import Follower
from services.member.gossip import Gossip, urls_of
from services.member.node import Node
from services.member.operator import Credentials, Log, Payloads
from services.member.program import is_entitled
from services.member.witness import Witness
from tests.services.ledger import builders
from tests.services.ledger.builders import Books
from tests.services.ledger.http_ledger import LOG_KEY, serving_routers

ORIGIN = builders.IDENTITY.origin
SEED = hashlib.sha256(b"a member").digest()
ACCESS = Access("auditor", (signatures.public_key_of(SEED),), None)
NETWORK_SEED = hashlib.sha256(b"a network").digest()
NETWORK = Access(
    "interac", (signatures.public_key_of(NETWORK_SEED),), frozenset({"checkout", "governance", "statements"})
)
"""A member that is given what happens at tills, and the statements."""

NAME = "auditor.example/all"


def cosign_seed(seed: bytes) -> bytes:
    """The seed of the key with which whoever has `seed` co-signs."""
    return hashlib.sha256(b"cosign" + seed).digest()


@contextmanager
def operator(books: Books, *others: APIRouter) -> Iterator[str]:
    """Serve a ledger's log and payloads, and other routes; gives the base URL."""
    members = Members(books.queries, books.clock.now_s)
    known = {ACCESS.member_id: ACCESS, NETWORK.member_id: NETWORK}
    given = Deliveries(books.engine, ORIGIN, books.clock, lambda who: members.access_of(who) or known.get(who))
    log = log_router(books.queries, LOG_KEY, now_s=books.clock.now_s, members=members)
    with serving_routers(log, deliveries_router(given), *others) as url:
        yield url


def admit(
    books: Books, who: str, url: str, seed: bytes, *, approved_by: dict[str, bytes], role: str = "auditor"
) -> None:
    """Make an organisation a member; `approved_by` are members and their seeds."""
    said: dict[str, Any] = {"origin": ORIGIN, "member_id": who}
    said |= {"from_s": builders.NOON_S - 1_000, "until_s": builders.NOON_S + 30_000_000}
    keys = (proven_key(seed, use=GOVERN, **said), proven_key(cosign_seed(seed), use=COSIGN, **said))
    name = f"{who}.example/{'all' if role == 'auditor' else 'given'}"
    admission = AdmitMember(len(approved_by), who, f"The {who}", role, url, name, keys, ())
    books.accept(builders.request(_approved(admission, {**approved_by, who: seed})))


def set_quorum(books: Books, quorum: int, *, serial: int, approved_by: dict[str, bytes]) -> None:
    """So many cosignatures make a checkpoint final."""
    books.accept(builders.request(_approved(SetQuorum(serial, quorum, ()), approved_by)))


def _approved(command: AdmitMember | SetQuorum, seeds: dict[str, bytes]) -> AdmitMember | SetQuorum:
    message = approve_bytes(ORIGIN, command)
    return replace(command, approvals=tuple((who, signatures.sign(seed, message)) for who, seed in seeds.items()))


@dataclass
class Proxy:
    """Stands between a member and the operator; `change` gets path and bytes of what is answered 200."""

    upstream: str
    change: Callable[[str, bytes], bytes] = field(default=lambda path, body: body)

    def router(self) -> APIRouter:
        router = APIRouter()

        @router.get("/{path:path}")
        def forward(path: str, request: Request) -> Response:
            target = f"{self.upstream}/{path}" + (f"?{request.url.query}" if request.url.query else "")
            wanted = {"authorization", "sparks-received"}
            headers = {name: value for name, value in request.headers.items() if name in wanted}
            answer = httpx.get(target, headers=headers)
            kept = {name: value for name, value in answer.headers.items() if name == "sparks-delivery"}
            body = self.change(path, answer.content) if answer.status_code == 200 else answer.content
            media_type = answer.headers["content-type"]
            return Response(body, answer.status_code, headers=kept, media_type=media_type)

        return router


@dataclass
class MemberNode:
    """A node that follows by itself; `round` waits until it has looked again."""

    engine: Engine
    node: Node
    gossip: Gossip
    url: str = ""

    def round(self) -> None:
        self.node.round()
        self.gossip.round()

    def verify(self) -> Report:
        return verify(self.engine, LOG_KEY.public_key, lambda done, total: None)

    def offer(self, note: bytes, *, old: int = 0, proof: Sequence[bytes] = ()) -> httpx.Response:
        """Ask for a cosignature as the operator does."""
        lines = "".join(f"{notes.base64_text(node)}\n" for node in proof)
        body = f"old {old}\n{lines}\n".encode() + note
        return httpx.post(f"{self.url}/add-checkpoint", content=body, timeout=30)


@contextmanager
def member(
    url: str,
    operator_url: str,
    *,
    peers: Sequence[str] = (),
    who: str = "auditor",
    seed: bytes = SEED,
    tells: bool = False,
    is_given: bool = False,
    asks_members: bool = False,
    latest_s: Callable[[], UnixSeconds | None] = lambda: None,
) -> Iterator[MemberNode]:
    """A node over the database at `url`, served, from its start to its end in good order.

    tells     it says so to the operator when it has erased
    is_given  its copy is of some collections
    asks_members  it compares with the members on the ledger, besides `peers`
    latest_s      the ledger time up to which it takes entries; any by default
    """
    database.migrate(url)
    engine = database.engine(url)
    clock = SimulatedClock(builders.NOON_S)
    log = Log(operator_url)
    credentials = Credentials(origin=ORIGIN, member_id=who, seed=seed)
    payloads = Payloads(log, credentials, clock.now_s)
    receipts = Receipts(engine, log, credentials, backup_days=7)
    queries = Queries(engine)
    node = Node(
        engine,
        Follower(log, payloads, LOG_KEY, latest_s),
        queries,
        origin=ORIGIN,
        operator_url=operator_url,
        programme="ontario",
        now_s=clock.now_s,
        tell=receipts.tell if tells else lambda: None,
        copyist=GivenCopyist if is_given else Copyist,
        is_entitled=lambda: is_entitled(queries, who, clock),
        poll_s=0.05,
    )
    witness = Witness(
        node.memory,
        log_key=LOG_KEY,
        name=f"{who}.example/{'given' if is_given else 'all'}",
        seed=cosign_seed(seed),
        now_s=clock.now_s,
        agreement=node.agreement,
    )
    members = Members(queries, clock.now_s)
    gossip = Gossip(
        queries,
        LOG_KEY,
        urls=lambda: urls_of(members, named=peers, own_id=who, asks_members=asks_members),
        refuse=node.refuse,
        round_s=0.05,
        timeout_s=2,
    )
    running = MemberNode(engine, node, gossip)
    try:
        node.start()
        gossip.start()
        with serving_routers(member_router(node, witness, ORIGIN), log_router(queries, LOG_KEY)) as running.url:
            yield running
    finally:
        gossip.stop()
        node.stop()
        log.close()
        engine.dispose()


def network(
    url: str, operator_url: str, *, peers: Sequence[str] = (), tells: bool = False
) -> AbstractContextManager[MemberNode]:
    """A node of a member that is given what happens at tills."""
    who, seed = NETWORK.member_id, NETWORK_SEED
    return member(url, operator_url, peers=peers, who=who, seed=seed, tells=tells, is_given=True)


def mint_one_more(engine: Engine) -> int:
    """Be an operator who changes its books: one micro-spark more in the first mint, everything signed anew."""
    return move_one_more(engine, "customer|minted")


def move_one_more(engine: Engine, accounts: str) -> int:
    """One micro-spark more in the first entry that moves sparks between two such accounts, everything signed anew."""
    with database.transaction(engine) as session:
        rows = session.execute(select(PAYLOADS).order_by(PAYLOADS.c.index)).mappings().all()
        index, forged = next(
            (row["index"], forged) for row in rows if (forged := _with_one_more(row["effects"], accounts)) is not None
        )
        _forge(session, index, forged)
    return int(index)


def say_erased(engine: Engine, index: int, effects: bytes) -> None:
    """Be an operator who says that an entry is erased, and had these effects; everything signed anew."""
    with database.transaction(engine) as session:
        gone = {"request": b"", "request_salt": b"", "result": b""}
        session.execute(update(PAYLOADS).where(PAYLOADS.c.index == index).values(**gone))
        _forge(session, index, effects)


def _forge(session: Session, index: int, effects: bytes) -> None:
    salt = session.scalar(select(PAYLOADS.c.effects_salt).where(PAYLOADS.c.index == index)) or b""
    leaves = [row.entry for row in session.execute(select(ENTRIES).order_by(ENTRIES.c.index))]
    fields = cbor2.loads(leaves[index])
    fields[-1] = entries.commitment(salt, effects)
    leaves[index] = cbor2.dumps(fields)
    session.execute(update(PAYLOADS).where(PAYLOADS.c.index == index).values(effects=effects))
    session.execute(update(ENTRIES).where(ENTRIES.c.index == index).values(entry=leaves[index]))
    _sign_anew(session, leaves)


def _with_one_more(effects: bytes, accounts: str) -> bytes | None:
    postings, written, result = cbor2.loads(effects)
    amounts = [place for place, (asset, account, _) in enumerate(postings) if re.match(accounts, account)]
    if len(amounts) != 2 or postings[amounts[0]][0] != "spark":
        return None
    for place in amounts:
        postings[place][2] += 1 if postings[place][2] > 0 else -1
    return cbor2.dumps([postings, written, result])


def _sign_anew(session: Session, leaves: Sequence[bytes]) -> None:
    rows = tiles.grow(0, {}, [merkle.leaf_hash(leaf) for leaf in leaves])
    session.execute(delete(TILES))
    session.execute(insert(TILES), [{"level": level, "n": n, "hashes": row} for (level, n), row in rows.items()])
    session.execute(delete(CHECKPOINTS))
    size = len(leaves)
    said = Checkpoint(ORIGIN, size, tiles.root(size, lambda level, n: rows[level, n]))
    note = checkpoints.sign(said, builders.IDENTITY.seed)
    session.execute(insert(CHECKPOINTS).values(size=size, note=note))
