"""RGW's Admin Ops API: its operations as data, and their pipeline. Requests are signed like S3's; answers and refusals are JSON, or XML if asked."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from rgw.auth.authenticate import authenticate
from rgw.auth.request import RequestView, unquote
from rgw.core import caps
from rgw.core.caps import READ, WRITE
from rgw.core.gateway import Gateway
from rgw.errors import S3Error
from rgw.frontend import admin_xml
from rgw.frontend.body import BodyReader
from rgw.ops.admin import bucket, metadata, usage, user
from rgw.ops.admin.request import AdminRequest

log = logging.getLogger("rgw.frontend")
_MAX_BODY = 1 << 20  # bytes
_KINDS = {False: "application/json", True: "application/xml"}
Refusal = Callable[[BaseException], S3Error]


@dataclass(frozen=True, slots=True)
class AdminOp:
    """A row: the query must have ``key``, if one is named; the caller must hold ``bits`` of the capability ``cap``."""

    name: str
    method: str
    resource: str
    key: str
    cap: str
    bits: int
    handler: Callable[[AdminRequest], Awaitable[Any]] | None = None


# the first row that fits counts: a key may be named beside the subuser that it belongs to
OPS: list[AdminOp] = [
    AdminOp("CreateKey", "PUT", "user", "key", "users", WRITE, user.create_key),
    AdminOp("RemoveKey", "DELETE", "user", "key", "users", WRITE, user.remove_key),
    AdminOp("AddCaps", "PUT", "user", "caps", "users", WRITE, user.add_caps),
    AdminOp("RemoveCaps", "DELETE", "user", "caps", "users", WRITE, user.remove_caps),
    AdminOp("SetQuota", "PUT", "user", "quota", "users", WRITE, user.set_quota),
    AdminOp("ListUsers", "GET", "user", "list", "users", READ, user.list_),
    AdminOp("GetQuota", "GET", "user", "quota", "users", READ, user.get_quota),
    AdminOp("GetUser", "GET", "user", "", "users", READ, user.info),
    AdminOp("CreateSubuser", "PUT", "user", "subuser", "users", WRITE, user.create_subuser),
    AdminOp("CreateUser", "PUT", "user", "", "users", WRITE, user.create),
    AdminOp("ModifySubuser", "POST", "user", "subuser", "users", WRITE, user.modify_subuser),
    AdminOp("ModifyUser", "POST", "user", "", "users", WRITE, user.modify),
    AdminOp("RemoveSubuser", "DELETE", "user", "subuser", "users", WRITE, user.remove_subuser),
    AdminOp("RemoveUser", "DELETE", "user", "", "users", WRITE, user.remove),
    AdminOp("GetPolicy", "GET", "bucket", "policy", "buckets", READ, bucket.policy),
    AdminOp("CheckBucketIndex", "GET", "bucket", "index", "buckets", WRITE, bucket.check_index),
    AdminOp("GetBucketInfo", "GET", "bucket", "", "buckets", READ, bucket.info),
    AdminOp("SetBucketQuota", "PUT", "bucket", "quota", "buckets", WRITE, bucket.set_quota),
    AdminOp("SyncBucket", "PUT", "bucket", "sync", "buckets", WRITE),
    AdminOp("LinkBucket", "PUT", "bucket", "", "buckets", WRITE, bucket.link),
    AdminOp("UnlinkBucket", "POST", "bucket", "", "buckets", WRITE, bucket.unlink),
    AdminOp("RemoveObject", "DELETE", "bucket", "object", "buckets", WRITE, bucket.remove_object),
    AdminOp("RemoveBucket", "DELETE", "bucket", "", "buckets", WRITE, bucket.remove),
    AdminOp("GetUsage", "GET", "usage", "", "usage", READ, usage.show),
    AdminOp("TrimUsage", "DELETE", "usage", "", "usage", WRITE, usage.trim),
    AdminOp("GetMetadata", "GET", "metadata", "", "metadata", READ, metadata.get),
    AdminOp("PutMetadata", "PUT", "metadata", "", "metadata", WRITE, metadata.put),
    AdminOp("RemoveMetadata", "DELETE", "metadata", "", "metadata", WRITE, metadata.remove),
    AdminOp("GetInfo", "GET", "info", "", "info", READ, metadata.info),
    AdminOp("GetConfig", "GET", "config", "", "zone", READ, metadata.config),
    AdminOp("GetLog", "GET", "log", "", "mdlog", READ),
    AdminOp("GetRealm", "GET", "realm", "", "zone", READ),
]


def find(method: str, resource: str, args: dict[str, str]) -> AdminOp:
    """The operation of a request. S3Error MethodNotAllowed if there is none."""
    for op in OPS:
        if op.method == method and op.resource == resource and (not op.key or op.key in args):
            return op
    raise S3Error("MethodNotAllowed")


class AdminApi:
    """Answers what lies below the entry (``rgw_admin_entry``), unless ``rgw_enable_apis`` leaves it out.

    ``refusal_of`` makes an S3Error of whatever else a store or a handler raises.
    """

    def __init__(self, gateway: Gateway, refusal_of: Refusal) -> None:
        self._gw = gateway
        self._refusal_of = refusal_of
        self._entry = "/" + gateway.options.rgw_admin_entry.strip("/")
        apis = {name.strip() for name in gateway.options.rgw_enable_apis.split(",")}
        self._on = "admin" in apis and self._entry != "/"

    def serves(self, raw_path: str) -> bool:
        return self._on and (raw_path == self._entry or raw_path.startswith(self._entry + "/"))

    async def answer(self, request: web.BaseRequest, view: RequestView, request_id: str, headers: dict[str, str]) -> tuple[str, web.Response]:
        """The operation's name, and the response."""
        name, xml = "-", False
        try:
            resource, _, path = unquote(view.raw_path[len(self._entry):]).lstrip("/").partition("/")    # parse
            args = _parse_query(view.raw_query)
            xml = args.get("format") == "xml"
            op = find(view.method, resource, args)                                                              # find the operation
            name = op.name
            identity = await authenticate(view, self._gw.users.get_by_access_key, time.time_ns(), self._gw.options)
            caps.require(identity.user, op.cap, op.bits)                                                        # authorize
            if op.handler is None:
                raise S3Error("NotImplemented", f"{op.name} is not implemented.")
            body = BodyReader(request, view.header_map, identity.payload, _MAX_BODY, self._gw.options.rgw_body_stall_timeout)
            result = await op.handler(AdminRequest(self._gw, identity, path, args, lambda: body.read(_MAX_BODY)))  # execute
            return name, web.Response(body=_render(name, result, xml), headers=headers | {"Content-Type": _KINDS[xml]})          # render
        except ConnectionError:
            raise
        except Exception as error:
            if isinstance(error, S3Error):
                refusal = error
            else:
                log.exception("%s %s failed", request_id, name)
                refusal = self._refusal_of(error)
            document = {"Code": refusal.code, "Message": refusal.message, "RequestId": request_id, "HostId": self._gw.zone.id}
            data = admin_xml.refusal(*document.values()) if xml else json.dumps(document).encode()
            response = web.Response(status=refusal.status, body=data, headers=headers | refusal.headers | {"Content-Type": _KINDS[xml]})
            response.force_close()  # a body that was not read may follow
            return name, response


def _render(operation: str, result: Any, xml: bool) -> bytes:
    if result is None:
        return b""
    return admin_xml.document(operation, result) if xml else json.dumps(result, ensure_ascii=False).encode("utf-8", "replace")


def _parse_query(raw: str) -> dict[str, str]:
    args: dict[str, str] = {}
    for item in raw.split("&"):
        if item:
            name, _, value = item.partition("=")
            args[unquote(name, plus=True)] = unquote(value, plus=True)
    return args
