"""Many callers, few calls: what waits while a call is under way goes together with the next one (group commit)."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Coalesced(Generic[Q, A]):
    """Sends questions in batches: at once while fewer than `calls_max` calls run, else with the next that may start.

    send       asks all of them in one call; answers in the same order, or raises for all of them
    batch_max  questions in one call

    Belongs to one event loop. A caller that is cancelled takes nothing from the others; what it asked is still sent.
    """

    def __init__(
        self, send: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], *, batch_max: int, calls_max: int
    ) -> None:
        self._send = send
        self._batch_max = batch_max
        self._calls_max = calls_max
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        self._calls = 0

    @property
    def waiting(self) -> int:
        """How many questions no call carries yet."""
        return len(self._waiting)

    async def ask(self, question: Q) -> A:
        """The answer to one question; raises what the call that carried it raised."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._calls < self._calls_max:
            self._calls += 1
            # The task starts after all that are ready to run now, so their questions come along.
            sender = asyncio.create_task(self._send_what_waits())
            self._senders.add(sender)  # the loop itself holds a task only weakly
            sender.add_done_callback(self._senders.discard)
        return await answer

    async def _send_what_waits(self) -> None:
        try:
            while self._waiting:
                count = min(len(self._waiting), self._batch_max)
                await self._call([self._waiting.popleft() for _ in range(count)])
        finally:
            # In the same step as the last look at what waits, so that no question is left without a sender.
            self._calls -= 1

    async def _call(self, batch: list[tuple[Q, "asyncio.Future[A]"]]) -> None:
        try:
            answers = await self._send([question for question, _ in batch])
        except Exception as error:
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)
