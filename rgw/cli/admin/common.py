"""What the families of `rgw-admin` share: options, and the way from what they give to users and buckets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from rgw.core import bucket_owners, user_stats
from rgw.core.buckets import Bucket
from rgw.core.gateway import Gateway
from rgw.formats.user import UserInfo


def full_uid(uid: str, tenant: str | None) -> str:
    return f"{tenant}${uid}" if tenant and "$" not in uid else uid


uid_option = click.option("--uid", required=True, help="The user's id, `id` or `tenant$id`.")
tenant_option = click.option("--tenant", help="The user's or bucket's tenant.")
bucket_option = click.option("--bucket", "name", required=True, help="The bucket, `name` or `tenant/name`.")


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that tell or generate a key."""
    for option in (
        click.option("--key-type", type=click.Choice(["s3", "swift"]), default="s3"),
        click.option("--gen-secret", is_flag=True, help="Generate the secret (the default unless one is given)."),
        click.option("--gen-access-key", is_flag=True, help="Generate the access key (the default unless one is given)."),
        click.option("--secret", "--secret-key", "secret_key"),
        click.option("--access-key"),
    ):
        command = option(command)
    return command


async def bucket_names(gw: Gateway, info: UserInfo) -> list[str]:
    """All buckets of a user."""
    return [entry.bucket.name async for entry in user_stats.bucket_entries(gw, info)]


def split_bucket(name: str, tenant: str | None) -> tuple[str, str]:
    """`tenant/bucket` or a bucket name, with --tenant."""
    before, slash, after = name.partition("/")
    return (before, after) if slash else (tenant or "", name)


async def find_bucket(gw: Gateway, name: str, tenant: str | None) -> Bucket:
    """The bucket that the options name. S3Error NoSuchBucket."""
    owner_tenant, plain = split_bucket(name, tenant)
    return await gw.buckets.get(plain, owner_tenant)


async def find_stored_bucket(gw: Gateway, name: str, tenant: str | None) -> Bucket:
    """The same as it is in the store, also one that is unlinked. S3Error NoSuchBucket."""
    owner_tenant, plain = split_bucket(name, tenant)
    return await bucket_owners.find(gw, plain, owner_tenant)
