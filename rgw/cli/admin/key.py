"""`rgw-admin key`."""

from __future__ import annotations

import click

from rgw.cli import output
from rgw.cli.admin.common import full_uid, tenant_option, uid_option
from rgw.cli.stores import asynchronous, current, gateway, store_options


@click.group()
def key() -> None:
    """Access keys."""


@key.command("create")
@store_options
@uid_option
@tenant_option
@click.option("--access-key")
@click.option("--secret", "--secret-key", "secret_key")
@click.option("--gen-access-key", is_flag=True)
@click.option("--gen-secret", is_flag=True)
@click.option("--key-type", type=click.Choice(["s3"]), default="s3")
@asynchronous
async def key_create(uid: str, tenant: str | None, access_key: str | None, secret_key: str | None, gen_access_key: bool,
                     gen_secret: bool, key_type: str) -> None:
    """Adds a key to a user, or changes its secret, and prints the user."""
    async with gateway(current()) as gw:
        full = full_uid(uid, tenant)
        await gw.users.create_key(full, access_key=access_key, secret_key=secret_key)
        output.show(output.user(await gw.users.get(full)))


@key.command("rm")
@store_options
@click.option("--uid")
@tenant_option
@click.option("--access-key", required=True)
@asynchronous
async def key_rm(uid: str | None, tenant: str | None, access_key: str) -> None:
    """Removes a key and prints its user."""
    async with gateway(current()) as gw:
        full = full_uid(uid, tenant) if uid else output.user_id(await gw.users.get_by_access_key(access_key))
        await gw.users.remove_key(full, access_key)
        output.show(output.user(await gw.users.get(full)))
