"""What one gateway writes the other reads, changes and removes, to the byte: pyrgw and radosgw on one cluster."""

from __future__ import annotations

import hashlib
import random
import secrets

import pytest
from botocore.exceptions import ClientError

from tests.radosgw.tools import collect

KIB, MIB = 1 << 10, 1 << 20
SIZES = [0, KIB, 4 * MIB, 4 * MIB + 1, 20 * MIB]
NAMES = ["_a", "__b", "_multipart_x.2~y.meta", "ünï/ñ\U0001f600", "a//b", "../x", "a+b c", "100%", "%2F", "a&<>\"'", "x" * 1024, "_" + "ü" * 511 + "y"]
RANGES = [(0, 0), (1, 100), (4 * MIB - 1, 4 * MIB), (4 * MIB - 3, 9 * MIB), (8 * MIB, None)]
EQUAL, UNEQUAL = [5 * MIB, 5 * MIB, 5 * MIB], [5 * MIB, 9 * MIB + 3, 6 * MIB, 17]


def data_of(size: int) -> bytes:
    return random.Random(secrets.randbits(64)).randbytes(size)


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def combined(parts: list[bytes]) -> str:
    joined = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    return f"{md5(joined)}-{len(parts)}"


def keys(client, bucket: str, **arguments) -> list[str]:
    return [row["Key"] for row in client.list_objects_v2(Bucket=bucket, **arguments).get("Contents", [])]


def code(refusal) -> str:
    return refusal.value.response["Error"]["Code"]


def test_put_overwrite_and_delete(crossed):
    for size in SIZES:
        key, data = f"k{size}", data_of(size)
        place = {"Bucket": crossed.bucket, "Key": key}
        crossed.write.put_object(Body=data, Metadata={"colour": "blue"}, ContentType="text/x",
                                 CacheControl="no-cache", ContentDisposition="inline", ContentLanguage="de", **place)
        assert crossed.body(key) == (data, md5(data))
        heads = [end.head_object(**place) for end in (crossed.check, crossed.write)]
        for name in ("ContentLength", "ContentType", "CacheControl", "ContentDisposition", "ContentLanguage", "Metadata", "ETag", "LastModified",
                     "AcceptRanges"):
            assert heads[0][name] == heads[1][name], name
        assert (heads[0]["ContentLength"], heads[0]["ContentType"], heads[0]["Metadata"]["colour"]) == (size, "text/x", "blue")
        for first, last in RANGES:
            if first < size:
                wanted = data[first:last + 1 if last else None]
                assert crossed.body(key, Range=f"bytes={first}-{last or ''}")[0] == wanted
    crossed.settled()
    for size in SIZES:
        key, other = f"k{size}", data_of(5 * MIB)
        crossed.check.put_object(Bucket=crossed.bucket, Key=key, Body=other)  # the other gateway overwrites
        assert crossed.body(key, crossed.write) == (other, md5(other))
        assert crossed.write.head_object(Bucket=crossed.bucket, Key=key)["Metadata"] == {}
        data = data_of(size)
        crossed.write.put_object(Bucket=crossed.bucket, Key=key, Body=data)
        assert crossed.body(key) == (data, md5(data))
    listed = crossed.check.list_objects_v2(Bucket=crossed.bucket, FetchOwner=True)["Contents"]
    assert sorted(row["Size"] for row in listed) == SIZES and {row["Owner"]["ID"] for row in listed} == {crossed.uid}
    crossed.settled()
    for i, size in enumerate(SIZES):
        place = {"Bucket": crossed.bucket, "Key": f"k{size}"}
        if i % 2:
            crossed.check.delete_object(**place)
        else:
            crossed.check.delete_objects(Bucket=crossed.bucket, Delete={"Objects": [{"Key": place["Key"]}]})
        with pytest.raises(ClientError) as refusal:
            crossed.write.get_object(**place)
        assert code(refusal) == "NoSuchKey"
    assert keys(crossed.write, crossed.bucket) == keys(crossed.check, crossed.bucket) == []
    crossed.settled()
    for name in (crossed.bucket, crossed.other):
        crossed.check.delete_bucket(Bucket=name)
        for end in (crossed.check, crossed.write):
            with pytest.raises(ClientError) as refusal:
                end.list_objects_v2(Bucket=name)
            assert code(refusal) == "NoSuchBucket"


def test_names_and_lists(crossed):
    for name in NAMES:
        crossed.write.put_object(Bucket=crossed.bucket, Key=name, Body=name.encode())
    in_order = sorted(NAMES, key=str.encode)
    assert keys(crossed.check, crossed.bucket) == keys(crossed.write, crossed.bucket) == in_order
    paged = [row["Key"] for page in crossed.check.get_paginator("list_objects_v2").paginate(Bucket=crossed.bucket, PaginationConfig={"PageSize": 3})
             for row in page["Contents"]]
    assert paged == in_order
    lists = [end.list_objects_v2(Bucket=crossed.bucket, Delimiter="/") for end in (crossed.write, crossed.check)]
    assert [row["Prefix"] for row in lists[0]["CommonPrefixes"]] == [row["Prefix"] for row in lists[1]["CommonPrefixes"]]
    assert keys(crossed.check, crossed.bucket, Prefix="_") == sorted(name for name in NAMES if name[0] == "_")
    for name in NAMES:
        assert crossed.body(name) == (name.encode(), md5(name.encode()))
        big = data_of(5 * MIB)
        crossed.write.put_object(Bucket=crossed.bucket, Key=name, Body=big)
        assert crossed.body(name) == (big, md5(big))
        crossed.check.copy_object(Bucket=crossed.other, Key=name, CopySource={"Bucket": crossed.bucket, "Key": name})
        crossed.write.put_object_acl(Bucket=crossed.bucket, Key=name, ACL="public-read")
        assert len(crossed.check.get_object_acl(Bucket=crossed.bucket, Key=name)["Grants"]) == 2
        crossed.check.delete_object(Bucket=crossed.bucket, Key=name)
        assert crossed.write.get_object(Bucket=crossed.other, Key=name)["Body"].read() == big
    assert keys(crossed.write, crossed.bucket) == [] and keys(crossed.write, crossed.other) == in_order
    crossed.settled()


def test_copy(crossed):
    bodies = {f"_source{size}": data_of(size) for size in SIZES}
    for key, data in bodies.items():
        crossed.check.put_object(Bucket=crossed.bucket, Key=key, Body=data, Metadata={"a": "b"})
        source = {"Bucket": crossed.bucket, "Key": key}
        crossed.write.copy_object(Bucket=crossed.other, Key=key, CopySource=source)
        crossed.write.copy_object(Bucket=crossed.bucket, Key=f"copy{key}", CopySource=source)
        crossed.write.copy_object(Bucket=crossed.bucket, Key=key, CopySource=source, MetadataDirective="REPLACE", Metadata={"c": "d"})
        assert crossed.check.head_object(Bucket=crossed.bucket, Key=key)["Metadata"] == {"c": "d"}
        assert crossed.body(key) == (data, md5(data))
    crossed.settled()
    for key in bodies:
        crossed.check.delete_object(Bucket=crossed.bucket, Key=key)
    collect(crossed.pair)
    for key, data in bodies.items():
        for end in (crossed.write, crossed.check):
            assert crossed.body(f"copy{key}", end) == (data, md5(data))
            got = end.get_object(Bucket=crossed.other, Key=key)
            assert (got["Body"].read(), got["Metadata"]) == (data, {"a": "b"})
    crossed.settled()


def upload(ends, bucket: str, key: str, parts: list[bytes]) -> None:
    """One step after the other, each through the next of the ``ends``."""
    turn = 0

    def end():
        nonlocal turn
        turn += 1
        return ends[(turn - 1) % len(ends)]

    upload_id = end().create_multipart_upload(Bucket=bucket, Key=key, Metadata={"m": "p"})["UploadId"]
    done = []
    for number, data in enumerate(parts, 1):
        etag = end().upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=data)["ETag"]
        done.append({"PartNumber": number, "ETag": etag})
    for one in ends:
        assert [row["UploadId"] for row in one.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload_id]
        listed = one.list_parts(Bucket=bucket, Key=key, UploadId=upload_id)["Parts"]
        assert [(row["PartNumber"], row["Size"], row["ETag"]) for row in listed] == [
            (number, len(data), f'"{md5(data)}"') for number, data in enumerate(parts, 1)]
    last = end()
    try:
        etag = last.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": done})["ETag"]
        assert etag.strip('"') in (combined(parts), "")  # radosgw 16.2 tells none here; the object's own is compared later
    except ClientError:  # radosgw 16.2 does it, but its answer is no XML behind a key of more than 990 bytes
        answer = last.head_object(Bucket=bucket, Key=key)["ResponseMetadata"]["HTTPHeaders"]
        assert len(key) > 990 and answer.get("server") != "pyrgw"
    for one in ends:
        assert "Uploads" not in one.list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize("hands", ["one", "write-first", "check-first"])
def test_multipart(crossed, hands):
    ends = {"one": [crossed.write], "write-first": [crossed.write, crossed.check], "check-first": [crossed.check, crossed.write]}[hands]
    bodies = {}
    for key, sizes in {"_single": [5 * MIB], "x" * 1024: EQUAL, "ünequal/a+b c": UNEQUAL}.items():
        parts = [data_of(size) for size in sizes]
        upload(ends, crossed.bucket, key, parts)
        bodies[key] = whole = b"".join(parts)
        for end in (crossed.check, crossed.write):
            assert crossed.body(key, end) == (whole, combined(parts))
            assert end.head_object(Bucket=crossed.bucket, Key=key)["Metadata"] == {"m": "p"}
        start = sizes[0] - 5
        assert crossed.body(key, Range=f"bytes={start}-{start + 20}")[0] == whole[start:start + 21]
    crossed.settled()
    for key in bodies:
        crossed.check.copy_object(Bucket=crossed.other, Key=key, CopySource={"Bucket": crossed.bucket, "Key": key})
        crossed.check.delete_object(Bucket=crossed.bucket, Key=key)
    collect(crossed.pair)
    for key, whole in bodies.items():
        for end in (crossed.check, crossed.write):
            assert end.get_object(Bucket=crossed.other, Key=key)["Body"].read() == whole
    assert keys(crossed.write, crossed.bucket) == []
    crossed.settled()


@pytest.mark.parametrize("replacer", ["ours", "theirs"])
def test_parts_replaced_and_upload_aborted_by_the_other(crossed, replacer):
    ids = [crossed.write.create_multipart_upload(Bucket=crossed.bucket, Key="m")["UploadId"] for _ in range(2)]
    last = data_of(6 * MIB)
    for upload_id in ids:
        place = {"Bucket": crossed.bucket, "Key": "m", "UploadId": upload_id, "PartNumber": 1}
        crossed.write.upload_part(Body=data_of(9 * MIB), **place)
        getattr(crossed, replacer).upload_part(Body=data_of(5 * MIB), **place)
        crossed.ours.upload_part(Body=last, **place)
    crossed.check.abort_multipart_upload(Bucket=crossed.bucket, Key="m", UploadId=ids[0])
    refusals = []
    for upload_id in (ids[0], "2~" + "x" * 31):
        with pytest.raises(ClientError) as refusal:
            crossed.write.list_parts(Bucket=crossed.bucket, Key="m", UploadId=upload_id)
        refusals.append(code(refusal))
    assert refusals[0] == refusals[1]  # radosgw's code differs from S3's
    done = {"Parts": [{"PartNumber": 1, "ETag": md5(last)}]}
    crossed.check.complete_multipart_upload(Bucket=crossed.bucket, Key="m", UploadId=ids[1], MultipartUpload=done)
    collect(crossed.pair)
    assert crossed.body("m", crossed.write) == crossed.body("m") == (last, combined([last]))
    if replacer == "ours" and crossed.check is crossed.ours:  # see the next test for what radosgw leaves
        crossed.settled()


def test_entries_of_replaced_parts_are_left_by_radosgw_alone(crossed):
    """The reason why the test above does not look at the index where radosgw replaced a part or completed: 16.2 leaves entries itself."""
    place = {"Bucket": crossed.bucket, "Key": "m"}
    place["UploadId"] = crossed.theirs.create_multipart_upload(**place)["UploadId"]
    etags = [crossed.theirs.upload_part(Body=data_of(5 * MIB), PartNumber=1, **place)["ETag"] for _ in range(2)]
    crossed.theirs.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etags[1]}]}, **place)
    assert crossed.pair.radosgw_admin("bucket", "check", "--bucket", crossed.bucket)["invalid_multipart_entries"]
    assert keys(crossed.ours, crossed.bucket) == keys(crossed.theirs, crossed.bucket) == ["m"]


@pytest.mark.parametrize("source_by", ["write", "check"])
def test_part_copies(crossed, source_by):
    """Ranges of an object and of a multipart object become parts; ours refer to the source's data, which outlives the source."""
    maker = getattr(crossed, source_by)
    plain, pieces = data_of(20 * MIB), [data_of(size) for size in UNEQUAL]
    maker.put_object(Bucket=crossed.other, Key="_plain", Body=plain)
    upload([maker], crossed.other, "joined", pieces)
    joined = b"".join(pieces)
    ranges = [("_plain", plain, 0, 8 * MIB), ("joined", joined, 3 * MIB + 1, 15 * MIB), ("_plain", plain, 5 * MIB + 3, 20 * MIB)]
    place = {"Bucket": crossed.bucket, "Key": "new"}
    place["UploadId"] = crossed.write.create_multipart_upload(**place)["UploadId"]
    done, expected = [], b""
    for number, (key, data, start, end) in enumerate(ranges, 1):
        reply = crossed.write.upload_part_copy(
            PartNumber=number, CopySource={"Bucket": crossed.other, "Key": key}, CopySourceRange=f"bytes={start}-{end - 1}", **place)
        done.append({"PartNumber": number, "ETag": reply["CopyPartResult"]["ETag"]})
        expected += data[start:end]
    tail = data_of(77)
    done.append({"PartNumber": 4, "ETag": crossed.write.upload_part(PartNumber=4, Body=tail, **place)["ETag"]})
    assert [row["PartNumber"] for row in crossed.check.list_parts(**place)["Parts"]] == [1, 2, 3, 4]
    completed = crossed.write.complete_multipart_upload(MultipartUpload={"Parts": done}, **place)
    for key in ("_plain", "joined"):
        crossed.check.delete_object(Bucket=crossed.other, Key=key)
    collect(crossed.pair)
    for end in (crossed.check, crossed.write):
        data, etag = crossed.body("new", end)
        assert data == expected + tail and len(etag) == 34 and completed["ETag"].strip('"') in (etag, "")
    crossed.settled()
    crossed.check.delete_object(Bucket=crossed.bucket, Key="new")
    collect(crossed.pair)
    assert keys(crossed.write, crossed.bucket) == []
    crossed.settled()


def test_acls_and_bucket_lists(crossed):
    crossed.write.put_bucket_acl(Bucket=crossed.bucket, ACL="public-read")
    crossed.write.put_object(Bucket=crossed.bucket, Key="k", Body=b"1", ACL="authenticated-read")

    def grants(reply):
        return sorted((row["Grantee"].get("ID") or row["Grantee"]["URI"], row["Permission"]) for row in reply["Grants"])

    for call, arguments in [("get_bucket_acl", {}), ("get_object_acl", {"Key": "k"})]:
        replies = [getattr(end, call)(Bucket=crossed.bucket, **arguments) for end in (crossed.write, crossed.check)]
        assert grants(replies[0]) == grants(replies[1]) and len(grants(replies[0])) == 2
        assert replies[0]["Owner"] == replies[1]["Owner"]
    for end in (crossed.write, crossed.check):
        assert [row["Name"] for row in end.list_buckets()["Buckets"]] == sorted([crossed.bucket, crossed.other])


def test_users_are_the_same(crossed):
    shown = [admin("user", "info", "--uid", crossed.uid) for admin in (crossed.pair.radosgw_admin, crossed.pair.rgw_admin)]
    assert shown[0] == shown[1]
    key = crossed.pair.radosgw_admin("key", "create", "--uid", crossed.uid, "--gen-access-key", "--gen-secret")["keys"]
    assert len(key) == 2
    assert len(crossed.pair.rgw_admin("user", "info", "--uid", crossed.uid)["keys"]) == 2
