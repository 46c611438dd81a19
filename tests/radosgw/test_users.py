"""Users, keys, tenants and access made by one side's tools, used through the other."""

from __future__ import annotations

import secrets
import time

import pytest
from botocore.exceptions import ClientError

from tests.radosgw import tools
from tests.radosgw.conftest import client
from tests.radosgw.test_crossed import MIB, code, data_of, keys
from tests.radosgw.test_versions import versions

WITHIN = 1.0  # seconds in which one gateway must see what the other, or a tool, changed


def eventually(work, *expected) -> float:
    """Calls until ``work`` gives one of ``expected`` (an error code, or ""); the seconds it took. Fails after ``WITHIN``."""
    started = time.monotonic()
    while True:
        try:
            work()
            found = ""
        except ClientError as error:
            found = error.response["Error"]["Code"]
        took = time.monotonic() - started
        if found in expected:
            return took
        assert took < WITHIN, f"{found or 'success'} instead of {expected} after {took:.2f} s"
        time.sleep(0.02)


@pytest.fixture(params=["rgw-admin", "radosgw-admin"])
def admin(request, pair):
    return pair.rgw_admin if request.param == "rgw-admin" else pair.radosgw_admin


def ends_of(pair, key) -> list:
    return [client(endpoint, key["access_key"], key["secret_key"]) for endpoint in (pair.ours, pair.theirs)]


def test_keys_suspension_and_caps(pair, admin):
    uid = f"k{secrets.token_hex(4)}"
    first = admin("user", "create", "--uid", uid, "--display-name", "Keys", "--email", f"{uid}@example.com")["keys"][0]
    bucket = uid + "b"
    ends_of(pair, first)[0].create_bucket(Bucket=bucket)
    second = next(key for key in admin("key", "create", "--uid", uid, "--access-key", uid.upper(), "--secret", "s" * 20)["keys"]
                  if key["access_key"] != first["access_key"])
    for end in [*ends_of(pair, first), *ends_of(pair, second)]:
        assert [row["Name"] for row in end.list_buckets()["Buckets"]] == [bucket]
    admin("user", "suspend", "--uid", uid)
    for end in [*ends_of(pair, first), *ends_of(pair, second)]:
        eventually(end.list_buckets, "UserSuspended", "AccessDenied")
    admin("user", "enable", "--uid", uid)
    for end in [*ends_of(pair, first), *ends_of(pair, second)]:
        eventually(end.list_buckets, "")
    admin("key", "rm", "--uid", uid, "--access-key", first["access_key"])
    for end in ends_of(pair, first):
        eventually(end.list_buckets, "InvalidAccessKeyId")
    for end in ends_of(pair, second):
        eventually(end.list_buckets, "")
    pair.radosgw_admin("caps", "add", "--uid", uid, "--caps", "users=read;buckets=*")
    shown = [tool("user", "info", "--uid", uid) for tool in (pair.rgw_admin, pair.radosgw_admin)]
    assert shown[0] == shown[1] and shown[0]["caps"] == [{"type": "buckets", "perm": "*"}, {"type": "users", "perm": "read"}]
    admin("user", "modify", "--uid", uid, "--display-name", "Other")  # keeps what it does not name
    assert pair.radosgw_admin("user", "info", "--uid", uid)["caps"] == shown[0]["caps"]
    assert pair.radosgw_admin("user", "info", "--uid", uid)["display_name"] == "Other"


def test_tenants(pair, admin):
    """Buckets of the same name in two tenants; the other tenant's is reached as tenant:bucket."""
    tenants = [f"t{secrets.token_hex(4)}" for _ in range(2)]
    users = [admin("user", "create", "--uid", "u", "--tenant", tenant, "--display-name", tenant) for tenant in tenants]
    ends = [ends_of(pair, user["keys"][0]) for user in users]
    big = data_of(5 * MIB)
    for (ours, theirs), tenant in zip(ends, tenants, strict=True):
        ours.create_bucket(Bucket="same")
        theirs.put_object(Bucket="same", Key="_by theirs", Body=tenant.encode())
        ours.put_object(Bucket="same", Key="by ours", Body=big)
        ours.copy_object(Bucket="same", Key="copy by ours", CopySource={"Bucket": "same", "Key": "by ours"})
        theirs.copy_object(Bucket="same", Key="copy by theirs", CopySource={"Bucket": "same", "Key": "by ours"})
        place = {"Bucket": "same", "Key": "parts"}
        place["UploadId"] = ours.create_multipart_upload(**place)["UploadId"]
        done = [{"PartNumber": number, "ETag": end.upload_part(PartNumber=number, Body=big, **place)["ETag"]} for number, end in ((1, theirs), (2, ours))]
        theirs.complete_multipart_upload(MultipartUpload={"Parts": done}, **place)
        for end in (ours, theirs):
            assert keys(end, "same") == ["_by theirs", "by ours", "copy by ours", "copy by theirs", "parts"]
            assert end.get_object(Bucket="same", Key="_by theirs")["Body"].read() == tenant.encode()
            assert end.get_object(Bucket="same", Key="parts")["Body"].read() == big * 2
        theirs.delete_object(Bucket="same", Key="by ours")
        theirs.put_bucket_acl(Bucket="same", ACL="public-read")
        theirs.put_object_acl(Bucket="same", Key="copy by ours", ACL="public-read")
        tools.settled(pair, f"{tenant}$u", ["same"], [ours, theirs], tenant=tenant)
        for end in (ours, theirs):
            assert end.get_object(Bucket="same", Key="copy by theirs")["Body"].read() == big
    ours, theirs = ends[0]
    theirs.put_bucket_versioning(Bucket="same", VersioningConfiguration={"Status": "Enabled"})
    made = [end.put_object(Bucket="same", Key="_by theirs", Body=body, ACL="public-read")["VersionId"]
            for end, body in ((ours, b"ours"), (theirs, b"theirs"), (ours, big))]
    marker = theirs.delete_object(Bucket="same", Key="_by theirs")["VersionId"]
    ours.delete_object(Bucket="same", Key="copy by theirs", VersionId="null")
    theirs.delete_object(Bucket="same", Key="_by theirs", VersionId=made[0])
    shown = versions(ours, "same")
    assert shown == versions(theirs, "same")
    assert {row[1] for row in shown if row[0] == "_by theirs"} == {*made[1:], marker, "null"} and "copy by theirs" not in [row[0] for row in shown]
    assert pair.rgw_admin("bucket", "check", "--bucket", f"{tenants[0]}/same", "--check-objects")["differences"] == []
    foreign = f"{tenants[0]}:same"
    for end in ends[1]:
        end.meta.events.unregister("before-parameter-build.s3", _validator(end))
        listed = _raw(end, "GET", f"/{foreign}?list-type=2")
        assert listed[0] == 200 and b"copy by ours" in listed[1]
        assert _raw(end, "GET", f"/{foreign}/copy%20by%20ours") == (200, big)
        assert _raw(end, "PUT", f"/{foreign}/x")[0] == 403
        listed = _raw(end, "GET", f"/{foreign}?versions")
        assert listed[0] == 200 and all(version.encode() in listed[1] for version in (*made[1:], marker))
        assert _raw(end, "GET", f"/{foreign}/_by%20theirs")[0] == 404
        assert _raw(end, "GET", f"/{foreign}/_by%20theirs?versionId={made[2]}") == (200, big)
        assert _raw(end, "GET", f"/{foreign}/_by%20theirs?versionId={made[1]}") == (200, b"theirs")


def test_grants_by_email(crossed):
    """Both look the address up when they are told it, and keep the user's id; in headers and in documents."""
    uid = f"g{secrets.token_hex(4)}"
    made = crossed.pair.radosgw_admin("user", "create", "--uid", uid, "--display-name", "Grantee", "--email", f"{uid}@example.com")
    readers, place = ends_of(crossed.pair, made["keys"][0]), {"Bucket": crossed.bucket, "Key": "k"}
    owner = crossed.write.get_bucket_acl(Bucket=crossed.bucket)["Owner"]
    document = {"Owner": owner, "Grants": [{"Permission": "READ", "Grantee": {"Type": "AmazonCustomerByEmail", "EmailAddress": f"{uid}@example.com"}}]}
    ways = [lambda end: end.put_object(Body=b"1", GrantRead=f'emailAddress="{uid}@example.com"', **place),
            lambda end: end.put_object_acl(AccessControlPolicy=document, **place)]
    for end in (crossed.write, crossed.check):
        for grant in ways:
            end.put_object(Body=b"1", **place)
            for reader in readers:
                eventually(lambda reader=reader: reader.get_object(**place), "AccessDenied")
            grant(end)
            acls = [side.get_object_acl(**place) for side in (crossed.write, crossed.check)]
            assert acls[0]["Grants"] == acls[1]["Grants"] and acls[0]["Owner"] == acls[1]["Owner"]
            assert [(row["Grantee"]["Type"], row["Grantee"]["ID"], row["Permission"]) for row in acls[0]["Grants"]] == [("CanonicalUser", uid, "READ")]
            for reader in readers:
                assert reader.get_object(**place)["Body"].read() == b"1"
        with pytest.raises(ClientError) as refusal:
            end.put_object(Body=b"1", GrantRead=f'emailAddress="not{uid}@example.com"', **place)
        assert code(refusal) == ("UnresolvableGrantByEmailAddress" if end is crossed.ours else "NoSuchKey")  # S3's, and radosgw's


def _validator(end):
    from botocore.handlers import validate_bucket_name

    return validate_bucket_name


def _raw(end, method: str, path: str) -> tuple[int, bytes]:
    """A signed request whose bucket boto3 would refuse."""
    import urllib.error
    import urllib.request

    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest

    request = AWSRequest(method, end.meta.endpoint_url + path.replace(":", "%3A"), data=b"" if method == "PUT" else None)
    request.context["payload_signing_enabled"] = True
    S3SigV4Auth(end._request_signer._credentials, "s3", "us-east-1").add_auth(request)
    try:
        with urllib.request.urlopen(urllib.request.Request(request.url, data=request.data, method=method, headers=dict(request.headers))) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_changes_are_seen_within_a_second(crossed):
    """Buckets made and removed, and their ACLs, while the other gateway holds the former state in memory."""
    stranger = crossed.pair.radosgw_admin("user", "create", "--uid", f"s{secrets.token_hex(4)}", "--display-name", "S")["keys"][0]
    others = dict(zip(("ours", "theirs"), ends_of(crossed.pair, stranger), strict=True))
    reader = others["theirs"] if crossed.write is crossed.ours else others["ours"]
    took = []
    for acl, answer in [("public-read", ""), ("private", "AccessDenied")] * 3:
        crossed.write.put_bucket_acl(Bucket=crossed.bucket, ACL=acl)
        took.append(eventually(lambda: reader.list_objects_v2(Bucket=crossed.bucket), answer))
    for _ in range(3):
        name = f"n{secrets.token_hex(4)}"
        eventually(lambda name=name: crossed.check.head_bucket(Bucket=name), "404")
        crossed.write.create_bucket(Bucket=name)
        took.append(eventually(lambda name=name: crossed.check.list_objects_v2(Bucket=name), ""))
        crossed.check.put_object(Bucket=name, Key="k", Body=b"1")
        crossed.write.delete_object(Bucket=name, Key="k")
        crossed.write.delete_bucket(Bucket=name)
        took.append(eventually(lambda name=name: crossed.check.list_objects_v2(Bucket=name), "NoSuchBucket"))
        assert name not in [row["Name"] for row in crossed.check.list_buckets()["Buckets"]]
    assert max(took) < WITHIN
    with pytest.raises(ClientError) as refusal:
        crossed.check.create_bucket(Bucket=crossed.bucket, ACL="private") and others["ours"].create_bucket(Bucket=crossed.bucket)
    assert code(refusal) == "BucketAlreadyExists"
