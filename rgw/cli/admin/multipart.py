"""`rgw-admin multipart`: uploads under way. radosgw-admin has nothing like it."""

from __future__ import annotations

from typing import Any

import click

from rgw.cli import output
from rgw.cli.admin.common import bucket_option, find_bucket, tenant_option
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core.dump.basics import moment


@click.group()
def multipart() -> None:
    """Multipart uploads under way."""


@multipart.command("list")
@store_options
@bucket_option
@tenant_option
@click.option("--parts", is_flag=True, help="Count the parts of each and what they hold.")
@asynchronous
async def list_(name: str, tenant: str | None, parts: bool) -> None:
    """Lists a bucket's uploads by key."""
    async with gateway(current()) as gw:
        found = await find_bucket(gw, name, tenant)
        rows: list[dict[str, Any]] = []
        key_marker = id_marker = ""
        while True:
            page = await gw.multipart.list_uploads(found, key_marker=key_marker, upload_id_marker=id_marker)
            for item in page.uploads:
                row: dict[str, Any] = {"key": item.key, "upload_id": item.upload_id, "owner": item.owner, "initiated": moment(item.initiated),
                                       "storage_class": item.storage_class or "STANDARD"}
                if parts:
                    uploaded, _ = await gw.multipart.list_parts(await gw.multipart.get(found, item.key, item.upload_id), 0, 10_000)
                    row |= {"parts": len(uploaded), "size": sum(part.size for part in uploaded)}
                rows.append(row)
            if not page.truncated:
                break
            key_marker, id_marker = page.next_key_marker, page.next_upload_id_marker
        output.show(rows)


@multipart.command("abort")
@store_options
@bucket_option
@tenant_option
@click.option("--object", "key", required=True, help="The upload's key.")
@click.option("--upload-id", required=True)
@asynchronous
async def abort(name: str, tenant: str | None, key: str, upload_id: str) -> None:
    """Ends an upload without an object; its parts go to the garbage collector."""
    async with gateway(current()) as gw:
        await gw.multipart.abort(await find_bucket(gw, name, tenant), key, upload_id)
