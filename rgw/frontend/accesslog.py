"""The log of requests: a line each, made and written some at a time, for a log record costs as much as the parsing of a request."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import lru_cache

log = logging.getLogger("rgw.access")
_DELAY = 0.5  # seconds after which a line is written at the latest
_LINES = 256  # lines that are written at once


@lru_cache(16)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


class AccessLog:
    """Lines gather until some are there or some time has passed, and then make one record of the logger ``rgw.access``."""

    def __init__(self) -> None:
        self._held: list[tuple[float, str, str, str, str, int, float]] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, request_id: str, operation: str, method: str, resource: str, status: int, milliseconds: float) -> None:
        """A request that is answered. ``resource``: the path as it came, without the query, which may hold a signature."""
        if not log.isEnabledFor(logging.INFO):
            return
        self._held.append((time.time(), request_id, operation, method, resource, status, milliseconds))
        if len(self._held) >= _LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self.flush)

    def flush(self) -> None:
        """Writes what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._held:
            held, self._held = self._held, []
            log.info("%s", "\n".join([
                f"{_second(int(now))}.{int(now % 1 * 1000):03d}Z {request_id} {operation} {method} {resource} {status} {milliseconds:.1f}ms"
                for now, request_id, operation, method, resource, status, milliseconds in held]))
