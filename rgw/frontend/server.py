"""The gateway's HTTP server: one pipeline for every request."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from contextlib import aclosing
from typing import Any

from aiohttp import HttpVersion11, web

from rgw.auth.authenticate import authenticate
from rgw.auth.request import RequestView, bucket_of_host, gateway_domains
from rgw.core.entropy import random_bytes
from rgw.core.gateway import Gateway
from rgw.core.ratelimit import Charge
from rgw.errors import S3Error
from rgw.frontend import address, optable, xml
from rgw.frontend.accesslog import AccessLog
from rgw.frontend.accounting import account
from rgw.frontend.admin import AdminApi
from rgw.frontend.body import BodyReader
from rgw.frontend.protocol import Protocol
from rgw.frontend.reply import Reply, StreamedReply
from rgw.ops import access
from rgw.ops.attrs import http_date
from rgw.ops.request import Request, Result
from rgw.store import errors as store_errors

log = logging.getLogger("rgw.frontend")
Response = Reply | web.StreamResponse
_MAX_HEADERS = 1024  # more than S3 stores as metadata, whose size alone is limited
_READ_AHEAD = 16 << 10  # bytes of a body above which no more are read; one read may bring 256 KiB, and every connection may hold as many
_IDLE = 65.0  # seconds that a connection may take for the header of its next request; radosgw's request_timeout_ms
_OFF_LOOP = 64 << 10  # bytes of XML above which it is parsed in a thread
_HEARTBEAT = 5.0  # seconds between the blanks that keep a slow reply's connection alive


class Handler:
    """Answers requests with one gateway. ``draining`` refuses new ones with 503; so does more than rgw_max_concurrent_requests under way."""

    def __init__(self, gateway: Gateway) -> None:
        self._gw = gateway
        self._domains = gateway_domains(gateway.options.rgw_dns_name)
        self._host_id = gateway.zone.id
        self._admin = AdminApi(gateway, _store_refusal)
        self.access_log = AccessLog()
        self.draining = False
        self._under_way = 0  # requests
        self.unfinished: set[asyncio.Task[Any]] = set()  # slow operations: they go on when their client is gone

    async def __call__(self, request: web.BaseRequest) -> Response:
        request_id = random_bytes(10).hex()
        started = time.perf_counter()
        resource, op_name, status = "", "-", 500
        body: BodyReader | None = None
        req: Request | None = None
        result: Result | None = None
        response: Response | None = None
        charge: Charge = []
        self._under_way += 1
        try:
            view = _view(request)                                                      # parse
            resource = view.raw_path
            headers = view.header_map
            if self.draining:
                raise S3Error("ServiceUnavailable")
            if 0 < self._gw.options.rgw_max_concurrent_requests < self._under_way:
                raise S3Error("SlowDown")
            if self._admin.serves(resource) and not bucket_of_host(headers.get("host", ""), self._domains):
                op_name, answer = await self._admin.answer(request, view, request_id, self._headers(request_id))
                status = answer.status
                return answer
            query = view.parameters
            bucket, key, virtual = address.bucket_and_key(view.raw_path, headers.get("host", ""), self._domains)
            scope = "object" if key and bucket else "bucket" if bucket else "service"
            op = optable.find(view.method, scope, query, headers)                      # find the operation
            op_name = op.name
            if op.handler is None:  # for nobody: a preflight comes with the signature of another method
                raise S3Error("NotImplemented", f"{op.name} is not implemented.")
            identity = await authenticate(view, self._gw.users.get_by_access_key, time.time_ns(), self._gw.options)
            access.require_kind(identity, op.kind)
            body = BodyReader(request, _without_sums(headers) if op.own_sums else headers, identity.payload, self._gw.options.rgw_max_put_size,
                              self._gw.options.rgw_body_stall_timeout)
            req = Request(self._gw, view.method, bucket, key, query, headers, identity, body, _xml_of(body),
                          secure=self._secure(request, headers), virtual=virtual)
            if scope != "service" and op.name != "CreateBucket":                       # load the bucket's state
                req.bucket = await req.find_bucket(bucket)
                access.require_owner(req, req.bucket, "x-amz-expected-bucket-owner")
                if op.permission:                                                      # authorize
                    access.require(req, req.bucket.acl, op.permission)
            charge = await self._gw.rate_limits.admit(identity.user, req.bucket, view.method)
            result = await op.handler(req)                                             # check parameters, execute
            status = result.status
            response = await self._render(request, request_id, result, resource)       # render
            return response
        except S3Error as error:
            status = error.status
            response = self._refuse(request, request_id, error, resource, body)
            return response
        except store_errors.StoreError as error:
            log.warning("%s %s: %s", request_id, op_name, error, exc_info=True)
            refusal = _store_refusal(error)
            status = refusal.status
            response = self._refuse(request, request_id, refusal, resource, body)
            return response
        except ConnectionError:  # the client went away: nobody reads this reply
            status = 499
            return Reply(status, {})
        except Exception:
            log.exception("%s %s %s failed", request_id, op_name, resource)
            return self._refuse(request, request_id, S3Error("InternalError"), resource, body)
        finally:
            self._under_way -= 1
            if req is not None and body is not None:                                   # account
                account(req, op_name, status, _sent(result, response), body.received, charge)
            self.access_log.add(request_id, op_name, request.method, resource, status, (time.perf_counter() - started) * 1000)   # log

    def _secure(self, request: web.BaseRequest, headers: dict[str, str]) -> bool:
        """Whether a request came through HTTPS: to us, or to a proxy that may be believed (radosgw's rules)."""
        if request.secure:
            return True
        trusted = self._gw.options.rgw_trust_forwarded_https
        return trusted and ("proto=https" in headers.get("forwarded", "") or headers.get("x-forwarded-proto") == "https")

    def _refuse(self, request: web.BaseRequest, request_id: str, error: S3Error, resource: str, body: BodyReader | None) -> Reply:
        headers = self._headers(request_id) | error.headers
        data = b""
        if request.method != "HEAD" and error.status != 304:
            data = xml.error_document(error, resource, request_id, self._host_id)
            headers["Content-Type"] = "application/xml"
        response = Reply(error.status, headers, data)
        if request.headers.get("Expect") and (body is None or not body.started):
            response.force_close()  # the client may or may not send its body now
        return response

    async def _render(self, request: web.BaseRequest, request_id: str, result: Result, resource: str) -> Response:
        headers = self._headers(request_id) | result.headers
        if result.later is not None:
            return await self._slow(request, request_id, result, headers, resource)
        if result.stream is not None:
            response = StreamedReply(result.status, headers, result.length)
            await response.prepare(request)
            try:
                async with aclosing(result.stream):  # a client that goes away must not leave reads under way
                    async for piece in result.stream:
                        await response.write(piece)
                        result.sent += len(piece)
                if result.sent != result.length:
                    raise RuntimeError(f"{result.sent} of {result.length} bytes")
            except ConnectionError:
                raise
            except Exception as error:  # too late for an error document: the broken connection tells
                log.error("%s: a body broke off: %s", request_id, error)
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionResetError from error
            await response.write_eof()
            return response
        if request.method == "HEAD":
            return Reply(result.status, headers, length=result.length)
        data = result.data
        if result.xml is not None:
            data = xml.render(result.xml) if result.namespace else xml.render(result.xml, "")
            headers.setdefault("Content-Type", "application/xml")
        return Reply(result.status, headers, data)

    async def _slow(self, request: web.BaseRequest, request_id: str, result: Result, headers: dict[str, str],
                    resource: str) -> Response:
        """Waits; after some seconds answers 200 and sends blanks, so that a refusal then stands in the body, as with S3."""
        assert result.later is not None
        task = asyncio.ensure_future(result.later)
        self.unfinished.add(task)
        task.add_done_callback(self._finished)
        headers["Content-Type"] = "application/xml"
        done, _ = await asyncio.wait({task}, timeout=_HEARTBEAT)
        if done:
            document_tree = task.result()  # which may have added headers
            return Reply(200, headers | result.headers, xml.render(document_tree))
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        document = b'<?xml version="1.0" encoding="UTF-8"?>\n'
        await response.write(document)
        while not task.done():
            await response.write(b" ")
            await asyncio.wait({task}, timeout=_HEARTBEAT)
        try:
            data = xml.render(task.result())
        except S3Error as error:
            data = xml.error_document(error, resource, request_id, self._host_id)
        except Exception:
            log.exception("%s failed", request_id)
            data = xml.error_document(S3Error("InternalError"), resource, request_id, self._host_id)
        await response.write(data.removeprefix(document))
        await response.write_eof()
        return response

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self.unfinished.discard(task)
        if not task.cancelled():
            task.exception()  # who waited for it tells of it

    def _headers(self, request_id: str) -> dict[str, str]:
        return {"x-amz-request-id": request_id, "x-amz-id-2": self._host_id, "Date": http_date(int(time.time())), "Server": "pyrgw"}


def _sent(result: Result | None, response: Response | None) -> int:
    """Bytes of the reply's body, also of one that broke off."""
    if result is not None and result.stream is not None:
        return result.sent
    return response.body_length if response is not None else 0


def _view(request: web.BaseRequest) -> RequestView:
    path, query = address.split_target(request.raw_path)
    headers = [(n.decode("latin-1").lower(), v.decode("utf-8", "surrogateescape")) for n, v in request.raw_headers]
    return RequestView(request.method, path, query, headers)


def _without_sums(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith("x-amz-checksum-")}


def _xml_of(body: BodyReader) -> Any:
    async def read(data: bytes | None = None) -> Any:
        if data is None:
            data = await body.read(xml.MAX_BYTES)
        if len(data) > _OFF_LOOP:
            return await asyncio.to_thread(xml.parse, data)
        return xml.parse(data) if data else None
    return read


def _store_refusal(error: BaseException) -> S3Error:
    if isinstance(error, store_errors.Busy):
        return S3Error("SlowDown")
    if isinstance(error, (store_errors.TimedOut, store_errors.Unavailable)):
        return S3Error("ServiceUnavailable")
    if isinstance(error, store_errors.NoSpace):
        return S3Error("ServiceUnavailable", "The store is full.")
    return S3Error("InternalError")


class Server:
    """A gateway on listening sockets."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._handler = Handler(gateway)
        self._server = web.Server(self._count, access_log=None, auto_decompress=False)  # type: ignore[arg-type]  # see Reply
        self._active = 0
        self._quiet = asyncio.Event()  # set while stopping, once no request is under way
        self._listeners: list[asyncio.Server] = []

    async def start(self, sockets: list[socket.socket], tls: ssl.SSLContext | None = None) -> None:
        loop = asyncio.get_running_loop()
        for sock in sockets:
            self._listeners.append(await loop.create_server(self._connection, sock=sock, ssl=tls, backlog=1024))

    def _connection(self) -> Protocol:
        return Protocol(self._server, loop=asyncio.get_running_loop(), access_log=None,  # type: ignore[arg-type]  # its own default says so
                        auto_decompress=False,  # objects are kept as sent
                        read_bufsize=_READ_AHEAD, max_headers=_MAX_HEADERS, keepalive_timeout=_IDLE)

    async def _count(self, request: web.BaseRequest) -> Response:
        self._active += 1
        self._gateway.requests += 1
        try:
            response = await self._handler(request)
            if self._handler.draining or (request.version < HttpVersion11 and "Transfer-Encoding" in request.headers):
                response.force_close()  # in HTTP/1.0 nobody can know where such a request ended
            return response
        finally:
            self._active -= 1
            if self._handler.draining and not self._active:
                self._quiet.set()

    async def _ended(self, timeout: float) -> None:
        """Waits until no request is under way, or ``timeout`` seconds."""
        if not self._active:
            return
        self._quiet.clear()
        try:
            await asyncio.wait_for(self._quiet.wait(), timeout)
        except TimeoutError:
            log.warning("%d requests did not end within %g s", self._active, timeout)

    async def stop(self, drain: float = 30.0) -> None:
        """Takes no new connections or requests and gives those under way ``drain`` seconds."""
        self._handler.draining = True
        for listener in self._listeners:
            listener.close()
        await self._ended(drain)  # aiohttp's own shutdown reads no more of the bodies that are still coming
        self._server.pre_shutdown()
        await self._server.shutdown(1.0)
        # Those that were just cut off remove what they wrote, and what clients that hung up asked for goes on.
        await self._ended(self._gateway.options.rgw_op_timeout)
        if self._handler.unfinished:
            await asyncio.wait(self._handler.unfinished, timeout=self._gateway.options.rgw_op_timeout)
        self._handler.access_log.flush()
