"""Objects encrypted with clients' keys (SSE-C): what one gateway encrypts the other decrypts. radosgw's other encryption modes are refused."""

from __future__ import annotations

import base64
import secrets

import pytest
from botocore.exceptions import ClientError

from tests.radosgw import tools
from tests.radosgw.conftest import COMPRESSED
from tests.radosgw.test_crossed import MIB, code, combined, data_of, md5

SIZES = [0, 1, 15, 16, 17, 4095, 4096, 4097, 4 * MIB, 4 * MIB + 1, 20 * MIB]
RANGES = [(0, 0), (1, 14), (15, 16), (4090, 4100), (4096, 8191), (4 * MIB - 1, 4 * MIB), (4 * MIB - 3, 9 * MIB + 5), (8 * MIB + 1, None)]
PARTS = [5 * MIB, 9 * MIB + 3, 6 * MIB + 4097, 17]
KMS_KEY = "testkey-1"  # see tests/cephcluster.py


def new_key() -> dict[str, object]:
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": secrets.token_bytes(32)}


def as_source(key: dict[str, object]) -> dict[str, object]:
    return {f"CopySource{name}": value for name, value in key.items()}


def refusal(call, **arguments) -> tuple[int, str]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return refused.value.response["ResponseMetadata"]["HTTPStatusCode"], code(refused)


def check_ranges(crossed, name: str, whole: bytes, key, ranges) -> None:
    for first, last in ranges:
        if first < len(whole):
            wanted = whole[first:last + 1 if last is not None else None]
            assert crossed.body(name, Range=f"bytes={first}-{'' if last is None else last}", **key)[0] == wanted, (first, last)


def test_objects(crossed):
    key = new_key()
    for size in SIZES:
        data, place = data_of(size), {"Bucket": crossed.bucket, "Key": f"k{size}"}
        put = crossed.write.put_object(Body=data, Metadata={"a": "b"}, **place, **key)
        assert put["ETag"].strip('"') == md5(data) and put["SSECustomerAlgorithm"] == "AES256" and put["SSECustomerKeyMD5"]
        for end in (crossed.check, crossed.write):
            assert crossed.body(f"k{size}", end, **key) == (data, md5(data))
        heads = [end.head_object(**place, **key) for end in (crossed.check, crossed.write)]
        for name in ("ContentLength", "Metadata", "ETag", "LastModified", "SSECustomerAlgorithm", "SSECustomerKeyMD5"):
            assert heads[0][name] == heads[1][name]
        assert heads[0]["ContentLength"] == size and heads[0]["SSECustomerKeyMD5"] == put["SSECustomerKeyMD5"]
        check_ranges(crossed, f"k{size}", data, key, RANGES)
    assert sorted(row["Size"] for row in crossed.check.list_objects_v2(Bucket=crossed.bucket)["Contents"]) == SIZES
    stats = [admin("object", "stat", "--bucket", crossed.bucket, "--object", "k17") for admin in (crossed.pair.radosgw_admin, crossed.pair.rgw_admin)]
    assert [row["attrs"]["user.rgw.crypt.mode"] for row in stats] == ["SSE-C-AES256"] * 2
    for size in SIZES[::2]:
        plain = data_of(77)
        crossed.check.put_object(Bucket=crossed.bucket, Key=f"k{size}", Body=plain)  # no trace of the key is left
        assert crossed.body(f"k{size}", crossed.write) == (plain, md5(plain))
    for size in SIZES:
        crossed.check.delete_object(Bucket=crossed.bucket, Key=f"k{size}")
    crossed.settled()


def test_same_refusals(crossed):
    """Without the key, with another one, with parts of one: the two gateways answer alike, before and after conditions and ranges."""
    key, data = new_key(), data_of(100)
    place = {"Bucket": crossed.bucket, "Key": "k"}
    etag = crossed.write.put_object(Body=data, **place, **key)["ETag"]
    half = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "c2hvcnQ=", "SSECustomerKeyMD5": "c2hvcnQ="}
    bad_md5 = {**half, "SSECustomerKey": base64.b64encode(key["SSECustomerKey"]).decode()}
    another = {**bad_md5, "SSECustomerKeyMD5": "x" * 22 + "=="}
    cases = [
        {}, new_key(), half, {**key, "SSECustomerAlgorithm": "AES128"}, bad_md5, another,
        {"IfNoneMatch": etag}, {"IfMatch": '"x"'}, {"Range": "bytes=100-"}, {**new_key(), "Range": "bytes=5-"}, {**key, "Range": "bytes=100-"},
    ]
    for case in cases:
        for call in ("get_object", "head_object"):
            answers = [refusal(getattr(end, call), **place, **case) for end in (crossed.ours, crossed.theirs)]
            assert answers[0] == answers[1], (call, case)
    for case in (half, {**key, "SSECustomerAlgorithm": "AES128"}, bad_md5, another):
        answers = [refusal(end.put_object, Bucket=crossed.bucket, Key="new", Body=b"x", **case) for end in (crossed.ours, crossed.theirs)]
        assert answers[0] == answers[1]
    crossed.write.put_object(Bucket=crossed.bucket, Key="plain", Body=data)
    for end in (crossed.ours, crossed.theirs):  # a key that nobody needs
        assert crossed.body("plain", end, **key)[0] == data
    crossed.settled()


def test_multipart(crossed):
    """Parts come through both gateways."""
    ends = [crossed.write, crossed.check]
    key, parts = new_key(), [data_of(size) for size in PARTS]
    place = {"Bucket": crossed.bucket, "Key": "m"}
    upload = {**place, "UploadId": ends[0].create_multipart_upload(**place, **key)["UploadId"]}
    for wrong in ({}, new_key()):
        answers = [refusal(end.upload_part, PartNumber=1, Body=parts[0], **upload, **wrong) for end in (crossed.ours, crossed.theirs)]
        assert answers[0] == answers[1] == (400, "InvalidArgument")
    done = []
    for number, data in enumerate(parts, 1):
        etag = ends[number % len(ends)].upload_part(PartNumber=number, Body=data, **upload, **key)["ETag"]
        assert etag.strip('"') == md5(data)
        done.append({"PartNumber": number, "ETag": etag})
    ends[0].complete_multipart_upload(MultipartUpload={"Parts": done}, **upload)
    whole = b"".join(parts)
    for end in (crossed.check, crossed.write):
        assert crossed.body("m", end, **key) == (whole, combined(parts))
    borders = [sum(PARTS[:i]) for i in range(1, len(PARTS))]
    ranges = [(at + a, at + b) for at in borders for a, b in [(-1, -1), (0, 0), (-1, 0), (-20, 16), (1, 4097), (-4097, 4 * MIB)]]
    for end in (crossed.ours, crossed.theirs):
        for first, last in RANGES + ranges:
            got = end.get_object(Range=f"bytes={first}-{'' if last is None else last}", **place, **key)["Body"].read()
            assert got == whole[first:last + 1 if last is not None else None], (end is crossed.ours, first, last)
    for number, data in enumerate(parts, 1):
        assert crossed.ours.get_object(PartNumber=number, **place, **key)["Body"].read() == data
    crossed.check.delete_object(**place)
    crossed.settled()


def test_copies_and_part_copies(crossed):
    """Ours decrypts and encrypts anew; radosgw 16.2 refuses encrypted sources and stores copies plain, whatever key comes with the request."""
    old, new = new_key(), new_key()
    data = data_of(9 * MIB + 5)
    source = {"Bucket": crossed.bucket, "Key": "source"}
    crossed.write.put_object(Body=data, **source, **old)
    crossed.write.put_object(Bucket=crossed.bucket, Key="plain", Body=data)
    plain = {"Bucket": crossed.bucket, "Key": "plain"}
    assert refusal(crossed.ours.copy_object, Bucket=crossed.other, Key="x", CopySource=source) == (400, "InvalidArgument")
    for name, arguments in {"both": {**as_source(old), **new}, "same": {**as_source(old), **old}, "out": as_source(old)}.items():
        crossed.ours.copy_object(Bucket=crossed.other, Key=name, CopySource=source, **arguments)
    crossed.ours.copy_object(Bucket=crossed.other, Key="in", CopySource=plain, **new)
    crossed.ours.copy_object(CopySource=source, **source, **as_source(old), **new)  # the key is changed
    for name, key in {"both": new, "same": old, "out": {}, "in": new}.items():
        for end in (crossed.ours, crossed.theirs):
            got = end.get_object(Bucket=crossed.other, Key=name, **key)
            assert got["Body"].read() == data and got["ETag"].strip('"') == md5(data)
    place = {"Bucket": crossed.other, "Key": "m"}
    upload = {**place, "UploadId": crossed.check.create_multipart_upload(**place, **old)["UploadId"]}
    ranges = [(source, new, 3, 6 * MIB), (plain, None, MIB, 8 * MIB), (source, new, 100, 217)]
    done = []
    for number, (origin, key, start, end) in enumerate(ranges, 1):
        reply = crossed.ours.upload_part_copy(PartNumber=number, CopySource=origin, CopySourceRange=f"bytes={start}-{end - 1}",
                                              **upload, **old, **(as_source(key) if key else {}))
        done.append({"PartNumber": number, "ETag": reply["CopyPartResult"]["ETag"]})
    crossed.check.complete_multipart_upload(MultipartUpload={"Parts": done}, **upload)
    for end in (crossed.ours, crossed.theirs):
        assert end.get_object(**place, **old)["Body"].read() == b"".join(data[start:stop] for _, _, start, stop in ranges)
    for bucket, names in {crossed.bucket: ("source", "plain"), crossed.other: ("both", "same", "out", "in", "m")}.items():
        for name in names:
            crossed.check.delete_object(Bucket=bucket, Key=name)
    crossed.settled()


def test_versions(crossed):
    crossed.write.put_bucket_versioning(Bucket=crossed.bucket, VersioningConfiguration={"Status": "Enabled"})
    versions = []
    for end in (crossed.write, crossed.check, crossed.write):
        key, data = new_key(), data_of(5 * MIB)
        versions.append((end.put_object(Bucket=crossed.bucket, Key="k", Body=data, **key)["VersionId"], key, data))
    for version, key, data in versions:
        for end in (crossed.ours, crossed.theirs):
            assert crossed.body("k", end, VersionId=version, **key)[0] == data
    assert crossed.body("k", **versions[-1][1])[0] == versions[-1][2]
    assert tools.settled_versions(crossed.pair, crossed.bucket) == 3


def test_radosgw_compresses_nothing_that_it_encrypts(crossed):
    if crossed.write is crossed.ours:
        pytest.skip("ours compresses nothing")
    key, data = new_key(), b"abcdefgh" * MIB
    for name in COMPRESSED:
        crossed.theirs.put_object(Bucket=crossed.bucket, Key=name, Body=data, StorageClass=name, **key)
        assert crossed.body(name, crossed.ours, **key)[0] == data


def test_other_modes_are_refused(crossed):
    """Of what radosgw encrypted by a key server, ours gives nothing out and leaves it whole."""
    if crossed.write is crossed.ours:
        pytest.skip("ours knows no other modes")
    data = data_of(5 * MIB)
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KMS_KEY}
    place = {"Bucket": crossed.bucket, "Key": "k"}
    crossed.theirs.put_object(Body=data, **place, **kms)
    upload = {"Bucket": crossed.bucket, "Key": "m"}
    upload["UploadId"] = crossed.theirs.create_multipart_upload(**upload, **kms)["UploadId"]
    etag = crossed.theirs.upload_part(PartNumber=1, Body=data, **upload)["ETag"]
    new = {"Bucket": crossed.bucket, "Key": "new"}
    calls = [
        (crossed.ours.get_object, place), (crossed.ours.get_object, {**place, **new_key()}), (crossed.ours.head_object, place),
        (crossed.ours.copy_object, {"Bucket": crossed.other, "Key": "copy", "CopySource": place}),
        (crossed.ours.upload_part, {**upload, "PartNumber": 2, "Body": data}),
        (crossed.ours.upload_part, {**upload, **new_key(), "PartNumber": 2, "Body": data}),
        (crossed.ours.put_object, {**new, **kms}), (crossed.ours.put_object, {**new, "ServerSideEncryption": "AES256"}),
        (crossed.ours.create_multipart_upload, {**new, **kms}), (crossed.ours.copy_object, {**new, **kms, "CopySource": place}),
    ]
    for call, arguments in calls:
        assert refusal(call, **arguments)[0] == 501
    crossed.ours.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}, **upload)
    crossed.ours.put_object_acl(**place, ACL="public-read")
    for name in ("k", "m"):
        assert crossed.theirs.get_object(Bucket=crossed.bucket, Key=name)["Body"].read() == data
    crossed.settled()
