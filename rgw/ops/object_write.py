"""PutObject."""

from __future__ import annotations

from rgw.core.conditions import Conditions
from rgw.errors import S3Error
from rgw.ops import acl, attrs, lifecycle, versioning
from rgw.ops.request import Request, Result


def conditions(req: Request) -> Conditions | None:
    """The If-Match and If-None-Match of a write, None without."""
    found = Conditions(req.headers.get("if-match"), req.headers.get("if-none-match"))
    return found if found.any else None


def refuse_encryption(req: Request) -> None:
    """NotImplemented for what would be stored otherwise than asked."""
    for name in req.headers:
        if name.startswith(("x-amz-server-side-encryption", "x-amz-object-lock-")):
            raise S3Error("NotImplemented", f"{name} is not implemented.")


async def put(req: Request) -> Result:
    refuse_encryption(req)
    if not req.body.announced:
        raise S3Error("MissingContentLength")
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
    writer = req.gw.objects.writer(req.the_bucket, req.key, owner=req.identity.user, attrs=values, size_hint=req.body.length)
    async with req.gw.quotas.room(req.the_bucket, req.body.length or 0):
        try:
            async for piece in req.body:
                await writer.write(piece)
            await req.body.finish()
            if req.body.length is None:  # only now is the size known
                await req.gw.quotas.check(req.the_bucket, writer.size)
            sums = attrs.checksum_attrs(req.body.checksums)
            state = await writer.complete(req.body.md5, sums, wanted)
        except BaseException:
            await writer.abort()
            raise
    return Result(headers={"ETag": f'"{state.etag}"'} | versioning.headers(state) | attrs.checksum_headers(sums) | lifecycle.expiration(req, state))
