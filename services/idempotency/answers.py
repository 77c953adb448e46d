"""The answers of calls that are more than one ledger command: claimed before the work, stored after it.

What the work does must be repeatable by itself (ledger ids derived from what was asked, secrets derived from keys):
then a crash at any moment is repaired by asking again, and no step happens twice.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi.responses import JSONResponse, Response
from sqlalchemy import Engine, and_, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from contracts.units import DAY_S, Seconds
from services.clock import Clock
from services.database import transaction
from services.idempotency.asked import Asked
from services.idempotency.outcomes import reused, running
from services.idempotency.tables import AnswerRow
from services.problems import MEDIA_TYPE, Problem

CLAIM_S: Final[Seconds] = 60
"""After this long without an answer, whoever claimed the request is taken for dead and a repeat may do the work."""
KEPT_S: Final[Seconds] = 7 * DAY_S

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

    def answer(self, asked: Asked, work: Callable[[], Answer]) -> Response:
        """Return the first answer again, or that of `work()` now; a key that is running or reused is a problem.

        A problem that `work` raises is an answer too, and is stored; 401, 422, 429 and 5xx are not.
        """
        claimed_s = self._clock.now_s()
        stored = self._claim(asked, claimed_s)
        if stored is not None:
            return stored
        try:
            answer = work()
        except Problem as problem:
            if _is_stored(problem.status_code):
                self._store(asked, problem.status_code, problem.document)
            else:
                self._release(asked, claimed_s)
            raise
        except BaseException:
            self._release(asked, claimed_s)
            raise
        self._store(asked, answer.status, {**answer.body, **answer.again})
        return JSONResponse(answer.first_body, answer.status)

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
            known = session.execute(select(_ANSWERS).where(_ANSWERS.c.id == asked.id)).first()
        if known is None:
            raise running()  # whoever ran it gave up between our two statements
        if known.digest != asked.digest:
            raise reused()
        if known.status == _RUNNING:
            raise running()
        is_problem = known.status >= _CLIENT_ERRORS
        return Response(known.body, known.status, media_type=MEDIA_TYPE if is_problem else "application/json")

    def _store(self, asked: Asked, status: int, body: Mapping[str, Any]) -> None:
        values = {"status": status, "body": json.dumps(body), "at_s": self._clock.now_s()}
        with transaction(self._engine) as session:
            session.execute(update(_ANSWERS).where(_ANSWERS.c.id == asked.id).values(values))

    def _release(self, asked: Asked, claimed_s: int) -> None:
        ours = and_(_ANSWERS.c.id == asked.id, _ANSWERS.c.status == _RUNNING, _ANSWERS.c.at_s == claimed_s)
        with transaction(self._engine) as session:
            session.execute(delete(_ANSWERS).where(ours))


def _is_stored(status: int) -> bool:
    return status < _SERVER_ERRORS and status not in (_UNAUTHORIZED, _UNPROCESSABLE, _TOO_MANY)
