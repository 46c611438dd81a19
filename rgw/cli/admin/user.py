"""`rgw-admin user`."""

from __future__ import annotations

import click

from rgw.cli import output
from rgw.cli.admin.common import bucket_names, full_uid, purge_bucket, tenant_option, uid_option
from rgw.cli.stores import asynchronous, current, gateway, store_options


@click.group()
def user() -> None:
    """Users."""


@user.command("create")
@store_options
@uid_option
@tenant_option
@click.option("--display-name", required=True)
@click.option("--email", default="")
@click.option("--access-key")
@click.option("--secret", "--secret-key", "secret_key")
@click.option("--max-buckets", type=int, default=1000)
@click.option("--gen-access-key", is_flag=True, help="Generate the access key (the default unless one is given).")
@click.option("--gen-secret", is_flag=True, help="Generate the secret (the default unless one is given).")
@click.option("--key-type", type=click.Choice(["s3"]), default="s3")
@asynchronous
async def user_create(uid: str, tenant: str | None, display_name: str, email: str, access_key: str | None, secret_key: str | None,
                      max_buckets: int, gen_access_key: bool, gen_secret: bool, key_type: str) -> None:
    """Creates a user and prints it."""
    async with gateway(current()) as gw:
        output.show(output.user(await gw.users.create(full_uid(uid, tenant), display_name, email=email, access_key=access_key,
                                                      secret_key=secret_key, max_buckets=max_buckets)))


@user.command("info")
@store_options
@click.option("--uid")
@tenant_option
@click.option("--access-key")
@asynchronous
async def user_info(uid: str | None, tenant: str | None, access_key: str | None) -> None:
    """Prints a user, found by id or access key."""
    if not uid and not access_key:
        raise click.UsageError("give --uid or --access-key")
    async with gateway(current()) as gw:
        info = await gw.users.get(full_uid(uid, tenant)) if uid else await gw.users.get_by_access_key(access_key or "")
        output.show(output.user(info))


@user.command("list")
@store_options
@asynchronous
async def user_list() -> None:
    """Lists the users' ids."""
    async with gateway(current()) as gw:
        output.show(sorted(await gw.users.list()))


@user.command("rm")
@store_options
@uid_option
@tenant_option
@click.option("--purge-data", is_flag=True, help="Remove the user's buckets and objects too.")
@asynchronous
async def user_rm(uid: str, tenant: str | None, purge_data: bool) -> None:
    """Removes a user; one who owns buckets only with --purge-data."""
    async with gateway(current()) as gw:
        info = await gw.users.get(full_uid(uid, tenant))
        if purge_data:
            for name in await bucket_names(gw, info):
                await purge_bucket(gw, name, info.tenant)
        await gw.users.remove(output.user_id(info))


@user.command("modify")
@store_options
@uid_option
@tenant_option
@click.option("--display-name")
@click.option("--email")
@click.option("--max-buckets", type=int)
@click.option("--suspended", type=int, help="1 suspends, 0 enables.")
@click.option("--access-key")
@click.option("--secret", "--secret-key", "secret_key")
@asynchronous
async def user_modify(uid: str, tenant: str | None, display_name: str | None, email: str | None, max_buckets: int | None,
                      suspended: int | None, access_key: str | None, secret_key: str | None) -> None:
    """Changes what is given and prints the user."""
    async with gateway(current()) as gw:
        full = full_uid(uid, tenant)
        if access_key or secret_key:
            await gw.users.create_key(full, access_key=access_key, secret_key=secret_key)
        info = await gw.users.get(full)
        changes = {"display_name": display_name, "email": email, "max_buckets": max_buckets,
                   "suspended": None if suspended is None else int(bool(suspended))}
        for name, value in changes.items():
            if value is not None:
                setattr(info, name, value)
        output.show(output.user(await gw.users.modify(info)))


@user.command("suspend")
@store_options
@uid_option
@tenant_option
@asynchronous
async def user_suspend(uid: str, tenant: str | None) -> None:
    """Refuses the user's requests from now on."""
    await _suspend(full_uid(uid, tenant), 1)


@user.command("enable")
@store_options
@uid_option
@tenant_option
@asynchronous
async def user_enable(uid: str, tenant: str | None) -> None:
    """Lets a suspended user in again."""
    await _suspend(full_uid(uid, tenant), 0)


async def _suspend(uid: str, value: int) -> None:
    async with gateway(current()) as gw:
        info = await gw.users.get(uid)
        info.suspended = value
        output.show(output.user(await gw.users.modify(info)))
