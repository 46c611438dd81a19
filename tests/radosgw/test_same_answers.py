"""rgw-admin and radosgw-admin print the same JSON of the same things, and both Admin Ops APIs answer alike."""

from __future__ import annotations

import asyncio
import json
import secrets
import urllib.error
import urllib.request
from typing import Any
from xml.etree import ElementTree

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from rgwadmin import RGWAdmin
from rgwadmin.exceptions import RGWAdminException

from tests.radosgw.conftest import Pair, client

MIB = 1 << 20


def both(pair: Pair, *arguments: str) -> tuple[Any, Any]:
    return pair.rgw_admin(*arguments), pair.radosgw_admin(*arguments)


def same(pair: Pair, *arguments: str) -> Any:
    """Both tools print the same; what it is."""
    ours, theirs = both(pair, *arguments)
    assert ours == theirs
    return ours


@pytest.fixture(scope="module")
def stage(pair):
    """A user with all there is to a user, and a bucket with all kinds of objects, made by the two in turn."""
    uid = f"u{secrets.token_hex(4)}"
    ours, theirs = pair.rgw_admin, pair.radosgw_admin
    key = ours("user", "create", "--uid", uid, "--display-name", "Ünï", "--email", f"{uid}@x.org", "--max-buckets", "7",
               "--caps", "users=*;buckets=*;metadata=*;usage=*;zone=read", "--op-mask", "read, write, delete")["keys"][0]
    theirs("subuser", "create", "--uid", uid, "--subuser", "sub", "--access", "readwrite", "--key-type", "s3", "--gen-access-key")
    ours("subuser", "create", "--uid", uid, "--subuser", "swift", "--access", "full", "--key-type", "swift", "--gen-secret")
    theirs("quota", "set", "--uid", uid, "--quota-scope", "user", "--max-size", "10G", "--max-objects", "100")
    ours("quota", "enable", "--uid", uid, "--quota-scope", "user")
    ours("quota", "set", "--uid", uid, "--quota-scope", "bucket", "--max-size", "1000000000", "--max-objects", "40")
    ends = [client(url, key["access_key"], key["secret_key"]) for url in (pair.ours, pair.theirs)]
    bucket = f"b{secrets.token_hex(4)}"
    ends[0].create_bucket(Bucket=bucket)
    ends[0].put_object(Bucket=bucket, Key="small", Body=b"hello", ContentType="text/plain", Metadata={"m": "v"})
    ends[1].put_object(Bucket=bucket, Key="empty", Body=b"")
    ends[0].put_object(Bucket=bucket, Key="_large", Body=b"x" * (9 * MIB), ACL="public-read")
    for end, name, complete in ((ends[0], "joined", True), (ends[1], "theirs", True), (ends[0], "open", False)):
        upload = end.create_multipart_upload(Bucket=bucket, Key=name)["UploadId"]
        parts = [{"PartNumber": n, "ETag": end.upload_part(Bucket=bucket, Key=name, UploadId=upload, PartNumber=n, Body=b"y" * size)["ETag"]}
                 for n, size in ((1, 5 * MIB), (2, 6 * MIB))]
        if complete:
            end.complete_multipart_upload(Bucket=bucket, Key=name, UploadId=upload, MultipartUpload={"Parts": parts})
    ours("quota", "set", "--bucket", bucket, "--quota-scope", "bucket", "--max-objects", "50")
    yield pair, uid, bucket, key
    for end in ends:
        end.close()


def test_users(stage):
    pair, uid, _, _ = stage
    shown = same(pair, "user", "info", "--uid", uid)
    assert len(shown["keys"]) == 2 and len(shown["swift_keys"]) == 1 and len(shown["subusers"]) == 2 and len(shown["caps"]) == 5
    assert shown["user_quota"]["enabled"] and shown["bucket_quota"]["max_objects"] == 40
    ours, theirs = both(pair, "user", "list")
    assert sorted(ours) == sorted(theirs)
    ours, theirs = both(pair, "user", "stats", "--uid", uid, "--sync-stats")
    assert ours["stats"] == theirs["stats"] and ours["stats"]["num_objects"] > 0
    same(pair, "user", "stats", "--uid", uid)


def test_one_bucket_of_a_user(stage):
    """The other tool sums up what this one had not; the time of the last sum of all stays."""
    pair, uid, bucket, key = stage
    before = same(pair, "user", "stats", "--uid", uid, "--bucket", bucket)
    end = client(pair.theirs, key["access_key"], key["secret_key"])
    for number, admin in enumerate((pair.rgw_admin, pair.radosgw_admin)):
        end.put_object(Bucket=bucket, Key=f"more{number}", Body=b"12345")
        admin("user", "stats", "--uid", uid, "--bucket", bucket, "--sync-stats")
        now = same(pair, "user", "stats", "--uid", uid)
        assert now["stats"]["num_objects"] == before["stats"]["num_objects"] + number + 1 and now["last_stats_sync"] == before["last_stats_sync"]
    for number in range(2):
        end.delete_object(Bucket=bucket, Key=f"more{number}")
    end.close()


@pytest.mark.parametrize("arguments", [
    ("bucket", "stats"), ("bucket", "list"), ("bucket", "check"), ("bi", "get", "--object", "small"), ("bi", "list", "--object", "small"),
    ("policy", "--object", "_large"), ("lc", "reshard", "fix"), ("bi", "list", "--shard-id", "1"), ("bucket", "check", "--check-head-obj-locator"),
], ids=" ".join)
def test_buckets(stage, arguments):
    pair, _, bucket, _ = stage
    assert same(pair, *arguments, "--bucket", bucket)


@pytest.mark.parametrize("arguments", [("bi", "list"), ("bucket", "radoslist")], ids=" ".join)
def test_lists_in_any_order(stage, arguments):
    pair, _, bucket, _ = stage
    ours, theirs = both(pair, *arguments, "--bucket", bucket)
    if isinstance(ours, str):
        ours, theirs = set(ours.split()), set(theirs.split())  # radosgw names some twice
        assert len(ours) >= 16
        assert ours == theirs
    else:
        assert sorted(ours, key=str) == sorted(theirs, key=str) and len(ours) == 8


@pytest.mark.parametrize("key", ["small", "_large", "joined", "theirs"])
def test_objects(stage, key):
    pair, _, bucket, _ = stage
    ours, theirs = both(pair, "object", "stat", "--bucket", bucket, "--object", key)
    for iterator in ("begin_iter", "end_iter"):  # of radosgw's own memory, not of the object
        theirs["manifest"].pop(iterator)
    assert ours == theirs


def test_metadata_and_zones(stage):
    pair, uid, bucket, _ = stage
    same(pair, "metadata", "list")
    same(pair, "metadata", "get", f"user:{uid}")
    point = same(pair, "metadata", "get", f"bucket:{bucket}")
    same(pair, "metadata", "get", f"bucket.instance:{bucket}:{point['data']['bucket']['bucket_id']}")
    for section in ("user", "bucket.instance"):
        ours, theirs = both(pair, "metadata", "list", section)
        assert sorted(ours) == sorted(theirs)
    for what in ("zone", "zonegroup"):
        shown = same(pair, what, "get")
        same(pair, what, "get", f"--{what}-id", shown["id"])
    for line in ("realm list", "period list"):
        same(pair, *line.split())
    assert same(pair, "bucket", "stats", "--bucket-id", point["data"]["bucket"]["bucket_id"])["bucket"] == bucket


def test_a_head_that_is_missing(stage):
    pair, _, _, key = stage
    end, bucket = client(pair.ours, key["access_key"], key["secret_key"]), f"m{secrets.token_hex(4)}"
    end.create_bucket(Bucket=bucket)
    for name in ("_lost", "_there"):
        end.put_object(Bucket=bucket, Key=name, Body=b"x")
    marker = pair.rgw_admin("bucket", "stats", "--bucket", bucket)["marker"]
    pair.cluster.run("rados", "-p", pair.data_pools[0], "--object-locator", f"{marker}__lost", "rm", f"{marker}___lost")
    ours, theirs = both(pair, "bucket", "check", "--check-head-obj-locator", "--bucket", bucket)
    assert ours == theirs and [place["status"] for place in ours["check_objects"]] == ["needs_fixing", "ok", "ok", "ok"]
    pair.rgw_admin("bucket", "rm", "--bucket", bucket, "--purge-objects", "--bypass-gc")
    assert bucket not in pair.radosgw_admin("bucket", "list")
    end.close()


def test_instances_that_were_left(stage, tmp_path):
    """Both tell them; after ours removed them, the bucket is as it was."""
    pair, _, bucket, _ = stage
    bucket_id = pair.rgw_admin("metadata", "get", f"bucket:{bucket}")["data"]["bucket"]["bucket_id"]
    record = pair.rgw_admin("metadata", "get", f"bucket.instance:{bucket}:{bucket_id}")
    keys, file = [], tmp_path / "instance.json"
    for number in (1, 2):
        record["data"]["bucket_info"]["bucket"]["bucket_id"] = f"{bucket_id}.{number}"
        keys.append(f"{bucket}:{bucket_id}.{number}")
        file.write_text(json.dumps(record), encoding="utf-8")
        pair.rgw_admin("metadata", "put", f"bucket.instance:{keys[-1]}", "--infile", str(file))
    ours, theirs = both(pair, "reshard", "stale-instances", "list")
    assert sorted(ours) == sorted(theirs) == keys
    removed = pair.rgw_admin("reshard", "stale-instances", "delete")
    assert sorted(removed, key=str) == [{"bucket_instance": key, "status": 0} for key in keys]
    assert same(pair, "reshard", "stale-instances", "list") == []
    assert pair.radosgw_admin("bucket", "stats", "--bucket", bucket)["id"] == bucket_id


def test_a_record_that_ours_stores_is_read_by_radosgw(stage, tmp_path):
    pair, uid, bucket, _ = stage
    record = pair.radosgw_admin("metadata", "get", f"user:{uid}")
    record["data"]["display_name"] = "Edited"
    file = tmp_path / "user.json"
    file.write_text(json.dumps(record), encoding="utf-8")
    pair.rgw_admin("metadata", "put", f"user:{uid}", "--infile", str(file))
    shown = same(pair, "metadata", "get", f"user:{uid}")
    assert shown["data"] == record["data"] and shown["ver"]["ver"] == record["ver"]["ver"] + 1
    name = f"bucket.instance:{bucket}:{pair.rgw_admin('metadata', 'get', f'bucket:{bucket}')['data']['bucket']['bucket_id']}"
    record = pair.radosgw_admin("metadata", "get", name)
    file.write_text(json.dumps(record), encoding="utf-8")
    pair.rgw_admin("metadata", "put", name, "--infile", str(file))
    shown = same(pair, "metadata", "get", name)
    assert shown["data"] == record["data"]


def test_garbage(stage):
    pair, uid, bucket, key = stage
    end = client(pair.theirs, key["access_key"], key["secret_key"])
    end.put_object(Bucket=bucket, Key="doomed", Body=b"x" * (9 * MIB))
    end.delete_object(Bucket=bucket, Key="doomed")
    end.close()
    ours, theirs = both(pair, "gc", "list", "--include-all")
    assert ours and sorted(ours, key=str) == sorted(theirs, key=str)


def test_owners_change(stage):
    """A bucket goes to another user and back, under another name and back, by either tool; the other one sees it."""
    pair, uid, bucket, key = stage
    other = f"o{secrets.token_hex(4)}"
    pair.radosgw_admin("user", "create", "--uid", other, "--display-name", "Other")
    renamed = f"new{bucket}"
    pair.rgw_admin("bucket", "link", "--bucket", bucket, "--uid", other, "--bucket-new-name", renamed)
    assert pair.radosgw_admin("bucket", "list", "--uid", other) == [renamed]
    assert pair.radosgw_admin("bucket", "list", "--uid", uid) == []
    assert same(pair, "bucket", "stats", "--bucket", renamed)["owner"] == other
    pair.radosgw_admin("bucket", "link", "--bucket", renamed, "--uid", uid, "--bucket-new-name", bucket)
    assert pair.rgw_admin("bucket", "list", "--uid", uid) == [bucket]
    pair.rgw_admin("bucket", "chown", "--bucket", bucket, "--uid", other)
    assert pair.radosgw_admin("policy", "--bucket", bucket, "--object", "small")["owner"]["id"] == other
    pair.radosgw_admin("bucket", "chown", "--bucket", bucket, "--uid", uid)
    pair.rgw_admin("bucket", "unlink", "--bucket", bucket, "--uid", uid)
    assert pair.radosgw_admin("bucket", "list", "--uid", uid) == []
    pair.radosgw_admin("bucket", "link", "--bucket", bucket, "--uid", uid)
    assert same(pair, "bucket", "list", "--uid", uid) == [bucket]
    assert pair.radosgw_admin("bucket", "check", "--bucket", bucket)["invalid_multipart_entries"] == []


def _answer(api: RGWAdmin, method: str, path: str) -> Any:
    try:
        return api.request(method, path)
    except RGWAdminException as error:
        return (error.raw or error.code)["Code"]


LOOKS = [
    "user?uid={uid}", "user?uid=nosuch", "user?uid={uid}&stats=true", "user?quota&uid={uid}", "user?quota&uid={uid}&quota-type=user",
    "bucket?uid={uid}", "bucket?bucket={bucket}", "bucket?uid={uid}&stats=true", "bucket?bucket=nosuch", "bucket?policy&bucket={bucket}",
    "bucket?policy&bucket={bucket}&object=_large", "bucket?index&bucket={bucket}", "metadata", "metadata/user?key={uid}",
    "metadata/bucket?key={bucket}", "metadata/user?key=nosuch", "config?type=zone", "nosuch", "usage?uid={uid}",
]


def _tree(element: Any) -> Any:
    if element.tag == "Error":
        return element.findtext("Code")
    return element.tag, (element.text or "") if not len(element) else [_tree(child) for child in element]


def _flat(tree: Any) -> list[Any]:
    return [tree] if isinstance(tree, str) or isinstance(tree[1], str) else [tree[0], *(leaf for child in tree[1] for leaf in _flat(child))]


async def _log_usage(pair: Pair, uid: str) -> None:
    """Some usage of a user, in the log that both read."""
    from rgw.core.gateway import Gateway
    from rgw.core.options import Options
    from rgw.store.librados import connect

    cluster = await connect(str(pair.cluster.conf), "client.admin")
    gateway = await Gateway.open(cluster, Options({}))
    gateway.usage.count(uid, "somewhere", "put_obj", 1, 2, True)
    gateway.usage.count(uid, "elsewhere", "get_obj", 3, 4, True)
    await gateway.usage.flush()
    await gateway.close()
    await cluster.close()


def test_answers_in_xml(stage):
    """The same elements by the same names."""
    pair, uid, bucket, key = stage
    asyncio.run(_log_usage(pair, uid))
    for look in LOOKS:
        if look == "nosuch":
            continue  # no resource, hence no format: radosgw refuses in JSON
        path = f"/admin/{look.format(uid=uid, bucket=bucket)}{'&' if '?' in look else '?'}format=xml"
        trees = []
        for url in (pair.ours, pair.theirs):
            request = AWSRequest("GET", url + path)
            S3SigV4Auth(Credentials(key["access_key"], key["secret_key"]), "s3", "us-east-1").add_auth(request)
            try:
                with urllib.request.urlopen(urllib.request.Request(url + path, headers=dict(request.headers.items()))) as answer:
                    data = answer.read()
            except urllib.error.HTTPError as error:
                data = error.read()
            trees.append(_tree(ElementTree.fromstring(data)))
        assert trees[0] == trees[1], (look, [pair for pair in zip(*map(_flat, trees), strict=False) if pair[0] != pair[1]][:3])


def test_admin_ops(stage):
    """The same requests to both gateways, one after the other: first what only looks, then what changes, ours and theirs in turn."""
    pair, uid, bucket, key = stage
    apis = [RGWAdmin(access_key=key["access_key"], secret_key=key["secret_key"], server=url.removeprefix("http://"), secure=False)
            for url in (pair.ours, pair.theirs)]
    for look in (look.format(uid=uid, bucket=bucket) for look in LOOKS):
        path = f"/admin/{look}{'&' if '?' in look else '?'}format=json"
        ours, theirs = (_answer(api, "get", path) for api in apis)
        assert ours == theirs, look
    other = f"n{secrets.token_hex(4)}"
    changes = [
        ("put", "user?uid={u}&display-name=New&access-key=K{u}&secret-key=S"), ("put", "user?uid={u}&display-name=New"),
        ("post", "user?uid={u}&max-buckets=3&suspended=1"), ("put", "user?key&uid={u}&access-key=J{u}&secret-key=T"),
        ("delete", "user?key&uid={u}&access-key=J{u}"), ("delete", "user?key&uid={u}&access-key=J{u}"),
        ("put", "user?uid={u}&subuser=s&access=read"), ("post", "user?uid={u}&subuser=s&access=full"), ("delete", "user?uid={u}&subuser=s"),
        ("put", "user?caps&uid={u}&user-caps=users%3Dread"), ("put", "user?caps&uid={u}&user-caps=nonsense%3Dread"),
        ("delete", "user?caps&uid={u}&user-caps=users%3Dread"), ("put", "user?quota&uid={u}&quota-type=user&max-objects=3&enabled=true"),
        ("get", "user?uid={u}"), ("delete", "user?uid={u}"), ("delete", "user?uid={u}"), ("put", "user?uid={u}"),
    ]
    for method, change in changes:
        answers = []
        for api, name in zip(apis, (f"{other}x", f"{other}y"), strict=True):
            answer = _answer(api, method, f"/admin/{change.format(u=name)}&format=json")
            answers.append(json.loads(json.dumps(answer).replace(name, "NAME")))
        assert answers[0] == answers[1], (method, change)
