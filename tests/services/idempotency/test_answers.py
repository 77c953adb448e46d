"""A call of several steps is answered once, whatever dies in between."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import select

from services.clock import SimulatedClock
from services.database import reading
from services.idempotency import Answer, Answers, Asked
from services.idempotency.answers import CLAIM_S, KEPT_S
from services.idempotency.tables import AnswerRow
from services.problems import MEDIA_TYPE, Problem

ASKED = Asked(b"i" * 32, b"d" * 32)
SAME_KEY = Asked(b"i" * 32, b"other body".ljust(32))


class Killed(BaseException):
    """The process dies here: nothing after this line runs."""


@pytest.fixture
def clock():
    return SimulatedClock(1_000_000)


@pytest.fixture
def answers(engine, clock):
    return Answers(engine, clock)


def never() -> Answer:
    raise AssertionError("the work was done again")


def done() -> Answer:
    return Answer(201, {"n": 1}, once={"secret": "s"}, again={"code": "secret_already_shown"})


def test_a_repeat_gets_status_and_body_of_the_first_without_its_secret(answers):
    first = answers.answer(ASKED, done)
    again = answers.answer(ASKED, never)

    assert (first.status_code, json.loads(first.body)) == (201, {"n": 1, "secret": "s"})
    assert (again.status_code, json.loads(again.body)) == (201, {"n": 1, "code": "secret_already_shown"})


def test_another_body_under_the_same_key_is_refused(answers):
    answers.answer(ASKED, done)

    assert code_raised(answers, SAME_KEY) == "idempotency_key_reused"


def test_while_the_first_runs_a_second_is_told_to_wait(answers):
    with ThreadPoolExecutor(1) as pool:
        entered, may_end = threading.Event(), threading.Event()

        def slow() -> Answer:
            entered.set()
            assert may_end.wait(30)
            return done()

        first = pool.submit(answers.answer, ASKED, slow)
        assert entered.wait(30)
        try:
            assert code_raised(answers, ASKED) == "request_in_progress"
            assert code_raised(answers, SAME_KEY) == "idempotency_key_reused"
        finally:
            may_end.set()
        assert first.result(30).status_code == 201


def test_one_of_many_that_ask_at_once_does_the_work(answers):
    works, barrier = [], threading.Barrier(4)

    def work() -> Answer:
        works.append(1)
        return done()

    def ask(_: int) -> object:
        barrier.wait(30)
        try:
            return answers.answer(ASKED, work).status_code
        except Problem as problem:
            return problem.code

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(ask, range(4)))

    assert works == [1]
    assert set(results) <= {201, "request_in_progress"}
    assert 201 in results


@pytest.mark.parametrize("code", ["unknown_device", "invalid_state", "claim_code_expired"])
def test_a_rejection_is_an_answer_too(answers, code):
    def refuse() -> Answer:
        raise Problem(code, "no", extras={"seq": 3})

    assert code_raised(answers, ASKED, refuse) == code

    again = answers.answer(ASKED, never)
    assert again.media_type == MEDIA_TYPE
    assert json.loads(again.body) == Problem(code, "no", extras={"seq": 3}).document


@pytest.mark.parametrize(
    "code", ["unauthorized", "invalid_amount", "too_many_requests", "ledger_unavailable", "internal_error"]
)
def test_what_is_not_an_answer_is_not_kept(answers, code):
    def refuse() -> Answer:
        raise Problem(code, "no")

    assert code_raised(answers, ASKED, refuse) == code

    assert answers.answer(ASKED, done).status_code == 201


def test_after_a_bug_the_work_can_be_done(answers):
    with pytest.raises(ZeroDivisionError):
        answers.answer(ASKED, lambda: 1 // 0)

    assert answers.answer(ASKED, done).status_code == 201


def test_a_claim_of_the_dead_ends_after_a_while(answers, engine, clock, monkeypatch):
    monkeypatch.setattr(Answers, "_release", lambda *_: None)  # what a killed process does not do

    def die() -> Answer:
        raise Killed

    with pytest.raises(Killed):
        answers.answer(ASKED, die)
    clock.advance_to(1_000_000 + CLAIM_S - 1)
    assert code_raised(answers, ASKED) == "request_in_progress"

    clock.advance_to(1_000_000 + CLAIM_S)

    assert answers.answer(ASKED, done).status_code == 201


@pytest.mark.parametrize("is_answered", [True, False], ids=["answered by the other", "not answered yet"])
def test_whoever_comes_back_after_a_takeover_does_not_answer_for_the_other(answers, clock, is_answered):
    def slow() -> Answer:
        clock.advance_to(1_000_000 + CLAIM_S)
        if is_answered:
            answers.answer(ASKED, lambda: Answer(201, {"by": "the other"}))
        else:
            answers.answer(Asked(b"j" * 32, bytes(32)), done)  # whose arrival ends every abandoned claim
        return done()

    if is_answered:
        assert json.loads(answers.answer(ASKED, slow).body) == {"by": "the other"}
        assert json.loads(answers.answer(ASKED, never).body) == {"by": "the other"}
    else:
        assert code_raised(answers, ASKED, slow) == "request_in_progress"
        assert answers.answer(ASKED, done).status_code == 201


def test_a_refusal_after_a_takeover_gives_way_to_the_others_answer(answers, clock):
    def slow() -> Answer:
        clock.advance_to(1_000_000 + CLAIM_S)
        answers.answer(ASKED, done)
        raise Problem("invalid_state", "too late")

    assert answers.answer(ASKED, slow).status_code == 201


def test_without_a_key_nothing_is_kept(answers, engine):
    first, second = (answers.answer(None, done) for _ in range(2))

    assert json.loads(first.body) == json.loads(second.body) == {"n": 1, "secret": "s"}
    with reading(engine) as session:
        assert session.exec(select(AnswerRow)).all() == []


def test_an_answer_is_kept_for_days_and_not_for_ever(answers, clock):
    answers.answer(ASKED, done)
    clock.advance_to(1_000_000 + KEPT_S - 1)
    assert answers.answer(ASKED, never).status_code == 201

    clock.advance_to(1_000_000 + KEPT_S)

    assert json.loads(answers.answer(ASKED, done).body)["secret"] == "s"


def code_raised(answers: Answers, asked: Asked, work: Callable[[], Answer] = never) -> str:
    with pytest.raises(Problem) as raised:
        answers.answer(asked, work)
    return raised.value.code
