"""`rgw-admin caps`."""

from __future__ import annotations

import click

from rgw.cli import output
from rgw.cli.admin.common import full_uid, tenant_option, uid_option
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core import caps as capabilities

caps_option = click.option("--caps", "text", required=True, help="Such as `users=read,write; buckets=*`.")


@click.group()
def caps() -> None:
    """What users may do through the Admin Ops API."""


@caps.command("add")
@store_options
@uid_option
@tenant_option
@caps_option
@asynchronous
async def add(uid: str, tenant: str | None, text: str) -> None:
    """Adds capabilities and prints the user."""
    async with gateway(current()) as gw:
        output.show(output.user(await capabilities.add(gw, full_uid(uid, tenant), text)))


@caps.command("rm")
@store_options
@uid_option
@tenant_option
@caps_option
@asynchronous
async def rm(uid: str, tenant: str | None, text: str) -> None:
    """Takes capabilities away and prints the user."""
    async with gateway(current()) as gw:
        output.show(output.user(await capabilities.remove(gw, full_uid(uid, tenant), text)))
