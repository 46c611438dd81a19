"""Completions of index changes whose object is written already: sent before the client is answered, and not waited for, as with radosgw.

Nothing that was acknowledged hangs on them. The entry has told since the prepare that it is in doubt; a listing that meets it before its
completion asks the head, and mends it if this gateway dies (rgw.core.index_repair). Listings, statistics and the end of a bucket wait for
the completions of their own gateway first, so they seldom meet one. A completion follows the bucket through a reshard like any other
change, and one that fails is tried again for less than the time after which listings mend.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from rgw.errors import S3Error
from rgw.store.errors import StoreError

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket

log = logging.getLogger(__name__)

MOST = 512  # completions under way; above, the requests wait for their own
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before each further try
_WAIT = 5.0  # seconds that a reader waits for them; then it asks the heads


class Completions:
    """Those of one gateway."""

    def __init__(self) -> None:
        self._running: dict[str, set[asyncio.Task[None]]] = {}  # by the bucket's marker
        self._count = 0

    async def send(self, bucket: Bucket, what: str, complete: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs ``complete`` behind the caller, who must not depend on its end. ``what`` names the change in the log."""
        if self._count >= MOST:
            await complete()
            return
        task = asyncio.create_task(self._run(f"{what} in bucket {bucket.name}", complete))  # runs before anything that the caller wakes
        tasks = self._running.setdefault(bucket.marker, set())
        tasks.add(task)
        self._count += 1
        task.add_done_callback(lambda task: self._ended(bucket.marker, task))

    def _ended(self, marker: str, task: asyncio.Task[None]) -> None:
        self._count -= 1
        tasks = self._running[marker]
        tasks.discard(task)
        if not tasks:
            del self._running[marker]

    async def _run(self, what: str, complete: Callable[[], Awaitable[None]]) -> None:
        for pause in (*_PAUSES, None):
            try:
                await complete()
                return
            except S3Error as error:
                if error.code == "NoSuchBucket":
                    log.info("the change of %s is not completed: the bucket is gone", what)
                    return
                problem: Exception = error
            except StoreError as error:
                problem = error
            except Exception:
                log.exception("the change of %s is not completed in the index; listings will mend it", what)
                return
            if pause is None:
                log.error("the change of %s is not completed in the index; listings will mend it: %s", what, problem)
                return
            log.warning("the change of %s is not completed in the index yet: %s", what, problem)
            await asyncio.sleep(pause)

    async def settle(self, bucket: Bucket) -> None:
        """Waits until what was sent for the bucket before is done, some seconds at most."""
        tasks = self._running.get(bucket.marker)
        if tasks:
            await asyncio.wait(set(tasks), timeout=_WAIT)

    async def close(self) -> None:
        """Waits for all."""
        while self._running:
            await asyncio.wait({task for tasks in self._running.values() for task in tasks})
