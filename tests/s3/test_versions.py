"""Buckets with versions, as S3 documents them."""

import asyncio
import hashlib

import pytest
from botocore.exceptions import ClientError

MIB = 1 << 20


async def refused(call):
    with pytest.raises(ClientError) as error:
        await call
    return error.value.response


async def enable(s3, status="Enabled"):
    await s3.run("put_bucket_versioning", Bucket=s3.bucket, VersioningConfiguration={"Status": status})


async def put(s3, key, body, **arguments):
    return (await s3.run("put_object", Bucket=s3.bucket, Key=key, Body=body, **arguments)).get("VersionId")


async def body(s3, key, **arguments):
    got = await s3.run("get_object", Bucket=s3.bucket, Key=key, **arguments)
    return await asyncio.to_thread(got["Body"].read), got.get("VersionId")


async def rows(s3, **arguments):
    """(key, version, is latest, is a marker) as they come, and the page."""
    page = await s3.run("list_object_versions", Bucket=s3.bucket, **arguments)
    found = [(row["Key"], row["VersionId"], row["IsLatest"], False) for row in page.get("Versions", [])]
    return found + [(row["Key"], row["VersionId"], row["IsLatest"], True) for row in page.get("DeleteMarkers", [])], page


async def test_configuration(s3):
    place = {"Bucket": s3.bucket}
    assert "Status" not in await s3.run("get_bucket_versioning", **place)
    assert await put(s3, "old", b"before") is None
    await enable(s3)
    assert (await s3.run("get_bucket_versioning", **place))["Status"] == "Enabled"
    assert (await body(s3, "old"))[1] == "null"
    await enable(s3, "Suspended")
    assert (await s3.run("get_bucket_versioning", **place))["Status"] == "Suspended"
    for wanted, code in (({"Status": "On"}, "IllegalVersioningConfigurationException"), ({}, "IllegalVersioningConfigurationException"),
                         ({"Status": "Enabled", "MFADelete": "Enabled"}, "NotImplemented")):
        error = await refused(s3.run("put_bucket_versioning", VersioningConfiguration=wanted, **place))
        assert error["Error"]["Code"] == code


@pytest.mark.parametrize("key", ["k", "_a/ü"])
async def test_life_of_a_key(s3, key):
    place = {"Bucket": s3.bucket, "Key": key}
    await put(s3, key, b"before versions")
    await enable(s3)
    first = await put(s3, key, b"first")
    second = await put(s3, key, b"x" * (4 * MIB + 1))
    assert first and second and first != second
    assert await body(s3, key) == (b"x" * (4 * MIB + 1), second)
    assert await body(s3, key, VersionId=first) == (b"first", first)
    assert await body(s3, key, VersionId="null") == (b"before versions", "null")
    assert (await rows(s3))[0] == [(key, second, True, False), (key, first, False, False), (key, "null", False, False)]
    head = await s3.run("head_object", VersionId=first, **place)
    assert (head["VersionId"], head["ContentLength"]) == (first, 5)

    gone = await s3.run("delete_object", **place)
    marker = gone["VersionId"]
    assert gone["DeleteMarker"] and marker not in (first, second)
    for call in ("get_object", "head_object"):
        error = await refused(s3.run(call, **place))
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 404
        assert error["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
        error = await refused(s3.run(call, VersionId=marker, **place))
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 405
        assert error["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    assert (await s3.run("delete_object", **place))["VersionId"] == marker  # as radosgw: no marker on a marker
    listed, page = await rows(s3)
    assert set(listed) == {(key, marker, True, True), (key, second, False, False), (key, first, False, False), (key, "null", False, False)}
    assert page["DeleteMarkers"][0]["Owner"]["ID"] and "Contents" not in await s3.run("list_objects_v2", Bucket=s3.bucket)
    assert (await refused(s3.run("delete_bucket", Bucket=s3.bucket)))["Error"]["Code"] == "BucketNotEmpty"

    taken = await s3.run("delete_object", VersionId=marker, **place)
    assert taken["DeleteMarker"] and taken["VersionId"] == marker
    assert (await body(s3, key))[1] == second
    assert "DeleteMarker" not in await s3.run("delete_object", VersionId=second, **place)
    assert await body(s3, key) == (b"first", first)
    assert (await refused(s3.run("get_object", VersionId=second, **place)))["Error"]["Code"] == "NoSuchVersion"
    await s3.run("delete_object", VersionId="nothing-of-that-name", **place)
    await s3.run("delete_objects", Bucket=s3.bucket, Delete={"Objects": [{"Key": key, "VersionId": first}, {"Key": key, "VersionId": "null"}]})
    assert (await rows(s3))[0] == []
    await s3.gw.gc.process(include_all=True)
    assert await s3.objects() == set() or s3.gw.cluster.capabilities.shared_with_radosgw
    await s3.run("delete_bucket", Bucket=s3.bucket)


async def test_suspended(s3):
    await enable(s3)
    kept = await put(s3, "k", b"kept")
    await enable(s3, "Suspended")
    assert await put(s3, "k", b"y" * (4 * MIB + 5)) is None
    assert await put(s3, "k", b"null 2") is None
    assert await body(s3, "k") == (b"null 2", "null")
    assert await body(s3, "k", VersionId=kept) == (b"kept", kept)
    gone = await s3.run("delete_object", Bucket=s3.bucket, Key="k")
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, "null")
    assert (await rows(s3))[0] == [("k", kept, False, False), ("k", "null", True, True)]
    error = await refused(s3.run("get_object", Bucket=s3.bucket, Key="k", VersionId="null"))
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 405
    assert await put(s3, "k", b"null 3") is None
    assert (await rows(s3))[0] == [("k", "null", True, False), ("k", kept, False, False)]
    copied = await s3.run("copy_object", Bucket=s3.bucket, Key="copy", CopySource={"Bucket": s3.bucket, "Key": "k"})
    assert "VersionId" not in copied and (copied["CopySourceVersionId"], (await body(s3, "copy"))[1]) == ("null", "null")
    await s3.run("delete_object", Bucket=s3.bucket, Key="k", VersionId="null")
    assert await body(s3, "k") == (b"kept", kept)


async def test_multipart_copy_acl_and_tags(s3):
    await enable(s3)
    parts = [b"p" * (5 * MIB), b"q"]
    upload = (await s3.run("create_multipart_upload", Bucket=s3.bucket, Key="m"))["UploadId"]
    done = []
    for number, part in enumerate(parts, 1):
        tag = (await s3.run("upload_part", Bucket=s3.bucket, Key="m", UploadId=upload, PartNumber=number, Body=part))["ETag"]
        done.append({"ETag": tag, "PartNumber": number})
    made = await s3.run("complete_multipart_upload", Bucket=s3.bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": done})
    again = await s3.run("complete_multipart_upload", Bucket=s3.bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": done})
    version = made["VersionId"]
    assert again["VersionId"] == version
    newer = await put(s3, "m", b"newer")
    again = await s3.run("complete_multipart_upload", Bucket=s3.bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": done})
    assert (again["VersionId"], again["ETag"]) == (version, made["ETag"]) and await body(s3, "m") == (b"newer", newer)
    source = {"Bucket": s3.bucket, "Key": "m", "VersionId": version}
    copied = await s3.run("copy_object", Bucket=s3.bucket, Key="m", CopySource=source)
    assert copied["CopySourceVersionId"] == version and copied["VersionId"] not in (version, newer)
    assert await body(s3, "m") == (b"".join(parts), copied["VersionId"])
    await s3.run("delete_object", Bucket=s3.bucket, Key="m", VersionId=version)
    await s3.gw.gc.process(include_all=True)
    assert hashlib.md5((await body(s3, "m"))[0]).digest() == hashlib.md5(b"".join(parts)).digest()
    place = {"Bucket": s3.bucket, "Key": "m", "VersionId": newer}
    await s3.run("put_object_acl", ACL="public-read", **place)
    await s3.run("put_object_tagging", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}, **place)
    assert len((await s3.run("get_object_acl", **place))["Grants"]) == 2
    assert len((await s3.run("get_object_acl", Bucket=s3.bucket, Key="m"))["Grants"]) == 1
    assert (await s3.run("get_object_tagging", **place))["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert await body(s3, "m", VersionId=newer) == (b"newer", newer)
    assert [row[1:3] for row in (await rows(s3))[0]] == [(copied["VersionId"], True), (newer, False)]


async def test_pages(s3):
    await enable(s3)
    wanted = []
    for key in ("a", "b/1", "b/2", "c"):
        versions = [await put(s3, key, str(n).encode()) for n in range(3)]
        wanted += [(key, version, number == 0, False) for number, version in enumerate(reversed(versions))]
    assert (await rows(s3))[0] == wanted
    for size in (1, 2, 5):
        found, marker = [], {}
        while True:
            some, page = await rows(s3, MaxKeys=size, **marker)
            assert len(some) <= size
            found += some
            if not page["IsTruncated"]:
                break
            marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
        assert found == wanted
    listed, page = await rows(s3, Delimiter="/")
    assert [row[0] for row in listed] == ["a"] * 3 + ["c"] * 3 and page["CommonPrefixes"] == [{"Prefix": "b/"}]
    assert [row[0] for row in (await rows(s3, Prefix="b/"))[0]] == ["b/1"] * 3 + ["b/2"] * 3


async def test_conditions(s3):
    await enable(s3)
    place = {"Bucket": s3.bucket, "Key": "k"}
    first = await put(s3, "k", b"1", IfNoneMatch="*")
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"other"'}):
        assert (await refused(s3.run("put_object", Body=b"2", **condition, **place)))["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert [row[1] for row in (await rows(s3))[0]] == [first]
    etag = (await s3.run("head_object", **place))["ETag"]
    second = await put(s3, "k", b"2", IfMatch=etag)
    assert (await refused(s3.run("delete_object", IfMatch=etag, **place)))["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert (await body(s3, "k"))[1] == second
    await s3.run("delete_object", **place)
    third = await put(s3, "k", b"3", IfNoneMatch="*")  # a delete marker is no object
    assert (await body(s3, "k"))[1] == third


async def test_refused_complete_can_be_repeated(s3):
    """A condition that fails leaves the upload and its parts as they were, and no version."""
    await enable(s3)
    place = {"Bucket": s3.bucket, "Key": "m"}
    kept = await put(s3, "m", b"kept")
    upload = (await s3.run("create_multipart_upload", **place))["UploadId"]
    tag = (await s3.run("upload_part", UploadId=upload, PartNumber=1, Body=b"p" * (5 * MIB), **place))["ETag"]
    whole = {"UploadId": upload, "MultipartUpload": {"Parts": [{"ETag": tag, "PartNumber": 1}]}, **place}
    for _ in range(2):
        error = await refused(s3.run("complete_multipart_upload", IfNoneMatch="*", **whole))
        assert error["Error"]["Code"] == "PreconditionFailed"
    await s3.gw.gc.process(include_all=True)
    assert [row[1] for row in (await rows(s3))[0]] == [kept]
    await s3.run("delete_object", VersionId=kept, **place)
    made = await s3.run("complete_multipart_upload", IfNoneMatch="*", **whole)
    await s3.gw.gc.process(include_all=True)
    assert await body(s3, "m") == (b"p" * (5 * MIB), made["VersionId"])
