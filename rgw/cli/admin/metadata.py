"""`rgw-admin metadata`."""

from __future__ import annotations

import io
import json
import sys

import click

from rgw.cli import output
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core import metadata_sections as sections
from rgw.errors import S3Error


@click.group()
def metadata() -> None:
    """The records of users and buckets, as they lie in the store."""


@metadata.command("list")
@store_options
@click.argument("section", required=False)
@click.option("--max-entries", type=click.IntRange(1), help="Print a page of that many.")
@click.option("--marker", default="", help="Where the page goes on.")
@asynchronous
async def list_(section: str | None, max_entries: int | None, marker: str) -> None:
    """Lists the sections, or the keys of one."""
    if not section:
        output.show(list(sections.SECTIONS))
        return
    async with gateway(current()) as gw:
        if max_entries is None and not marker:
            output.show(await sections.keys(gw, section))
        else:
            output.show(await sections.page(gw, section, marker, max_entries or 1000))


@metadata.command("get")
@store_options
@click.argument("key", required=False)
@click.option("--metadata-key", help="The same as KEY.")
@asynchronous
async def get(key: str | None, metadata_key: str | None) -> None:
    """Prints the record `section:key`."""
    section, name = sections.split_key(key or metadata_key or "")
    async with gateway(current()) as gw:
        output.show(await sections.get(gw, section, name))


@metadata.command("put")
@store_options
@click.argument("key", required=False)
@click.option("--metadata-key", help="The same as KEY.")
@click.option("--infile", type=click.File("r", encoding="utf-8"), help="The JSON; standard input without it.")
@asynchronous
async def put(key: str | None, metadata_key: str | None, infile: io.TextIOBase | None) -> None:
    """Stores a record as `metadata get` prints it."""
    section, name = sections.split_key(key or metadata_key or "")
    try:
        document = json.loads((infile or sys.stdin).read())
    except ValueError as error:
        raise S3Error("InvalidArgument", f"that is no JSON: {error}") from error
    async with gateway(current()) as gw:
        await sections.put(gw, section, name, document)


@metadata.command("rm")
@store_options
@click.argument("key", required=False)
@click.option("--metadata-key", help="The same as KEY.")
@asynchronous
async def rm(key: str | None, metadata_key: str | None) -> None:
    """Removes a record. A bucket's index and data stay."""
    section, name = sections.split_key(key or metadata_key or "")
    async with gateway(current()) as gw:
        await sections.remove(gw, section, name)
