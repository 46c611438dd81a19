"""`rgw-admin user`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from rgw.cli import output
from rgw.cli.admin.common import find_bucket, full_uid, key_options, tenant_option, uid_option
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core import caps as capabilities
from rgw.core import metadata_sections, user_stats
from rgw.core.dump.user import OPERATIONS
from rgw.core.dump.user import user_stats as dumped_stats
from rgw.core.gateway import Gateway
from rgw.core.purge import purge_bucket
from rgw.core.subusers import add_key
from rgw.core.suspension import set_suspended
from rgw.core.zone import ZoneError
from rgw.errors import S3Error
from rgw.formats.basics import PlacementRule
from rgw.formats.user import UserInfo


def parse_op_mask(text: str) -> int:
    """`read, write, delete`, or `*` for all, as bits."""
    words = {word.strip() for word in text.split(",") if word.strip()}
    names = {name for _, name in OPERATIONS}
    if words - names - {"*"}:
        raise click.BadParameter(f"{text!r} is not a list of {', '.join(sorted(names))} or *")
    return sum(bit for bit, name in OPERATIONS if name in words or "*" in words)


def placement_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that tell where a user's new buckets and objects lie."""
    for option in (
        click.option("--tags", default="", help="Placement tags, separated by commas."),
        click.option("--storage-class", default="", help="The class of new objects; beside --placement-id."),
        click.option("--placement-id", default="", help="The placement of new buckets."),
    ):
        command = option(command)
    return command


def placement(gw: Gateway, placement_id: str, storage_class: str, tags: str) -> dict[str, object]:
    """The attributes of a user that the options change. S3Error InvalidArgument for what the zone does not have.

    A storage class alone changes nothing in radosgw-admin; here it is refused.
    """
    changed: dict[str, object] = {"placement_tags": tags.split(",")} if tags else {}
    if placement_id:
        rule = PlacementRule(placement_id, storage_class)
        try:
            gw.zone.data_pool(rule)
        except ZoneError as error:
            raise S3Error("InvalidArgument", str(error)) from None
        changed["default_placement"] = rule
    elif storage_class:
        raise click.UsageError("--storage-class needs --placement-id")
    return changed


@click.group()
def user() -> None:
    """Users."""


@user.command("create")
@store_options
@uid_option
@tenant_option
@click.option("--display-name", required=True)
@click.option("--email", default="")
@key_options
@click.option("--max-buckets", type=int, default=1000)
@click.option("--caps", help="Capabilities, such as `users=read,write; buckets=*`.")
@click.option("--op-mask", help="What the user may do: `read, write, delete`, or `*`.")
@click.option("--system", type=bool, default=False, help="A system user needs no capabilities.")
@click.option("--admin", type=bool, default=False, help="The same of an administrator.")
@placement_options
@asynchronous
async def user_create(uid: str, tenant: str | None, display_name: str, email: str, access_key: str | None, secret_key: str | None,
                      max_buckets: int, gen_access_key: bool, gen_secret: bool, key_type: str, caps: str | None, op_mask: str | None,
                      system: bool, admin: bool, placement_id: str, storage_class: str, tags: str) -> None:
    """Creates a user and prints it."""
    granted = capabilities.parse(caps) if caps else {}
    mask = parse_op_mask(op_mask) if op_mask is not None else None
    async with gateway(current()) as gw:
        place = placement(gw, placement_id, storage_class, tags)
        info = await gw.users.create(full_uid(uid, tenant), display_name, email=email, access_key=access_key, secret_key=secret_key,
                                     max_buckets=max_buckets, system=system, admin=admin)
        if granted or place or mask is not None:
            def change(info: UserInfo) -> UserInfo:
                info.caps.caps.update(granted)
                for name, value in place.items():
                    setattr(info, name, value)
                info.op_mask = info.op_mask if mask is None else mask
                return info

            info = await gw.users.change(info.user_id, change)
        output.show(output.user(info))


@user.command("info")
@store_options
@click.option("--uid")
@tenant_option
@click.option("--access-key")
@click.option("--email")
@asynchronous
async def user_info(uid: str | None, tenant: str | None, access_key: str | None, email: str | None) -> None:
    """Prints a user, found by id, access key or e-mail address."""
    if not uid and not access_key and not email:
        raise click.UsageError("give --uid, --access-key or --email")
    async with gateway(current()) as gw:
        if uid:
            info = await gw.users.get(full_uid(uid, tenant))
        elif access_key:
            info = await gw.users.find_by_access_key(access_key)
        else:
            info = await gw.users.get_by_email(email or "")
        output.show(output.user(info))


@user.command("list")
@store_options
@click.option("--max-entries", type=click.IntRange(1), help="Print a page of that many.")
@click.option("--marker", default="", help="Where the page goes on.")
@asynchronous
async def user_list(max_entries: int | None, marker: str) -> None:
    """Lists the users' ids."""
    async with gateway(current()) as gw:
        if max_entries is None and not marker:
            output.show(await gw.users.list())
        else:
            output.show(await metadata_sections.page(gw, "user", marker, max_entries or 1000))


@user.command("rm")
@store_options
@uid_option
@tenant_option
@click.option("--purge-data", is_flag=True, help="Remove the user's buckets and objects too.")
@click.option("--purge-keys", is_flag=True, help="Accepted; a user's keys go with the user all the same.")
@asynchronous
async def user_rm(uid: str, tenant: str | None, purge_data: bool, purge_keys: bool) -> None:
    """Removes a user; one who owns buckets only with --purge-data."""
    progress = output.Progress()
    async with gateway(current()) as gw:
        info = await gw.users.get(full_uid(uid, tenant))
        if purge_data:
            names = [entry.bucket.name async for entry in user_stats.bucket_entries(gw, info)]
            for name in names:
                await purge_bucket(gw, await gw.buckets.get(name, info.tenant), progress)
            progress.end()
        await gw.users.remove(output.user_id(info))


@user.command("modify")
@store_options
@uid_option
@tenant_option
@click.option("--display-name")
@click.option("--email")
@click.option("--max-buckets", type=int)
@click.option("--suspended", type=int, help="1 suspends, 0 enables.")
@key_options
@click.option("--caps", help="Capabilities to add, such as `users=read,write; buckets=*`.")
@click.option("--op-mask", help="What the user may do: `read, write, delete`, or `*`.")
@click.option("--system", type=bool, help="Whether the user is a system user.")
@click.option("--admin", type=bool, help="Whether the user is an administrator.")
@placement_options
@asynchronous
async def user_modify(uid: str, tenant: str | None, display_name: str | None, email: str | None, max_buckets: int | None,
                      suspended: int | None, access_key: str | None, secret_key: str | None, gen_access_key: bool, gen_secret: bool,
                      key_type: str, caps: str | None, op_mask: str | None, system: bool | None, admin: bool | None,
                      placement_id: str, storage_class: str, tags: str) -> None:
    """Changes what is given and prints the user."""
    changes: dict[str, object] = {"display_name": display_name, "email": None if email is None else email.lower(), "max_buckets": max_buckets}
    changes.update((name, None if value is None else int(bool(value)))
                   for name, value in (("suspended", suspended), ("system", system), ("admin", admin)))
    changes["op_mask"] = None if op_mask is None else parse_op_mask(op_mask)
    granted = capabilities.parse(caps) if caps else {}

    def change(info: UserInfo) -> UserInfo:
        for name, value in changes.items():
            if value is not None:
                setattr(info, name, value)
        info.caps.caps.update(granted)
        if access_key or secret_key or gen_access_key or gen_secret:
            add_key(info, "s3", "", access_key, secret_key)
        return info

    async with gateway(current()) as gw:
        changes.update(placement(gw, placement_id, storage_class, tags))
        output.show(output.user(await gw.users.change(full_uid(uid, tenant), change)))


@user.command("suspend")
@store_options
@uid_option
@tenant_option
@asynchronous
async def user_suspend(uid: str, tenant: str | None) -> None:
    """Refuses the user's requests from now on, and everybody's for the user's buckets."""
    async with gateway(current()) as gw:
        output.show(output.user(await set_suspended(gw, full_uid(uid, tenant), True)))


@user.command("enable")
@store_options
@uid_option
@tenant_option
@asynchronous
async def user_enable(uid: str, tenant: str | None) -> None:
    """Lets a suspended user in again."""
    async with gateway(current()) as gw:
        output.show(output.user(await set_suspended(gw, full_uid(uid, tenant), False)))


@user.command("stats")
@store_options
@uid_option
@tenant_option
@click.option("--sync-stats", is_flag=True, help="Bring the sums up to date from the buckets' indexes first.")
@click.option("--reset-stats", is_flag=True, help="Add the sums up anew from the user's list of buckets first.")
@click.option("--bucket", "name", help="With --sync-stats: look at this bucket's index only.")
@asynchronous
async def stats(uid: str, tenant: str | None, sync_stats: bool, reset_stats: bool, name: str | None) -> None:
    """Prints what a user's buckets hold, as last summed up: of all of them, with --bucket too."""
    if sync_stats and reset_stats:
        raise click.UsageError("give one of --sync-stats and --reset-stats")
    if reset_stats and name:
        raise click.UsageError("--reset-stats is for all of a user's buckets")
    progress = output.Progress()
    async with gateway(current()) as gw:
        info = await gw.users.get(full_uid(uid, tenant))
        if sync_stats and name:
            await gw.buckets.sync_stats(await find_bucket(gw, name, tenant))
        elif sync_stats:
            await user_stats.sync(gw, info, progress)
            progress.end()
        if reset_stats:
            await user_stats.reset(gw, info)
        output.show(dumped_stats(await user_stats.read(gw, info)))


@user.command("check")
@store_options
@uid_option
@tenant_option
@click.option("--fix", is_flag=True, help="Mend the differences.")
@asynchronous
async def check(uid: str, tenant: str | None, fix: bool) -> None:
    """Compares a user's list of buckets with the buckets and prints what differs."""
    async with gateway(current()) as gw:
        found = await user_stats.check(gw, await gw.users.get(full_uid(uid, tenant)), fix=fix)
        output.show(found)
        if found and not fix:
            raise S3Error("InvalidArgument", f"{len(found)} differences; --fix mends them")
