"""Collects the golden bytes: ``python -m tests.formats.collect`` starts a Ceph cluster with a radosgw, has radosgw write one of everything,
and keeps what it wrote in ``tests/formats/data``: ``<type>[-what].bin`` for structures, ``placed.json`` for names, hashes and shards.

What radosgw and radosgw-admin ask of object classes is taken down by ``capture.c``, which needs a C compiler.
Nothing here is written by this project's own encoder: our code only reads RADOS.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from rgw.formats.encoding import decode_string
from rgw.formats.gc import QueueHead
from rgw.formats.index import DirEntry
from rgw.formats.misc import CacheNotifyInfo
from rgw.formats.obj import ObjManifest
from rgw.store import classes
from rgw.store.classcall import ClassMethod
from rgw.store.errors import NotFound
from rgw.store.interface import Cluster, ReadOp
from rgw.store.librados import connect
from tests.cephcluster import CephCluster

DATA = Path(__file__).parent / "data"
FOUND = Path(tempfile.mkdtemp(prefix="pyrgw-found-"))  # becomes DATA once all is there
MIB = 1 << 20
CLASSES = {"ZLIB": "zlib", "COLD": ""}
KEYS = ["a", "_a", "__b", "dir/ünï\U0001f600", "x" * 1024, "100%", "a b+c", "2021/01/01/x.log", "..", "ß"]
DULL = {key if key[0] != "_" else "_" + key for key in KEYS[1:]}  # like "a" but for their names
HEAD_XATTRS = {"user.rgw.manifest": "ObjManifest", "user.rgw.acl": "AccessControlPolicy", "user.rgw.compression": "CompressionInfo",
               "user.rgw.x-amz-tagging": "ObjTags", "user.rgw.olh.info": "OlhInfo", "user.rgw.object-retention": "ObjectRetention",
               "user.rgw.object-legal-hold": "ObjectLegalHold", "refcount": "ObjRefcount", "ceph.objclass.version": "ObjVersion",
               "user.rgw.lc": "LifecycleConfiguration", "lock.held": "LockInfo"}


def keep(kind: str, what: str, data: bytes) -> None:
    """Writes one structure's bytes."""
    assert len(data) < 16384, (kind, what, len(data))
    (FOUND / f"{kind}{'-' + what if what else ''}.bin").write_bytes(data)


def keep_xattrs(what: str, xattrs: dict[str, bytes]) -> None:
    for name, kind in HEAD_XATTRS.items():
        if name in xattrs:
            keep(kind, what, xattrs[name])


class Collector:
    """One radosgw, seen through S3, its admin tool, and RADOS."""

    def __init__(self, ceph: CephCluster, rados: Cluster, endpoint: str) -> None:
        self.ceph, self.rados, self.endpoint = ceph, rados, endpoint
        self.placed: dict[str, list[Any]] = {"bucket_shard": [], "gc_shard": [], "lc_shard": [], "notify_oid": []}
        self.notices: list[tuple[str, bytes]] = []

    async def admin(self, *words: str) -> Any:
        text = await asyncio.to_thread(self.ceph.run, "radosgw-admin", "-n", "client.admin", *words, timeout=60)
        try:
            return json.loads(text)
        except ValueError:
            return text

    async def pool(self, name: str, namespace: str = "") -> Any:
        return await self.rados.open_pool(name, namespace)

    async def watch(self) -> None:
        """Listens to what radosgw announces."""
        control = await self.pool("default.rgw.control")
        for number in range(8):
            oid = f"notify.{number}"
            await control.watch(oid, lambda payload, oid=oid: self.notices.append((oid, payload)), lambda: None)

    async def zone(self) -> None:
        root = await self.pool(".rgw.root")
        async for found in root.list_objects():
            data = (await root.read(found.name, ReadOp().read())).data
            for start, kind in {"zone_info.": "ZoneParams", "zonegroup_info.": "ZoneGroup", "zone_names.": "NameToId",
                                "period_config.": "PeriodConfig"}.items():
                if found.name.startswith(start):
                    keep(kind, "", data)

    async def user(self, uid: str, what: str) -> None:
        ioctx = await self.pool("default.rgw.meta", "users.uid")
        result = await ioctx.read(uid, ReadOp().getxattrs().read())
        _, at = decode_string(result.data)
        keep("UserInfo", what, result.data[at:])
        keep_xattrs(f"user-{what}", result.xattrs)

    async def buckets_of(self, uid: str) -> None:
        ioctx = await self.pool("default.rgw.meta", "users.uid")
        result = await ioctx.read(f"{uid}.buckets", ReadOp().omap_get().omap_get_header())
        keep("UserHeader", "", result.omap_header)
        keep("UserBucketEntry", "", next(iter(result.omap.values.values())))

    async def bucket(self, name: str, what: str) -> str:
        """The bucket's own objects; its id."""
        root = await self.pool("default.rgw.meta", "root")
        keep("BucketEntryPoint", what, (await root.read(name, ReadOp().read())).data)
        instance = (await self.admin("bucket", "stats", "--bucket", name))["id"]
        result = await root.read(f".bucket.meta.{name.replace('/', ':')}:{instance}", ReadOp().getxattrs().read())
        keep("BucketInfo", what, result.data)
        keep_xattrs(f"bucket-{what}", result.xattrs)
        return str(instance)

    async def index(self, instance: str, shards: int, what: str) -> None:
        """Entries of every form, and on which shard each lies."""
        pool = await self.pool("default.rgw.buckets.index")
        wanted = {b"": "plain", b"\x801000_": "instance", b"\x801001_": "olh"}
        for shard in range(max(shards, 1)):
            oid = f".dir.{instance}.{shard}" if shards else f".dir.{instance}"
            result = await pool.read(oid, ReadOp().omap_get().omap_get_header())
            if result.omap.values:
                keep("DirHeader", what, result.omap_header)
            for key, value in result.omap.values.items():
                start = next((p for p in wanted if p and key.startswith(p)), b"")
                kind = "OlhEntry" if start == b"\x801001_" else "DirEntry"
                form = wanted[start] if start or b"\0" not in key else "version"
                keep(kind, f"{what}-{form}", value)
                if kind == "DirEntry" and not start and b"\0" not in key and shards:
                    name = DirEntry.decode(value).name
                    name = name[1:] if name.startswith("__") else name
                    if not name.startswith("_multipart_"):
                        self.placed["bucket_shard"].append([name, shards, shard])

    async def heads(self, marker: str, what: str) -> None:
        """Xattrs of a bucket's objects and tails."""
        for pool_name in ("default.rgw.buckets.data", "default.rgw.buckets.non-ec"):
            pool = await self.pool(pool_name)
            async for found in pool.list_objects():
                name = found.name.removeprefix(marker + "_")
                if name == found.name or name in DULL:
                    continue
                result = await pool.read(found.name, ReadOp().getxattrs().stat().omap_get(), locator=found.locator)
                label = "tail" if name.startswith("_shadow_") else "part" if "_multipart_" in name else "head"
                manifest = result.xattrs.get("user.rgw.manifest")
                if manifest:
                    label = name.strip("_:/").split("/")[-1][:20]
                    label = "".join(c if c.isalnum() else "." for c in label) if label.isascii() else "unicode"
                    if ":" in name[:3]:
                        label = "version"
                keep_xattrs(f"{what}-{label}", result.xattrs)
                if name.endswith(".meta"):
                    keep("MultipartUploadInfo", what, (await pool.read(found.name, ReadOp().read())).data)
                    for key, value in result.omap.values.items():
                        if key.startswith(b"part."):
                                keep("UploadPartInfo", f"{what}-{name.split('.')[0].removeprefix('_multipart_')}-{int(key[5:])}", value)

    async def garbage(self) -> None:
        """Queue heads and entries, and on which queue each tag lies."""
        pool = await self.pool("default.rgw.log", "gc")
        for queue in range(32):
            try:
                data = (await pool.read(f"gc.{queue}", ReadOp().read())).data
            except NotFound:
                continue
            magic, size = struct.unpack_from("<HQ", data)
            assert magic == 0xDEAD
            head = QueueHead.decode(data[10:10 + size])
            at = head.front.offset
            if at < head.tail.offset:
                keep("QueueHead", "", data[10:10 + size])
                keep("GcUrgentData", "", head.urgent_data)
            while at < head.tail.offset:
                magic, size = struct.unpack_from("<HQ", data, at)
                assert magic == 0xBEEF
                entry = data[at + 10:at + 10 + size]
                keep("GcObjInfo", "", entry)
                self.placed["gc_shard"].append([decode_string(entry[6:])[0], 32, queue])
                at += 10 + size

    async def logs(self) -> None:
        """Lifecycle and reshard entries."""
        pool = await self.pool("default.rgw.log", "lc")
        for number in range(32):
            try:
                result = await pool.read(f"lc.{number}", ReadOp().omap_get().omap_get_header())
            except NotFound:
                continue
            if result.omap_header:
                keep("LcHead", "", result.omap_header)
            for key, value in result.omap.values.items():
                keep("LcEntry", "", value)
                self.placed["lc_shard"].append([key.decode(), 32, number])
        pool = await self.pool("default.rgw.log", "reshard")
        async for found in pool.list_objects():
            for value in (await pool.read(found.name, ReadOp().omap_get())).omap.values.values():
                keep("ReshardEntry", "", value)

    async def usage(self) -> None:
        pool = await self.pool("default.rgw.log", "usage")
        async for found in pool.list_objects():
            for value in (await pool.read(found.name, ReadOp().omap_get())).omap.values.values():
                keep("UsageLogEntry", "", value)

    async def lock(self) -> None:
        """Of one who holds it for long, by Ceph's own tool."""
        await asyncio.to_thread(self.ceph.run, "rados", "-n", "client.admin", "-p", "default.rgw.log", "lock", "get", "somewhere", "held",
                                "--lock-cookie", "cookie", "--lock-tag", "tag", "--lock-description", "words", "--lock-duration", "1000")
        pool = await self.pool("default.rgw.log")
        keep_xattrs("", (await pool.read("somewhere", ReadOp().getxattrs())).xattrs)

    def requests(self, folder: Path) -> None:
        """The longest that was seen of each method; and an announcement of a change of versions."""
        keep("OlhPendingInfo", "", next(folder.glob("setxattr.pending.*")).read_bytes())
        for method in [value for value in vars(classes).values() if isinstance(value, ClassMethod) and value.request is not None]:
            seen = [path.read_bytes() for path in folder.glob(f"{method.cls}.{method.name}.*")]
            if whole := [data for data in seen if len(data) < 4096]:
                kind = method.request
                keep(f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}", method.name, max(whole, key=len))
            else:
                print(f"radosgw was not seen to call {method.cls}.{method.name}")

    def announced(self) -> None:
        """What came over the control objects, and by which of them."""
        forms: dict[str, bytes] = {}
        for oid, payload in self.notices:
            info = CacheNotifyInfo.decode(payload)
            found = [info.obj.pool.name, info.obj.pool.ns, info.obj.oid, oid]
            if found not in self.placed["notify_oid"]:
                self.placed["notify_oid"].append(found)
            forms["invalidate" if info.op else "update"] = payload
        for what, payload in forms.items():
            keep("CacheNotifyInfo", what, payload)


def act(s3: Any) -> None:
    """One of everything over S3."""
    s3.create_bucket(Bucket="plain")
    for key in KEYS:
        s3.put_object(Bucket="plain", Key=key, Body=key.encode(), Metadata={"colour": "blue"})
    s3.put_object(Bucket="plain", Key="big", Body=bytes(9 * MIB), Tagging="a=b&c=d", ACL="public-read", ContentType="text/x")
    s3.put_object(Bucket="plain", Key="_low", Body=bytes(5 * MIB))
    s3.put_object(Bucket="plain", Key="cold", Body=bytes(5 * MIB), StorageClass="COLD")
    s3.put_object(Bucket="plain", Key="zipped", Body=b"zip" * MIB, StorageClass="ZLIB")
    for key, sizes in {"equal": (5, 5, 5), "unequal": (5, 7, 1), "single": (5,)}.items():
        upload = s3.create_multipart_upload(Bucket="plain", Key=key)["UploadId"]
        place = {"Bucket": "plain", "Key": key, "UploadId": upload}
        parts = [{"PartNumber": n, "ETag": s3.upload_part(PartNumber=n, Body=bytes([n]) * size * MIB, **place)["ETag"]}
                 for n, size in enumerate(sizes, 1)]
        s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **place)
    for key in ("open", "zippedparts"):
        place = {"Bucket": "plain", "Key": key}
        place["UploadId"] = s3.create_multipart_upload(**place, **({"StorageClass": "ZLIB"} if key != "open" else {}))["UploadId"]
        for n, size in ((1, 5), (2, 6), (2, 7)):
            s3.upload_part(PartNumber=n, Body=bytes(size * MIB), **place)
    s3.create_bucket(Bucket="other", ACL="public-read-write")
    for key in ("big", "unequal"):
        s3.copy_object(Bucket="other", Key=f"copy{key}", CopySource={"Bucket": "plain", "Key": key})
    s3.create_bucket(Bucket="versions", ObjectLockEnabledForBucket=True)
    s3.put_object(Bucket="versions", Key="v", Body=bytes(5 * MIB), ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate="2040-01-01T00:00:00Z",
                  ObjectLockLegalHoldStatus="ON")
    s3.put_object(Bucket="versions", Key="v", Body=b"2")
    s3.delete_object(Bucket="versions", Key="v")
    s3.put_object_lock_configuration(Bucket="versions", ObjectLockConfiguration={
        "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 3}}})
    s3.create_bucket(Bucket="paused")
    s3.put_bucket_versioning(Bucket="paused", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="paused", Key="v", Body=b"1")
    s3.put_bucket_versioning(Bucket="paused", VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket="paused", Key="v", Body=bytes(5 * MIB))
    s3.put_bucket_lifecycle_configuration(Bucket="other", LifecycleConfiguration={"Rules": [
        {"ID": "old", "Prefix": "tmp/", "Status": "Enabled", "Expiration": {"Days": 30}},
        {"ID": "new", "Status": "Disabled", "Filter": {"And": {"Prefix": "log/", "Tags": [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}]}},
         "Expiration": {"Days": 400}, "Transitions": [{"Days": 5, "StorageClass": "COLD"}, {"Days": 9, "StorageClass": "ZLIB"}]},
        {"ID": "versions", "Status": "Enabled", "Filter": {"Prefix": "v"}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
         "NoncurrentVersionExpiration": {"NoncurrentDays": 7}, "NoncurrentVersionTransitions": [{"NoncurrentDays": 3, "StorageClass": "COLD"}]},
        {"ID": "markers", "Status": "Enabled", "Filter": {"Prefix": "m"}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
        {"ID": "date", "Status": "Enabled", "Filter": {"Prefix": "d"}, "Expiration": {"Date": "2040-01-01T00:00:00Z"}}]})
    s3.put_bucket_acl(Bucket="other", ACL="authenticated-read")
    for _ in range(12):
        s3.put_object(Bucket="plain", Key="gone", Body=bytes(5 * MIB))
    s3.delete_object(Bucket="plain", Key="gone")


def end(s3: Any) -> None:
    """What takes things away again."""
    for bucket in ("paused", "versions"):
        found = s3.list_object_versions(Bucket=bucket)
        for row in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
            hold = {"Bucket": bucket, "Key": row["Key"], "VersionId": row["VersionId"]}
            if bucket == "versions" and row in found["Versions"]:
                s3.put_object_legal_hold(LegalHold={"Status": "OFF"}, **hold)
            s3.delete_object(BypassGovernanceRetention=bucket == "versions", **hold)
    s3.meta.events.register("before-sign.s3.DeleteObject", lambda request, **_: request.headers.add_header(
        "x-amz-delete-if-unmodified-since", "2038-01-01T00:00:00Z"))
    s3.delete_object(Bucket="plain", Key="cold")
    s3.delete_bucket(Bucket="paused")
    uploads = s3.list_multipart_uploads(Bucket="plain")["Uploads"]
    s3.abort_multipart_upload(Bucket="plain", Key=uploads[0]["Key"], UploadId=uploads[0]["UploadId"])


def capture(folder: Path) -> None:
    """Has every program that is started from now on take down its requests."""
    shim = folder / "capture.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, Path(__file__).parent / "capture.c", "-ldl"], check=True)
    os.environ |= {"LD_PRELOAD": str(shim), "RADOS_REQUESTS": str(folder)}


async def main() -> None:
    ceph = CephCluster(Path(tempfile.mkdtemp(prefix="pyrgw-golden-")))
    try:
        await asyncio.to_thread(ceph.start)
        (requests := ceph.folder / "requests").mkdir()
        capture(requests)
        await asyncio.to_thread(ceph.start_radosgw, None, ["rgw_enable_usage_log=true"])  # which makes the zone
        for name, compression in CLASSES.items():
            await asyncio.to_thread(ceph.add_storage_class, name, f"data.{name.lower()}", compression)
        endpoint = await asyncio.to_thread(ceph.restart_radosgw)
        rados = await connect(str(ceph.conf), "client.admin")
        collector = Collector(ceph, rados, endpoint)
        await collector.watch()
        made = await collector.admin("user", "create", "--uid", "golden", "--display-name", "Gölden", "--email", "g@example.com",
                                     "--caps", "users=read;buckets=*", "--access-key", "GOLDENKEY", "--secret", "not a secret")
        await collector.admin("key", "create", "--uid", "golden", "--access-key", "SECONDKEY", "--secret", "not a secret either")
        await collector.admin("subuser", "create", "--uid", "golden", "--subuser", "golden:swift", "--access", "full", "--secret-key", "swift")
        await collector.admin("quota", "set", "--quota-scope", "user", "--uid", "golden", "--max-size", "1G", "--max-objects", "100000")
        await collector.admin("user", "create", "--uid", "guest", "--tenant", "acme", "--display-name", "Guest", "--access-key", "GUESTKEY",
                              "--secret", "not a secret")
        await collector.admin("user", "suspend", "--uid", "acme$guest")

        def client(access: str) -> Any:
            secret = "not a secret"
            return boto3.client("s3", endpoint_url=endpoint, aws_access_key_id=access, aws_secret_access_key=secret, region_name="us-east-1",
                                config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required"))

        assert made["user_id"] == "golden"
        await asyncio.to_thread(act, client("GOLDENKEY"))
        await collector.admin("user", "enable", "--uid", "acme$guest")
        await asyncio.to_thread(lambda: client("GUESTKEY").create_bucket(Bucket="theirs"))
        await asyncio.to_thread(lambda: client("GUESTKEY").put_object(Bucket="theirs", Key="copyme", Body=bytes(5 * MIB)))
        await collector.admin("reshard", "add", "--bucket", "other", "--num-shards", "17")
        await collector.admin("global", "quota", "set", "--quota-scope", "bucket", "--max-objects", "1000", "--max-size", "5G")
        await collector.admin("lc", "process")
        await collector.zone()
        await collector.usage()
        await collector.lock()
        await collector.user("golden", "golden")
        await collector.user("acme$guest", "tenant")
        await collector.buckets_of("golden")
        ids = {what: await collector.bucket(name, what) for name, what in
               (("plain", "plain"), ("other", "other"), ("versions", "locked"), ("paused", "paused"), ("acme/theirs", "tenant"))}
        for what, instance in ids.items():
            await collector.index(instance, 11, what)
            await collector.heads(instance, what)
        await collector.garbage()
        await collector.logs()
        await asyncio.sleep(0.2)
        collector.announced()
        await collector.admin("bucket", "reshard", "--bucket", "plain", "--num-shards", "13", "--yes-i-really-mean-it")
        await collector.index((await collector.admin("bucket", "stats", "--bucket", "plain"))["id"], 13, "plain")
        for words in ("reshard list", "reshard cancel --bucket other", "usage show --uid golden", "usage trim --uid golden --yes-i-really-mean-it",
                      "usage clear --yes-i-really-mean-it", "bucket check --bucket plain --fix", "bi list --bucket plain", "lc list", "gc list --include-all",
                      "user stats --uid golden --sync-stats", "user stats --uid golden --reset-stats", "gc process --include-all", "lc get --bucket other",
                      "bucket list --bucket plain"):
            await collector.admin(*words.split())
        entry = ceph.folder / "entry.json"
        entry.write_text(json.dumps(await collector.admin("bi", "get", "--bucket", "plain", "--object", "big")))
        await collector.admin("bi", "put", "--bucket", "plain", "--infile", str(entry))
        await asyncio.to_thread(end, client("GOLDENKEY"))
        await collector.admin("gc", "process", "--include-all")
        collector.requests(requests)
        (FOUND / "placed.json").write_text(
            "{\n" + ",\n".join(f' "{kind}": [\n' + ",\n".join("  " + json.dumps(row) for row in rows) + "\n ]"
                                for kind, rows in collector.placed.items()) + "\n}\n")
        await rados.close()
    finally:
        ceph.stop()
    shutil.rmtree(DATA)
    shutil.move(FOUND, DATA)
    assert ObjManifest.decode((DATA / "ObjManifest-plain-big.bin").read_bytes()).obj_size == 9 * MIB


if __name__ == "__main__":
    asyncio.run(main())
