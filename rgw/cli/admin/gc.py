"""`rgw-admin gc`."""

from __future__ import annotations

import click

from rgw.cli import output
from rgw.cli.stores import asynchronous, current, gateway, store_options


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
            {"tag": info.tag.rstrip("\0"), "time": output.moment(info.time),
             "objs": [{"pool": o.pool, "oid": o.oid, "key": o.loc, "instance": ""} for o in info.chain.objs]}
            for info in await gw.gc.list(include_all)
        ])


@gc.command("process")
@store_options
@click.option("--include-all", is_flag=True, help="Those too that have not waited long enough yet.")
@asynchronous
async def gc_process(include_all: bool) -> None:
    """Collects now."""
    async with gateway(current()) as gw:
        await gw.gc.process(include_all)
