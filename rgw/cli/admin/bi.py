"""`rgw-admin bi`: a bucket's index as it lies in the store."""

from __future__ import annotations

from typing import Any

import click

from rgw.cli import output
from rgw.cli.admin.common import bucket_option, find_stored_bucket, tenant_option
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core import raw_index
from rgw.core.dump.bucket import raw_entry


@click.group()
def bi() -> None:
    """The raw entries of bucket indexes."""


@bi.command("list")
@store_options
@bucket_option
@tenant_option
@click.option("--object", "key", default="", help="Only the entries of this key.")
@click.option("--shard-id", type=int, help="Only the entries of this shard.")
@click.option("--max-entries", type=click.IntRange(1), help="No more than that many of all shards together.")
@asynchronous
async def list_(name: str, tenant: str | None, key: str, shard_id: int | None, max_entries: int | None) -> None:
    """Prints the entries of all shards in turn."""
    async with gateway(current()) as gw:
        rows: list[dict[str, Any]] = []
        async for entry in raw_index.of_bucket(await find_stored_bucket(gw, name, tenant), key, shard_id):
            if len(rows) == max_entries:
                break
            rows.append(raw_entry(entry))
        output.show(rows)


@bi.command("get")
@store_options
@bucket_option
@tenant_option
@click.option("--object", "key", required=True, help="The object's key.")
@click.option("--object-version", "version", default="", help="One of its versions.")
@click.option("--index-type", "kind", type=click.Choice(list(raw_index.KINDS)), default="plain")
@asynchronous
async def get(name: str, tenant: str | None, key: str, version: str, kind: str) -> None:
    """Prints one entry."""
    async with gateway(current()) as gw:
        output.show(raw_entry(await raw_index.get(await find_stored_bucket(gw, name, tenant), key, raw_index.KINDS[kind], version)))
