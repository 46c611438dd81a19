"""Between request headers and an object's xattrs, as radosgw keeps them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import formatdate
from functools import lru_cache
from urllib.parse import parse_qsl

from rgw.auth.checksums import ALGORITHMS, LENGTHS, decode_value
from rgw.core.state import PREFIX, ObjectState, text, with_nul
from rgw.errors import S3Error
from rgw.formats.basics import ObjTags
from rgw.ops.request import Request

STORED = {"content-type": "content_type", "cache-control": "cache_control", "content-disposition": "content_disposition",
          "content-encoding": "content_encoding", "content-language": "content_language", "expires": "expires",
          "x-amz-website-redirect-location": "x-amz-website-redirect-location"}
REDIRECT = PREFIX + "x-amz-website-redirect-location"  # kept for whoever serves the bucket as a website
META = "x-amz-meta-"
TAGGING = PREFIX + "x-amz-tagging"
CHECKSUM = PREFIX + "x-amz-checksum-"
_WORD = re.compile(r"=\?[^?\s]+\?[bqBQ]\?[^?]*\?=")
PART_SUMS = PREFIX + "x-pyrgw-part-sums"  # the algorithm, NUL, the digests of an uploaded object's parts in their order
_MOST_PART_SUMS = 16 << 10  # bytes: every read of the object's head reads them. 4,000 CRCs, or 500 SHA-256; those of more parts are not kept
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # what no header can hold: it would end the header, or hide something in it

_STORED = [(header.title(), PREFIX + attr) for header, attr in STORED.items()]
_META = PREFIX + META
_MILLISECONDS = [f"{ms:03d}Z" for ms in range(1000)]


@lru_cache(4096)
def _iso_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


@lru_cache(4096)
def http_date(seconds: int) -> str:
    """A time as HTTP's headers have it."""
    return formatdate(seconds, usegmt=True)


def iso(ns: int) -> str:
    """A time as S3's XML has it. The keys of a listing share many a second."""
    return _iso_second(ns // 1_000_000_000) + _MILLISECONDS[ns // 1_000_000 % 1000]


def _meta_value(value: str) -> str:
    """User metadata: UTF-8 as it is, RFC 2047 words decoded, unless they hold what no header can.

    What begins like a word and is none stays, and all beside it: of many such, Python's decoder reads each to the value's end.
    """
    if "=?" in value and "=?" not in _WORD.sub("", value):
        try:
            decoded = str(make_header(decode_header(value)))
            decoded.encode()  # no lone surrogates
        except (ValueError, LookupError, HeaderParseError):
            return value
        if not CONTROL.search(decoded):
            return decoded
    return value


def metadata(req: Request) -> dict[str, bytes]:
    """Xattrs of the stored headers, user metadata and tags. S3Error MetadataTooLarge, InvalidTag."""
    found: dict[str, bytes] = {}
    size = came = 0
    most: int = req.gw.options.rgw_max_attr_size
    for name, value in req.headers.items():
        if name.startswith(META):
            came += len(value)
            if came > 4 * most:  # encoded, a byte takes little more than three: not worth the decoding
                raise S3Error("MetadataTooLarge", Size=str(came), MaxSizeAllowed=str(most))
            value = _meta_value(value)
            size += len(name) - len(META) + len(value.encode("utf-8", "surrogateescape"))
            found[PREFIX + name] = with_nul(value)
        elif name in STORED:
            if name == "content-encoding":
                value = ", ".join(word for word in (w.strip() for w in value.split(",")) if word != "aws-chunked")
                if not value:
                    continue
            found[PREFIX + STORED[name]] = with_nul(value)
    if size > most:
        raise S3Error("MetadataTooLarge", Size=str(size), MaxSizeAllowed=str(most))
    storage_class = req.headers.get("x-amz-storage-class", "")
    if storage_class:  # the standard one too, which may not be the bucket's
        found[PREFIX + "storage_class"] = storage_class.encode()
    return found | tagging(req)


def tagging(req: Request) -> dict[str, bytes]:
    """The xattr of the x-amz-tagging header, if it is there."""
    header = req.headers.get("x-amz-tagging")
    if not header:
        return {}
    try:
        pairs = parse_qsl(header, keep_blank_values=True, max_num_fields=50)  # a key alone has an empty value
    except ValueError:
        raise S3Error("InvalidTag") from None
    tags = dict(pairs)
    if len(pairs) > 10 or len(tags) != len(pairs) or any(not k or len(k) > 128 or len(v) > 256 for k, v in pairs):
        raise S3Error("InvalidTag")
    return {TAGGING: ObjTags(tags=list(tags.items())).encode()}


def checksum_attrs(values: dict[str, str], kind: str = "FULL_OBJECT") -> dict[str, bytes]:
    found = {CHECKSUM + name: with_nul(value) for name, value in values.items()}
    return found | {CHECKSUM + "type": with_nul(kind)} if found else found


def part_sums_attrs(algorithm: str, values: Iterable[str]) -> dict[str, bytes]:
    """What keeps the base64 checksums of an object's parts."""
    packed = algorithm.encode() + b"\0" + b"".join([decode_value(algorithm, value) for value in values])
    return {PART_SUMS: packed} if len(packed) <= _MOST_PART_SUMS else {}


def part_sums(state: ObjectState) -> tuple[str, list[str]] | None:
    """The algorithm and the base64 checksums of an object's parts, in the order of ``state.parts``; None where they are not kept."""
    name, nul, packed = state.attrs.get(PART_SUMS, b"").partition(b"\0")
    algorithm, count = name.decode("ascii", "replace"), len(state.parts or ())
    if not nul or algorithm not in ALGORITHMS or len(packed) != count * LENGTHS[algorithm]:
        return None
    size = LENGTHS[algorithm]
    return algorithm, [base64.b64encode(packed[at:at + size]).decode() for at in range(0, len(packed), size)]


def checksum_headers(attrs: dict[str, bytes]) -> dict[str, str]:
    """The response headers x-amz-checksum-*."""
    return {name.removeprefix(PREFIX): text(value) for name, value in attrs.items()
            if name.startswith(CHECKSUM) and name != CHECKSUM + "algorithm"}


def sum_elements(sums: Mapping[str, str]) -> list[tuple[str, str]]:
    """Checksums by their algorithms, as replies in XML tell them."""
    return [(f"Checksum{name.upper()}", value) for name, value in sums.items()]


def checksum_elements(attrs: dict[str, bytes]) -> list[tuple[str, str]]:
    """What replies in XML tell of an object's checksum, with its type."""
    found = sum_elements({name: text(attrs[CHECKSUM + name]) for name in ALGORITHMS if CHECKSUM + name in attrs})
    return [*found, ("ChecksumType", text(attrs[CHECKSUM + "type"]))] if found and CHECKSUM + "type" in attrs else found


def _in_header(raw: bytes) -> str:
    value = text(raw)
    return value if value.isprintable() else CONTROL.sub(" ", value)  # the question is quicker


def headers(attrs: dict[str, bytes]) -> dict[str, str]:
    """The response headers that an object's xattrs hold."""
    found = {"Content-Type": "binary/octet-stream"}
    for header, attr in _STORED:
        if attr in attrs:
            found[header] = _in_header(attrs[attr])
    for name, raw in attrs.items():
        if name.startswith(_META):
            found[name.removeprefix(PREFIX)] = _in_header(raw)
    if TAGGING in attrs:
        found["x-amz-tagging-count"] = str(len(ObjTags.decode(attrs[TAGGING]).tags))
    storage_class = text(attrs.get(PREFIX + "storage_class"))
    if storage_class and storage_class != "STANDARD":
        found["x-amz-storage-class"] = storage_class
    return found
