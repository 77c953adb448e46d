"""The answers of calls that are more than one ledger command: claimed before the work, stored after it.

What the work does must be repeatable by itself (ledger ids derived from what was asked, secrets derived from keys):
then a crash at any moment is repaired by asking again, and no step happens twice.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi.responses import JSONResponse, Response
from sqlalchemy import ColumnElement, Engine, and_, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from contracts.units import DAY_S, Seconds
from services.clock import Clock
from services.database import reading, transaction
from services.idempotency.asked import Asked
from services.idempotency.outcomes import reused, running
from services.idempotency.tables import AnswerRow
from services.problems import MEDIA_TYPE, Problem

CLAIM_S: Final[Seconds] = 60
"""After this long without an answer, whoever claimed the request is taken for dead and a repeat may do the work."""
KEPT_S: Final[Seconds] = 7 * DAY_S
SECRET_ALREADY_SHOWN: Final = "secret_already_shown"
"""The `code` of a repeat whose first answer had a secret."""

_RUNNING: Final = 0
_CLIENT_ERRORS: Final = 400
_UNAUTHORIZED: Final = 401
_UNPROCESSABLE: Final = 422
_TOO_MANY: Final = 429
_SERVER_ERRORS: Final = 500
_ANSWERS: Final = AnswerRow.__table__  # type: ignore[attr-defined]
_INSERT_BY_DIALECT: Final[dict[str, Callable[..., Any]]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A call's answer.

    once  members that only the first answer has (secrets); a repeat gets what `again` says instead
    """

    status: int
    body: Mapping[str, Any]
    once: Mapping[str, Any] = field(default_factory=dict)
    again: Mapping[str, Any] = field(default_factory=dict)

    @property
    def first_body(self) -> dict[str, Any]:
        """The body as whoever asked first gets it."""
        return {**self.body, **self.once}


class Answers:
    """The table `answers`."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def answer(self, asked: Asked | None, work: Callable[[], Answer]) -> Response:
        """Return the first answer again, or that of `work()` now; a key that is running or reused is a problem.

        A problem that `work` raises is an answer too, and is stored; 401, 422, 429 and 5xx are not. Whoever is so slow
        that another took the request over answers as that other did. Of a call without a key (None) nothing is kept.
        """
        if asked is None:
            return _first(work())
        claimed_s = self._clock.now_s()
        stored = self._claim(asked, claimed_s)
        if stored is not None:
            return stored
        try:
            answer = work()
        except Problem as problem:
            if not _is_stored(problem.status_code):
                self._release(asked, claimed_s)
            elif not self._store(asked, claimed_s, problem.status_code, json.dumps(problem.document)):
                return self._known(asked)
            raise
        except BaseException:
            self._release(asked, claimed_s)
            raise
        repeated = json.dumps({**answer.body, **answer.again}, ensure_ascii=False, separators=(",", ":"))
        if not self._store(asked, claimed_s, answer.status, repeated):
            return self._known(asked)
        return _first(answer)

    def _claim(self, asked: Asked, now_s: int) -> Response | None:
        """Claim what was asked, or return what it was answered."""
        row = {"id": asked.id, "digest": asked.digest, "status": _RUNNING, "body": "", "at_s": now_s}
        insert = (
            _INSERT_BY_DIALECT[self._engine.dialect.name](_ANSWERS)
            .values(row)
            .on_conflict_do_nothing()
            .returning(_ANSWERS.c.id)
        )
        abandoned = and_(_ANSWERS.c.status == _RUNNING, _ANSWERS.c.at_s <= now_s - CLAIM_S)
        too_old = and_(_ANSWERS.c.status != _RUNNING, _ANSWERS.c.at_s <= now_s - KEPT_S)
        with transaction(self._engine) as session:
            session.execute(delete(_ANSWERS).where(or_(abandoned, too_old)))
            if session.execute(insert).first() is not None:
                return None
        return self._known(asked)

    def _known(self, asked: Asked) -> Response:
        """What whoever claimed the request first, or took it over, answered."""
        with reading(self._engine) as session:
            known = session.execute(select(_ANSWERS).where(_ANSWERS.c.id == asked.id)).first()
        if known is None:
            raise running()  # whoever ran it gave up just now: to ask again is right
        if known.digest != asked.digest:
            raise reused()
        if known.status == _RUNNING:
            raise running()
        is_problem = known.status >= _CLIENT_ERRORS
        return Response(known.body, known.status, media_type=MEDIA_TYPE if is_problem else "application/json")

    def _store(self, asked: Asked, claimed_s: int, status: int, body: str) -> bool:
        """Keep the answer; False if the claim is not ours any more, and nothing is kept."""
        values = {"status": status, "body": body, "at_s": self._clock.now_s()}
        statement = update(_ANSWERS).where(_is_ours(asked, claimed_s)).values(values).returning(_ANSWERS.c.id)
        with transaction(self._engine) as session:
            return session.execute(statement).first() is not None

    def _release(self, asked: Asked, claimed_s: int) -> None:
        with transaction(self._engine) as session:
            session.execute(delete(_ANSWERS).where(_is_ours(asked, claimed_s)))


def _is_ours(asked: Asked, claimed_s: int) -> ColumnElement[bool]:
    # A claim is taken over CLAIM_S later at the earliest, so its second tells whose it is.
    return and_(_ANSWERS.c.id == asked.id, _ANSWERS.c.status == _RUNNING, _ANSWERS.c.at_s == claimed_s)


def _first(answer: Answer) -> Response:
    return JSONResponse(answer.first_body, answer.status)


def _is_stored(status: int) -> bool:
    return status < _SERVER_ERRORS and status not in (_UNAUTHORIZED, _UNPROCESSABLE, _TOO_MANY)
