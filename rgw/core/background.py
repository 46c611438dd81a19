"""The tasks that work behind the requests for as long as the gateway runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)

AGAIN = 10.0  # seconds


class BackgroundTask:
    """A task that runs at most once at a time. One that fails is begun again after a while: nobody would notice that it is missing."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[None] | None = None

    @property
    def started(self) -> bool:
        return self._task is not None

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Starts ``work``, unless the task was started already."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._kept(work), name=self._name)

    async def _kept(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await work()
                return
            except Exception:
                log.exception("the worker %s failed", self._name)
            await asyncio.sleep(AGAIN)

    async def stop(self) -> bool:
        """Cancels the task and waits for its end; whether it was started."""
        task, self._task = self._task, None
        if task is None:
            return False
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return True
