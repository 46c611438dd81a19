"""PostObject: a browser's form becomes a PutObject, whose headers are the form's fields and whose body is its file."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from rgw.auth import checksums, md5, post_policy
from rgw.errors import S3Error
from rgw.ops import access, attrs, object_write, tagging
from rgw.ops.form import Form
from rgw.ops.request import Body, Request, Result, require_key

_OFF_LOOP = 64 << 10  # hashing more bytes than this at once goes to a thread
_FIELDS = (*attrs.STORED, "x-amz-storage-class")
_PREFIXES = (attrs.META, "x-amz-checksum-", "x-amz-server-side-encryption", "x-amz-object-lock-")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_SIGNED_ALREADY = ("policy", "signature", "x-amz-signature")


class FormFile:
    """A form's file as the body of a PutObject (``rgw.ops.request.Body``): within its limits, and its checksum holds."""

    announced = True
    length: int | None = None  # known at its end

    def __init__(self, form: Form, body: Body, limits: post_policy.Limits, most: int, headers: dict[str, str]) -> None:
        self._form, self._body = form, body
        self._least, self._most = limits.least, min(limits.most, most)
        self._md5 = md5.new()
        self._expected = checksums.expected(headers)
        self.algorithm = self._expected.algorithm if self._expected else None
        self._checksum = checksums.Checksum(self.algorithm) if self.algorithm else None
        self._size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._form.file():
            self._size += len(piece)
            if self._size > self._most:
                raise S3Error("EntityTooLarge", ProposedSize=str(self._size), MaxSizeAllowed=str(self._most))
            if len(piece) > _OFF_LOOP:
                await md5.update(self._md5, [piece])
            else:
                self._md5.update(piece)
            if self._checksum is not None:
                self._checksum.update(piece)
            yield piece

    async def finish(self) -> None:
        await self._body.finish()
        if self._size < self._least:
            raise S3Error("EntityTooSmall", ProposedSize=str(self._size), MinSizeAllowed=str(self._least))
        if self._checksum is not None and self._expected is not None and self._expected.value is not None:
            checksums.verify(self._checksum, self._expected.value)

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()

    @property
    def checksums(self) -> dict[str, str]:
        return {self._checksum.algorithm: self._checksum.base64()} if self._checksum else {}


async def post(req: Request) -> Result:
    form = Form(req.headers.get("content-type", ""), aiter(req.body))
    raw = await form.fields()
    fields = {name: value if name in _SIGNED_ALREADY else value.replace("${filename}", form.filename) for name, value in raw.items()}
    key = _key(fields)
    identity, limits = req.identity, post_policy.Limits()
    if identity.user is None:
        identity = await post_policy.identify(fields, req.gw.users.get_by_access_key)
        access.require_kind(identity, access.TO_WRITE)
    if "policy" in fields:
        if identity is req.identity:
            raise S3Error("InvalidArgument", "Only one auth mechanism allowed: a signed request, or a form with a signed policy.")
        limits = post_policy.check(fields["policy"], fields | {"bucket": req.bucket_name}, time.time_ns())
    req = replace(req, identity=identity, key=key)
    access.require(req, req.the_bucket.acl, access.WRITE)
    headers = await _headers(req, fields)
    file = FormFile(form, req.body, limits, req.gw.options.rgw_max_put_size, headers)
    done = await object_write.put(replace(req, headers=headers, body=file))
    return _answer(req, fields, done)


def _key(fields: dict[str, str]) -> str:
    key = fields.get("key")
    if not key:
        raise S3Error("InvalidArgument", "Bucket POST must contain a field named 'key'.", ArgumentName="key", ArgumentValue="")
    require_key(key)
    return key


async def _headers(req: Request, fields: dict[str, str]) -> dict[str, str]:
    """The headers of the PutObject that the form asks for. S3Error InvalidArgument for what cannot be a header, MalformedXML, InvalidTag."""
    found = {name: value for name, value in fields.items() if name in _FIELDS or name.startswith(_PREFIXES)}
    for name, value in found.items():
        if not _NAME.fullmatch(name) or attrs.CONTROL.search(value):
            raise S3Error("InvalidArgument", "A field that becomes a header holds characters that no header may hold.", ArgumentName=name)
    if "acl" in fields:
        found["x-amz-acl"] = fields["acl"]
    if fields.get("tagging"):
        pairs = await tagging.pairs_of(req, fields["tagging"].encode())
        if pairs:
            found["x-amz-tagging"] = urlencode(pairs)
    return found


def _redirection(target: str) -> SplitResult | None:
    """Where the browser is to go on; None for what is no address, as with S3."""
    try:
        parts = urlsplit(target) if target.isascii() and target.isprintable() else None
    except ValueError:
        return None
    return parts if parts is not None and parts.scheme in ("http", "https") and parts.netloc else None


def _answer(req: Request, fields: dict[str, str], done: Result) -> Result:
    etag, key = done.headers["ETag"], req.key
    parts = _redirection(fields.get("success_action_redirect") or fields.get("redirect") or "")
    if parts is not None:
        more = f"bucket={quote(req.bucket_name, safe='')}&key={quote(key, safe='')}&etag={quote(etag, safe='')}"
        where = parts._replace(query=f"{parts.query}&{more}" if parts.query else more, fragment="").geturl()
        return Result(303, done.headers | {"Location": where})
    location = req.object_url
    headers = done.headers | {"Location": location}
    status = fields.get("success_action_status")
    if status == "201":
        return Result(201, headers, xml=("PostResponse", [("Location", location), ("Bucket", req.bucket_name), ("Key", key), ("ETag", etag)]),
                      namespace=False)
    return Result(200 if status == "200" else 204, headers)
