"""The Admin Ops API as rgwadmin, a public client, sees it."""

import asyncio
import json
import secrets
import urllib.error
import urllib.request

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from rgwadmin.exceptions import RGWAdminException

from rgw.core import caps, raw_index
from rgw.core.gateway import Gateway
from rgw.core.options import Options
from rgw.core.restrictions import USER_POLICIES
from rgw.formats.encoding import STR, map_of
from rgw.frontend import admin as api
from rgw.store.interface import WriteOp

UNLIMITED = {"enabled": False, "check_on_raw": False, "max_size": -1, "max_size_kb": 0, "max_objects": -1}


async def refusal(call) -> str:
    """The code of the error that the call raises."""
    with pytest.raises(RGWAdminException) as caught:
        await call
    return str((caught.value.raw or caught.value.code)["Code"])


def name() -> str:
    return f"u{secrets.token_hex(4)}"


async def test_users(admin):
    uid = name()
    made = await admin.run("create_user", uid=uid, display_name="Name Ünï", email=f"{uid}@example.com", user_caps="usage=read")
    assert (made["user_id"], made["tenant"], made["display_name"], made["email"]) == (uid, "", "Name Ünï", f"{uid}@example.com")
    assert made["caps"] == [{"type": "usage", "perm": "read"}] and len(made["keys"]) == 1
    assert await admin.run("get_user", uid=uid) == made
    assert await admin.run("get_user", access_key=made["keys"][0]["access_key"]) == made
    assert uid in await admin.run("get_users")
    changed = await admin.run("modify_user", uid=uid, display_name="Other", max_buckets=7, suspended=True)
    assert (changed["display_name"], changed["max_buckets"], changed["suspended"]) == ("Other", 7, 1)
    assert await refusal(admin.run("create_user", uid=uid, display_name="x")) == "UserAlreadyExists"
    assert await refusal(admin.run("create_user", uid=name(), display_name="x", email=f"{uid}@example.com")) == "EmailExists"
    taken = admin.user.access_keys[min(admin.user.access_keys)].id
    assert await refusal(admin.run("create_user", uid=name(), display_name="x", access_key=taken, secret_key="s")) == "KeyExists"
    assert await refusal(admin.run("create_user", uid=name(), display_name="")) == "InvalidArgument"
    await admin.run("remove_user", uid=uid)
    assert await refusal(admin.run("get_user", uid=uid)) == "NoSuchUser"


async def test_a_user_whose_policies_deny_is_found_by_key(admin):
    """That user's requests are refused, not those about the user."""
    uid = name()
    made = await admin.run("create_user", uid=uid, display_name="x")
    pool, stored = admin.gw.zone.uid_pool, bytearray()
    map_of(STR, STR).enc(stored, {"p": '{"Statement": {"Effect": "Deny"}}'})
    old = await admin.gw.metadata.get(pool, uid)
    await admin.gw.metadata.replace(pool, uid, old.data, {**old.xattrs, USER_POLICIES: bytes(stored)}, old)
    key = made["keys"][0]["access_key"]
    assert await admin.run("get_user", access_key=key) == made
    await admin.run("remove_key", access_key=key)
    assert (await admin.run("get_user", uid=uid))["keys"] == []


async def test_keys_subusers_and_caps(admin):
    uid = name()
    await admin.run("create_user", uid=uid, display_name="x")
    keys = await admin.run("create_key", uid=uid, access_key=f"K{uid}", secret_key="secret")
    assert {"user": uid, "access_key": f"K{uid}", "secret_key": "secret"} in keys and len(keys) == 2
    await admin.run("remove_key", uid=uid, access_key=f"K{uid}")
    assert len((await admin.run("get_user", uid=uid))["keys"]) == 1
    assert await admin.run("create_subuser", uid=uid, subuser="sub", access="read", key_type="s3", generate_secret=True) == [
        {"id": f"{uid}:sub", "permissions": "read"}]
    assert await admin.run("modify_subuser", uid=uid, subuser="sub", access="full") == [{"id": f"{uid}:sub", "permissions": "full-control"}]
    assert [key["user"] for key in (await admin.run("get_user", uid=uid))["keys"]].count(f"{uid}:sub") == 1
    await admin.run("remove_subuser", uid=uid, subuser="sub")
    shown = await admin.run("get_user", uid=uid)
    assert shown["subusers"] == [] and len(shown["keys"]) == 1
    added = await admin.run("add_capability", uid=uid, user_caps="users=read; buckets=*")
    assert added == [{"type": "buckets", "perm": "*"}, {"type": "users", "perm": "read"}]
    assert await admin.run("remove_capability", uid=uid, user_caps="buckets=write") == [
        {"type": "buckets", "perm": "read"}, {"type": "users", "perm": "read"}]
    assert await refusal(admin.run("add_capability", uid=uid, user_caps="nonsense=read")) == "InvalidCapability"


async def test_quotas(admin):
    uid = admin.user.user_id.text()
    bucket = await admin.bucket("k")
    await admin.run("set_user_quota", uid=uid, quota_type="user", max_size_kb=2048, max_objects=50, enabled=True)
    await admin.run("set_user_quota", uid=uid, quota_type="bucket", max_objects=5)
    limited = UNLIMITED | {"enabled": True, "max_size": 2 << 20, "max_size_kb": 2048, "max_objects": 50}
    assert await admin.run("get_user_quota", uid=uid) == limited
    assert await admin.run("get_user_bucket_quota", uid=uid) == UNLIMITED | {"max_objects": 5}
    await admin.run("set_bucket_quota", uid=uid, bucket=bucket, max_size_kb=4, max_objects=9, enabled=True)
    shown = await admin.run("get_bucket", bucket=bucket)
    assert shown["bucket_quota"] == UNLIMITED | {"enabled": True, "max_size": 4096, "max_size_kb": 4, "max_objects": 9}


async def test_buckets(admin):
    uid, bucket = admin.user.user_id.text(), await admin.bucket("a", "_b")
    assert await admin.run("get_bucket", uid=uid) == [bucket]
    assert bucket in await admin.run("get_bucket")
    (shown,) = await admin.run("get_bucket", uid=uid, stats=True)
    assert shown["usage"]["rgw.main"]["num_objects"] == 2 and shown["owner"] == uid
    stats = await asyncio.to_thread(admin.client.request, "get", f"/admin/user?uid={uid}&stats=true&sync=true")
    assert stats["stats"]["num_objects"] == 2 and stats["stats"]["size"] == 2000
    policy = await admin.run("get_policy", bucket=bucket, object_name="a")
    assert policy["owner"] == {"id": uid, "display_name": "Admin"} and policy["acl"]["acl_user_map"] == [{"user": uid, "acl": 15}]
    await admin.run("remove_object", bucket=bucket, object_name="a")
    assert await refusal(admin.run("remove_bucket", bucket=bucket)) == "BucketNotEmpty"
    await admin.run("remove_bucket", bucket=bucket, purge_objects=True)
    assert await refusal(admin.run("get_bucket", bucket=bucket)) == "NoSuchBucket"


async def test_index_check(admin):
    bucket = await admin.gw.buckets.get(await admin.bucket("a", "b"))
    entry = await raw_index.get(bucket, "a")
    await bucket.index_ioctx.write(bucket.index.shard("a"), WriteOp().omap_rm([entry.idx.encode()]))
    found = await admin.run("check_bucket_index", bucket=bucket.name, check_objects=True, fix=True)
    assert [(row["object"], row["mended"]) for row in found["differences"]] == [("a", True)]
    found = await admin.run("check_bucket_index", bucket=bucket.name)
    headers = found["check_result"]
    assert headers["existing_header"] == headers["calculated_header"]
    assert headers["existing_header"]["usage"]["rgw.main"]["num_objects"] == 2


async def test_owners(admin):
    other = await admin.gw.users.create(name(), "Other")
    uid, bucket = other.user_id.text(), await admin.bucket("k")
    assert await refusal(admin.run("unlink_bucket", bucket=bucket, uid=uid)) == "InvalidArgument"
    await admin.run("link_bucket", bucket=bucket, uid=uid)
    assert await admin.run("get_bucket", uid=uid) == [bucket]
    assert await admin.run("get_bucket", uid=admin.user.user_id.text()) == []
    await admin.run("unlink_bucket", bucket=bucket, uid=uid)
    assert await admin.run("get_bucket", uid=uid) == []
    shown = (await admin.run("get_metadata", metadata_type="bucket", key=bucket))["data"]
    assert shown["linked"] == "false"
    await admin.run("link_bucket", bucket=bucket, uid=uid)
    assert await admin.run("get_bucket", uid=uid) == [bucket]


async def test_metadata(admin):
    uid, bucket = admin.user.user_id.text(), await admin.bucket()
    assert uid in await admin.run("get_metadata", metadata_type="user")
    assert bucket in await admin.run("get_metadata", metadata_type="bucket")
    assert any(key.startswith(f"{bucket}:") for key in await admin.run("get_metadata", metadata_type="bucket.instance"))
    page = await admin.run("get_metadata", metadata_type="user", max_entries=1)
    assert page["count"] == 1 and len(page["keys"]) == 1
    record = await admin.run("get_metadata", metadata_type="user", key=uid)
    record["data"]["display_name"] = "Edited"
    await admin.run("put_metadata", metadata_type="user", key=uid, json_string=json.dumps(record))
    again = await admin.run("get_metadata", metadata_type="user", key=uid)
    assert again["data"] == record["data"] and again["ver"]["ver"] > record["ver"]["ver"]
    assert await refusal(admin.run("get_metadata", metadata_type="user", key="no such user")) == "NoSuchKey"
    made = await admin.gw.users.create(name(), "x")
    await admin.run("delete_metadata", metadata_type="user", key=made.user_id.text())
    assert await refusal(admin.run("get_user", uid=made.user_id.text())) == "NoSuchUser"


async def test_usage(admin):
    uid = admin.user.user_id.text()
    assert await admin.run("get_usage", uid=uid, show_entries=True, show_summary=True) == {"entries": [], "summary": []}
    admin.gw.usage.count(uid, "somewhere", "put_obj", 1, 2, True)
    await admin.gw.usage.flush()
    shown = await admin.run("get_usage", uid=uid, show_entries=True, show_summary=True)
    assert shown["entries"][0]["user"] == uid and shown["entries"][0]["buckets"][0]["bucket"] == "somewhere"
    assert shown["summary"][0]["total"] == {"bytes_sent": 1, "bytes_received": 2, "ops": 1, "successful_ops": 1}
    assert await refusal(asyncio.to_thread(admin.client.request, "delete", "/admin/usage?format=json")) == "InvalidArgument"
    await admin.run("trim_usage", uid=uid)
    assert (await admin.run("get_usage", uid=uid, show_entries=True))["entries"] == []


async def test_what_the_gateway_runs_on(admin):
    info = await asyncio.to_thread(admin.client.request, "get", "/admin/info")
    assert info == {"info": {"storage_backends": [{"name": "rados", "cluster_id": admin.gw.cluster.fsid}]}}
    zone = await asyncio.to_thread(admin.client.request, "get", "/admin/config?type=zone")
    assert zone["id"] == admin.gw.zone.id


async def test_every_operation_asks_for_its_capability(admin):
    """Without it: AccessDenied before anything is looked at. With the right one for reading only: the same where it writes."""
    readers = {}
    nobody = admin.client_of(await admin.gw.users.create(name(), "x"))
    for op in api.OPS:
        path = f"/admin/{op.resource}?format=json" + (f"&{op.key}" if op.key else "")
        if op.cap not in readers:
            readers[op.cap] = (await admin.gw.users.create(name(), "x")).user_id.text()
            await caps.add(admin.gw, readers[op.cap], f"{op.cap}=read")
        assert await refusal(asyncio.to_thread(nobody.request, op.method.lower(), path)) == "AccessDenied", op.name
        if op.bits == caps.WRITE:
            reader = admin.client_of(await admin.gw.users.get(readers[op.cap]))
            assert await refusal(asyncio.to_thread(reader.request, op.method.lower(), path)) == "AccessDenied", op.name


async def test_xml_for_those_who_ask(admin):
    def get(path: str) -> tuple[int, str, bytes]:
        request = AWSRequest("GET", f"http://{admin.address}/admin/{path}&format=xml")
        key = next(iter(admin.user.access_keys.values()))
        S3SigV4Auth(Credentials(key.id, key.key), "s3", "us-east-1").add_auth(request)
        try:
            with urllib.request.urlopen(urllib.request.Request(request.url, headers=dict(request.headers.items()))) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read()

    status, kind, data = await asyncio.to_thread(get, f"user?uid={admin.user.user_id.text()}")
    assert (status, kind) == (200, "application/xml")
    assert b"<user_info><tenant></tenant><user_id>" in data and b"</key></keys>" in data and b"<cap><type>users</type><perm>*</perm></cap>" in data
    status, kind, data = await asyncio.to_thread(get, "user?uid=nosuch")
    assert (status, kind) == (404, "application/xml") and b"<Error><Code>NoSuchUser</Code>" in data


async def test_strangers_and_unknown_paths(admin):
    def status(path: str) -> tuple[int, dict]:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://{admin.address}{path}")
        return caught.value.code, json.loads(caught.value.read())

    code, document = await asyncio.to_thread(status, "/admin/user?uid=x")
    assert code == 403 and document["Code"] == "AccessDenied" and document["RequestId"]
    for path in ("/admin", "/admin/nosuch"):
        assert (await asyncio.to_thread(status, path))[0] == 405


async def test_the_entry_is_an_option(cluster):
    for options, path, served in [({}, "/admin/user", True), ({"rgw_admin_entry": "ops"}, "/admin/user", False),
                                  ({"rgw_admin_entry": "ops"}, "/ops/user", True), ({"rgw_enable_apis": "s3"}, "/admin/user", False),
                                  ({}, "/administration/user", False)]:
        gw = await Gateway.open(cluster, Options(options))
        try:
            assert api.AdminApi(gw, lambda error: None).serves(path) is served
        finally:
            await gw.close()


async def test_odd_values(admin):
    """A refusal or an answer, never a 500."""
    uid, long = name(), "a" * 5000
    await admin.run("create_user", uid=uid, display_name="x")
    bucket = await admin.bucket()
    user = f"user?uid={uid}"
    refused = [("get", f"user?uid={long}"), ("get", "user?uid=%00"), ("get", f"user?access-key={long}"), ("put", f"user?uid={long}&display-name=x"),
               ("put", f"user?uid={'a' * 2048}&display-name=x"), ("delete", f"user?uid={long}"), ("get", f"user?quota&uid=u&tenant={long}"),
               ("post", f"{user}&access-key={long}"), ("post", f"{user}&email={long}"), ("post", f"{user}&max-buckets=99999999999"),
               ("put", f"{user}&key&access-key={long}"), ("get", "user?list&max-entries=-1"), ("get", "metadata/user?max-entries=-1"),
               ("get", f"bucket?bucket={long}"), ("get", f"bucket?index&bucket={long}"), ("delete", f"bucket?bucket={long}"),
               ("delete", f"bucket?bucket={long}&object=k"), ("get", f"bucket?policy&bucket={bucket}&object={long}"),
               ("put", f"{user}&quota&quota-type=user&max-size={'9' * 30}"), ("get", f"metadata/user?key={long}"),
               ("get", f"metadata/bucket?key={long}"), ("delete", f"metadata/bucket.instance?key={long}")]
    for method, path in refused:
        resource, _, query = path.partition("?")
        code = await refusal(asyncio.to_thread(admin.client.request, method, f"/admin/{resource}?format=json&{query}"))
        assert code not in ("InternalError", "None"), path
    assert (await admin.run("get_user", uid=uid))["max_buckets"] == 1000
    document = {"key": uid, "ver": {"tag": "", "ver": 1}, "mtime": "", "data": (await admin.run("get_metadata", metadata_type="user", key=uid))["data"]}
    document["data"]["max_buckets"] = 1 << 40
    assert await refusal(admin.run("put_metadata", metadata_type="user", key=uid, json_string=json.dumps(document))) == "InvalidArgument"
