"""`rgw rados`: the objects of a store as Ceph's `rados` shows them, for either store."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from rgw.cli.stores import asynchronous, current, open_cluster, store_options
from rgw.store.errors import NotFound
from rgw.store.interface import ALL_NAMESPACES, IoCtx, OmapPage, ReadOp


@click.group()
@store_options
@click.option("-p", "--pool", help="The pool, here or after the command.")
@click.option("-N", "--namespace", help="Its namespace, likewise.")
@click.pass_context
def rados(ctx: click.Context, pool: str | None, namespace: str | None) -> None:
    """Shows pools and objects, as Ceph's `rados` does."""
    given = {name: value for name, value in (("pool", pool), ("namespace", namespace)) if value is not None}
    ctx.default_map = dict.fromkeys(rados.commands, given)


def pool_command(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command on one pool; it gets the opened pool as its first argument."""

    @click.option("-p", "--pool", required=True)
    @click.option("-N", "--namespace", default="")
    @click.option("--object-locator", "locator", default="", help="The locator key of the object.")
    @asynchronous
    async def run(pool: str, namespace: str, locator: str, **arguments: Any) -> None:
        cluster = await open_cluster(current())
        try:
            try:
                io = await cluster.open_pool(pool, namespace)
            except NotFound:
                raise click.ClickException(f"no such pool: {pool}") from None
            try:
                await command(io, locator=locator, **arguments)
            except NotFound:
                raise click.ClickException(f"no such object: {arguments.get('oid')}") from None
        finally:
            await cluster.close()

    run.__name__ = command.__name__
    run.__doc__ = command.__doc__
    # click collects @click.argument declarations in __click_params__
    run.__click_params__ = getattr(command, "__click_params__", []) + getattr(run, "__click_params__", [])  # type: ignore[attr-defined]
    return rados.command(name=command.__name__)(store_options(run))


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def hexdump(data: bytes) -> str:
    """16 bytes a line: offset, hex, text; the form of `rados listomapvals`."""
    lines = []
    for at in range(0, len(data), 16):
        row = data[at:at + 16]
        left, right = row[:8].hex(" "), row[8:].hex(" ")
        text = "".join(chr(b) if 32 <= b < 127 else "." for b in row)
        lines.append(f"{at:08x}  {left:<23}  {right:<23}  |{text}|")
    lines.append(f"{len(data):08x}")
    return "\n".join(lines)


async def omap_pages(io: IoCtx, oid: str, locator: str) -> Any:
    """All omap entries of an object, page by page."""
    after = b""
    while True:
        page: OmapPage | None = (await io.read(oid, ReadOp().omap_get(after, b"", 1000), locator)).omap
        assert page is not None
        for key, value in page.values.items():
            yield key, value
            after = key
        if not page.more:
            return


@rados.command()
@store_options
@asynchronous
async def lspools() -> None:
    """Lists the pools."""
    cluster = await open_cluster(current())
    try:
        for pool in await cluster.list_pools():
            click.echo(pool)
    finally:
        await cluster.close()


@rados.command()
@store_options
@click.option("-p", "--pool", required=True)
@click.option("-N", "--namespace", default="")
@click.option("--all", "everything", is_flag=True, help="Every namespace.")
@asynchronous
async def ls(pool: str, namespace: str, everything: bool) -> None:
    """Lists the objects of a pool."""
    cluster = await open_cluster(current())
    try:
        try:
            io = await cluster.open_pool(pool, ALL_NAMESPACES if everything else namespace)
        except NotFound:
            raise click.ClickException(f"no such pool: {pool}") from None
        async for found in io.list_objects():
            row = [found.name]
            if everything:
                row.insert(0, found.namespace)
            if found.locator:
                row.append(found.locator)
            click.echo("\t".join(row).encode("utf-8", "surrogateescape"))
    finally:
        await cluster.close()


@pool_command
@click.argument("oid")
async def stat(io: IoCtx, oid: str, locator: str) -> None:
    """Size and modification time of an object."""
    result = await io.read(oid, ReadOp().stat(), locator)
    when = datetime.fromtimestamp(result.mtime / 1e9, UTC).isoformat()
    click.echo(f"{io.pool}/{oid} mtime {when}, size {result.size}")


@pool_command
@click.argument("oid")
@click.argument("out", type=click.File("wb"))
async def get(io: IoCtx, oid: str, out: Any, locator: str) -> None:
    """Writes an object's bytes to a file (- for standard output)."""
    offset, step = 0, 4 << 20
    while True:
        data = (await io.read(oid, ReadOp().read(offset, step), locator)).data
        out.write(data)
        offset += len(data)
        if len(data) < step:
            return


@pool_command
@click.argument("oid")
async def listxattr(io: IoCtx, oid: str, locator: str) -> None:
    """Names of an object's xattrs."""
    for name in sorted((await io.read(oid, ReadOp().getxattrs(), locator)).xattrs):
        click.echo(name)


@pool_command
@click.argument("oid")
@click.argument("attribute")
async def getxattr(io: IoCtx, oid: str, attribute: str, locator: str) -> None:
    """One xattr's raw value."""
    xattrs = (await io.read(oid, ReadOp().getxattrs(), locator)).xattrs
    if attribute not in xattrs:
        raise click.ClickException(f"no xattr {attribute} on {oid}")
    _write(xattrs[attribute])


@pool_command
@click.argument("oid")
async def listomapkeys(io: IoCtx, oid: str, locator: str) -> None:
    """An object's omap keys."""
    async for key, _ in omap_pages(io, oid, locator):
        _write(key + b"\n")


@pool_command
@click.argument("oid")
async def listomapvals(io: IoCtx, oid: str, locator: str) -> None:
    """An object's omap keys and values."""
    async for key, value in omap_pages(io, oid, locator):
        _write(key + b"\n")
        click.echo(f"value ({len(value)} bytes) :\n{hexdump(value)}\n")


@pool_command
@click.argument("oid")
async def getomapheader(io: IoCtx, oid: str, locator: str) -> None:
    """An object's omap header."""
    header = (await io.read(oid, ReadOp().omap_get_header(), locator)).omap_header
    click.echo(f"header ({len(header)} bytes) :\n{hexdump(header)}")
