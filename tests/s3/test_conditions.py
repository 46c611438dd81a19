"""Ranges, conditions and overrides of reads; conditions of writes, copies and completions; anonymous access and ?acl."""

import asyncio
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError

from tests.s3.wire import ask, path

OLD, FUTURE = "Mon, 01 Jan 2001 00:00:00 GMT", "Wed, 01 Jan 2098 00:00:00 GMT"
ETAG = '"781e5e245d69b566979b86e28d23f2c7"'  # of 0123456789


@pytest.fixture
async def digits(s3):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"0123456789")
    return s3


@pytest.mark.parametrize(("header", "status", "body", "content"), [
    ("bytes=0-0", 206, b"0", "bytes 0-0/10"), ("bytes=3-5", 206, b"345", "bytes 3-5/10"), ("bytes=7-", 206, b"789", "bytes 7-9/10"),
    ("Bytes=-3", 206, b"789", "bytes 7-9/10"), ("bytes=-100", 206, b"0123456789", "bytes 0-9/10"), ("bytes=8-1000", 206, b"89", "bytes 8-9/10"),
    ("bytes=10-", 416, None, None), ("bytes=-0", 416, None, None), ("bytes=99999999999999999999-", 416, None, None),
    ("bytes=5-3", 200, b"0123456789", None), ("bytes=a-b", 200, b"0123456789", None), ("bytes=0-1,3-4", 200, b"0123456789", None),
    ("chars=0-1", 200, b"0123456789", None), ("bytes=-", 200, b"0123456789", None), ("bytes=\u0663-", 200, b"0123456789", None),
])
async def test_ranges(digits, header, status, body, content):
    reply = await ask(digits, "GET", path(digits, "k"), {"Range": header})
    assert reply.status == status and reply.headers.get("content-range") == content
    if body is not None:
        assert reply.body == body
    else:
        assert reply.code == "InvalidRange"
    head = await ask(digits, "HEAD", path(digits, "k"), {"Range": header})
    assert head.status == status and (body is None or head.headers["content-length"] == str(len(body)))


async def test_ranges_of_nothing(s3):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"")
    assert [(await ask(s3, "GET", path(s3, "k"), {"Range": r})).status for r in ("bytes=0-", "bytes=-1")] == [416, 416]


@pytest.mark.parametrize(("headers", "status"), [
    ({"If-Match": ETAG}, 200), ({"If-Match": "*"}, 200), ({"If-Match": '"x"'}, 412), ({"If-None-Match": ETAG}, 304),
    ({"If-None-Match": '"x"'}, 200), ({"If-None-Match": "*"}, 304), ({"If-Modified-Since": OLD}, 200), ({"If-Modified-Since": FUTURE}, 304),
    ({"If-Unmodified-Since": OLD}, 412), ({"If-Unmodified-Since": FUTURE}, 200), ({"If-Match": ETAG, "If-Unmodified-Since": OLD}, 200),
    ({"If-None-Match": '"x"', "If-Modified-Since": FUTURE}, 200), ({"If-Modified-Since": "nonsense"}, 200),
    ({"If-Match": f'"x", {ETAG}'}, 200), ({"If-Unmodified-Since": "Mon, 99 Foo 99999"}, 200),
])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_conditional_reads(digits, method, headers, status):
    reply = await ask(digits, method, path(digits, "k"), headers)
    assert reply.status == status
    if status == 304:
        assert not reply.body


async def test_conditional_copies(digits):
    source = f"/{digits.bucket}/k"
    for name, value, status in (("if-match", ETAG, 200), ("if-match", '"x"', 412), ("if-none-match", ETAG, 412), ("if-none-match", '"x"', 200),
                                ("if-modified-since", FUTURE, 412), ("if-modified-since", OLD, 200), ("if-unmodified-since", OLD, 412),
                                ("if-unmodified-since", FUTURE, 200)):
        reply = await ask(digits, "PUT", path(digits, "c"), {"x-amz-copy-source": source, f"x-amz-copy-source-{name}": value})
        assert reply.status == status, (name, value)
    refused = await ask(digits, "PUT", path(digits, "c"), {"x-amz-copy-source": source, "If-None-Match": "*"})
    assert refused.status == 412


async def test_conditional_writes(digits):
    before = await digits.objects()
    for headers, status in (({"If-None-Match": "*"}, 412), ({"If-Match": '"x"'}, 412)):
        assert (await ask(digits, "PUT", path(digits, "k"), headers, b"new")).status == status
    assert (await ask(digits, "PUT", path(digits, "none"), {"If-Match": ETAG}, b"new")).status == 404
    assert await digits.objects() == before
    assert (await ask(digits, "PUT", path(digits, "new"), {"If-None-Match": "*"}, b"new")).status == 200
    assert (await ask(digits, "PUT", path(digits, "k"), {"If-Match": ETAG}, b"new")).status == 200
    racers = await asyncio.gather(*(ask(digits, "PUT", path(digits, "race"), {"If-None-Match": "*"}, b"%d" % n) for n in range(8)))
    won = [n for n, reply in enumerate(racers) if reply.status == 200]
    assert len(won) == 1 and {reply.status for reply in racers} <= {200, 412, 409}
    assert (await ask(digits, "GET", path(digits, "race"))).body == b"%d" % won[0]


async def test_conditional_completion(digits):
    async def upload():
        upload_id = (await digits.run("create_multipart_upload", Bucket=digits.bucket, Key="k"))["UploadId"]
        etag = (await digits.run("upload_part", Bucket=digits.bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=b"part"))["ETag"]
        return {"Bucket": digits.bucket, "Key": "k", "UploadId": upload_id, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]}}
    wanted = await upload()
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"x"'}):
        with pytest.raises(ClientError) as refusal:
            await digits.run("complete_multipart_upload", **wanted, **condition)
        assert refusal.value.response["Error"]["Code"] == "PreconditionFailed"
    assert (await ask(digits, "GET", path(digits, "k"))).body == b"0123456789"
    await digits.run("complete_multipart_upload", **wanted, IfMatch=ETAG)
    assert (await ask(digits, "GET", path(digits, "k"))).body == b"part"


async def test_overrides(digits):
    names = {"ContentType": "text/x", "ContentLanguage": "de", "CacheControl": "no-store", "ContentDisposition": "attachment; filename=é",
             "ContentEncoding": "x-own"}
    got = await digits.run("get_object", Bucket=digits.bucket, Key="k", **{f"Response{n}": v for n, v in names.items() if n != "ContentDisposition"})
    assert all(got[n] == v for n, v in names.items() if n != "ContentDisposition")
    reply = await ask(digits, "GET", path(digits, "k") + "?response-content-disposition=a%0D%0AX-Evil%3A%201&response-expires=" + quote(OLD))
    assert reply.status == 200 and "x-evil" not in reply.headers and reply.headers["expires"] == OLD
    await digits.run("put_object_acl", Bucket=digits.bucket, Key="k", ACL="public-read")
    refused = await ask(digits, "GET", path(digits, "k") + "?response-content-type=text/html", sign=False)
    assert (refused.status, refused.code) == (400, "InvalidRequest")


async def test_stored_headers(s3):
    stored = {"ContentType": "text/x", "ContentLanguage": "de", "CacheControl": "no-store", "ContentDisposition": "inline", "ContentEncoding": "gzip"}
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"1", Metadata={"a": "b"}, **stored)
    await s3.run("copy_object", Bucket=s3.bucket, Key="c", CopySource=f"{s3.bucket}/k")
    for key in ("k", "c"):
        got = await s3.run("head_object", Bucket=s3.bucket, Key=key)
        assert all(got[n] == v for n, v in stored.items()) and got["Metadata"] == {"a": "b"}
    redirected = {"Bucket": s3.bucket, "Key": "r", "WebsiteRedirectLocation": "/elsewhere"}
    await s3.run("put_object", Body=b"1", **redirected, **stored)
    assert (await s3.run("head_object", Bucket=s3.bucket, Key="r"))["WebsiteRedirectLocation"] == "/elsewhere"
    for key, more, where in (("c", {}, None), ("c", {"WebsiteRedirectLocation": "/new"}, "/new"), ("r", {}, None)):  # it is not copied
        await s3.run("copy_object", Bucket=s3.bucket, Key=key, CopySource=f"{s3.bucket}/r", **more)
        got = await s3.run("head_object", Bucket=s3.bucket, Key=key)
        assert got.get("WebsiteRedirectLocation") == where and all(got[n] == v for n, v in stored.items())
    await s3.run("copy_object", Bucket=s3.bucket, Key="k", CopySource=f"{s3.bucket}/k", MetadataDirective="REPLACE", Metadata={"new": "1"})
    got = await s3.run("head_object", Bucket=s3.bucket, Key="k")
    assert got["Metadata"] == {"new": "1"} and "CacheControl" not in got


async def test_acl(digits):
    bucket, key = f"/{digits.bucket}", path(digits, "k")
    assert (await ask(digits, "GET", key, sign=False)).code == "AccessDenied"
    assert (await ask(digits, "GET", bucket, sign=False)).code == "AccessDenied"
    assert (await ask(digits, "GET", "/", sign=False)).code == "AccessDenied"
    owner = (await digits.run("get_object_acl", Bucket=digits.bucket, Key="k"))["Owner"]
    grants = [{"Grantee": {"Type": "CanonicalUser", "ID": owner["ID"]}, "Permission": "FULL_CONTROL"},
              {"Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}, "Permission": "READ"}]
    await digits.run("put_object_acl", Bucket=digits.bucket, Key="k", AccessControlPolicy={"Owner": owner, "Grants": grants})
    assert (await ask(digits, "GET", key, sign=False)).body == b"0123456789"
    assert len((await digits.run("get_object_acl", Bucket=digits.bucket, Key="k"))["Grants"]) == 2
    await digits.run("put_object_acl", Bucket=digits.bucket, Key="k", ACL="private")
    assert (await ask(digits, "GET", key, sign=False)).status == 403
    await digits.run("put_bucket_acl", Bucket=digits.bucket, ACL="public-read-write")
    assert (await ask(digits, "GET", bucket, sign=False)).status == 200
    upload = (await digits.run("create_multipart_upload", Bucket=digits.bucket, Key="u"))["UploadId"]
    for private in ("?location", "?versioning", f"/u?uploadId={upload}"):  # for the owner alone, whoever may read the bucket
        assert (await ask(digits, "GET", bucket + private)).status == 200
        assert (await ask(digits, "GET", bucket + private, sign=False)).code == "AccessDenied", private
    shared = (await digits.run("create_multipart_upload", Bucket=digits.bucket, Key="u", ACL="public-read"))["UploadId"]
    assert (await ask(digits, "GET", f"{bucket}/u?uploadId={shared}", sign=False)).status == 200
    assert (await ask(digits, "GET", f"{bucket}/u?uploadId=2~none", sign=False)).code == "NoSuchUpload"
    assert (await ask(digits, "PUT", path(digits, "anon"), body=b"1", sign=False)).status == 200
    assert (await ask(digits, "PUT", bucket + "?acl", {"x-amz-acl": "private"}, sign=False)).status == 403
    assert (await ask(digits, "DELETE", bucket, sign=False)).status == 403
    uris = [g["Grantee"].get("URI", "") for g in (await digits.run("get_bucket_acl", Bucket=digits.bucket))["Grants"]]
    assert sum(uri.endswith("AllUsers") for uri in uris) == 2
    assert (await ask(digits, "PUT", bucket + "?acl", {"x-amz-acl": "nonsense"})).code == "InvalidArgument"
    assert (await ask(digits, "GET", f"/{digits.bucket}/none", sign=False)).status == 404  # whoever may list may know


async def test_grants_in_headers(digits):
    """Only to users that exist, by id or e-mail address."""
    before = await digits.objects()
    for grantee in ("id=nobody-here", "emailAddress=nobody@example.com", "uri=http://x", "nonsense"):
        for key, name in (("n", "x-amz-grant-read"), ("n", "x-amz-grant-full-control")):
            reply = await ask(digits, "PUT", path(digits, key), {name: grantee}, b"1")
            wanted = "UnresolvableGrantByEmailAddress" if "@" in grantee else "InvalidArgument"
            assert (reply.status, reply.code) == (400, wanted)
    assert await digits.objects() == before
    other = await digits.gw.users.create("o" + digits.bucket, "Other", email=f"{digits.bucket}@example.com")
    for grantee in (f'id="{other.user_id.text()}"', f"emailAddress={digits.bucket}@example.com"):
        assert (await ask(digits, "PUT", path(digits, "n"), {"x-amz-grant-read": grantee}, b"1")).status == 200
        grants = (await digits.run("get_object_acl", Bucket=digits.bucket, Key="n"))["Grants"]
        assert [(g["Grantee"]["ID"], g["Grantee"]["DisplayName"], g["Permission"]) for g in grants] == [(other.user_id.text(), "Other", "READ")]


async def test_not_modified_tells_the_etag(s3):
    etag = (await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"x"))["ETag"]
    reply = await ask(s3, "GET", path(s3, "k"), {"If-None-Match": etag})
    assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", etag) and "last-modified" in reply.headers


async def test_conditions_that_are_not_built_delete_nothing(digits):
    for name, value in (("x-amz-if-match-size", "9"), ("x-amz-if-match-last-modified-time", "Wed, 21 Oct 2015 07:28:00 GMT")):
        assert (await ask(digits, "DELETE", path(digits, "k"), {name: value})).code == "NotImplemented"
    for condition in ({"Size": 9}, {"LastModifiedTime": "2015-01-01T00:00:00Z"}):
        with pytest.raises(ClientError) as refusal:
            await digits.run("delete_objects", Bucket=digits.bucket, Delete={"Objects": [{"Key": "k", **condition}]})
        assert refusal.value.response["Error"]["Code"] == "NotImplemented"
    assert (await ask(digits, "GET", path(digits, "k"))).status == 200
