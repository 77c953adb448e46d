"""Many callers, few calls."""

import asyncio
from collections.abc import Sequence

from services.ledger.client import LedgerUnavailable
from services.ledger.coalesce import Coalesced


def test_what_is_asked_while_a_call_is_under_way_goes_with_the_next_one() -> None:
    batches: list[list[int]] = []

    async def scenario() -> list[int]:
        may_answer = asyncio.Event()

        async def send(questions: Sequence[int]) -> list[int]:
            batches.append(list(questions))
            await may_answer.wait()
            return [question * 10 for question in questions]

        coalesced = Coalesced(send, batch_max=3, calls_max=1)
        first = asyncio.create_task(coalesced.ask(0))
        while not batches:
            await asyncio.sleep(0)
        others = [asyncio.create_task(coalesced.ask(question)) for question in range(1, 6)]
        await asyncio.sleep(0)
        may_answer.set()
        return list(await asyncio.gather(first, *others))

    assert asyncio.run(scenario()) == [0, 10, 20, 30, 40, 50]
    assert batches == [[0], [1, 2, 3], [4, 5]]


def test_a_call_that_fails_fails_for_those_it_carried_and_no_others() -> None:
    async def scenario() -> list[int | BaseException]:
        async def send(questions: Sequence[int]) -> list[int]:
            if 1 in questions:
                raise LedgerUnavailable("lost")
            return list(questions)

        coalesced = Coalesced(send, batch_max=1, calls_max=1)
        return await asyncio.gather(*map(coalesced.ask, range(3)), return_exceptions=True)

    first, failed, last = asyncio.run(scenario())
    assert (first, last) == (0, 2)
    assert isinstance(failed, LedgerUnavailable)


def test_a_caller_that_goes_away_takes_nothing_from_the_others() -> None:
    async def scenario() -> int:
        asked = asyncio.Event()
        may_answer = asyncio.Event()

        async def send(questions: Sequence[int]) -> list[int]:
            asked.set()
            await may_answer.wait()
            return list(questions)

        coalesced = Coalesced(send, batch_max=2, calls_max=1)
        gone, stays = asyncio.create_task(coalesced.ask(1)), asyncio.create_task(coalesced.ask(2))
        await asked.wait()
        gone.cancel()
        may_answer.set()
        return await stays

    assert asyncio.run(scenario()) == 2
