"""GetObject and HeadObject: conditions, ranges, parts, overrides."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

from rgw.core.conditions import Conditions
from rgw.core.objects import ObjectState
from rgw.core.state import text
from rgw.errors import S3Error
from rgw.ops import access, attrs, encryption, lifecycle, versioning
from rgw.ops.request import Request, Result

_RANGE = re.compile(r"(?i:bytes)=(\d*)-(\d*)", re.ASCII)
_OVERRIDES = {f"response-{name.lower()}": name
              for name in ("Content-Type", "Content-Language", "Expires", "Cache-Control", "Content-Disposition", "Content-Encoding")}


def http_time(text: str | None) -> int | None:
    """Seconds since the epoch; None for what is no date, which is then ignored as HTTP says."""
    try:
        return int(parsedate_to_datetime(text).timestamp()) if text else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def check_conditions(state: ObjectState, headers: dict[str, str], prefix: str = "", *, copying: bool = False) -> None:
    """The four conditions on a source, RFC 9110's precedence. S3Error PreconditionFailed or NotModified."""
    failed = "PreconditionFailed" if copying else "NotModified"
    match, none = headers.get(prefix + "if-match"), headers.get(prefix + "if-none-match")
    mtime = state.mtime // 10**9
    if match is not None:
        Conditions(if_match=match).check(state.etag)
    else:
        since = http_time(headers.get(prefix + "if-unmodified-since"))
        if since is not None and mtime > since:
            raise S3Error("PreconditionFailed")
    if none is not None:
        try:
            Conditions(if_none_match=none).check(state.etag)
        except S3Error:
            raise S3Error(failed) from None
    else:
        since = http_time(headers.get(prefix + "if-modified-since"))
        if since is not None and mtime <= since:
            raise S3Error(failed)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """(offset, length) of a single range; None where the header is to be ignored. S3Error InvalidRange."""
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not match[1] + match[2]:
        return None
    first, last = match[1][:19], match[2][:19]
    if not first:
        length = min(int(last), size)
        if length == 0:
            raise S3Error("InvalidRange", RangeRequested=header or "", ActualObjectSize=str(size))
        return size - length, length
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise S3Error("InvalidRange", RangeRequested=header or "", ActualObjectSize=str(size))
    return int(first), (min(int(last), size - 1) if last else size - 1) - int(first) + 1


def _describe(req: Request, state: ObjectState) -> tuple[Result, int]:
    """The reply's headers, status and length, and the offset of its body."""
    etag = f'"{state.etag}"'
    known = {"ETag": etag, "Last-Modified": attrs.http_date(state.mtime // 10**9)}
    if state.version_id:
        known |= versioning.headers(state)
    try:
        check_conditions(state, req.headers)
    except S3Error as error:
        if error.code == "NotModified":  # a cache refreshes what it holds by these
            error.headers = known
        raise
    headers = {**attrs.headers(state.attrs), **known, **lifecycle.expiration(req, state), "Accept-Ranges": "bytes"}
    for parameter, name in _OVERRIDES.items():
        if parameter in req.query:
            if req.identity.anonymous:
                raise S3Error("InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")
            headers[name] = "".join(c for c in req.query[parameter] if c >= " " and c != "\x7f")
    offset, length, status = 0, state.size, 200
    place: int | None = None  # of the part that is asked for, among all
    if req.query.get("partNumber"):
        if "range" in req.headers:
            raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter.")
        number = req.integer("partNumber", 1, 1, 10_000)
        parts = state.parts or [(1, 0, state.size)]
        if state.parts:
            headers["x-amz-mp-parts-count"] = str(len(parts))
        place = next((i for i, part in enumerate(parts) if part[0] == number), None)
        if place is None:
            raise S3Error("InvalidPartNumber", PartNumberRequested=str(number), ActualPartCount=str(len(parts)))
        _, offset, length = parts[place]
        status = 206
    else:
        part = parse_range(req.headers.get("range"), state.size) if req.headers.get("if-range") in (None, etag) else None
        if part is not None:
            (offset, length), status = part, 206
    headers |= encryption.unlock(req, state)
    if status == 206 and length:
        headers["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{state.size}"
    if req.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        if status == 200:
            headers |= attrs.checksum_headers(state.attrs)
        elif place is not None and (sums := attrs.part_sums(state)) is not None:
            headers |= {f"x-amz-checksum-{sums[0]}": sums[1][place], "x-amz-checksum-type": text(state.attrs.get(attrs.CHECKSUM + "type"))}
    return Result(status, headers, length=length), offset


async def get(req: Request) -> Result:
    state = await access.named_object(req, access.READ, prefetch=True)
    result, offset = _describe(req, state)
    data = state.in_head(offset, result.length)
    if data is None:
        result.stream = req.gw.objects.read(state, offset, result.length)
    else:
        result.data = data
    return result


async def head(req: Request) -> Result:
    return _describe(req, await access.named_object(req, access.READ))[0]
