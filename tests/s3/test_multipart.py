"""Multipart uploads: listings, copies of parts, refusals, checksums."""

import asyncio
import base64
import hashlib
import secrets
import socket
import zlib
from dataclasses import replace
from urllib.parse import quote, unquote, urlencode
from xml.etree import ElementTree

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rgw.frontend import server
from tests.core.conftest import add_classes
from tests.s3.wire import ask, connect, head, path, signed

MIB = 1 << 20


async def start(s3, key="m", **more):
    return (await s3.run("create_multipart_upload", Bucket=s3.bucket, Key=key, **more))["UploadId"]


async def part(s3, upload, number, data=b"x", key="m", **more):
    return await s3.run("upload_part", Bucket=s3.bucket, Key=key, UploadId=upload, PartNumber=number, Body=data, **more)


async def complete(s3, upload, parts, key="m", **more):
    return await s3.run("complete_multipart_upload", Bucket=s3.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **more)


async def code(call) -> str:
    with pytest.raises(ClientError) as refusal:
        await call
    return refusal.value.response["Error"]["Code"]


async def body(s3, key, **more):
    got = await s3.run("get_object", Bucket=s3.bucket, Key=key, **more)
    return await asyncio.to_thread(got["Body"].read)


async def test_list_parts_and_abort(s3):
    before = await s3.objects()
    upload = await start(s3)
    for number in (1, 2, 5, 10_000):
        await part(s3, upload, number, b"%d" % number)
    one = await s3.run("list_parts", Bucket=s3.bucket, Key="m", UploadId=upload, MaxParts=2)
    two = await s3.run("list_parts", Bucket=s3.bucket, Key="m", UploadId=upload, PartNumberMarker=one["NextPartNumberMarker"])
    assert [p["PartNumber"] for p in one["Parts"] + two["Parts"]] == [1, 2, 5, 10_000] and one["IsTruncated"] and not two["IsTruncated"]
    await s3.run("abort_multipart_upload", Bucket=s3.bucket, Key="m", UploadId=upload)
    assert await code(s3.run("list_parts", Bucket=s3.bucket, Key="m", UploadId=upload)) == "NoSuchUpload"
    assert await code(part(s3, upload, 1)) == "NoSuchUpload"
    await s3.gw.gc.process(include_all=True)
    assert await s3.objects() == before


async def test_list_uploads(s3):
    wanted = []
    for key in ("a/1", "a/1", "a/2", "b", "c--d", "ü"):
        wanted.append((key, await start(s3, key)))
    found, markers = [], {}
    while True:
        page = await s3.run("list_multipart_uploads", Bucket=s3.bucket, MaxUploads=2, **markers)
        found += [(u["Key"], u["UploadId"]) for u in page.get("Uploads", [])]
        if not page["IsTruncated"]:
            break
        markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert sorted(found) == sorted(wanted)
    rolled = await s3.run("list_multipart_uploads", Bucket=s3.bucket, Delimiter="/")
    assert [c["Prefix"] for c in rolled["CommonPrefixes"]] == ["a/"] and len(rolled["Uploads"]) == 3
    assert len((await s3.run("list_multipart_uploads", Bucket=s3.bucket, Prefix="a/"))["Uploads"]) == 3
    dashes = await s3.run("list_multipart_uploads", Bucket=s3.bucket, Delimiter="--", Prefix="c")
    assert [c["Prefix"] for c in dashes["CommonPrefixes"]] == ["c--"]
    for query in ("max-uploads=x", "max-uploads=-1", "encoding-type=x"):
        assert (await ask(s3, "GET", f"/{s3.bucket}?uploads&{query}")).code == "InvalidArgument"
    assert (await ask(s3, "GET", f"/{s3.bucket}?uploads&max-uploads=0")).status in (200, 400)


async def test_pages_of_uploads(s3):
    """Delimiter, both markers and encoding-type together, whatever the length of a page; a prefix that is rolled up counts as one."""
    uploads = {}
    for key in ("a b/1", "a b/2", "a+b", "a&<", "ü/x", "z", "z"):
        uploads.setdefault(key, []).append(await start(s3, key))
    expected = [("a b/", ""), ("a&<", uploads["a&<"][0]), ("a+b", uploads["a+b"][0]), *(("z", each) for each in sorted(uploads["z"])), ("ü/", "")]
    for most in (1, 2, 4, 6):
        found, key_marker, id_marker = [], "", ""
        for _ in range(10):
            query = urlencode({"delimiter": "/", "encoding-type": "url", "max-uploads": most, "key-marker": key_marker,
                               "upload-id-marker": id_marker}, quote_via=quote, safe="")
            page = ElementTree.fromstring((await ask(s3, "GET", f"/{s3.bucket}?uploads&{query}")).body)
            for name in page.iter():
                name.tag = name.tag.partition("}")[2] or name.tag
            assert page.findtext("EncodingType") == "url" and page.findtext("KeyMarker") == quote(key_marker, safe="/")
            rows = [(unquote(row.findtext("Key")), row.findtext("UploadId")) for row in page.iterfind("Upload")]
            rows += [(unquote(row.findtext("Prefix")), "") for row in page.iterfind("CommonPrefixes")]
            assert len(rows) <= most
            found += sorted(rows, key=lambda row: row[0].encode())
            key_marker, id_marker = unquote(page.findtext("NextKeyMarker") or ""), page.findtext("NextUploadIdMarker") or ""
            if page.findtext("IsTruncated") == "false":
                break
        assert found == expected, most
    assert [u["Key"] for u in (await s3.run("list_multipart_uploads", Bucket=s3.bucket, KeyMarker="a+b"))["Uploads"]] == ["z", "z", "ü/x"]


async def test_pages_of_parts(s3):
    upload = await start(s3)
    for number in (1, 2, 5, 10_000):
        await part(s3, upload, number, b"%d" % number)
    for most in (1, 2, 3, 4, 5):
        found, marker = [], 0
        while True:
            page = await s3.run("list_parts", Bucket=s3.bucket, Key="m", UploadId=upload, MaxParts=most, PartNumberMarker=marker)
            found.append([row["PartNumber"] for row in page["Parts"]])
            assert (page["PartNumberMarker"], page["NextPartNumberMarker"]) == (marker, found[-1][-1])
            if not page["IsTruncated"]:
                break
            marker = page["NextPartNumberMarker"]
        assert sum(found, []) == [1, 2, 5, 10_000] and all(len(numbers) == most for numbers in found[:-1])
    assert not (await s3.run("list_parts", Bucket=s3.bucket, Key="m", UploadId=upload, PartNumberMarker=10_000)).get("Parts")


async def test_a_part_sent_twice(s3):
    """Who ends last has the part, whoever began first; its ETag is the one to name."""
    upload = await start(s3)
    one = await part(s3, upload, 1, b"first")
    two = await part(s3, upload, 1, b"second")
    assert await code(complete(s3, upload, [{"PartNumber": 1, "ETag": one["ETag"]}])) == "InvalidPart"
    target = await s3.gw.multipart.get(await s3.gw.buckets.get(s3.bucket), "m", upload)
    slow = s3.gw.multipart.part_writer(target, 1)
    await slow.write(b"third")
    two = await part(s3, upload, 1, b"fourth")
    three = await slow.complete(hashlib.md5(b"third").hexdigest())
    assert await code(complete(s3, upload, [{"PartNumber": 1, "ETag": two["ETag"]}])) == "InvalidPart"
    await complete(s3, upload, [{"PartNumber": 1, "ETag": three.etag}])
    assert await body(s3, "m") == b"third"


async def test_a_complete_is_answered_again(s3):
    """The same answer while the object is what the upload became, NoSuchUpload when it was replaced or removed, which it does not undo."""
    upload = await start(s3)
    parts = [{"PartNumber": 1, "ETag": (await part(s3, upload, 1))["ETag"]}]
    first, again = [await complete(s3, upload, parts) for _ in range(2)]
    for reply in (first, again):
        del reply["ResponseMetadata"]
    assert first == again and first["Location"] == f"{s3.endpoint}/{s3.bucket}/m"
    assert await code(complete(s3, upload, [{"PartNumber": 1, "ETag": "0" * 32}])) == "NoSuchUpload"
    for number in (2, 10_000):
        for method in ("GET", "HEAD"):
            reply = await ask(s3, method, f"{path(s3, 'm')}?partNumber={number}")
            assert (reply.status, reply.code) == (416, "" if method == "HEAD" else "InvalidPartNumber")
    await s3.run("put_object", Bucket=s3.bucket, Key="m", Body=b"new")
    assert await code(complete(s3, upload, parts)) == "NoSuchUpload" and await body(s3, "m") == b"new"
    await s3.run("delete_object", Bucket=s3.bucket, Key="m")
    assert await code(complete(s3, upload, parts)) == "NoSuchUpload"
    assert await code(s3.run("get_object", Bucket=s3.bucket, Key="m")) == "NoSuchKey"


async def test_storage_classes(s3):
    """An upload's class is told while it runs; an object of the standard class has no xattr of it, as with radosgw."""
    await add_classes(s3.gw)
    for name, stored in (("COLD", b"COLD"), ("STANDARD", None)):
        upload = await start(s3, StorageClass=name)
        sent = [{"PartNumber": 1, "ETag": (await part(s3, upload, 1))["ETag"]}]
        assert (await s3.run("list_parts", Bucket=s3.bucket, Key="m", UploadId=upload))["StorageClass"] == name
        await complete(s3, upload, sent)
        assert (await s3.gw.objects.get(await s3.gw.buckets.get(s3.bucket), "m")).attrs.get("user.rgw.storage_class") == stored


@pytest.mark.parametrize("number", ["0", "10001", "abc", "-1", "", "1.5", "%C2%B2", "99999999999999999999"])
async def test_bad_part_numbers(s3, number):
    upload = await start(s3)
    before = await s3.objects()
    for extra in ({}, {"x-amz-copy-source": f"/{s3.bucket}/m"}):
        reply = await ask(s3, "PUT", f"/{s3.bucket}/m?partNumber={number}&uploadId={upload}", extra, b"" if extra else b"x")
        assert (reply.status, reply.code) == (400, "InvalidArgument")
    assert await s3.objects() == before


async def test_refusals(s3):
    upload = await start(s3)
    small = [{"PartNumber": n, "ETag": (await part(s3, upload, n))["ETag"]} for n in (1, 2)]
    assert await code(complete(s3, upload, small)) == "EntityTooSmall"
    assert await code(complete(s3, upload, small[::-1])) == "InvalidPartOrder"
    assert await code(complete(s3, upload, [small[0], small[0]])) == "InvalidPartOrder"
    assert await code(complete(s3, upload, [{"PartNumber": 3, "ETag": small[0]["ETag"]}])) == "InvalidPart"
    assert await code(complete(s3, upload, [{"PartNumber": 1, "ETag": '"' + "0" * 32 + '"'}])) == "InvalidPart"
    assert await code(complete(s3, "2~nonsense", small)) == "NoSuchUpload"
    for odd in ("", "..", "%2F", "x" * 2000, "%C3%A9", "%01"):
        for method, rest in (("GET", ""), ("DELETE", ""), ("PUT", "&partNumber=1")):
            reply = await ask(s3, method, f"/{s3.bucket}/m?uploadId={odd}{rest}", body=b"x" if method == "PUT" else b"")
            assert reply.status in (400, 404), (odd, method, reply.status)
    done = await complete(s3, upload, small[:1])
    assert done["ETag"].endswith('-1"') and await body(s3, "m") == b"x"


async def test_copies_of_parts(s3):
    data, key = secrets.token_bytes(11 * MIB), "a+b é%2F?x"
    await s3.run("put_object", Bucket=s3.bucket, Key=key, Body=data)
    etag = (await s3.run("head_object", Bucket=s3.bucket, Key=key))["ETag"]
    upload = await start(s3)
    source = {"Bucket": s3.bucket, "Key": key}
    both = {"Bucket": s3.bucket, "Key": "m", "UploadId": upload, "CopySource": source}
    parts = []
    for number, (first, last) in enumerate(((0, 5 * MIB - 1), (5 * MIB, 10 * MIB + 6), (3, 3)), 1):
        reply = await s3.run("upload_part_copy", **both, PartNumber=number, CopySourceRange=f"bytes={first}-{last}", CopySourceIfMatch=etag)
        parts.append({"PartNumber": number, "ETag": reply["CopyPartResult"]["ETag"]})
    for condition in ({"CopySourceIfMatch": '"x"'}, {"CopySourceIfNoneMatch": etag}, {"CopySourceIfModifiedSince": "2098-01-01"},
                      {"CopySourceIfUnmodifiedSince": "2001-01-01"}):
        assert await code(s3.run("upload_part_copy", **both, PartNumber=9, **condition)) == "PreconditionFailed"
    for bad in ("bytes=0-", "bytes=-5", "bytes=5-3", "x", "bytes=a-b", f"bytes=0-{11 * MIB}", "bytes=0-1,3-4", "bytes=99999999999999999999-9"):
        assert await code(s3.run("upload_part_copy", **both, PartNumber=9, CopySourceRange=bad)) in ("InvalidArgument", "InvalidRange")
    for raw in ("", "/", "x", f"/{s3.bucket}", f"/{s3.bucket}/", f"/{s3.bucket}/%ff", f"/{s3.bucket}/none", "/no-such-bucket-here/k",
                f"/{s3.bucket}/a%00b", f"/{s3.bucket}/{quote(key)}?versionId=none", f"/{s3.bucket}/" + "k" * 1100):
        for target in (f"/{s3.bucket}/m?partNumber=9&uploadId={upload}", path(s3, "copied")):
            reply = await ask(s3, "PUT", target, {"x-amz-copy-source": raw})
            assert 400 <= reply.status < 500 and reply.code, (raw, reply.status, reply.body)
    await complete(s3, upload, parts)
    await s3.run("delete_object", Bucket=s3.bucket, Key=key)
    await s3.gw.gc.process(include_all=True)
    assert await body(s3, "m") == data[:5 * MIB] + data[5 * MIB:10 * MIB + 7] + data[3:4]
    assert await body(s3, "m", PartNumber=3) == data[3:4]


ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_checksums(s3, algorithm):
    sent = await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"hello", ChecksumAlgorithm=algorithm)
    got = await s3.run("head_object", Bucket=s3.bucket, Key="k", ChecksumMode="ENABLED")
    assert got[f"Checksum{algorithm}"] == sent[f"Checksum{algorithm}"] and got["ChecksumType"] == "FULL_OBJECT"
    assert f"Checksum{algorithm}" not in await s3.run("head_object", Bucket=s3.bucket, Key="k")
    header = {f"x-amz-checksum-{algorithm.lower()}": sent[f"Checksum{algorithm}"]}
    assert (await ask(s3, "PUT", path(s3, "h"), header, b"hello")).status == 200
    before = await s3.objects()
    assert (await ask(s3, "PUT", path(s3, "n"), header, b"Hello")).code == "BadDigest"
    assert (await ask(s3, "PUT", path(s3, "n"), dict.fromkeys(header, "x"), b"hello")).code == "InvalidRequest"
    assert await s3.objects() == before
    assert await body(s3, "k", ChecksumMode="ENABLED") == b"hello"  # boto3 verifies


@pytest.mark.parametrize(("algorithm", "kind"), [*((a, "COMPOSITE") for a in ALGORITHMS if a != "CRC64NVME"),
                                                 *((a, "FULL_OBJECT") for a in ALGORITHMS if a.startswith("CRC"))])
async def test_multipart_checksums(s3, algorithm, kind):
    pieces = [b"a" * 5 * MIB, b"end"]
    upload = await start(s3, ChecksumAlgorithm=algorithm, ChecksumType=kind)
    parts, name = [], f"Checksum{algorithm}"
    for number, data in enumerate(pieces, 1):
        reply = await part(s3, upload, number, data, ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": number, "ETag": reply["ETag"], name: reply[name]})
    another = "SHA1" if algorithm != "SHA1" else "CRC32"
    assert await code(part(s3, upload, 3, b"other", ChecksumAlgorithm=another)) == "InvalidRequest"
    listed = await s3.run("list_parts", Bucket=s3.bucket, Key="m", UploadId=upload)
    assert [p[name] for p in listed["Parts"]] == [p[name] for p in parts]
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == (algorithm, kind)
    assert await code(complete(s3, upload, [parts[0], {**parts[1], name: parts[0][name]}])) in ("InvalidPart", "BadDigest")
    async def whole(**claims):  # what the client says of the object; a retry answers the same
        return await s3.run("complete_multipart_upload", Bucket=s3.bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": parts}, **claims)
    other = "FULL_OBJECT" if kind == "COMPOSITE" else "COMPOSITE"
    for wrong, answer in (({name: "bad"}, "InvalidRequest"), ({name: parts[0][name]}, "BadDigest"), ({name: parts[0][name] + "-2"}, "BadDigest"),
                          ({"MpuObjectSize": 1}, "InvalidRequest"), ({"ChecksumType": other}, "InvalidRequest")):
        assert await code(whole(**wrong)) == answer, wrong
    done = await whole(MpuObjectSize=5 * MIB + 3, ChecksumType=kind)
    again = await whole(**{name: done[name]})
    assert [again.get(field) for field in (name, "ETag", "ChecksumType")] == [done[field] for field in (name, "ETag", "ChecksumType")]
    got = await s3.run("head_object", Bucket=s3.bucket, Key="m", ChecksumMode="ENABLED")
    assert got[name] == done[name] and got["ChecksumType"] == kind and got[name].endswith("-2") == (kind == "COMPOSITE")
    if (algorithm, kind) == ("CRC32", "FULL_OBJECT"):
        assert base64.b64decode(got[name]) == zlib.crc32(b"".join(pieces)).to_bytes(4, "big")


async def test_an_upload_belongs_to_its_key(s3):
    """Though the names of its RADOS objects join key and id by a dot."""
    upload_id = (await s3.run("create_multipart_upload", Bucket=s3.bucket, Key="a.b"))["UploadId"]
    for method, target in (("PUT", f"partNumber=1&uploadId=b.{upload_id}"), ("GET", f"uploadId=b.{upload_id}"), ("DELETE", f"uploadId=b.{upload_id}")):
        assert (await ask(s3, method, f"/{s3.bucket}/a?{target}", body=b"1" if method == "PUT" else b"")).code == "NoSuchUpload", method
    await s3.run("abort_multipart_upload", Bucket=s3.bucket, Key="a.b", UploadId=upload_id)


async def test_version_2_in_paths(s3):
    """As boto3 signs: calls of buckets with a slash behind the name that it does not send."""
    client = boto3.client("s3", endpoint_url=s3.endpoint, aws_access_key_id=s3.access_key, aws_secret_access_key=s3.secret_key,
                          region_name="us-east-1", config=Config(signature_version="s3", s3={"addressing_style": "path"}))
    old = replace(s3, client=client, bucket=f"{s3.bucket}2")
    await old.run("create_bucket", Bucket=old.bucket)
    await old.run("put_bucket_acl", Bucket=old.bucket, ACL="private")
    await old.run("put_object", Bucket=old.bucket, Key="a b+é", Body=b"1")
    assert [row["Key"] for row in (await old.run("list_objects", Bucket=old.bucket, Prefix="a "))["Contents"]] == ["a b+é"]
    await old.run("list_buckets")
    await old.run("delete_object", Bucket=old.bucket, Key="a b+é")
    await old.run("delete_bucket", Bucket=old.bucket)


async def test_complete_takes_the_claimed_checksum(s3):
    """x-amz-checksum-* of a Complete is the object's, not of the XML that is sent."""
    upload = await start(s3, ChecksumAlgorithm="SHA256")
    reply = await part(s3, upload, 1, b"A" * 1024, ChecksumAlgorithm="SHA256")
    composite = base64.b64encode(hashlib.sha256(base64.b64decode(reply["ChecksumSHA256"])).digest()).decode() + "-1"
    done = await s3.run("complete_multipart_upload", Bucket=s3.bucket, Key="m", UploadId=upload, ChecksumSHA256=composite, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": reply["ETag"], "ChecksumSHA256": reply["ChecksumSHA256"]}]})
    assert done["ChecksumSHA256"] == composite


async def test_a_client_that_hangs_up(s3, monkeypatch):
    """Its Complete goes on, and the server's end waits for it."""
    sock = socket.create_server(("127.0.0.1", 0))
    ending, s3 = server.Server(s3.gw), replace(s3, endpoint=f"http://127.0.0.1:{sock.getsockname()[1]}")
    await ending.start([sock])
    upload = await start(s3)
    made = await part(s3, upload, 1, b"part")
    complete, begun = s3.gw.multipart.complete, asyncio.Event()

    async def slow(*arguments, **options):
        begun.set()
        await asyncio.sleep(1.2)
        return await complete(*arguments, **options)

    monkeypatch.setattr(s3.gw.multipart, "complete", slow)
    monkeypatch.setattr(server, "_HEARTBEAT", 0.05)
    body = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{made['ETag']}</ETag></Part></CompleteMultipartUpload>".encode()
    target = f"{path(s3, 'm')}?uploadId={upload}"
    wire = connect(s3)
    wire.sendall(head("POST", target, signed(s3, "POST", target, {"Content-Length": str(len(body))})) + body)
    await begun.wait()
    wire.close()
    await asyncio.sleep(0.2)
    await ending.stop(1)
    assert (await s3.gw.objects.head(await s3.gw.buckets.get(s3.bucket), "m")).size == 4


@pytest.mark.parametrize("etag", ["right", "wrong"])
async def test_a_slow_complete_keeps_its_client(s3, monkeypatch, etag):
    """Blanks come while it works; what then is wrong stands in a document behind the 200, as with S3."""
    upload = await start(s3)
    made = await part(s3, upload, 1, b"part")
    complete = s3.gw.multipart.complete

    async def slow(*arguments, **options):
        await asyncio.sleep(0.35)
        return await complete(*arguments, **options)

    monkeypatch.setattr(s3.gw.multipart, "complete", slow)
    monkeypatch.setattr(server, "_HEARTBEAT", 0.1)
    named = made["ETag"] if etag == "right" else "0" * 32
    body = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{named}</ETag></Part></CompleteMultipartUpload>".encode()
    reply = await ask(s3, "POST", f"{path(s3, 'm')}?uploadId={upload}", {}, body)
    assert reply.status == 200 and reply.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n  ')
    assert (b"<CompleteMultipartUploadResult" in reply.body) == (etag == "right") and reply.code == ("" if etag == "right" else "InvalidPart")
