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
    second = {"access_key": uid.upper(), "secret_key": "s" * 20}
    for end in ends_of(pair, second):  # which then remember that there is no such key
        eventually(end.list_buckets, "InvalidAccessKeyId")
    assert len(admin("key", "create", "--uid", uid, "--access-key", second["access_key"], "--secret", second["secret_key"])["keys"]) == 2
    for end in [*ends_of(pair, first), *ends_of(pair, second)]:
        eventually(end.list_buckets, "")
        assert [row["Name"] for row in end.list_buckets()["Buckets"]] == [bucket]
    ends_of(pair, first)[0].put_object(Bucket=bucket, Key="k", Body=b"1", ACL="public-read")
    others = ends_of(pair, admin("user", "create", "--uid", f"o{uid}", "--display-name", "Other")["keys"][0])
    admin("user", "suspend", "--uid", uid)
    for end in [*ends_of(pair, first), *ends_of(pair, second)]:
        eventually(end.list_buckets, "UserSuspended", "AccessDenied")
    for end in others:
        eventually(lambda end=end: end.get_object(Bucket=bucket, Key="k"), "UserSuspended")
    admin("user", "enable", "--uid", uid)
    for end in others:
        eventually(lambda end=end: end.get_object(Bucket=bucket, Key="k"), "")
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
    admin = crossed.pair.rgw_admin if crossed.write is crossed.ours else crossed.pair.radosgw_admin
    made = admin("user", "create", "--uid", uid, "--display-name", "Grantee", "--email", f"{uid}@example.com")
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


NEEDS = {  # what requests need of a subuser's access, by radosgw 16.2; what stands in none of them needs full access
    "": ["list_buckets", "get_bucket_versioning", "get_bucket_location", "put_bucket_versioning", "create_bucket"],
    "read": ["head_bucket", "list_objects_v2", "list_object_versions", "list_multipart_uploads", "head_object", "get_object", "get_object_tagging",
             "list_parts", "get_foreign", "get_public", "list_public"],
    "write": ["put_object", "put_object_tagging", "delete_object_tagging", "create_multipart_upload", "upload_part", "abort_multipart_upload",
              "delete_object", "delete_objects", "delete_bucket", "put_foreign", "put_public"],
    "readwrite": ["copy_object", "upload_part_copy"],
}
MAY = {"read": ["", "read"], "write": ["", "write"], "readwrite": [*NEEDS]}


def attempts(end, owner, bucket: str, foreign: str) -> dict[str, str]:
    """One of every request by a limited key, each on a stage that the owner sets up for it."""
    place = {"Bucket": bucket, "Key": "k"}
    acl = owner.get_bucket_acl(Bucket=bucket)
    policy = {"Owner": acl["Owner"], "Grants": acl["Grants"]}
    owner.put_object(Body=b"1", Tagging="a=b", **place)
    upload = {**place, "UploadId": owner.create_multipart_upload(**place)["UploadId"]}
    owner.upload_part(PartNumber=1, Body=b"1", **upload)
    rules = {"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "none"}, "Expiration": {"Days": 9}}]}
    owner.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=rules)
    made = f"m{secrets.token_hex(4)}"
    requests = [
        ("list_buckets", {}), ("head_bucket", {"Bucket": bucket}), ("list_objects_v2", {"Bucket": bucket}), ("list_object_versions", {"Bucket": bucket}),
        ("list_multipart_uploads", {"Bucket": bucket}), ("get_bucket_acl", {"Bucket": bucket}), ("get_bucket_versioning", {"Bucket": bucket}),
        ("get_bucket_location", {"Bucket": bucket}), ("get_bucket_lifecycle_configuration", {"Bucket": bucket}),
        ("head_object", place), ("get_object", place), ("get_object_acl", place), ("get_object_tagging", place), ("list_parts", upload),
        ("get_foreign", {"Bucket": foreign, "Key": "k"}), ("put_foreign", {"Bucket": foreign, "Key": "new", "Body": b"1"}),
        ("acl_foreign", {"Bucket": foreign, "Key": "k"}), ("get_public", {"Bucket": foreign, "Key": "public"}),
        ("put_public", {"Bucket": f"p{foreign}", "Key": "new", "Body": b"1"}), ("list_public", {"Bucket": f"p{foreign}"}),
        ("put_object", {**place, "Body": b"2"}), ("copy_object", {"Bucket": bucket, "Key": "copy", "CopySource": place}),
        ("put_object_tagging", {**place, "Tagging": {"TagSet": [{"Key": "c", "Value": "d"}]}}), ("delete_object_tagging", place),
        ("create_multipart_upload", place), ("upload_part", {**upload, "PartNumber": 2, "Body": b"2"}),
        ("upload_part_copy", {**upload, "PartNumber": 3, "CopySource": place}), ("abort_multipart_upload", upload),
        ("put_object_acl", {**place, "ACL": "private"}), ("put_bucket_acl", {"Bucket": bucket, "AccessControlPolicy": policy}),
        ("put_bucket_versioning", {"Bucket": bucket, "VersioningConfiguration": {"Status": "Suspended"}}),
        ("put_bucket_lifecycle_configuration", {"Bucket": bucket, "LifecycleConfiguration": rules}), ("delete_bucket_lifecycle", {"Bucket": bucket}),
        ("delete_object", {"Bucket": bucket, "Key": "copy"}), ("delete_objects", {"Bucket": bucket, "Delete": {"Objects": [{"Key": "other"}]}}),
        ("create_bucket", {"Bucket": made}), ("delete_bucket", {"Bucket": made})]
    calls = {"get_foreign": end.get_object, "put_foreign": end.put_object, "acl_foreign": end.get_object_acl, "get_public": end.get_object,
             "put_public": end.put_object, "list_public": end.list_objects_v2}
    return {name: tools.refused(calls.get(name) or getattr(end, name), **arguments) for name, arguments in requests}


def test_subusers(pair):
    """What each access allows is the same through both gateways, on the user's own bucket and on one where the user was granted all."""
    uid, tools_in_turn = f"s{secrets.token_hex(4)}", [pair.rgw_admin, pair.radosgw_admin] * 2
    owner = ends_of(pair, pair.rgw_admin("user", "create", "--uid", uid, "--display-name", "Subs")["keys"][0])
    host = ends_of(pair, pair.radosgw_admin("user", "create", "--uid", f"h{uid}", "--display-name", "Host")["keys"][0])[1]
    bucket, foreign, grant = f"b{uid}", f"f{uid}", f"id={uid},id=h{uid}"
    host.create_bucket(Bucket=foreign, GrantFullControl=grant)
    host.put_object(Bucket=foreign, Key="k", Body=b"1", GrantFullControl=grant)
    host.put_object(Bucket=foreign, Key="public", Body=b"1", ACL="public-read")
    host.create_bucket(Bucket=f"p{foreign}", ACL="public-read-write")
    owner[0].create_bucket(Bucket=bucket)
    made = {}
    for access, one, other in zip(("read", "write", "readwrite", "full"), tools_in_turn, tools_in_turn[1:] + tools_in_turn[:1], strict=True):
        keys_of = [{"access_key": f"{uid}{access}{n}".upper(), "secret_key": f"secret{n}"} for n in range(2)]
        for number, (tool, words) in enumerate(((one, ("subuser", "create", "--access", access)), (other, ("key", "create")))):
            tool(*words, "--uid", uid, "--subuser", access, "--key-type", "s3", "--access-key", keys_of[number]["access_key"],
                 "--secret", keys_of[number]["secret_key"])
        made[access] = [ends_of(pair, key) for key in keys_of]
    for access, (first, second) in made.items():
        said = [attempts(end, owner[n], bucket, foreign) for n, end in enumerate((first[0], second[1]))]
        assert said[0] == said[1], [(name, answer, said[1][name]) for name, answer in said[0].items() if answer != said[1][name]]
        may = {name for need in MAY[access] for name in NEEDS[need]} if access in MAY else set(said[0])
        assert {name for name, answer in said[0].items() if not answer} == may
        assert all(said[0][name] in ("AccessDenied", "403") for name in said[0].keys() - may)
    pair.rgw_admin("subuser", "modify", "--uid", uid, "--subuser", "read", "--access", "write")
    pair.radosgw_admin("subuser", "modify", "--uid", uid, "--subuser", "write", "--access", "read")
    pair.radosgw_admin("key", "rm", "--uid", uid, "--access-key", f"{uid}full0".upper())
    pair.rgw_admin("subuser", "rm", "--uid", uid, "--subuser", "readwrite")
    for end in range(2):
        for name, number, answer in (("read", 0, "AccessDenied"), ("read", 1, "AccessDenied"), ("write", 0, ""), ("full", 0, "InvalidAccessKeyId"),
                                     ("full", 1, ""), ("readwrite", 0, "InvalidAccessKeyId"), ("readwrite", 1, "InvalidAccessKeyId")):
            eventually(lambda end=made[name][number][end]: end.list_objects_v2(Bucket=bucket), answer)
    pair.radosgw_admin("user", "suspend", "--uid", uid)
    for end in [*owner, *made["full"][1], *made["write"][0]]:
        eventually(end.list_buckets, "UserSuspended", "AccessDenied")
    shown = [tool("user", "info", "--uid", uid) for tool in (pair.rgw_admin, pair.radosgw_admin)]
    assert shown[0] == shown[1] and [row["permissions"] for row in shown[0]["subusers"]] == ["full-control", "write", "read"]
