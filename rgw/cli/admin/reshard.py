"""`rgw-admin reshard`, `bucket reshard` and `bucket limit check`. Grammar and output are radosgw-admin's."""

from __future__ import annotations

import errno

import click

from rgw.cli import output
from rgw.cli.admin.bucket import bucket
from rgw.cli.admin.common import bucket_names, bucket_option, find_bucket, full_uid, tenant_option
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core import stale_instances
from rgw.core.buckets import Bucket
from rgw.core.reshard import MAX_SHARDS
from rgw.core.reshard_queue import objects_of
from rgw.errors import S3Error
from rgw.store.errors import NotFound

_STATUS = {0: "not-resharding", 1: "in-progress", 2: "done"}

shards_option = click.option("--num-shards", type=int, required=True, help="Index shards that it is to have.")
sure_option = click.option("--yes-i-really-mean-it", "sure", is_flag=True, help="Even if that is no more than it has.")


def _check_number(found: Bucket, num_shards: int, sure: bool) -> None:
    if not 1 <= num_shards <= MAX_SHARDS:
        raise S3Error("InvalidArgument", f"--num-shards must be 1 to {MAX_SHARDS}")
    if num_shards <= found.num_shards and not sure:
        raise S3Error("InvalidArgument", f"the bucket has {found.num_shards} shards already: for no more than that, --yes-i-really-mean-it")


@bucket.command("reshard")
@store_options
@bucket_option
@tenant_option
@shards_option
@sure_option
@asynchronous
async def bucket_reshard(name: str, tenant: str | None, num_shards: int, sure: bool) -> None:
    """Gives a bucket an index of another number of shards, now. Gateways of this kind go on writing to it."""
    async with gateway(current()) as gw:
        found = await find_bucket(gw, name, tenant)
        _check_number(found, num_shards, sure)
        progress = output.Progress("the bucket has its old index; run it again")
        total = objects_of(await gw.buckets.stats(found))

        def show(step: str, copied: int) -> None:
            progress(f"{step}: {copied:,} of about {total:,} entries")

        done = await gw.resharder.reshard(found, num_shards, show)
        progress.end()
        click.echo(f"tenant: {found.tenant}\nbucket name: {found.name}\nold bucket instance id: {done.old_id}\n"
                   f"new bucket instance id: {done.new_id}\ntotal entries: {done.entries}\nblocked for: {done.blocked * 1000:.1f} ms")


@bucket.group("limit")
def limit() -> None:
    """Limits of buckets."""


def _fill_status(per_shard: float, safe: int, warn_percent: float) -> tuple[str, bool]:
    """What `bucket limit check` calls it, and whether that is a warning. Over: by how many percent of what there is."""
    if per_shard > safe:
        return f"OVER {100 - safe / per_shard * 100:f}%", True
    if per_shard * 100 >= safe * warn_percent:
        return f"WARN {per_shard / safe * 100:f}%", True
    return "OK", False


@limit.command("check")
@store_options
@click.option("--uid", help="Only this user's buckets.")
@tenant_option
@click.option("--warnings-only", is_flag=True, help="Only buckets that are too full, or nearly so.")
@asynchronous
async def limit_check(uid: str | None, tenant: str | None, warnings_only: bool) -> None:
    """Prints how full the index shards of buckets are.

    A shard may hold rgw_safe_max_objects_per_shard objects, or rgw_max_objs_per_shard where that is less.
    """
    async with gateway(current()) as gw:
        options = gw.options
        safe = min(options.rgw_safe_max_objects_per_shard, options.rgw_max_objs_per_shard)
        warn = options.rgw_shard_warning_threshold if options.rgw_shard_warning_threshold <= 100 else 90.0
        rows = []
        for one in [full_uid(uid, tenant)] if uid else sorted(await gw.users.list()):
            info = await gw.users.get(one)
            buckets = []
            for plain in await bucket_names(gw, info):
                try:
                    found = await gw.buckets.get(plain, info.tenant)
                except S3Error as error:
                    if error.code != "NoSuchBucket":
                        raise
                    click.echo(f"{plain}: in the list of {one}, but there is no such bucket", err=True)
                    continue
                objects, shards = objects_of(await gw.buckets.stats(found)), found.num_shards
                status, warning = _fill_status(objects / max(shards, 1), safe, warn)
                if warning or not warnings_only:
                    buckets.append({"bucket": plain, "tenant": info.tenant, "num_objects": objects, "num_shards": shards,
                                    "objects_per_shard": objects // max(shards, 1), "fill_status": status})
            rows.append({"user_id": one, "buckets": buckets})
        output.show(rows)


@click.group()
def reshard() -> None:
    """The queue of buckets to be resharded."""


@reshard.command("add")
@store_options
@bucket_option
@tenant_option
@shards_option
@sure_option
@asynchronous
async def reshard_add(name: str, tenant: str | None, num_shards: int, sure: bool) -> None:
    """Queues a bucket, for `reshard process` or a gateway's worker."""
    async with gateway(current()) as gw:
        found = await find_bucket(gw, name, tenant)
        _check_number(found, num_shards, sure)
        await gw.reshard_queue.add(found, num_shards)


@reshard.command("list")
@store_options
@asynchronous
async def reshard_list() -> None:
    """Prints the queue."""
    async with gateway(current()) as gw:
        output.show([
            {"time": output.moment(entry.time), "tenant": entry.tenant, "bucket_name": entry.bucket_name, "bucket_id": entry.bucket_id,
             "new_instance_id": entry.new_instance_id, "old_num_shards": entry.old_num_shards,
             "tentative_new_num_shards": entry.new_num_shards}
            for entry in await gw.reshard_queue.list()
        ])


@reshard.command("status")
@store_options
@bucket_option
@tenant_option
@asynchronous
async def reshard_status(name: str, tenant: str | None) -> None:
    """Prints what each index shard of a bucket says of a reshard."""
    async with gateway(current()) as gw:
        output.show([
            {"reshard_status": _STATUS.get(entry.status, "unknown"), "new_bucket_instance_id": entry.new_bucket_instance_id,
             "num_shards": entry.num_shards}
            for entry in await gw.resharder.status(await find_bucket(gw, name, tenant))
        ])


@reshard.command("process")
@store_options
@asynchronous
async def reshard_process() -> None:
    """Settles reshards that died, then reshards what is queued. Broken off, the bucket stays queued."""
    progress = output.Progress()
    async with gateway(current()) as gw:
        await gw.resharder.recover_all()
        await gw.reshard_queue.process(progress)
        progress.end()


@reshard.command("cancel")
@store_options
@bucket_option
@tenant_option
@asynchronous
async def reshard_cancel(name: str, tenant: str | None) -> None:
    """Takes a bucket out of the queue, and takes a reshard of it back that died."""
    async with gateway(current()) as gw:
        found = await find_bucket(gw, name, tenant)
        recovered = await gw.resharder.recover(found)
        if not recovered and any(entry.status == 1 for entry in await gw.resharder.status(found)):
            raise click.ClickException("the bucket is being resharded right now")
        try:
            await gw.reshard_queue.remove(found.tenant, found.name)
        except NotFound:
            if not recovered:
                click.echo("the bucket is not queued for resharding", err=True)  # no error, as with radosgw-admin


@reshard.group("stale-instances")
def stale() -> None:
    """Instances of buckets that reshards left behind."""


@stale.command("list")
@store_options
@asynchronous
async def stale_list() -> None:
    """Prints the instances that no bucket uses any more. What a reshard works on is left out."""
    progress = output.Progress()
    async with gateway(current()) as gw:
        found = await stale_instances.find(gw, progress)
        progress.end()
        output.show([one.key for one in found])


@stale.command("rm")
@store_options
@asynchronous
async def stale_rm() -> None:
    """Settles reshards that died, then removes these instances and their indexes. Status 16: a reshard is at it."""
    progress = output.Progress()
    async with gateway(current()) as gw:
        await gw.resharder.recover_all()
        found = await stale_instances.find(gw, progress)
        rows = [{"bucket_instance": one.key, "status": 0 if await stale_instances.remove(gw, one) else errno.EBUSY} for one in found]
        progress.end()
        output.show(rows)
