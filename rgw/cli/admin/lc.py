"""`rgw-admin lc`."""

from __future__ import annotations

import errno

import click

from rgw.cli import output
from rgw.cli.admin.bucket import names_of
from rgw.cli.admin.common import find_bucket, split_bucket, tenant_option
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core.dump import lifecycle as dump
from rgw.errors import S3Error


@click.group()
def lc() -> None:
    """Lifecycle."""


@lc.command("list")
@store_options
@click.option("--max-entries", type=int, default=-1, help="0 prints nothing; any other number everything, as radosgw-admin has it.")
@click.option("--marker", expose_value=False, help="Accepted; everything is printed all the same, as radosgw-admin has it.")
@asynchronous
async def lc_list(max_entries: int) -> None:
    """Prints the buckets that have rules, and how far each is."""
    async with gateway(current()) as gw:
        output.show([dump.entry(entry) for entry in await gw.lifecycle.entries()] if max_entries else [])


@lc.command("get")
@store_options
@click.option("--bucket", "name", required=True)
@tenant_option
@asynchronous
async def lc_get(name: str, tenant: str | None) -> None:
    """Prints the rules of a bucket."""
    async with gateway(current()) as gw:
        config = gw.lifecycle.config(await find_bucket(gw, name, tenant))
        if config is None:
            raise S3Error("NoSuchLifecycleConfiguration", f"bucket {name} has no lifecycle rules")
        output.show(dump.config(config))


@lc.command("process")
@store_options
@click.option("--bucket", "name", help="Only this one.")
@tenant_option
@asynchronous
async def lc_process(name: str | None, tenant: str | None) -> None:
    """Carries the rules out now, those of today again. Buckets that a gateway is at are left to it.

    Broken off, it begins the bucket anew when it is run again.
    """
    progress = output.Progress("run it again: what was done is not done twice")
    async with gateway(current()) as gw:
        only = await find_bucket(gw, name, tenant) if name else None
        await gw.lifecycle.process(only=only, progress=progress)
        progress.end()


@lc.group("reshard")
def lc_reshard() -> None:
    """Lifecycle of buckets that were resharded."""


@lc_reshard.command("fix")
@store_options
@click.option("--bucket", "name", help="Only this one.")
@tenant_option
@asynchronous
async def lc_reshard_fix(name: str | None, tenant: str | None) -> None:
    """Enters buckets in the lifecycle queues that have rules but are missing there. Status 2: there is no such bucket."""
    progress = output.Progress()
    async with gateway(current()) as gw:
        rows: list[dict[str, object]] = []
        for one in [name] if name else await names_of(gw, None, None):
            owner_tenant, plain = split_bucket(one, tenant if name else None)
            progress(f"{len(rows):,} buckets looked at")
            try:
                await gw.lifecycle.enter_missing(await gw.buckets.get(plain, owner_tenant))
                status = 0
            except S3Error as error:
                if error.code != "NoSuchBucket":
                    raise
                status = errno.ENOENT
            rows.append({"bucket": f"{owner_tenant}/{plain}" if owner_tenant else plain, "status": status})
        progress.end()
        output.show(rows[0] if name else rows)
