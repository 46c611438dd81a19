"""`rgw-admin subuser`."""

from __future__ import annotations

import click

from rgw.cli import output
from rgw.cli.admin.common import full_uid, key_options, tenant_option
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core import subusers

subuser_option = click.option("--subuser", "name", required=True, help="`name`, or `uid:name`.")
access_option = click.option("--access", type=click.Choice(["read", "write", "readwrite", "full"]), help="The most its keys may do.")


def wanted_key(access_key: str | None, secret_key: str | None, gen_access_key: bool, gen_secret: bool, key_type: str) -> str:
    """The type of the key that the options ask for; none if they ask for none."""
    return key_type if access_key or secret_key or gen_access_key or gen_secret else ""


@click.group()
def subuser() -> None:
    """Subusers."""


@subuser.command("create")
@store_options
@click.option("--uid", default="")
@tenant_option
@subuser_option
@access_option
@key_options
@asynchronous
async def create(uid: str, tenant: str | None, name: str, access: str | None, access_key: str | None, secret_key: str | None,
                 gen_access_key: bool, gen_secret: bool, key_type: str) -> None:
    """Adds a subuser, with a key if one is given or asked for, and prints the user."""
    full, short = subusers.split(name, full_uid(uid, tenant))
    kind = wanted_key(access_key, secret_key, gen_access_key, gen_secret, key_type)
    async with gateway(current()) as gw:
        output.show(output.user(await subusers.create(gw, full, short, access or "", key_type=kind, access_key=access_key, secret_key=secret_key)))


@subuser.command("modify")
@store_options
@click.option("--uid", default="")
@tenant_option
@subuser_option
@access_option
@key_options
@asynchronous
async def modify(uid: str, tenant: str | None, name: str, access: str | None, access_key: str | None, secret_key: str | None,
                 gen_access_key: bool, gen_secret: bool, key_type: str) -> None:
    """Changes what a subuser may do, or its key, and prints the user."""
    full, short = subusers.split(name, full_uid(uid, tenant))
    kind = wanted_key(access_key, secret_key, gen_access_key, gen_secret, key_type)
    async with gateway(current()) as gw:
        output.show(output.user(await subusers.modify(gw, full, short, access, key_type=kind, access_key=access_key, secret_key=secret_key)))


@subuser.command("rm")
@store_options
@click.option("--uid", default="")
@tenant_option
@subuser_option
@click.option("--purge-keys", is_flag=True, help="As always: a subuser's keys go with it.")
@asynchronous
async def rm(uid: str, tenant: str | None, name: str, purge_keys: bool) -> None:
    """Removes a subuser with its keys and prints the user."""
    full, short = subusers.split(name, full_uid(uid, tenant))
    async with gateway(current()) as gw:
        output.show(output.user(await subusers.remove(gw, full, short)))
