"""`rgw-admin object` and `rgw-admin policy`."""

from __future__ import annotations

import click

from rgw.cli import output
from rgw.cli.admin.common import bucket_option, find_bucket, find_stored_bucket, tenant_option
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core import version_check
from rgw.core.dump.bucket import policy as dumped_policy
from rgw.core.dump.object import stat as dumped
from rgw.core.index import OP_DEL, IndexKey
from rgw.errors import S3Error
from rgw.formats.index import DirEntryMeta

object_option = click.option("--object", "key", required=True, help="The object's key.")
version_option = click.option("--object-version", "version", default="", help="One of its versions.")


@click.group("object")
def object_() -> None:
    """Single objects."""


@object_.command("stat")
@store_options
@bucket_option
@tenant_option
@object_option
@version_option
@asynchronous
async def stat(name: str, tenant: str | None, key: str, version: str) -> None:
    """Prints what an object's head tells: policy, manifest, attributes."""
    async with gateway(current()) as gw:
        output.show(dumped(await gw.objects.head(await find_stored_bucket(gw, name, tenant), key, version)))


@object_.command("rm")
@store_options
@bucket_option
@tenant_option
@object_option
@version_option
@asynchronous
async def rm(name: str, tenant: str | None, key: str, version: str) -> None:
    """Removes an object; in a bucket with versions the one that is named, or else the null version, if there is one."""
    async with gateway(current()) as gw:
        found = await find_bucket(gw, name, tenant)
        done = await gw.objects.delete(found, key, version or ("null" if found.versioned else ""))
        if not done and (version or not found.versioned):
            raise S3Error("NoSuchKey", Key=key)


@object_.command("unlink")
@store_options
@bucket_option
@tenant_option
@object_option
@version_option
@asynchronous
async def unlink(name: str, tenant: str | None, key: str, version: str) -> None:
    """Drops an object's, or a version's, entry from the index. Its data stay: `bucket check --check-objects --fix` lists it again."""
    async with gateway(current()) as gw:
        found = await find_bucket(gw, name, tenant)
        if found.versioned:
            await version_check.unlink(gw, found, key, version if version != "null" else "")
            return
        tag, place = gw.new_tag(), IndexKey.of(key)
        await found.index.prepare(OP_DEL, tag, place)
        await found.index.complete(OP_DEL, tag, place, meta=DirEntryMeta())


@click.command()
@store_options
@bucket_option
@tenant_option
@click.option("--object", "key", default="", help="An object's key; without it the bucket's own policy.")
@asynchronous
async def policy(name: str, tenant: str | None, key: str) -> None:
    """Prints the access control policy of a bucket or an object."""
    async with gateway(current()) as gw:
        found = await find_bucket(gw, name, tenant)
        output.show(dumped_policy((await gw.objects.head(found, key)).acl if key else found.acl))
