"""One thread that drives the connections of many units.

A unit needs its own connection, because a broker's access rules are per unit; a thread for each would be too
much. What arrives in one turn is one batch of the outbox: a fleet's receipts share one commit.
"""

import selectors
import socket
from collections.abc import Callable
from functools import partial
from threading import Lock, Thread
from typing import Any, Final

from paho.mqtt.client import Client

from device_sim.outbox import OutboxFailed, OutboxFile
from device_sim.publisher import Publisher

LOOK_ROUND_S: Final = 1.0
"""How often each connection is looked after that nothing happens on."""

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Loop:
    """Drives the publishers whose units live in `outboxes`, from `start` to `stop`.

    clock_s   seconds from any moment, never backwards
    on_turn   called in the loop's thread after each turn; it must return at once
    trouble   why the outbox could not be written, the last time that it could not, or None
    crash     the bug that ended the thread, or None; `on_turn` is called once more after it
    """

    def __init__(self, outboxes: OutboxFile, *, clock_s: Callable[[], float], on_turn: Callable[[], None]) -> None:
        self.trouble: str | None = None
        self.crash: Exception | None = None
        self._outboxes = outboxes
        self._clock_s = clock_s
        self._on_turn = on_turn
        self._publishers: list[Publisher] = []
        self._woken: set[Publisher] = set()
        self._woken_lock = Lock()
        self._is_stopping = False
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._selector.register(self._wake_out, _READ)
        self._next_look_s = 0.0
        self._thread = Thread(target=self._run, name="fleet", daemon=True)

    def add(self, publisher: Publisher) -> None:
        """Drive `publisher` too; only before `start`."""
        self._publishers.append(publisher)

    def start(self) -> None:
        self._thread.start()

    def wake(self, publisher: Publisher) -> None:
        """Let the loop see that `publisher` was offered something. Any thread may call it."""
        with self._woken_lock:
            is_first = not self._woken
            self._woken.add(publisher)
        if is_first:
            self._ring()

    def stop(self) -> None:
        """Take leave of the broker and end the thread."""
        self._is_stopping = True
        self._ring()
        self._thread.join()
        for publisher in self._publishers:
            if publisher.client is not None:
                publisher.client.disconnect()
                publisher.client.loop_write()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _ring(self) -> None:
        try:
            self._wake_in.send(b"\0")
        except BlockingIOError:
            return  # it has plenty of reasons to wake up already

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._turn()
                self._on_turn()
        except Exception as bug:
            self.crash = bug
            self._on_turn()

    def _turn(self) -> None:
        events = self._selector.select(max(0.0, self._next_look_s - self._clock_s()))
        active = self._take_woken()
        try:
            with self._outboxes.batch():
                active |= self._read(events)
            self._write(events)
            if self._clock_s() >= self._next_look_s or any(publisher.client is None for publisher in active):
                self._look_round()
                active |= set(self._publishers)
            for publisher in active:
                publisher.fill()
        except OutboxFailed as error:
            # What was heard is lost to the unit; the platform says it again when the unit speaks again.
            self.trouble = str(error)

    def _take_woken(self) -> set[Publisher]:
        with self._woken_lock:
            woken, self._woken = self._woken, set()
        return woken

    def _read(self, events: list[tuple[selectors.SelectorKey, int]]) -> set[Publisher]:
        heard = set()
        for key, mask in events:
            publisher: Publisher | None = key.data
            if publisher is None:
                self._wake_out.recv(4_096)
            elif mask & _READ and publisher.client is not None:
                publisher.read()
                heard.add(publisher)
        return heard

    def _write(self, events: list[tuple[selectors.SelectorKey, int]]) -> None:
        for key, mask in events:
            publisher: Publisher | None = key.data
            if publisher is not None and mask & _WRITE and publisher.client is not None:
                publisher.client.loop_write()

    def _look_round(self) -> None:
        for publisher in self._publishers:
            self._look_after(publisher, self._clock_s())
        now_s = self._clock_s()
        retries_s = [publisher.retry_at_s for publisher in self._publishers if publisher.retry_at_s is not None]
        self._next_look_s = min([now_s + LOOK_ROUND_S, *retries_s])

    def _look_after(self, publisher: Publisher, now_s: float) -> None:
        """Keep a connection alive, or begin one when its time has come; break an hour's silence."""
        if publisher.client is not None:
            publisher.client.loop_misc()
            publisher.offer(publisher.unit.due(now_s))
        elif publisher.retry_at_s is None:
            publisher.schedule_retry(now_s)
        elif publisher.retry_at_s <= now_s:
            publisher.connect(partial(self._watch, publisher))

    def _watch(self, publisher: Publisher, client: Client) -> None:
        """Have the selector follow the client's socket through its life."""

        def opened(_client: Client, _data: Any, sock: Any) -> None:
            self._selector.register(sock, _READ, publisher)

        def closing(_client: Client, _data: Any, sock: Any) -> None:
            self._selector.unregister(sock)

        def wants_to_write(_client: Client, _data: Any, sock: Any) -> None:
            self._selector.modify(sock, _READ | _WRITE, publisher)

        def has_written(_client: Client, _data: Any, sock: Any) -> None:
            self._selector.modify(sock, _READ, publisher)

        client.on_socket_open = opened
        client.on_socket_close = closing
        client.on_socket_register_write = wants_to_write
        client.on_socket_unregister_write = has_written
