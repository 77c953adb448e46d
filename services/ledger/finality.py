"""Collects the members' cosignatures (C2SP tlog-witness), without ever keeping the log waiting.

One checkpoint at a time is the candidate, so that the members sign the same tree: it stays until a quorum has signed
it, or until it has waited so long that the newest one is a better choice. Each member is asked by a thread of its own;
one that is dead, slow or lying keeps nobody else from being asked.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Final

import httpx
import structlog
from sqlalchemy import Engine, insert, select

from services.database import reading, transaction
from services.ledger import notes
from services.ledger.members import Cosigner, Members
from services.ledger.notes import KeyType, OpenedNote, VerifierKey
from services.ledger.queries import Queries
from services.ledger.tables import COSIGNATURES

ROUND_S: Final = 1.0
CANDIDATE_S_MAX: Final = 15.0
TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 * 1024
ASKED_MAX: Final = 32
"""Members that are asked at the same time."""

log = structlog.get_logger()


class Collector:
    """Asks between `start` and `stop`, once in ROUND_S while `may_ask`; `collect` is one round.

    may_ask  false in a process that stands by: the one that writes the log has it co-signed
    """

    def __init__(
        self,
        engine: Engine,
        queries: Queries,
        members: Members,
        log_key: VerifierKey,
        *,
        may_ask: Callable[[], bool] = lambda: True,
    ) -> None:
        self._may_ask = may_ask
        self._engine = engine
        self._queries = queries
        self._members = members
        self._log_key = log_key
        self._candidate: tuple[int, bytes] | None = None
        self._since = 0.0
        self._asked: dict[str, Future[None]] = {}
        self._old_sizes: dict[str, int] = {}
        self._ended = threading.Event()
        self._client = httpx.Client(timeout=TIMEOUT_S)
        self._pool = ThreadPoolExecutor(ASKED_MAX, thread_name_prefix="cosignatures")
        self._thread = threading.Thread(target=self._run, name="finality", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; who has not answered by now is not waited for."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._client.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def collect(self) -> list["Future[None]"]:
        """Ask each member that has not signed the candidate and is not being asked; returns who is asked now."""
        cosigners = [cosigner for cosigner in self._members.cosigners() if cosigner.url]
        if not cosigners:
            return []
        size, note = self._chosen()
        signed = self._signed(size)
        asking: list[Future[None]] = []
        for cosigner in cosigners:
            before = self._asked.get(cosigner.member_id)
            if cosigner.member_id not in signed and (before is None or before.done()):
                asked = self._pool.submit(self._ask_safely, cosigner, size, note)
                self._asked[cosigner.member_id] = asked
                asking.append(asked)
        return asking

    def _run(self) -> None:
        while not self._ended.wait(ROUND_S):
            try:
                if self._may_ask():
                    self.collect()
            except Exception as error:  # the log goes on without it
                log.warning("finality_waits", error=f"{type(error).__name__}: {error}")

    def _chosen(self) -> tuple[int, bytes]:
        """The candidate: kept until it is final, and not for ever."""
        final, kept = self._queries.final(), self._candidate
        is_open = kept is not None and (final is None or final.size < kept[0])
        if kept is None or not is_open or monotonic() - self._since > CANDIDATE_S_MAX:
            newest = self._queries.newest_checkpoint()
            if newest != kept:
                self._candidate, self._since = newest, monotonic()
            return newest
        return kept

    def _signed(self, size: int) -> set[str]:
        with reading(self._engine) as session:
            found = session.execute(select(COSIGNATURES.c.member_id).where(COSIGNATURES.c.size == size))
            return {member_id for (member_id,) in found}

    # One member

    def _ask_safely(self, cosigner: Cosigner, size: int, note: bytes) -> None:
        try:
            self._ask(cosigner, size, note)
        except Exception as error:  # whatever a member answers is no reason to stop asking others
            log.warning("cosignature_missing", member=cosigner.member_id, error=f"{type(error).__name__}: {error}")

    def _ask(self, cosigner: Cosigner, size: int, note: bytes) -> None:
        answer = self._post(cosigner, size, note)
        if answer.status_code == httpx.codes.CONFLICT:
            # Its own word on how far it has signed (tlog-witness); asked once more, never in a loop.
            old = int(answer.text.strip())
            self._old_sizes[cosigner.member_id] = old
            if old > size:
                return
            answer = self._post(cosigner, size, note)
        if answer.status_code != httpx.codes.OK:
            log.warning("cosignature_missing", member=cosigner.member_id, status=answer.status_code)
            return
        self._old_sizes[cosigner.member_id] = size
        self._keep(cosigner, size, note, answer.content)

    def _post(self, cosigner: Cosigner, size: int, note: bytes) -> httpx.Response:
        old = min(self._old_sizes.get(cosigner.member_id, 0), size)
        proof = self._queries.consistency_proof(old, size)
        lines = "".join(f"{notes.base64_text(node)}\n" for node in proof)
        url = f"{cosigner.url.rstrip('/')}/add-checkpoint"
        with self._client.stream("POST", url, content=f"old {old}\n{lines}\n".encode() + note) as coming:
            body = bytearray()
            for chunk in coming.iter_raw(ANSWER_BYTES_MAX):  # not decoded: few bytes may be made many
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise httpx.ReadError("the answer does not end")
        return httpx.Response(coming.status_code, content=bytes(body))

    def _keep(self, cosigner: Cosigner, size: int, note: bytes, lines: bytes) -> None:
        """Keep the first line that is a cosignature of this very checkpoint by a key of the member."""
        for line in lines.decode().splitlines(keepends=True):
            opened = notes.open_note(note + line.encode(), [self._log_key, *cosigner.keys])
            if not isinstance(opened, OpenedNote):
                continue
            times = [found.time_s for found in opened.signatures if found.key.type is KeyType.COSIGNATURE]
            if times and times[0]:
                row = {"size": size, "member_id": cosigner.member_id, "line": line, "time_s": times[0]}
                with transaction(self._engine) as session:
                    session.execute(insert(COSIGNATURES).values(**row))
                return
        log.warning("cosignature_wrong", member=cosigner.member_id, size=size)
