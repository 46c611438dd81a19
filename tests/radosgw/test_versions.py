"""Buckets with versions, crossed: what one gateway does to versions the other shows, changes and removes, and radosgw's tools find sane."""

from __future__ import annotations

import asyncio
import secrets
from unittest import mock

import pytest
from botocore.exceptions import ClientError

from rgw.core import olh
from rgw.core.gateway import Gateway
from rgw.core.head import existing_head
from rgw.core.options import Options
from rgw.store.interface import WriteOp
from rgw.store.librados import connect
from tests.core.helpers import put
from tests.core.killed_radosgw import STATES, KilledRadosgw
from tests.radosgw import tools

MIB = 1 << 20


def versions(client, bucket):
    """Every version and marker: (key, version, latest, marker, size, ETag, owner)."""
    found, markers = [], set()
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 3}):
        marker = (page["KeyMarker"], page.get("VersionIdMarker", ""))
        assert marker not in markers, f"the listing begins again at {marker}: {found[-12:]}"
        markers.add(marker)
        for row in page.get("Versions", []):
            found.append((row["Key"], row["VersionId"], row["IsLatest"], False, row["Size"], row["ETag"], row["Owner"]["ID"]))
        for row in page.get("DeleteMarkers", []):
            found.append((row["Key"], row["VersionId"], row["IsLatest"], True, 0, "", row["Owner"]["ID"]))
    return sorted(found)


def status(client, bucket, value):
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": value})


class Shadow:
    """What the bucket should hold: bytes by (key, version)."""

    def __init__(self, crossed):
        self.crossed, self.held = crossed, {}

    def put(self, end, key, data, **arguments):
        version = end.put_object(Bucket=self.crossed.bucket, Key=key, Body=data, **arguments).get("VersionId", "null")
        self.held[key, version] = data
        return version

    def copy(self, end, key, version):
        """Makes a version the newest again; radosgw does not tell the new one's id."""
        place = {"Bucket": self.crossed.bucket, "Key": key}
        end.copy_object(CopySource={**place, "VersionId": version}, **place)
        new = [row[1] for row in versions(end, self.crossed.bucket) if row[0] == key and row[2]][0]
        self.held[key, new] = self.held[key, version]

    def check(self):
        """Both gateways show the same versions, of the right bytes."""
        crossed = self.crossed
        listings = [versions(end, crossed.bucket) for end in (crossed.write, crossed.check)]
        assert listings[0] == listings[1]
        assert {(row[0], row[1]) for row in listings[0] if not row[3]} == set(self.held)
        for end in (crossed.check, crossed.write):
            for (key, version), data in self.held.items():
                got = end.get_object(Bucket=crossed.bucket, Key=key, VersionId=version)
                assert got["Body"].read() == data, (key, version)
            for key in {row[0] for row in listings[0]}:
                latest = [row for row in listings[0] if row[0] == key and row[2]]
                assert len(latest) == 1, key
                if latest[0][3]:
                    with pytest.raises(ClientError) as refusal:
                        end.get_object(Bucket=crossed.bucket, Key=key)
                    assert refusal.value.response["Error"]["Code"] == "NoSuchKey"
                else:
                    assert end.get_object(Bucket=crossed.bucket, Key=key)["Body"].read() == self.held[key, latest[0][1]]

    def settled(self):
        """Nothing that radosgw-admin cannot reach is left, nothing is missing."""
        assert tools.settled_versions(self.crossed.pair, self.crossed.bucket) == len(self.held)
        self.check()


def test_versions(crossed):
    one, two, shadow = crossed.write, crossed.check, Shadow(crossed)
    place = {"Bucket": crossed.bucket}
    for key in ("k", "_k/ü"):
        shadow.put(one, key, b"before versions")
    status(one, crossed.bucket, "Enabled")
    assert two.get_bucket_versioning(**place)["Status"] == "Enabled"
    for key in ("k", "_k/ü"):
        first = shadow.put(two, key, b"1")
        big = shadow.put(one, key, secrets.token_bytes(5 * MIB))
        shadow.put(two, key, secrets.token_bytes(4 * MIB + 1))
        shadow.check()
        marker = one.delete_object(Key=key, **place)["VersionId"]
        shadow.check()
        two.delete_object(Key=key, VersionId=marker, **place)
        marker = two.delete_object(Key=key, **place)["VersionId"]
        one.delete_object(Key=key, VersionId=marker, **place)
        shadow.check()
        two.delete_object(Key=key, VersionId=big, **place)
        del shadow.held[key, big]
        one.delete_object(Key=key, VersionId="null", **place)
        del shadow.held[key, "null"]
        shadow.check()
        shadow.copy(one, key, first)
        shadow.check()
        assert tools.check_versions(crossed.pair, crossed.bucket) == len(shadow.held)
    one.delete_object(Key="never there", **place)
    two.delete_object(Key="never there either", **place)
    shadow.check()
    for row in versions(two, crossed.bucket):  # everything goes, each by the other gateway than the one before
        one, two = two, one
        one.delete_object(Key=row[0], VersionId=row[1], **place)
        shadow.held.pop((row[0], row[1]), None)
    shadow.check()
    assert versions(one, crossed.bucket) == [] and crossed.pair.radosgw_admin("bi", "list", "--bucket", crossed.bucket) == []
    shadow.settled()


def test_suspended(crossed):
    one, two, shadow = crossed.write, crossed.check, Shadow(crossed)
    place = {"Bucket": crossed.bucket, "Key": "k"}
    status(one, crossed.bucket, "Enabled")
    kept = shadow.put(one, "k", b"kept")
    status(two, crossed.bucket, "Suspended")
    for end in (one, two, one):
        shadow.put(end, "k", secrets.token_bytes(4 * MIB + 9))
        shadow.check()
    for end, other in ((one, two), (two, one)):
        end.delete_object(**place)
        shadow.held.pop(("k", "null"))
        shadow.check()
        shadow.put(other, "k", b"again")
        shadow.check()
        assert tools.check_versions(crossed.pair, crossed.bucket) == len(shadow.held)
    status(one, crossed.bucket, "Enabled")
    shadow.put(two, "k", b"last")
    shadow.check()
    two.delete_object(VersionId="null", **place)
    shadow.held.pop(("k", "null"))
    one.delete_object(VersionId=kept, **place)
    shadow.held.pop(("k", kept))
    shadow.check()
    shadow.settled()


def test_multipart_and_references(crossed):
    one, two, shadow = crossed.write, crossed.check, Shadow(crossed)
    place = {"Bucket": crossed.bucket, "Key": "m"}
    parts = [secrets.token_bytes(5 * MIB), b"end"]
    made = []
    for end in (one, two):  # the first is begun before there are versions, and both change hands
        upload = end.create_multipart_upload(**place)["UploadId"]
        done = [{"PartNumber": number, "ETag": sender.upload_part(UploadId=upload, PartNumber=number, Body=part, **place)["ETag"]}
                for number, (part, sender) in enumerate(zip(parts, (one, two), strict=True), 1)]
        status(one, crossed.bucket, "Enabled")
        other = two if end is one else one
        made.append(other.complete_multipart_upload(UploadId=upload, MultipartUpload={"Parts": done}, **place).get("VersionId"))
    known = [row[1] for row in versions(two, crossed.bucket)]
    assert len(known) == 2 and set(made) <= {*known, None}
    shadow.held = {("m", version): b"".join(parts) for version in known}
    shadow.check()
    for end in (one, two):
        shadow.copy(end, "m", known[0])
    two.delete_object(VersionId=known[0], **place)
    del shadow.held["m", known[0]]
    tools.collect(crossed.pair)
    shadow.check()
    newest = [row[1] for row in versions(one, crossed.bucket) if row[2]][0]
    two.put_object_acl(ACL="public-read", VersionId=newest, **place)
    assert len(one.get_object_acl(VersionId=newest, **place)["Grants"]) == 2
    one.put_object_tagging(Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}, VersionId=newest, **place)
    assert two.get_object_tagging(VersionId=newest, **place)["TagSet"] == [{"Key": "a", "Value": "b"}]
    shadow.settled()


class Died(BaseException):
    """The gateway is gone at this point."""


async def _die_after_link(pair, name):
    """Our gateway puts one key and deletes another, and dies each time when the index has it and the heads do not know yet."""
    cluster = await connect(str(pair.cluster.conf), "client.admin")
    gateway = await Gateway.open(cluster, Options({}))
    try:
        bucket = await gateway.buckets.get(name)
        user = await gateway.users.get(bucket.owner.text())
        with mock.patch.object(olh, "apply_log", side_effect=Died):
            for work in (put(gateway, bucket, "written", b"new", user), gateway.objects.delete(bucket, "marked"),
                         gateway.objects.delete(bucket, "unlinked", (await gateway.objects.head(bucket, "unlinked")).version_id)):
                with pytest.raises(Died):
                    await work
    finally:
        await gateway.close()
        await cluster.close()


def test_what_ours_left_half_done(crossed):
    """radosgw finishes it, or ours: both find announcements on the keys' heads, and the log in the index."""
    reader, other, shadow = crossed.check, crossed.write, Shadow(crossed)
    status(reader, crossed.bucket, "Enabled")
    for key in ("written", "marked", "unlinked"):
        shadow.put(other, key, b"old")
    gone = shadow.put(other, "unlinked", b"gone")
    asyncio.run(_die_after_link(crossed.pair, crossed.bucket))
    del shadow.held["unlinked", gone]
    for end in (reader, other):  # radosgw answers the first read after it repaired by what it had read before
        for key in ("written", "marked", "unlinked"):
            try:
                end.get_object(Bucket=crossed.bucket, Key=key)["Body"].read()
            except ClientError as error:
                assert error.response["Error"]["Code"] == "NoSuchKey"
    new = [row[1] for row in versions(reader, crossed.bucket) if row[0] == "written" and row[2]][0]
    shadow.held["written", new] = b"new"
    shadow.settled()


async def _leave_states(pair, name, cases):
    cluster = await connect(str(pair.cluster.conf), "client.admin")
    gateway = await Gateway.open(cluster, Options({}))
    try:
        bucket = await gateway.buckets.get(name)
        user = await gateway.users.get(bucket.owner.text())
        states = [KilledRadosgw(gateway, bucket, user, change, step, age, prefix) for prefix, change, step, age in cases]
        for state in states:
            await state.leave()
        return states
    finally:
        await gateway.close()
        await cluster.close()


def answer(end, bucket, key):
    """A key's current bytes, None without."""
    try:
        return end.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchKey", key
        return None


@pytest.mark.parametrize("crossed", ["ours-to-radosgw"], indirect=True)
def test_what_a_killed_radosgw_left_half_done(crossed):
    """Ours meets it hours later, or radosgw at once, for when the time is over it forgets announcements without a look at the log."""
    ends, bucket, shadow, hours = {"ours": crossed.ours, "radosgw": crossed.theirs}, crossed.bucket, Shadow(crossed), 3 * 3600
    status(crossed.ours, bucket, "Enabled")
    states = asyncio.run(_leave_states(crossed.pair, bucket, [
        (who + "-", change, step, hours if who == "ours" or step in ("written", "announced") else 0) for who in ends for change, step in STATES] + [
        ("forgotten-", "put", "linked", hours)]))
    for state in states:
        first = crossed.ours if state.key.startswith("ours") else crossed.theirs
        if first is crossed.theirs:
            answer(first, bucket, state.key)  # by what it had read before it repaired
        shown = state.versions[1:] if state.key.startswith("forgotten") else state.versions
        wanted = shown[0][1] if shown else None
        second = crossed.theirs if first is crossed.ours else crossed.ours
        assert [answer(first, bucket, state.key), answer(second, bucket, state.key)] == [wanted, wanted], state.key
    listings = [versions(end, bucket) for end in ends.values()]
    assert listings[0] == listings[1]
    assert [row[:4] for row in listings[0]] == sorted((state.key, version, number == 0, data is None)
                                                      for state in states for number, (version, data) in enumerate(state.versions))
    for state in states:
        shadow.held.update({(state.key, version): data for version, data in state.versions if data is not None})
        shadow.put(crossed.theirs if state.key.startswith("ours") else crossed.ours, state.key, b"after")
    crossed.pair.rgw_admin("bucket", "check", "unlinked", "--bucket", bucket, "--fix")
    shadow.settled()


def dump(pair, *words):
    """What both tools' `bucket check olh` or `unlinked` find; the order is that of the shards, or of the keys."""
    found = []
    for admin in (pair.radosgw_admin, pair.rgw_admin):
        found.append(sorted(admin("bucket", "check", *words, "--dump-keys", "--hide-progress"), key=str))
    assert found[0] == found[1]
    return found[0]


async def _die_half_way(pair, name):
    """Versions that were written and never linked, and keys whose last version was unlinked and never removed."""
    cluster = await connect(str(pair.cluster.conf), "client.admin")
    gateway = await Gateway.open(cluster, Options({}))
    try:
        bucket = await gateway.buckets.get(name)
        user = await gateway.users.get(bucket.owner.text())
        for key in ("unlinked", "_unlinked"):
            with mock.patch.object(olh, "link", side_effect=Died), pytest.raises(Died):
                await put(gateway, bucket, key, b"x", user)
        for key in ("removed", "_removed"):
            version = (await put(gateway, bucket, key, b"x", user)).version_id
            with mock.patch.object(olh, "apply_log", side_effect=Died), pytest.raises(Died):
                await gateway.objects.delete(bucket, key, version)
            head = await existing_head(gateway, bucket, key)
            op = WriteOp()
            for attr in head.attrs:
                if attr.startswith("user.rgw.olh.pending."):
                    op.rmxattr(attr)  # as if it were hours ago
            await olh.write_head(gateway, bucket, key, op)
    finally:
        await gateway.close()
        await cluster.close()


@pytest.mark.parametrize("crossed", ["ours-to-radosgw"], indirect=True)
def test_what_radosgw_admin_harms_and_half_done_versions_are_mended(crossed):
    one, two, shadow, pair = crossed.write, crossed.check, Shadow(crossed), crossed.pair
    for key in ("k", "_k"):
        shadow.put(one, key, b"before versions")
    status(one, crossed.bucket, "Enabled")
    for key in ("k", "_k"):
        shadow.put(two, key, b"1")
        shadow.put(one, key, b"2")
        one.delete_object(Bucket=crossed.bucket, Key=key)
    name = ("--bucket", crossed.bucket)
    check = ("bucket", "check", *name, "--check-objects")
    assert pair.rgw_admin(*check)["differences"] == []
    pair.cluster.run("radosgw-admin", "-n", "client.admin", *check, "--fix", timeout=60)
    harmed = pair.rgw_admin(*check)["differences"]
    assert {row["object"] for row in harmed} <= {"k", "__k"} and harmed
    assert all(row["mended"] for row in pair.rgw_admin(*check, "--fix")["differences"])
    shadow.check()
    asyncio.run(_die_half_way(pair, crossed.bucket))
    assert dump(pair, "olh", *name) == ["__removed", "removed"]
    assert {row["name"] for row in dump(pair, "unlinked", *name, "--min-age-hours", "0")} == {"unlinked", "__unlinked"}
    assert dump(pair, "unlinked", *name) == []  # they are young
    pair.rgw_admin("bucket", "check", "olh", *name, "--fix")
    pair.rgw_admin("bucket", "check", "unlinked", *name, "--min-age-hours", "0", "--fix")
    assert dump(pair, "olh", *name) == dump(pair, "unlinked", *name, "--min-age-hours", "0") == []
    assert pair.rgw_admin(*check)["differences"] == []
    version = next(version for key, version in shadow.held if key == "k" and version != "null")
    pair.rgw_admin("object", "unlink", *name, "--object", "k", "--object-version", version)
    assert ("k", version) not in {row[:2] for row in versions(two, crossed.bucket)}
    pair.rgw_admin(*check, "--fix")
    shadow.settled()
