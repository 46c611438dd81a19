"""`rgw-admin bucket`."""

from __future__ import annotations

import click

from rgw.cli import output
from rgw.cli.admin.common import bucket_names, full_uid, purge_bucket, split_bucket, tenant_option
from rgw.cli.stores import asynchronous, current, gateway, store_options


@click.group()
def bucket() -> None:
    """Buckets."""


@bucket.command("list")
@store_options
@click.option("--bucket", "name")
@click.option("--uid")
@tenant_option
@click.option("--max-entries", type=click.IntRange(1), default=1000)
@click.option("--marker", default="")
@asynchronous
async def bucket_list(name: str | None, uid: str | None, tenant: str | None, max_entries: int, marker: str) -> None:
    """Lists all buckets, a user's buckets, or a bucket's objects."""
    async with gateway(current()) as gw:
        if name:
            owner_tenant, plain = split_bucket(name, tenant)
            found = await gw.buckets.get(plain, owner_tenant)
            listing = await gw.listing.objects(found, marker=marker, max_keys=max_entries)
            output.show([output.index_entry(e) for e in listing.entries])
            return
        uids = [full_uid(uid, tenant)] if uid else sorted(await gw.users.list())
        rows: list[str] = []
        for one in uids:
            info = await gw.users.get(one)
            rows += [f"{info.tenant}/{n}" if info.tenant else n for n in await bucket_names(gw, info)]
        output.show(rows if uid else sorted(rows))


@bucket.command("stats")
@store_options
@click.option("--bucket", "name")
@click.option("--uid")
@tenant_option
@asynchronous
async def bucket_stats(name: str | None, uid: str | None, tenant: str | None) -> None:
    """Prints the statistics of a bucket, of a user's buckets, or of all."""
    async with gateway(current()) as gw:
        if name:
            owner_tenant, plain = split_bucket(name, tenant)
            found = await gw.buckets.get(plain, owner_tenant)
            output.show(output.bucket_stats(found, await gw.buckets.stats(found)))
            return
        rows = []
        for one in [full_uid(uid, tenant)] if uid else sorted(await gw.users.list()):
            info = await gw.users.get(one)
            for plain in await bucket_names(gw, info):
                found = await gw.buckets.get(plain, info.tenant)
                rows.append(output.bucket_stats(found, await gw.buckets.stats(found)))
        output.show(rows)


@bucket.command("rm")
@store_options
@click.option("--bucket", "name", required=True)
@tenant_option
@click.option("--purge-objects", is_flag=True, help="Remove its objects too.")
@asynchronous
async def bucket_rm(name: str, tenant: str | None, purge_objects: bool) -> None:
    """Removes a bucket."""
    owner_tenant, plain = split_bucket(name, tenant)
    async with gateway(current()) as gw:
        if purge_objects:
            await purge_bucket(gw, plain, owner_tenant)
        else:
            await gw.buckets.delete(await gw.buckets.get(plain, owner_tenant))
