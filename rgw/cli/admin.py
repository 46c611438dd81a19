"""`rgw-admin`: users, keys, buckets and garbage collection, with radosgw-admin's arguments and JSON."""

from __future__ import annotations

import click

from rgw.cli import output
from rgw.cli.stores import asynchronous, current, gateway, store_options
from rgw.core.gateway import Gateway
from rgw.formats.user import UserInfo


def full_uid(uid: str, tenant: str | None) -> str:
    return f"{tenant}${uid}" if tenant and "$" not in uid else uid


uid_option = click.option("--uid", required=True, help="The user's id, `id` or `tenant$id`.")
tenant_option = click.option("--tenant", help="The user's or bucket's tenant.")


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


@click.group()
def bucket() -> None:
    """Buckets."""


async def bucket_names(gw: Gateway, info: UserInfo) -> list[str]:
    """All buckets of a user."""
    names: list[str] = []
    marker = ""
    while True:
        entries, truncated = await gw.buckets.list(info, marker=marker)
        names += [entry.bucket.name for entry in entries]
        if not truncated or not entries:
            return names
        marker = names[-1]


def split_bucket(name: str, tenant: str | None) -> tuple[str, str]:
    """`tenant/bucket` or a bucket name, with --tenant."""
    before, slash, after = name.partition("/")
    return (before, after) if slash else (tenant or "", name)


@bucket.command("list")
@store_options
@click.option("--bucket", "name")
@click.option("--uid")
@tenant_option
@click.option("--max-entries", type=click.IntRange(1), default=1000)
@click.option("--marker", default="")
@asynchronous
async def bucket_list(name: str | None, uid: str | None, tenant: str | None, max_entries: int, marker: str) -> None:
    """Lists all buckets, a user's buckets, or a bucket's objects."""
    async with gateway(current()) as gw:
        if name:
            owner_tenant, plain = split_bucket(name, tenant)
            found = await gw.buckets.get(plain, owner_tenant)
            listing = await gw.listing.objects(found, marker=marker, max_keys=max_entries)
            output.show([output.index_entry(e) for e in listing.entries])
            return
        uids = [full_uid(uid, tenant)] if uid else sorted(await gw.users.list())
        rows: list[str] = []
        for one in uids:
            info = await gw.users.get(one)
            rows += [f"{info.tenant}/{n}" if info.tenant else n for n in await bucket_names(gw, info)]
        output.show(rows if uid else sorted(rows))


@bucket.command("stats")
@store_options
@click.option("--bucket", "name")
@click.option("--uid")
@tenant_option
@asynchronous
async def bucket_stats(name: str | None, uid: str | None, tenant: str | None) -> None:
    """Prints the statistics of a bucket, of a user's buckets, or of all."""
    async with gateway(current()) as gw:
        if name:
            owner_tenant, plain = split_bucket(name, tenant)
            found = await gw.buckets.get(plain, owner_tenant)
            output.show(output.bucket_stats(found, await gw.buckets.stats(found)))
            return
        rows = []
        for one in [full_uid(uid, tenant)] if uid else sorted(await gw.users.list()):
            info = await gw.users.get(one)
            for plain in await bucket_names(gw, info):
                found = await gw.buckets.get(plain, info.tenant)
                rows.append(output.bucket_stats(found, await gw.buckets.stats(found)))
        output.show(rows)


async def purge_bucket(gw: Gateway, name: str, tenant: str) -> None:
    """Removes a bucket with its objects and its uploads under way."""
    found = await gw.buckets.get(name, tenant)
    while True:
        uploads = await gw.multipart.list_uploads(found, "", "", "", "", 1000)
        for upload in uploads.uploads:
            await gw.multipart.abort(found, upload.key, upload.upload_id)
        if not uploads.truncated:
            break
    while True:
        listing = await gw.listing.objects(found, max_keys=1000)
        for entry in listing.entries:
            await gw.objects.delete(found, entry.name)
        if not listing.truncated:
            break
    await gw.buckets.delete(found)


@bucket.command("rm")
@store_options
@click.option("--bucket", "name", required=True)
@tenant_option
@click.option("--purge-objects", is_flag=True, help="Remove its objects too.")
@asynchronous
async def bucket_rm(name: str, tenant: str | None, purge_objects: bool) -> None:
    """Removes a bucket."""
    owner_tenant, plain = split_bucket(name, tenant)
    async with gateway(current()) as gw:
        if purge_objects:
            await purge_bucket(gw, plain, owner_tenant)
        else:
            await gw.buckets.delete(await gw.buckets.get(plain, owner_tenant))


@click.group()
def gc() -> None:
    """Garbage collection."""


@gc.command("list")
@store_options
@click.option("--include-all", is_flag=True, help="Those too that have not waited long enough yet.")
@asynchronous
async def gc_list(include_all: bool) -> None:
    """Prints what waits to be collected."""
    async with gateway(current()) as gw:
        output.show([
            {"tag": info.tag.rstrip("\0"), "time": output.moment(info.time),
             "objs": [{"pool": o.pool, "oid": o.oid, "key": o.loc, "instance": ""} for o in info.chain.objs]}
            for info in await gw.gc.list(include_all)
        ])


@gc.command("process")
@store_options
@click.option("--include-all", is_flag=True, help="Those too that have not waited long enough yet.")
@asynchronous
async def gc_process(include_all: bool) -> None:
    """Collects now."""
    async with gateway(current()) as gw:
        await gw.gc.process(include_all)



