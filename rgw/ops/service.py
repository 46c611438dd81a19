"""ListBuckets."""

from __future__ import annotations

from rgw.ops.attrs import iso
from rgw.ops.request import Request, Result


async def list_buckets(req: Request) -> Result:
    user = req.user
    prefix, limit = req.query.get("prefix", ""), req.integer("max-buckets", 10_000, 1, 10_000)
    found, more = await req.gw.buckets.list(user, req.query.get("continuation-token", ""), prefix, limit)
    rows = [("Bucket", [("Name", e.bucket.name), ("CreationDate", iso(e.creation_time))]) for e in found]
    owner = [("ID", user.user_id.text()), ("DisplayName", user.display_name)]
    return Result(xml=("ListAllMyBucketsResult", [
        ("Owner", owner), ("Buckets", rows), ("ContinuationToken", found[-1].bucket.name if more else None), ("Prefix", prefix or None)]))
