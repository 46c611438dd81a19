"""/admin/bucket: statistics, index checks, policies, owners, quotas, and removal."""

from __future__ import annotations

from typing import Any

from rgw.core import bucket_check, bucket_owners, metadata_sections, quotas, user_stats
from rgw.core.dump import bucket as dumped
from rgw.core.purge import purge_bucket
from rgw.errors import S3Error
from rgw.ops.admin.request import AdminRequest
from rgw.ops.admin.user import quota_changes
from rgw.ops.request import require_key


async def _stats(req: AdminRequest, name: str, tenant: str) -> dict[str, Any]:
    found = await bucket_owners.find(req.gw, name, tenant)
    return dumped.bucket_stats(found, await req.gw.buckets.stats(found))


async def info(req: AdminRequest) -> Any:
    gw = req.gw
    if req.args.get("bucket"):
        tenant, name = req.bucket_name()
        return await _stats(req, name, tenant)
    if req.args.get("uid"):
        user = await req.user()
        names = [(user.tenant, entry.bucket.name) async for entry in user_stats.bucket_entries(gw, user)]
    else:
        keys = await metadata_sections.keys(gw, "bucket")
        names = [(key.rpartition("/")[0], key.rpartition("/")[2]) for key in keys]
    if not req.flag("stats"):
        return [f"{tenant}/{name}" if tenant else name for tenant, name in names]
    rows = []
    for tenant, name in names:
        try:
            rows.append(await _stats(req, name, tenant))
        except S3Error as error:
            if error.code != "NoSuchBucket":  # deleted meanwhile
                raise
    return rows


async def check_index(req: AdminRequest) -> Any:
    report = await bucket_check.check(req.gw, await req.bucket(), fix=req.flag("fix"), check_objects=req.flag("check-objects"))
    return report.dump()


async def policy(req: AdminRequest) -> Any:
    bucket = await req.bucket()
    key = req.args.get("object", "")
    require_key(key)
    return dumped.policy((await req.gw.objects.head(bucket, key)).acl if key else bucket.acl)


async def remove(req: AdminRequest) -> None:
    bucket = await req.bucket()
    if req.flag("purge-objects"):
        await purge_bucket(req.gw, bucket)
    else:
        await req.gw.buckets.delete(bucket)


async def remove_object(req: AdminRequest) -> None:
    if not await req.gw.objects.delete(await req.bucket(), key := req.text("object")):
        raise S3Error("NoSuchKey", Key=key)


async def link(req: AdminRequest) -> None:
    tenant, name = req.bucket_name()
    await bucket_owners.link(req.gw, name, tenant, await req.user(), new_name=req.args.get("new-bucket-name", ""),
                             bucket_id=req.args.get("bucket-id", ""))


async def unlink(req: AdminRequest) -> None:
    tenant, name = req.bucket_name()
    await bucket_owners.unlink(req.gw, name, tenant, await req.user())


async def set_quota(req: AdminRequest) -> None:
    user, bucket = await req.user(), await req.bucket()
    if bucket.owner.text() != user.user_id.text():
        raise S3Error("InvalidArgument", f"bucket {bucket.name} belongs to another user")
    await quotas.set_of_bucket(req.gw, bucket, **quota_changes(req, await req.json()))
