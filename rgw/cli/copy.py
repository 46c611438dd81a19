"""`rgw store copy`: everything from one store to another, object by object."""

from __future__ import annotations

import asyncio

import click

from rgw.cli.output import Progress
from rgw.cli.stores import StoreChoice, asynchronous, open_cluster
from rgw.store.errors import NotFound
from rgw.store.interface import ALL_NAMESPACES, Cluster, IoCtx, ObjectName, ReadOp, WriteOp

CHUNK = 4 << 20
PARALLEL = 8


@click.group()
def store() -> None:
    """Works on whole stores."""


def parse_location(text: str) -> StoreChoice:
    """A store by name: a folder, or `ceph:CONF[:client.X]`."""
    if text.startswith("ceph:"):
        conf, _, name = text[5:].partition(":")
        return StoreChoice(conf=conf, name=name or "client.admin")
    return StoreChoice(data=text.removeprefix("data:"))


@store.command(name="copy")
@click.option("--from", "source", required=True, metavar="STORE", help="A folder, or ceph:CONF[:client.X].")
@click.option("--to", "target", required=True, metavar="STORE", help="Likewise; a folder is made where there is none.")
@click.option("--overwrite", is_flag=True, help="Replace objects that the target has already.")
@click.option("--resume", is_flag=True, help="Go on with a copy that was broken off: objects that are the same on both sides are left.")
@asynchronous
async def copy_command(source: str, target: str, overwrite: bool, resume: bool) -> None:
    """Copies every pool, object, xattr and omap entry. Stop the gateways of both stores first."""
    progress = Progress("go on with --resume")
    from_cluster = await open_cluster(parse_location(source))
    try:
        to_cluster = await open_cluster(parse_location(target), create=True)
        try:
            for pool in await from_cluster.list_pools():
                if pool.startswith(".mgr") or pool == "device_health_metrics":
                    continue
                count, size = await copy_pool(from_cluster, to_cluster, pool, overwrite=overwrite, resume=resume, progress=progress)
                progress.end()
                click.echo(f"{pool}: {count} objects, {size} bytes", err=True)
        finally:
            await to_cluster.close()
    finally:
        await from_cluster.close()


async def copy_pool(source: Cluster, target: Cluster, pool: str, *, overwrite: bool, resume: bool, progress: Progress) -> tuple[int, int]:
    """Copies one pool; the number of objects and of data bytes."""
    await target.create_pool(pool)
    everything = await source.open_pool(pool, ALL_NAMESPACES)
    limit = asyncio.Semaphore(PARALLEL)
    count = size = 0

    async def one(found: ObjectName) -> None:
        nonlocal count, size
        try:
            copied = await copy_object(await source.open_pool(pool, found.namespace), await target.open_pool(pool, found.namespace),
                                       found, overwrite=overwrite, resume=resume)
            count, size = count + 1, size + copied  # in one go: others count too
        finally:
            limit.release()
        progress(f"{pool}: {count:,} objects, {size >> 20:,} MiB")

    try:
        async with asyncio.TaskGroup() as tasks:
            async for found in everything.list_objects():
                await limit.acquire()
                tasks.create_task(one(found))
    except ExceptionGroup as failures:  # those of the others are alike, or come of it
        raise failures.exceptions[0] from failures
    return count, size


async def copy_object(source: IoCtx, target: IoCtx, found: ObjectName, *, overwrite: bool, resume: bool) -> int:
    """Copies an object with its bytes, mtime, xattrs, omap and omap header; the number of data bytes."""
    oid, locator = found.name, found.locator
    if resume and await same(source, target, found):
        return 0
    if not (overwrite or resume):
        try:
            await target.read(oid, ReadOp().stat(), locator)
        except NotFound:
            pass  # as it should be
        else:
            raise click.ClickException(f"{target.pool}/{oid} is in the target already (--overwrite replaces, --resume goes on)")
    head = await source.read(oid, ReadOp().stat().getxattrs().omap_get_header().read(0, CHUNK).omap_get(b"", b"", 1000), locator)
    op = WriteOp(head.mtime).create().omap_clear().write_full(head.data).setxattrs(head.xattrs)
    assert head.omap is not None
    if head.omap.values:
        op.omap_set(head.omap.values)
    if head.omap_header:
        op.omap_set_header(head.omap_header)
    await target.write(oid, op, locator)
    page, offset = head.omap, len(head.data)
    while page.more:
        following = (await source.read(oid, ReadOp().omap_get(list(page.values)[-1], b"", 1000), locator)).omap
        assert following is not None
        page = following
        if page.values:
            await target.write(oid, WriteOp(head.mtime).omap_set(page.values), locator)
    while offset < head.size:
        data = (await source.read(oid, ReadOp().read(offset, CHUNK), locator)).data
        if not data:
            raise click.ClickException(f"{source.pool}/{oid} became shorter while it was copied: stop its gateways first")
        await target.write(oid, WriteOp(head.mtime).write(offset, data), locator)
        offset += len(data)
    return head.size


async def same(source: IoCtx, target: IoCtx, found: ObjectName) -> bool:
    """Whether the target has the object whole: of the same size, time, xattrs and omap. A copy's bytes are written in order, hence its size tells."""
    async def everything(ioctx: IoCtx) -> tuple[object, ...]:
        head = await ioctx.read(found.name, ReadOp().stat().getxattrs().omap_get_header(), found.locator)
        return head.size, head.mtime, head.xattrs, head.omap_header

    async def omap(ioctx: IoCtx, after: bytes) -> dict[bytes, bytes]:
        page = (await ioctx.read(found.name, ReadOp().omap_get(after, b"", 1000), found.locator)).omap
        assert page is not None
        return dict(page.values)

    try:
        if await everything(source) != await everything(target):
            return False
        after = b""
        while True:
            ours, theirs = await omap(source, after), await omap(target, after)
            if ours != theirs:
                return False
            if not ours:
                return True
            after = list(ours)[-1]
    except NotFound:
        return False
