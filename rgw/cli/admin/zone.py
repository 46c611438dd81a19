"""`rgw-admin zone` and `rgw-admin zonegroup`."""

from __future__ import annotations

import click

from rgw.cli import output
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core.dump import zone as dumped
from rgw.errors import S3Error


@click.group()
def zone() -> None:
    """The zone that is served."""


@zone.command("get")
@store_options
@click.option("--zone-id", help="Fail unless it has this id.")
@asynchronous
async def zone_get(zone_id: str | None) -> None:
    """Prints the zone: its pools and placements."""
    async with gateway(current()) as gw:
        if zone_id not in (None, gw.zone.id):
            raise S3Error("NoSuchKey", f"there is no zone {zone_id}")
        output.show(dumped.zone(gw.zone.params))


@zone.command("list")
@store_options
@asynchronous
async def zone_list() -> None:
    """Lists the zones; this gateway knows the one that it serves."""
    async with gateway(current()) as gw:
        output.show({"default_info": gw.zone.id, "zones": [gw.zone.name]})


@click.group()
def zonegroup() -> None:
    """The zonegroup of the zone."""


@zonegroup.command("get")
@store_options
@click.option("--zonegroup-id", help="Fail unless it has this id.")
@asynchronous
async def zonegroup_get(zonegroup_id: str | None) -> None:
    """Prints the zonegroup: its zones and placement targets."""
    async with gateway(current()) as gw:
        if zonegroup_id not in (None, gw.zone.zonegroup_id):
            raise S3Error("NoSuchKey", f"there is no zonegroup {zonegroup_id}")
        output.show(dumped.zonegroup(gw.zone))


@zonegroup.command("list")
@store_options
@asynchronous
async def zonegroup_list() -> None:
    """Lists the zonegroups; this gateway knows the one that it serves."""
    async with gateway(current()) as gw:
        output.show({"default_info": gw.zone.zonegroup_id, "zonegroups": [gw.zone.group.meta.name]})
