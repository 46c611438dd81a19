"""`rgw-admin key`."""

from __future__ import annotations

import click

from rgw.cli import output
from rgw.cli.admin.common import full_uid, key_options, tenant_option
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core.subusers import add_key, split
from rgw.errors import S3Error
from rgw.formats.user import UserInfo


@click.group()
def key() -> None:
    """Access keys."""


@key.command("create")
@store_options
@click.option("--uid", default="")
@click.option("--subuser", default="", help="The subuser whose key it is, `name` or `uid:name`.")
@tenant_option
@key_options
@asynchronous
async def key_create(uid: str, subuser: str, tenant: str | None, access_key: str | None, secret_key: str | None, gen_access_key: bool,
                     gen_secret: bool, key_type: str) -> None:
    """Adds a key to a user or subuser, or changes its secret, and prints the user."""
    full, name = split(subuser, full_uid(uid, tenant)) if subuser else (full_uid(uid, tenant), "")
    if not full:
        raise click.UsageError("give --uid or --subuser")

    def change(info: UserInfo) -> UserInfo:
        add_key(info, key_type, name, access_key, secret_key)
        return info

    async with gateway(current()) as gw:
        output.show(output.user(await gw.users.change(full, change)))


@key.command("rm")
@store_options
@click.option("--uid", default="")
@click.option("--subuser", default="", help="The subuser whose swift key goes, `name` or `uid:name`.")
@tenant_option
@click.option("--access-key", default="")
@click.option("--key-type", type=click.Choice(["s3", "swift"]), default="s3")
@asynchronous
async def key_rm(uid: str, subuser: str, tenant: str | None, access_key: str, key_type: str) -> None:
    """Removes a key and prints its user."""
    async with gateway(current()) as gw:
        if key_type == "swift":
            full, name = split(subuser, full_uid(uid, tenant))

            def drop(info: UserInfo) -> UserInfo:
                if info.swift_keys.pop(f"{full}:{name}", None) is None:
                    raise S3Error("InvalidAccessKeyId", f"subuser {full}:{name} has no swift key")
                return info

            output.show(output.user(await gw.users.change(full, drop)))
            return
        if not access_key:
            raise click.UsageError("give --access-key")
        full = full_uid(uid, tenant) if uid else output.user_id(await gw.users.find_by_access_key(access_key))
        await gw.users.remove_key(full, access_key)
        output.show(output.user(await gw.users.get(full)))
