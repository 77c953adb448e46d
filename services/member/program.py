"""A member's node put together from its settings, served between `with` and its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from contracts.units import UnixSeconds
from services import database, problems
from services.clock import Clock
from services.database import DatabaseUnavailable
from services.keys import Keys, Use
from services.ledger import checkpoints, notes
from services.ledger.app import log_router
from services.ledger.archiver import Archiver
from services.ledger.client import LedgerUnavailable
from services.ledger.copying import Copyist
from services.ledger.given_copying import GivenCopyist
from services.ledger.members import Members
from services.ledger.notes import KeyType, OpenedNote, VerifierKey
from services.ledger.queries import Queries
from services.member.app import NodeMetrics, member_router, shown
from services.member.erasures import Receipts
from services.member.follower import Follower
from services.member.gossip import Gossip, urls_of
from services.member.memory import Memory
from services.member.node import Node
from services.member.operator import Credentials, Log, Payloads, Unreachable
from services.member.witness import Witness
from services.observability import count_requests, observability_router
from services.settings import DATABASE_FILE, Settings

PROGRAMME: Final = "ontario"
ALL: Final = "/all"
GIVEN: Final = "/given"
"""How a cosigner's name ends that has executed everything, or what it is given."""


class UnusableMember(ValueError):
    """A setting that a member's node needs is missing or malformed; one line says which."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A node and its HTTP face."""

    node: Node
    gossip: Gossip
    app: FastAPI


def log_key_of(settings: Settings) -> VerifierKey:
    """The log's key as the member has it from its operator. Raises UnusableMember."""
    if not settings.member_log_key:
        raise UnusableMember(
            "SPARKS_MEMBER_LOG_KEY is not set: go to the folder of a member's node, where its settings are in .env, "
            "or set SPARKS_DATA_DIR and SPARKS_MEMBER_* as the node has them"
        )
    key = notes.parse_vkey(settings.member_log_key)
    if key is None or key.type is not KeyType.ED25519:
        hint = "the first line of the operator's /log/keys, compared with what it told you another way"
        raise UnusableMember(f"SPARKS_MEMBER_LOG_KEY is not a log's vkey: {hint}")
    return key


@contextmanager
def parts(settings: Settings, clock: Clock) -> Iterator[Parts]:
    """Build a node over the database of the settings; it follows as long as this lasts.

    Raises UnusableMember, AnotherWriter, DatabaseUnavailable.
    """
    log_key = log_key_of(settings)
    for name in ("member_operator_url", "member_id", "member_cosign_name"):
        if not getattr(settings, name):
            raise UnusableMember(f"a member's node needs SPARKS_{name.upper()}")
    if not settings.member_cosign_name.endswith((ALL, GIVEN)):
        raise UnusableMember(f"SPARKS_MEMBER_COSIGN_NAME ends in {ALL} or {GIVEN}, as the member was admitted")
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database.migrate(settings.database)
    engine = database.engine(settings.database, segments=settings.segments)
    operator = Log(settings.member_operator_url or "")
    try:
        built = _parts(settings, clock, engine, log_key, operator)
        archiver = Archiver(engine, older_than_days=settings.archive_days, now_s=clock.now_s, size=Queries(engine).size)
        built.node.start()
        built.gossip.start()
        archiver.start()
        try:
            yield built
        finally:
            archiver.stop()
            built.gossip.stop()
            built.node.stop()
    finally:
        operator.close()
        engine.dispose()


def _parts(settings: Settings, clock: Clock, engine: Engine, log_key: VerifierKey, operator: Log) -> Parts:
    origin, keys = log_key.name, Keys(settings.keys_dir)
    credentials = Credentials(origin=origin, member_id=settings.member_id, seed=keys.seed(Use.GOVERN))
    queries = Queries(engine)
    is_given = settings.member_cosign_name.endswith(GIVEN)
    node = Node(
        engine,
        Follower(operator, Payloads(operator, credentials, clock.now_s), log_key, partial(latest_s, settings, clock)),
        queries,
        origin=origin,
        operator_url=operator.base_url,
        programme=PROGRAMME,
        now_s=clock.now_s,
        copyist=GivenCopyist if is_given else Copyist,
        is_entitled=partial(is_entitled, queries, settings.member_id, clock),
        tell=Receipts(engine, operator, credentials, backup_days=settings.backup_days).tell,
        first_contracts=bytes.fromhex(settings.member_first_contracts) or None,
    )
    witness = Witness(
        node.memory,
        log_key=log_key,
        name=settings.member_cosign_name,
        seed=keys.seed(Use.COSIGN),
        now_s=clock.now_s,
        agreement=node.agreement,
    )
    gossip = Gossip(
        queries,
        log_key,
        urls=partial(
            urls_of,
            Members(queries, clock.now_s),
            named=[url for url in settings.member_peers.split(",") if url],
            own_id=settings.member_id,
            asks_members=settings.member_gossip == "members",
        ),
        refuse=node.refuse,
    )
    registry = CollectorRegistry()
    NodeMetrics(registry, node)
    app = FastAPI(title="Sparks: a member's copy", version="1", redirect_slashes=False)
    problems.install(
        app, code_by_exception={LedgerUnavailable: "ledger_unavailable", DatabaseUnavailable: "database_unavailable"}
    )
    app.include_router(observability_router(registry=registry, ready_checks={"operator": node.reaches_operator}))
    app.include_router(member_router(node, witness, origin))
    app.include_router(log_router(queries, log_key))
    count_requests(app, registry=registry)
    return Parts(node, gossip, app)


def latest_s(settings: Settings, clock: Clock) -> UnixSeconds | None:
    """The ledger time up to which entries are taken now; None: any."""
    return None if settings.member_ahead_s is None else clock.now_s() + settings.member_ahead_s


def is_entitled(queries: Queries, member_id: str, clock: Clock) -> bool:
    """Is a copy of some collections one of just those that the member's role sees, as far as this copy knows?"""
    scope = queries.scope()
    access = Members(queries, clock.now_s).access_of(member_id)
    return scope is None or access is None or access.collections == scope.collections


def status(settings: Settings) -> dict[str, object]:
    """How far the copy of these settings is, read from its database, and the operator's size if it answers."""
    log_key = log_key_of(settings)
    engine = _engine_of(settings)
    try:
        queries = Queries(engine)
        operator_size = _operator_size(settings, log_key)
        size, scope = queries.size(), queries.scope()
        return shown(Memory(engine), log_key.name, scope=scope, size=size, operator_size=operator_size)
    finally:
        engine.dispose()


def decide(settings: Settings, clock: Clock) -> int:
    """A person has looked at what disagrees: the node tries again. Returns how many disagreements there were."""
    engine = _engine_of(settings)
    try:
        return Memory(engine).decide(now_s=clock.now_s())
    finally:
        engine.dispose()


def _engine_of(settings: Settings) -> Engine:
    """The database of a copy that is there. Raises UnusableMember, OtherSchema."""
    if settings.database_url is None and not (settings.data_dir / DATABASE_FILE).exists():
        raise UnusableMember(f"there is no copy in {settings.data_dir} yet: `sparks serve member` begins it")
    database.require_current(settings.database)
    return database.engine(settings.database, segments=settings.segments)


def _operator_size(settings: Settings, log_key: VerifierKey) -> int | None:
    """Of the checkpoint that the operator shows, or None if it shows none that counts."""
    operator = Log(settings.member_operator_url or "")
    try:
        opened = notes.open_note(operator.checkpoint(), [log_key])
    except (Unreachable, httpx.InvalidURL):
        return None
    finally:
        operator.close()
    said = checkpoints.parse(opened.text) if isinstance(opened, OpenedNote) else None
    return said.size if said else None
