"""What the families of `rgw-admin` share: options, and the way from what they give to users and buckets."""

from __future__ import annotations

import click

from rgw.core.gateway import Gateway
from rgw.formats.user import UserInfo


def full_uid(uid: str, tenant: str | None) -> str:
    return f"{tenant}${uid}" if tenant and "$" not in uid else uid


uid_option = click.option("--uid", required=True, help="The user's id, `id` or `tenant$id`.")
tenant_option = click.option("--tenant", help="The user's or bucket's tenant.")


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
