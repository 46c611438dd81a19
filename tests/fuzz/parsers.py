"""What reads bytes from strangers, each as a function of bytes that may raise only what it promises."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Callable, Mapping
from types import SimpleNamespace

from rgw.auth import ChunkedDecoder, PayloadKind, PayloadPlan, RequestView, authenticate, checksums
from rgw.auth.acl import header_grants
from rgw.auth.secret import Secret
from rgw.core.options import parse_conf
from rgw.errors import S3Error
from rgw.formats.acl import AccessControlPolicy
from rgw.formats.bucket import BucketEntryPoint, BucketInfo
from rgw.formats.encoding import STR, FormatError, Struct, f, map_of, struct
from rgw.formats.gc import GcObjChain
from rgw.formats.index import FLAG_COMMON_PREFIX, FLAG_VER, DirEntry, DirEntryMeta, DirHeader, EntryVer, PendingInfo
from rgw.formats.listed import BucketDir, in_c
from rgw.formats.obj import MultipartUploadInfo, ObjManifest, UploadPartInfo
from rgw.formats.user import UserInfo
from rgw.frontend import address, xml
from rgw.ops import multipart
from rgw.ops.object_read import http_time, parse_range

NOW = 1_700_000_000 * 10**9
_OPTIONS = SimpleNamespace(rgw_s3_auth_allowed_skew=900, rgw_dns_name="s3.example.test")
_KEY = SimpleNamespace(id="AK", key="secret", subuser="")
_USER = SimpleNamespace(access_keys={"AK": _KEY}, subusers={}, suspended=False)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _headers(data: bytes) -> dict[str, str]:
    """Lines ``name: value``, as a parser of HTTP gives them: no line ends within a value."""
    found: dict[str, str] = {}
    for line in _text(data).splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip().lower()] = value.strip()
    return found


def request(data: bytes) -> None:
    """A request line's target, then headers."""
    target, _, rest = data.partition(b"\n")
    path, query = address.split_target(_text(target))
    view = RequestView("GET", path, query, list(_headers(rest).items()))

    async def lookup(key: str) -> SimpleNamespace:
        if key != "AK":
            raise S3Error("InvalidAccessKeyId")
        return _USER

    async def work() -> None:
        for step in (lambda: address.bucket_and_key(path, view.header_map.get("host", ""), ("s3.example.test",)), lambda: view.parameters):
            try:
                step()
            except S3Error:
                pass
        identity = await authenticate(view, lookup, NOW, _OPTIONS)  # type: ignore[arg-type]
        if not identity.anonymous:
            raise AssertionError("a forged signature was taken")
    asyncio.run(work())


def headers(data: bytes) -> None:
    found = _headers(data)
    tries: list[Callable[[Mapping[str, str]], object]] = [
        checksums.expected, checksums.content_md5, header_grants, lambda h: checksums.checksum_type(h, "crc32"),
        lambda h: parse_range(h.get("range"), 1000), lambda h: http_time(h.get("date"))]
    for parse in tries:
        try:
            parse(found)
        except S3Error:
            continue


def chunks(data: bytes) -> None:
    """First byte: which kind, and where the body is cut in two."""
    if not data:
        return
    kind = (PayloadKind.STREAMING_SIGNED, PayloadKind.STREAMING_SIGNED_TRAILER, PayloadKind.STREAMING_UNSIGNED_TRAILER)[data[0] % 3]
    plan = PayloadPlan(kind, "", len(data), "0" * 64, "20130524T000000Z", "20130524/r/s3/aws4_request", Secret(b"k" * 32),
                       ("x-amz-checksum-crc32",))
    decoder, out = ChunkedDecoder(plan), b""
    cut = data[0] // 3
    for piece in (data[1:1 + cut], data[1 + cut:]):
        out += b"".join(decoder.feed(piece))
    decoder.finish()
    if kind is not PayloadKind.STREAMING_UNSIGNED_TRAILER and out:
        raise AssertionError("a chunk without its signature was let through")


def documents(data: bytes) -> None:
    root = xml.parse(data)
    multipart._wanted(root, 10_000)


def configuration(data: bytes) -> None:
    try:
        parse_conf(_text(data).splitlines())
    except ValueError:
        pass


_TYPES = (ObjManifest, UploadPartInfo, MultipartUploadInfo, DirEntry, DirHeader, BucketInfo, BucketEntryPoint, UserInfo, AccessControlPolicy,
          GcObjChain)


def formats(data: bytes) -> None:
    """First byte: which type. What decodes encodes, and decodes to the same again."""
    if not data:
        return
    kind = _TYPES[data[0] % len(_TYPES)]
    try:
        value = kind.decode(data[1:])
        again = value.encode()  # a time may be later than 32 bits of seconds can say
    except FormatError:
        return
    if kind.decode(again).encode() != again:
        raise AssertionError(f"{kind.__name__} does not come back")


@struct(2, 2)
class WholeDir(Struct):
    """rgw_bucket_dir, its entries decoded in full."""

    header: DirHeader = f(DirHeader)
    entries: dict[str, DirEntry] = f(map_of(STR, DirEntry))


def listing(data: bytes) -> None:
    """A page of a listing. listed.c takes what the full decoder takes, and finds the same in it."""
    try:
        whole = WholeDir.decode(data).entries
    except FormatError:
        whole = None
    try:
        found = {key: entry.full() for key, entry in BucketDir.decode(data).entries.items()}
    except FormatError:
        found = None
    if found != whole and in_c is not None:  # listed.py's Python looks only at what is shown
        raise AssertionError("another listing than that of the full decoder")


def everything(data: bytes) -> None:
    """First byte: which parser gets the rest."""
    if data:
        list(PARSERS.values())[data[0] % len(PARSERS)](data[1:])


PARSERS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (request, headers, chunks, documents, configuration, formats, listing)}

SEEDS: dict[str, list[bytes]] = {
    "request": [b"/b/k%20?uploadId=x&X-Amz-Algorithm=AWS4-HMAC-SHA256\nhost: b.s3.example.test:80\nauthorization: AWS4-HMAC-SHA256 "
                b"Credential=AK/20231114/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=" + b"0" * 64 +
                b"\nx-amz-date: 20231114T221320Z\nx-amz-content-sha256: UNSIGNED-PAYLOAD",
                b"/b?AWSAccessKeyId=AK&Expires=1800000000&Signature=x\nhost: x", b"/\nauthorization: AWS AK:x\ndate: Tue, 14 Nov 2023 22:13:20 GMT"],
    "headers": [b"x-amz-checksum-crc32: AAAAAA==\nx-amz-trailer: x-amz-checksum-crc32\ncontent-md5: AAAA\nrange: bytes=1-2\n"
                b"date: Tue, 14 Nov 2023 22:13:20 GMT\nx-amz-grant-read: id=\"a\", uri=\"http://acs.amazonaws.com/groups/global/AllUsers\""],
    "chunks": [b"\x025\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", b"\x001;chunk-signature=" + b"0" * 64 + b"\r\nx\r\n"],
    "documents": [b"<?xml version='1.0'?><CompleteMultipartUpload xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Part><PartNumber>1"
                  b"</PartNumber><ETag>&quot;x&quot;</ETag></Part></CompleteMultipartUpload>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"],
    "configuration": [b"[global]\nrgw max chunk size = 4M ; x\n[client.x]\nrgw_zone = a\\\nb"],
    "formats": [*(bytes([number]) + kind().encode() for number, kind in enumerate(_TYPES)),
                b64decode("BgoIPgAAAAoKEQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQAIBDAAAAAAAAAAAAAAAAAAAAP///////////////////////////////////wAA"
                          "AAAAAAAA")],  # a time too late
    "listing": [WholeDir(entries=entries).encode() for entries in (
        {}, {"k": DirEntry(name="k", exists=True, meta=DirEntryMeta(etag="e", owner="o", storage_class="COLD"), ver=EntryVer(7, 200)),
             "l\0v9\0iX": DirEntry(name="l", exists=True, instance="X", flags=FLAG_VER)},
        {"p": DirEntry(name="p", pending_map={"t": PendingInfo()}), "q/": DirEntry(name="q/", flags=FLAG_COMMON_PREFIX)})],
}
