"""`rgw-admin gc`."""

from __future__ import annotations

import click

from rgw.cli import output
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core.gc_status import status


@click.group()
def gc() -> None:
    """Garbage collection."""


@gc.command("list")
@store_options
@click.option("--include-all", is_flag=True, help="Those too that have not waited long enough yet.")
@asynchronous
async def gc_list(include_all: bool) -> None:
    """Prints what waits to be collected."""
    async with gateway(current()) as gw:
        output.show([
            {"tag": info.tag, "time": output.moment(info.time, "+0000"),
             "objs": [{"pool": o.pool, "oid": o.oid, "key": o.loc, "instance": ""} for o in info.chain.objs]}
            for info in await gw.gc.list(include_all)
        ])


@gc.command("process")
@store_options
@click.option("--include-all", is_flag=True, help="Those too that have not waited long enough yet.")
@asynchronous
async def gc_process(include_all: bool) -> None:
    """Collects now. Broken off, it goes on when it is run again."""
    progress = output.Progress()
    async with gateway(current()) as gw:
        await gw.gc.process(include_all, progress)
        progress.end()


@gc.command("status")
@store_options
@asynchronous
async def gc_status() -> None:
    """Prints how much is queued, when it is due, and about how long its collection takes."""
    async with gateway(current()) as gw:
        found = await status(gw)
        output.show({
            "entries": found.entries, "entries_due": found.due, "objects": found.objects, "bytes_estimated": found.bytes,
            "seconds_estimated": round(found.seconds, 1), "seconds_estimated_busy": round(found.busy_seconds, 1),
            "seconds_from_objects_collected": found.rate_from, "bytes_from_objects": found.sample,
            "first_due": output.moment(found.first_due, "+0000"), "last_due": output.moment(found.last_due, "+0000"),
        })
