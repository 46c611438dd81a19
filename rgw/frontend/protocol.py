"""HTTP connections: aiohttp's, with S3's error document for what is no HTTP request."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from rgw.core.entropy import random_bytes
from rgw.errors import S3Error
from rgw.frontend import xml
from rgw.frontend.reply import Reply

log = logging.getLogger("rgw.frontend")


class Protocol(web.RequestHandler):  # type: ignore[type-arg]
    """A connection. Such a refusal always closes it: where the next request would begin is not known."""

    def handle_error(  # type: ignore[override]  # see Reply
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None,
    ) -> Reply | web.StreamResponse:
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        request_id = random_bytes(10).hex()
        log.info("%s no HTTP request: %s", request_id, type(exc).__name__)  # the bytes themselves may hold anything
        error = S3Error("RequestHeaderSectionTooLarge" if isinstance(exc, LineTooLong) else "BadRequest")
        data = xml.error_document(error, "", request_id, "")
        reply = Reply(error.status, {"x-amz-request-id": request_id, "Server": "pyrgw", "Content-Type": "application/xml"}, data)
        reply.force_close()
        return reply
