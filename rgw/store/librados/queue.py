"""Finished operations and events of watches, from librados' threads to the event loop: one wake for many."""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
from collections.abc import Callable
from typing import Any

from rgw.store.errors import Unavailable, from_code
from rgw.store.librados.binding import ffi, lib
from rgw.store.librados.client import RadosClient

log = logging.getLogger(__name__)
MISMATCH = (-errno.ERANGE, -errno.EOVERFLOW)  # what an OSD answers to assert_version: older, newer
Finish = Callable[[Any], Any]


class CompletionQueue:
    """Belongs to the event loop that makes it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.c = lib.rb_queue_new()
        if not self.c:
            raise Unavailable("no memory or file descriptor for the completion queue")
        self.pending: dict[int, tuple[asyncio.Future[Any], Finish, str, RadosClient]] = {}  # by token
        self._tokens = itertools.count(1)
        self.unsent: list[tuple[Any, ...]] = []
        self.watches: dict[int, tuple[Callable[[bytes], None], Callable[[], None], RadosClient]] = {}  # by token
        self._closing_watches: set[asyncio.Task[None]] = set()
        self.wakes = 0
        self._idle = asyncio.Event()
        self.loop.add_reader(lib.rb_queue_fd(self.c), self.drain)

    def expect(self, client: RadosClient, op: Any, finish: Finish, what: str) -> asyncio.Future[Any]:
        """A future of ``finish(op)``. A task that stops waiting does not stop the operation: it is freed when it ends."""
        future = self.loop.create_future()
        op.token = token = next(self._tokens)
        self.pending[token] = (future, finish, what, client)
        client.begin()
        return future

    def send(self, client: RadosClient, finish: Finish, what: str, op: Any, *arguments: Any) -> asyncio.Future[Any]:
        """As ``expect``, of an operation that is sent (``rb_submit(op, *arguments)``) with all others of this turn of the loop: the first
        of them wakes librados' thread, which costs as much as the rest of sending."""
        future = self.expect(client, op, finish, what)
        if not self.unsent:
            self.loop.call_soon(self._send)
        self.unsent.append((op, *arguments))
        return future

    def _send(self) -> None:
        unsent, self.unsent = self.unsent, []
        for arguments in unsent:
            code = lib.rb_submit(*arguments)
            if code < 0:  # librados did not take it
                op = arguments[0]
                op.code = code
                self._settle(op)
                lib.rb_op_free(op)

    def drain(self) -> None:
        """Settles all that is finished."""
        self.wakes += 1
        op = lib.rb_queue_take(self.c)
        while op:
            following = op.next
            try:
                if op.event == 0:
                    self._settle(op)
                else:
                    self._event(op)
            finally:
                lib.rb_op_free(op)
            op = following
        if not self.pending:
            self._idle.set()

    def _settle(self, op: Any) -> None:
        future, finish, what, client = self.pending.pop(op.token)
        client.end(op.code)
        if future.done():  # its task was cancelled
            return
        if op.code < 0:
            code = -errno.ECANCELED if op.code in MISMATCH and op.version_asserted else op.code
            error = from_code(code, f"{what}: code {op.code}")
            error.step = next((i for i in range(op.count) if op.steps[i].code < 0), None)
            future.set_exception(error)
            return
        try:
            future.set_result(finish(op))
        except Exception as e:  # a reply that does not decode is the caller's to know
            future.set_exception(e)

    def _event(self, op: Any) -> None:
        known = self.watches.get(op.token)
        if known is None:
            return  # closed meanwhile
        if op.event != 1:
            log.warning("a watch was lost, code %d", op.code)
            self.lose(op.token)
            known[2].answered(op.code)
            return
        try:
            known[0](ffi.buffer(op.data, op.data_len)[:] if op.data_len else b"")
        except Exception:
            log.exception("a watch's callback failed")

    def lose(self, token: int) -> None:
        """Reports a watch as lost, and takes back what librados still holds of it."""
        _, on_lost, client = self.watches.pop(token)
        task = self.loop.create_task(client.close_watch(token))
        self._closing_watches.add(task)
        task.add_done_callback(self._closing_watches.discard)
        client.begin()  # the client outlives the task
        task.add_done_callback(lambda done: client.end())
        try:
            on_lost()
        except Exception:
            log.exception("a watch's callback failed")

    def lose_all(self, client: RadosClient) -> None:
        """Reports all watches of a client as lost."""
        for token in [token for token, known in self.watches.items() if known[2] is client]:
            self.lose(token)

    async def idle(self) -> None:
        """Waits for what is under way (bounded by librados' own timeouts)."""
        while self.pending:
            self._idle.clear()
            await self._idle.wait()

    async def close(self) -> None:
        """Stops listening, once nothing is under way."""
        await self.idle()
        self.loop.remove_reader(lib.rb_queue_fd(self.c))

    def free(self) -> None:
        """Only after librados is shut down: its threads hold the queue until then."""
        lib.rb_queue_free(self.c)
