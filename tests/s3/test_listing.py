"""ListObjects v1 and v2, ListBuckets, GetBucketLocation."""

import pytest
from botocore.exceptions import ClientError

from tests.s3.wire import ask

KEYS = ["a", "a/1", "a/2", "b--c--1", "b--c--2", "b--d", "b-e", "f g+h", "é/ü", "_u", "__v", "z\U0001f600"]


@pytest.fixture
async def filled(s3):
    for key in KEYS:
        await s3.run("put_object", Bucket=s3.bucket, Key=key, Body=b"x")
    return s3


def model(prefix="", delimiter="", after=""):
    """(keys, common prefixes) as S3's documentation says."""
    keys, rolled = [], []
    for key in sorted(KEYS, key=str.encode):
        if not key.startswith(prefix):
            continue
        found = key.find(delimiter, len(prefix)) if delimiter else -1
        if found >= 0:
            common = key[:found + len(delimiter)]
            if common.encode() > after.encode() and common not in rolled and not after.startswith(common):
                rolled.append(common)
        elif key.encode() > after.encode():
            keys.append(key)
    return keys, rolled


@pytest.mark.parametrize(("prefix", "delimiter", "after"), [
    ("", "", ""), ("", "/", ""), ("", "--", ""), ("b--", "--", ""), ("b", "--c--", ""), ("a/", "/", ""), ("", "_", ""), ("_", "_", ""),
    ("", "é", ""), ("", "", "b--c--1"), ("", "/", "a"), ("a", "", "a/1"), ("nothing", "/", ""), ("", "1", ""),
])
async def test_v2(filled, prefix, delimiter, after):
    wanted = {"Bucket": filled.bucket, "Prefix": prefix, "Delimiter": delimiter, "StartAfter": after}
    reply = await filled.run("list_objects_v2", **wanted)
    keys, rolled = model(prefix, delimiter, after)
    assert [row["Key"] for row in reply.get("Contents", [])] == keys
    assert [row["Prefix"] for row in reply.get("CommonPrefixes", [])] == rolled
    assert reply["KeyCount"] == len(keys) + len(rolled) and not reply["IsTruncated"]
    paged, token = [], {}
    while True:
        page = await filled.run("list_objects_v2", **wanted, MaxKeys=1, **token)
        paged += [row["Key"] for row in page.get("Contents", [])] + [row["Prefix"] for row in page.get("CommonPrefixes", [])]
        if not page["IsTruncated"]:
            break
        assert page["KeyCount"] == 1
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert paged == sorted(keys + rolled, key=str.encode)


@pytest.mark.parametrize("delimiter", ["", "/", "--"])
async def test_v1_markers(filled, delimiter):
    keys, rolled = model("", delimiter)
    found, marker = [], ""
    while True:
        page = await filled.run("list_objects", Bucket=filled.bucket, Delimiter=delimiter, MaxKeys=2, Marker=marker)
        found += [row["Key"] for row in page.get("Contents", [])] + [row["Prefix"] for row in page.get("CommonPrefixes", [])]
        if not page["IsTruncated"]:
            break
        # S3 gives NextMarker only with a delimiter; without one the last key is the marker
        marker = page["NextMarker"] if delimiter else page["Contents"][-1]["Key"]
    assert sorted(found, key=str.encode) == sorted(keys + rolled, key=str.encode)


async def test_owners_and_encoding(filled):
    plain = await filled.run("list_objects_v2", Bucket=filled.bucket)
    assert "Owner" not in plain["Contents"][0]
    owned = await filled.run("list_objects_v2", Bucket=filled.bucket, FetchOwner=True)
    assert owned["Contents"][0]["Owner"]["ID"]
    assert (await filled.run("list_objects", Bucket=filled.bucket))["Contents"][0]["Owner"]["ID"]
    encoded = await filled.run("list_objects_v2", Bucket=filled.bucket, EncodingType="url", Prefix="f ", Delimiter="+")
    assert encoded["EncodingType"] == "url"
    assert encoded["CommonPrefixes"] == [{"Prefix": "f%20g%2B"}] and encoded["Prefix"] == "f%20" and encoded["Delimiter"] == "%2B"
    raw = await ask(filled, "GET", f"/{filled.bucket}?encoding-type=url&list-type=2&prefix=z")
    assert b"<Key>z%F0%9F%98%80</Key>" in raw.body


async def test_control_characters_need_an_encoding(s3):
    key = "a\x01b\x1f\x7f"
    await s3.run("put_object", Bucket=s3.bucket, Key=key, Body=b"1")
    reply = await s3.run("list_objects_v2", Bucket=s3.bucket)  # boto3 asks for the url encoding by itself
    assert [row["Key"] for row in reply["Contents"]] == [key]


async def test_max_keys(filled):
    for call in ("list_objects", "list_objects_v2"):
        none = await filled.run(call, Bucket=filled.bucket, MaxKeys=0)
        assert not none["IsTruncated"] and none["MaxKeys"] == 0 and "Contents" not in none
        many = await filled.run(call, Bucket=filled.bucket, MaxKeys=5000)
        assert len(many["Contents"]) == len(KEYS)


@pytest.mark.parametrize("query", [
    "list-type=2&max-keys=-1", "list-type=2&max-keys=x", "max-keys=99999999999", "max-keys=%C2%B2", "list-type=3", "encoding-type=base64",
    "list-type=2&continuation-token=%21", "allow-unordered=true&delimiter=%2F", "list-type=",
])
async def test_bad_values(s3, query):
    reply = await ask(s3, "GET", f"/{s3.bucket}?{query}")
    assert (reply.status, reply.code) == (400, "InvalidArgument")


async def test_unordered(filled):
    found, marker = [], ""
    while True:
        page = await ask(filled, "GET", f"/{filled.bucket}?allow-unordered=true&max-keys=5&encoding-type=url&marker={marker}")
        names = [part.split("</Key>")[0] for part in page.body.decode().split("<Key>")[1:]]
        found += names
        if "<IsTruncated>true" not in page.body.decode():
            break
        marker = page.body.decode().split("<NextMarker>")[1].split("</NextMarker>")[0]
    assert len(found) == len(set(found)) == len(KEYS)


async def test_buckets(s3):
    for n in range(3):
        await s3.run("create_bucket", Bucket=f"{s3.bucket}-{n}")
    listed = await s3.run("list_buckets")
    assert {row["Name"] for row in listed["Buckets"]} == {s3.bucket, *(f"{s3.bucket}-{n}" for n in range(3))}
    assert listed["Owner"]["ID"] and listed["Buckets"][0]["CreationDate"]
    first = await s3.run("list_buckets", MaxBuckets=2, Prefix=f"{s3.bucket}-")
    rest = await s3.run("list_buckets", MaxBuckets=2, Prefix=f"{s3.bucket}-", ContinuationToken=first["ContinuationToken"])
    assert [row["Name"] for row in first["Buckets"] + rest["Buckets"]] == [f"{s3.bucket}-{n}" for n in range(3)]
    assert "ContinuationToken" not in rest


async def test_location_and_head(s3):
    assert (await s3.run("get_bucket_location", Bucket=s3.bucket))["LocationConstraint"] == "default"
    assert (await s3.run("head_bucket", Bucket=s3.bucket))["BucketRegion"]
    for call in ("get_bucket_location", "head_bucket", "list_objects", "list_objects_v2", "list_multipart_uploads", "delete_bucket"):
        with pytest.raises(ClientError) as refusal:
            await s3.run(call, Bucket="no-such-bucket-here")
        assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


@pytest.mark.parametrize("name", ["ab", "a" * 64, "Up", "a..b", "1.2.3.4", "-a-", "a_b", "a%20b", "%00ab"])
async def test_bucket_names(s3, name):
    before = await s3.objects()
    reply = await ask(s3, "PUT", f"/{name}")
    assert (reply.status, reply.code) in ((400, "InvalidBucketName"), (400, "InvalidURI"))
    assert await s3.objects() == before


async def test_bucket_creation(s3):
    again = await s3.run("create_bucket", Bucket=s3.bucket)  # as in us-east-1
    assert again["ResponseMetadata"]["HTTPStatusCode"] == 200
    with pytest.raises(ClientError) as refusal:
        await s3.run("create_bucket", Bucket=f"{s3.bucket}-x", CreateBucketConfiguration={"LocationConstraint": "mars-north-1"})
    assert "LocationConstraint" in refusal.value.response["Error"]["Code"]
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"")
    with pytest.raises(ClientError) as refusal:
        await s3.run("delete_bucket", Bucket=s3.bucket)
    assert refusal.value.response["Error"]["Code"] == "BucketNotEmpty"


async def test_an_empty_continuation_token_is_the_beginning(s3):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"x")
    listed = await s3.run("list_objects_v2", Bucket=s3.bucket, ContinuationToken="")
    assert [row["Key"] for row in listed["Contents"]] == ["k"] and listed["ContinuationToken"] == ""


async def test_prefix_comes_back_as_it_was_sent(s3):
    for call in ("list_objects", "list_objects_v2"):  # boto3 asks for url encoding, but decodes only the second one's
        assert (await s3.run(call, Bucket=s3.bucket, Prefix="\n%a"))["Prefix"] == "\n%a"


async def test_bucket_statistics_in_head(s3):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"xyz")
    reply = await ask(s3, "HEAD", f"/{s3.bucket}?read-stats=true")
    assert (reply.headers["x-rgw-object-count"], reply.headers["x-rgw-bytes-used"]) == ("1", "3")
