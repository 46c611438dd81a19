"""Buckets: create, look, remove, location."""

from __future__ import annotations

import re

from rgw.errors import S3Error
from rgw.ops import access, acl
from rgw.ops.request import Request, Result

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_RELAXED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{2,254}")
_MAIN = 1  # the index category of objects
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")


def check_name(name: str, relaxed: bool) -> None:
    """S3Error InvalidBucketName unless the name is one for a new bucket."""
    good = (_RELAXED if relaxed else _NAME).fullmatch(name)
    if not good or _ADDRESS.fullmatch(name) or ".." in name or (not relaxed and (".-" in name or "-." in name)):
        raise S3Error("InvalidBucketName", BucketName=name)


async def create(req: Request) -> Result:
    user = req.user
    check_name(req.bucket_name, req.gw.options.rgw_relaxed_s3_bucket_names)
    policy = await acl.from_headers(req, user.user_id.text(), user.display_name)
    placement = ""
    root = await req.xml()
    if root is not None:
        if root.tag != "CreateBucketConfiguration":
            raise S3Error("MalformedXML")
        where, _, placement = (root.findtext("LocationConstraint") or "").partition(":")
        if where and where not in (req.gw.options.rgw_default_region, req.gw.options.rgw_zonegroup, "us-east-1"):
            raise S3Error("InvalidLocationConstraint")
    lock = req.headers.get("x-amz-bucket-object-lock-enabled", "").lower() == "true"
    if lock:
        raise S3Error("NotImplemented", "Object lock is not implemented.")
    bucket, made = await req.gw.buckets.create(req.bucket_name, user, policy, placement=placement)
    if not made and (bucket.acl.newer or bucket.acl.encode() != policy.encode()):
        raise S3Error("BucketAlreadyExists", BucketName=req.bucket_name)  # radosgw's answer: an ACL is not replaced this way
    return Result(headers={"Location": f"/{req.bucket_name}"})


async def head(req: Request) -> Result:
    headers = {"x-amz-bucket-region": req.gw.options.rgw_default_region or "us-east-1"}
    if req.query.get("read-stats") == "true":  # radosgw's own
        stats = [header.stats.get(_MAIN) for header in await req.gw.buckets.stats(req.the_bucket)]
        headers["X-RGW-Object-Count"] = str(sum(each.num_entries for each in stats if each))
        headers["X-RGW-Bytes-Used"] = str(sum(each.total_size for each in stats if each))
        owner = await req.gw.users.get(req.the_bucket.owner.text())
        headers["X-RGW-Quota-Max-Buckets"] = str(owner.max_buckets)
    return Result(headers=headers)


async def delete(req: Request) -> Result:
    access.require_bucket_owner(req, access.WRITE)
    await req.gw.buckets.delete(req.the_bucket)
    return Result(204)


async def location(req: Request) -> Result:
    access.require_bucket_owner(req)
    return Result(xml=("LocationConstraint", req.gw.options.rgw_default_region or req.gw.zone.api_name))
