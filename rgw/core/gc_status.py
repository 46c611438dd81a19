"""How much garbage is queued, and how long its collection will take."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rgw.core.gc import LONGEST_REST
from rgw.core.parallel import each
from rgw.store.errors import NotFound
from rgw.store.interface import ReadOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway
    from rgw.formats.gc import GcObj

_SAMPLE = 200  # objects looked at to estimate bytes and time


@dataclass(frozen=True, slots=True)
class GcStatus:
    """``due``: entries whose time has come; ``bytes`` are extrapolated from ``sample`` objects; times in ns, 0 for none.

    ``seconds`` are extrapolated from ``rate_from`` objects of the last collection; where that is 0, from how fast the sample was looked at, which
    is too little. ``busy_seconds``: while requests come all the time, for which the collector rests.
    """

    entries: int
    due: int
    objects: int
    bytes: int
    seconds: float
    busy_seconds: float
    rate_from: int
    sample: int
    first_due: int
    last_due: int


async def status(gw: Gateway) -> GcStatus:
    """Reads all queues, and looks at some of the queued objects to learn their sizes."""
    entries = await gw.gc.list(include_all=True)
    now = time.time_ns()
    objects = [obj for entry in entries for obj in entry.chain.objs]
    sample = random.sample(objects, min(_SAMPLE, len(objects)))

    async def size(obj: GcObj) -> int:
        try:
            return (await (await gw.pool(obj.pool)).read(obj.key.name or obj.oid, ReadOp().stat(), obj.loc)).size
        except NotFound:
            return 0  # collected in an earlier run

    started = time.perf_counter()
    total = sum(await each(sample, size, gw.options.rgw_gc_max_concurrent_io))
    elapsed = time.perf_counter() - started
    factor = len(objects) / len(sample) if sample else 0.0
    rate = await gw.gc.rate()
    seconds = elapsed * factor if rate is None else len(objects) * rate[1] / rate[0]
    steps = -(-len(objects) // gw.options.rgw_gc_max_concurrent_io)
    rest = steps * min(seconds / steps * gw.options.rgw_gc_rest, LONGEST_REST) if steps else 0.0
    times = [entry.time for entry in entries]
    return GcStatus(len(entries), sum(1 for due in times if due <= now), len(objects), round(total * factor), seconds, seconds + rest,
                    0 if rate is None else rate[0], len(sample), min(times, default=0), max(times, default=0))
