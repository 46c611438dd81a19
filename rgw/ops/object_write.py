"""PutObject."""

from __future__ import annotations

from rgw.core.conditions import Conditions
from rgw.core.restrictions import require_no_default_lock
from rgw.errors import S3Error
from rgw.ops import acl, attrs, encryption, lifecycle, versioning
from rgw.ops.receive import received, require_body
from rgw.ops.request import Request, Result


def conditions(req: Request) -> Conditions | None:
    """The If-Match and If-None-Match of a write, None without."""
    found = Conditions(req.headers.get("if-match"), req.headers.get("if-none-match"))
    return found if found.any else None


def refuse_locks(req: Request) -> None:
    """NotImplemented for what would be stored without the lock that is asked for, or in place of what it was to be appended to."""
    for name in req.headers:
        if name.startswith("x-amz-object-lock-") or name == "x-amz-write-offset-bytes":
            raise S3Error("NotImplemented", f"{name} is not implemented.")
    require_no_default_lock(req.the_bucket)


async def put(req: Request) -> Result:
    refuse_locks(req)
    require_body(req)
    key = encryption.key_to_write(req)
    values = attrs.metadata(req) | await acl.new_object(req)
    wanted = conditions(req)
    if wanted is not None:  # refuse before the body where it is clear already; complete decides
        try:
            etag = (await req.gw.objects.head(req.the_bucket, req.key)).etag
        except S3Error as error:
            if error.code != "NoSuchKey":
                raise
            etag = None
        wanted.check(etag)
    writer = req.gw.objects.writer(req.the_bucket, req.key, owner=req.identity.user, attrs=values, size_hint=req.body.length,
                                   customer_key=key)
    async with received(req, writer):
        sums = attrs.checksum_attrs(req.body.checksums)
        state = await writer.complete(req.body.md5, sums, wanted)
    return Result(headers={"ETag": f'"{state.etag}"'} | versioning.written_headers(state) | attrs.checksum_headers(sums) | encryption.headers(key)
                  | lifecycle.expiration(req, state))
