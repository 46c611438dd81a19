"""From a request's body into a writer: an object's or a part's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from rgw.errors import S3Error
from rgw.ops.request import Request


class BodyWriter(Protocol):
    """Takes a body piece by piece; ``abort`` removes what was written."""

    @property
    def size(self) -> int: ...

    async def write(self, data: bytes | memoryview) -> None: ...

    async def abort(self) -> None: ...


def require_body(req: Request) -> None:
    """S3Error MissingContentLength unless the request tells that it has a body."""
    if not req.body.announced:
        raise S3Error("MissingContentLength")


@asynccontextmanager
async def received(req: Request, writer: BodyWriter) -> AsyncIterator[None]:
    """Within it the writer holds the whole body, verified, and there is room for it in the quotas: to be completed now.

    Whatever fails, here or in the completion, leaves nothing behind.
    """
    async with req.gw.quotas.room(req.the_bucket, req.body.length or 0):
        try:
            async for piece in req.body:
                await writer.write(piece)
            await req.body.finish()
            if req.body.length is None:  # only now is the size known
                await req.gw.quotas.check(req.the_bucket, writer.size)
            yield
        except BaseException:
            await writer.abort()
            raise
