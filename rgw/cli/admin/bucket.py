"""`rgw-admin bucket`. Resharding and its limits are in ``reshard.py``."""

from __future__ import annotations

from contextlib import nullcontext

import click

from rgw.cli import output
from rgw.cli.admin.common import bucket_option, find_bucket, full_uid, split_bucket, tenant_option
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core import bucket_check, bucket_owners, locator_check, metadata_sections, radoslist, user_stats
from rgw.core.gateway import Gateway
from rgw.core.purge import purge_bucket, without_waiting
from rgw.errors import S3Error
from rgw.formats.names import index_name


@click.group()
def bucket() -> None:
    """Buckets."""


async def names_of(gw: Gateway, uid: str | None, tenant: str | None) -> list[str]:
    """A user's buckets, or all, as `name` or `tenant/name`."""
    if not uid:
        return await metadata_sections.keys(gw, "bucket")
    info = await gw.users.get(full_uid(uid, tenant))
    names = [entry.bucket.name async for entry in user_stats.bucket_entries(gw, info)]
    return [f"{info.tenant}/{name}" if info.tenant else name for name in names]


@bucket.command("list")
@store_options
@click.option("--bucket", "name")
@click.option("--uid")
@tenant_option
@click.option("--max-entries", type=click.IntRange(1), default=1000)
@click.option("--marker", default="")
@click.option("--allow-unordered", is_flag=True, help="Accepted; listings are ordered all the same.")
@asynchronous
async def bucket_list(name: str | None, uid: str | None, tenant: str | None, max_entries: int, marker: str, allow_unordered: bool) -> None:
    """Lists all buckets, a user's buckets, or the entries of a bucket's index: versions and uploads too, under their names in the index."""
    async with gateway(current()) as gw:
        if not name:
            output.show(await names_of(gw, uid, tenant))
            return
        rows: list[object] = []
        async for entry in gw.listing.raw(await find_bucket(gw, name, tenant), marker=marker, wanted=max_entries):
            if len(rows) == max_entries:
                break
            rows.append(output.index_entry(entry))
        output.show(rows)


async def _name_of_id(gw: Gateway, bucket_id: str) -> str:
    """The name, `[tenant/]bucket`, of the bucket that has or had this id. S3Error NoSuchKey."""
    for key in await metadata_sections.keys(gw, "bucket.instance"):
        name, _, found = key.rpartition(":")
        if found == bucket_id:
            return name
    raise S3Error("NoSuchKey", f"there is no bucket id {bucket_id}")


@bucket.command("stats")
@store_options
@click.option("--bucket", "name")
@click.option("--bucket-id", help="The bucket of this id, where no name is given.")
@click.option("--uid")
@tenant_option
@asynchronous
async def bucket_stats(name: str | None, bucket_id: str | None, uid: str | None, tenant: str | None) -> None:
    """Prints the statistics of a bucket, of a user's buckets, or of all."""
    async with gateway(current()) as gw:
        if bucket_id and not name:
            name = await _name_of_id(gw, bucket_id)
        if name:
            owner_tenant, plain = split_bucket(name, tenant)
            found = await bucket_owners.find(gw, plain, owner_tenant)
            output.show(output.bucket_stats(found, await gw.buckets.stats(found)))
            return
        rows = []
        for one in await names_of(gw, uid, tenant):
            owner_tenant, plain = split_bucket(one, None)
            try:
                found = await bucket_owners.find(gw, plain, owner_tenant)
                rows.append(output.bucket_stats(found, await gw.buckets.stats(found)))
            except S3Error as error:
                if error.code != "NoSuchBucket":  # deleted meanwhile
                    raise
        output.show(rows)


@bucket.command("rm")
@store_options
@bucket_option
@tenant_option
@click.option("--purge-objects", is_flag=True, help="Remove its objects too.")
@click.option("--bypass-gc", is_flag=True, help="With --purge-objects: free the data now, not after rgw_gc_obj_min_wait.")
@click.option("--inconsistent-index", is_flag=True, help="The index need not be right meanwhile. It is, all the same.")
@click.option("--yes-i-really-mean-it", "sure", is_flag=True, help="Beside --inconsistent-index.")
@asynchronous
async def bucket_rm(name: str, tenant: str | None, purge_objects: bool, bypass_gc: bool, inconsistent_index: bool, sure: bool) -> None:
    """Removes a bucket. Broken off while it purges, it goes on when it is run again.

    --bypass-gc breaks off reads of its objects that are under way; data that copies refer to stay.
    """
    if inconsistent_index and not sure:
        raise click.ClickException("--inconsistent-index leaves an index that is not right if it is broken off; say --yes-i-really-mean-it")
    if bypass_gc and not purge_objects:
        raise click.UsageError("--bypass-gc needs --purge-objects")
    progress = output.Progress()
    async with gateway(current()) as gw:
        found = await find_bucket(gw, name, tenant)
        if purge_objects:
            with without_waiting(gw) if bypass_gc else nullcontext():
                await purge_bucket(gw, found, progress)
            progress.end()
        else:
            await gw.buckets.delete(found)


@bucket.command("check")
@store_options
@bucket_option
@tenant_option
@click.option("--fix", is_flag=True, help="Mend what differs.")
@click.option("--check-objects", is_flag=True, help="Compare the index with the objects in the data pool too.")
@click.option("--check-head-obj-locator", "check_locators", is_flag=True,
              help="Only look whether keys that begin with an underscore lie where they belong; releases before Firefly misplaced them.")
@click.option("--remove-bad", is_flag=True, help="With --check-head-obj-locator and --fix: remove heads from the wrong place, too.")
@click.option("--dump-keys", is_flag=True, help="olh, unlinked: print what is found.")
@click.option("--min-age-hours", type=click.IntRange(0), default=1, show_default=True, help="unlinked: leave younger versions alone.")
@click.option("--hide-progress", is_flag=True, help="olh, unlinked: do not count on standard error.")
@click.argument("what", required=False, type=click.Choice(["olh", "unlinked"]))
@asynchronous
async def check(name: str, tenant: str | None, fix: bool, check_objects: bool, check_locators: bool, remove_bad: bool, dump_keys: bool,
                min_age_hours: int, hide_progress: bool, what: str | None) -> None:
    """Compares a bucket's index, objects and statistics and prints what differs.

    `olh`: looks only for keys whose last version's removal was not finished; `unlinked`: only for versions that are in no listing, which
    --fix removes.
    """
    if remove_bad and not fix:
        raise click.UsageError("--remove-bad needs --fix")
    progress = output.Progress("run it again: it begins anew, and what was mended stays so")
    async with gateway(current()) as gw:
        found = await find_bucket(gw, name, tenant)
        if check_locators:
            looked = await locator_check.check(gw, found, fix=fix, remove_bad=remove_bad, progress=progress)
            progress.end()
            output.show({"bucket": found.name, "check_objects": [place.dump() for place in looked]})
            return
        if what is None:
            report = await bucket_check.check(gw, found, fix=fix, check_objects=check_objects, progress=progress)
            progress.end()
            output.show(report.dump())
            return
        rows: list[object]
        if what == "olh":
            rows = [index_name(key) for key in await bucket_check.check_olh(gw, found, fix=fix, progress=progress)]
        else:
            rows = [{"name": index_name(key), "instance": instance} for key, instance in await bucket_check.check_unlinked(
                gw, found, fix=fix, min_age=min_age_hours * 3600, progress=progress)]
        progress.end()
        if dump_keys:
            output.show(rows)
        if not hide_progress:
            click.echo(f"{len(rows)} entries {'mended' if fix else 'found'}", err=True)


@bucket.command("link")
@store_options
@bucket_option
@click.option("--uid", required=True, help="The new owner, `id` or `tenant$id`.")
@tenant_option
@click.option("--bucket-id", default="", help="Refuse unless the bucket has this id.")
@click.option("--bucket-new-name", default="", help="The name that it gets.")
@asynchronous
async def link(name: str, uid: str, tenant: str | None, bucket_id: str, bucket_new_name: str) -> None:
    """Gives a bucket to a user. Its objects keep their ACLs (`bucket chown` changes them)."""
    owner_tenant, plain = split_bucket(name, tenant)
    async with gateway(current()) as gw:
        await bucket_owners.link(gw, plain, owner_tenant, await gw.users.get(full_uid(uid, tenant)), new_name=bucket_new_name, bucket_id=bucket_id)


@bucket.command("unlink")
@store_options
@bucket_option
@click.option("--uid", required=True, help="The owner, `id` or `tenant$id`.")
@tenant_option
@asynchronous
async def unlink(name: str, uid: str, tenant: str | None) -> None:
    """Takes a bucket from its owner. Its data stay, and nobody can use it until it is linked again."""
    owner_tenant, plain = split_bucket(name, tenant)
    async with gateway(current()) as gw:
        await bucket_owners.unlink(gw, plain, owner_tenant, await gw.users.get(full_uid(uid, tenant)))


@bucket.command("chown")
@store_options
@bucket_option
@click.option("--uid", required=True, help="The new owner, `id` or `tenant$id`.")
@tenant_option
@click.option("--bucket-new-name", default="", help="The name that it gets.")
@asynchronous
async def chown(name: str, uid: str, tenant: str | None, bucket_new_name: str) -> None:
    """Gives a bucket and the objects in it to a user. Broken off, it goes on when it is run again."""
    owner_tenant, plain = split_bucket(name, tenant)
    progress = output.Progress()
    async with gateway(current()) as gw:
        count = await bucket_owners.chown(gw, plain, owner_tenant, await gw.users.get(full_uid(uid, tenant)), new_name=bucket_new_name,
                                          progress=progress)
        progress.end()
        click.echo(f"{count} objects processed in {bucket_new_name or plain}", err=True)


@bucket.command("radoslist")
@store_options
@click.option("--bucket", "name", help="All buckets without it.")
@tenant_option
@click.option("--rgw-obj-fs", "separator", help="Print `object SEPARATOR bucket SEPARATOR key`, and leave out uploads under way.")
@asynchronous
async def rados_objects(name: str | None, tenant: str | None, separator: str | None) -> None:
    """Prints the names of the RADOS objects that hold a bucket's data, one a line."""
    progress, count = output.Progress("run it again: it begins anew", lines=True), 0
    async with gateway(current()) as gw:
        for one in [name] if name else await metadata_sections.keys(gw, "bucket"):
            owner_tenant, plain = split_bucket(one, tenant if name else None)
            try:
                found = await bucket_owners.find(gw, plain, owner_tenant)
            except S3Error as error:
                if error.code != "NoSuchBucket":
                    raise
                click.echo(f"bucket {one} does not exist; perhaps it was deleted just now", err=True)  # no error, as with radosgw-admin
                continue
            seen: set[str] = set()
            async for item in radoslist.of_bucket(gw, found, uploads=separator is None):
                if item.oid not in seen:
                    seen.add(item.oid)
                    count += 1
                    progress(f"{one}: {count:,} objects")
                    click.echo(item.oid if separator is None else separator.join((item.oid, plain, item.key)))
        progress.end()
