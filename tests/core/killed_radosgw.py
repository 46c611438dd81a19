"""What a radosgw that was killed leaves of a change of versions: its own operations, in its order, up to the step at which it died.

Formats page, 5.2, 5.4 and 5.11. ``STATES`` are (change, last step that was done); on a key that had one version or, for "unlink", two.
"""

from __future__ import annotations

import time

from rgw.core import places
from rgw.core.entropy import random_text
from rgw.core.head import entry_meta, existing_head
from rgw.core.index import OP_ADD, OP_DEL, IndexKey
from rgw.core.manifest import plain_manifest
from rgw.core.state import ACL, ETAG, IDTAG, MANIFEST, OLH_IDTAG, OLH_INFO, OLH_PENDING, OLH_VER, TAIL_TAG, with_nul
from rgw.formats import cls_rgw, names
from rgw.formats.acl import AccessControlPolicy
from rgw.formats.basics import Obj
from rgw.formats.index import DirEntryMeta
from rgw.formats.obj import OlhInfo, OlhPendingInfo
from rgw.store import classes
from rgw.store.interface import ReadOp, WriteOp
from tests.core.helpers import md5, put

NEW, OLD, GONE = b"of the killed", b"the first", b"a second"
_LINK, _UNLINK, _REMOVE = 1, 2, 3
_KEPT = "user.rgw.olh."
STATES = [
    *(("put", step) for step in ("written", "announced", "linked", "applied", "announced again")),
    *(("marker", step) for step in ("announced", "linked", "applied", "announced again")),
    *(("unlink", step) for step in ("announced", "linked", "removed", "applied", "announced again")),
    *(("last", step) for step in ("announced", "linked", "removed", "applied", "announced again", "trimmed", "dropped")),
    *(("first", step) for step in ("announced", "linked", "applied")),    # a version of a key that had none
    *(("nothing", step) for step in ("announced", "linked", "applied")),  # a delete marker where there was nothing
]
# Another radosgw took the announcement away as too old, without a look at the log; no reader can tell.
FORGOTTEN = [(change, "forgotten") for change in ("put", "marker", "unlink", "last", "first", "nothing")]


class KilledRadosgw:
    """A change of ``key`` that came as far as ``step``, ``age`` seconds ago.

    ``versions``: what the index tells of the key then, newest first, as (version, bytes or None of a delete marker). ``removed``: the
    version that it was to remove, if any.
    """

    def __init__(self, gateway, bucket, user, change: str, step: str, age: float, prefix: str = "") -> None:
        self._gateway, self._bucket, self._user = gateway, bucket, user
        self.change, self.step, self.key = change, step, f"{prefix}{change}-{step}"
        self._time = time.time_ns() - int(age * 1e9)
        self._tag = f"{self._time // 10**9:016x}{random_text(16).lower()}"
        self.versions: list[tuple[str, bytes | None]] = []
        self.removed = ""

    async def leave(self) -> None:
        """Makes the state."""
        if self.change not in ("first", "nothing"):
            self.versions = [((await put(self._gateway, self._bucket, self.key, OLD, self._user)).version_id, OLD)]
        if self.change == "unlink":
            self.versions.insert(0, ((await put(self._gateway, self._bucket, self.key, GONE, self._user)).version_id, GONE))
        if self.change in ("unlink", "last"):
            self.removed = self.versions[0][0]
        for step in self._steps():
            await step
        if self.step == "announced again":  # by another one that died at once
            self._tag = f"{self._time // 10**9 + 1:016x}{random_text(16).lower()}"
            await self._announce()
        if self.step == "forgotten":
            await self._head(WriteOp().cmpxattr(OLH_IDTAG, (await self._olh_tag()).encode()).rmxattr(OLH_PENDING + self._tag))

    def _steps(self):
        """The operations up to the last one, as awaitables."""
        changed = {"put": self._link_new, "first": self._link_new, "marker": self._link_marker, "nothing": self._link_marker,
                   "unlink": self._unlink, "last": self._unlink}[self.change]
        removes = self.change in ("unlink", "last")
        order = [("written", self._write)] if self.change in ("put", "first") else []
        order += [("announced", self._announce), ("linked", changed)]
        order += [("removed", self._remove)] if removes else []
        order += [("applied", self._apply)]
        order += [("trimmed", self._trim), ("dropped", self._drop)] if self.change == "last" else []
        until = {"announced again": "applied", "forgotten": "linked"}.get(self.step, self.step)
        for name, work in order:
            yield work()
            if name == until:
                return

    async def _head(self, op: WriteOp, instance: str = ""):
        ioctx = await places.head_pool(self._gateway, self._bucket)
        marker = self._bucket.marker
        return ioctx.pool_id, await ioctx.write(names.raw_name(marker, self.key, instance), op, locator=names.locator(marker, self.key))

    async def _write(self) -> None:
        bucket, tag = self._bucket, self._gateway.new_tag()
        self._instance = random_text(31)
        place, rule = IndexKey.of(self.key, self._instance), places.bucket_rule(bucket)
        manifest = plain_manifest(Obj(bucket.info.bucket, "", self.key, self._instance), len(NEW), len(NEW), 4 << 20, 4 << 20,
                                  f".{random_text(31)}_", rule, rule)
        attrs = {IDTAG: with_nul(tag), TAIL_TAG: with_nul(tag), MANIFEST: manifest.encode(), ETAG: md5(NEW).encode(),
                 ACL: AccessControlPolicy.private(self._user.user_id.text(), self._user.display_name).encode()}
        await bucket.index.prepare(OP_ADD, tag, place, bilog_flags=1)
        pool_id, done = await self._head(WriteOp(mtime=self._time).create(exclusive=True).setxattrs(attrs).write_full(NEW), self._instance)
        await bucket.index.complete(OP_ADD, tag, place, pool_id=pool_id, version=done.version, meta=entry_meta(attrs, len(NEW), self._time),
                                    bilog_flags=1)

    async def _announce(self) -> None:
        pending = {OLH_PENDING + self._tag: OlhPendingInfo(time=self._time).encode()}
        head = await existing_head(self._gateway, self._bucket, self.key)
        if head is None:
            fresh = {IDTAG: random_text(32).lower().encode(), OLH_IDTAG: random_text(32).lower().encode(), OLH_VER: b""}
            await self._head(WriteOp(mtime=self._time).create(exclusive=True).setxattrs({**fresh, **pending}))
        else:
            await self._head(WriteOp(mtime=head.mtime).cmpxattr(OLH_IDTAG, head.attrs[OLH_IDTAG]).setxattrs(pending))

    async def _olh_tag(self) -> str:
        head = await existing_head(self._gateway, self._bucket, self.key)
        return head.attrs[OLH_IDTAG].decode()

    async def _link(self, marker: bool, meta: DirEntryMeta) -> None:
        await self._bucket.index.call(self.key, classes.BUCKET_LINK_OLH(cls_rgw.LinkOlhOp(
            key=IndexKey.of(self.key, self._instance).cls_key, olh_tag=await self._olh_tag(), delete_marker=marker, op_tag=self._tag, meta=meta,
            olh_epoch=0, log_op=False, bilog_flags=1, zones_trace=self._bucket.index.zones_trace)))
        self.versions.insert(0, (self._instance, None if marker else NEW))

    async def _link_new(self) -> None:
        await self._link(False, DirEntryMeta())

    async def _link_marker(self) -> None:
        self._instance = random_text(31)
        await self._link(True, DirEntryMeta(mtime=self._time, owner=self._user.user_id.text(), owner_display_name=self._user.display_name))

    async def _unlink(self) -> None:
        self._instance = self.removed
        await self._bucket.index.call(self.key, classes.BUCKET_UNLINK_INSTANCE(cls_rgw.UnlinkInstanceOp(
            key=IndexKey.of(self.key, self._instance).cls_key, op_tag=self._tag, olh_epoch=0, log_op=False, bilog_flags=1,
            olh_tag=await self._olh_tag(), zones_trace=self._bucket.index.zones_trace)))
        del self.versions[0]

    async def _remove(self) -> None:
        bucket, tag = self._bucket, "_" + self._gateway.new_tag()
        place = IndexKey.of(self.key, self._instance)
        state = await existing_head(self._gateway, bucket, self.key, self._instance)
        await bucket.index.prepare(OP_DEL, tag, place, bilog_flags=1)
        pool_id, done = await self._head(WriteOp().cmpxattr(IDTAG, state.idtag).call(classes.OBJ_REMOVE(cls_rgw.ObjRemoveOp([_KEPT]))),
                                         self._instance)
        await bucket.index.complete(OP_DEL, tag, place, pool_id=pool_id, version=0, meta=DirEntryMeta(mtime=self._time), bilog_flags=1)

    async def _apply(self) -> None:
        tag = await self._olh_tag()
        request = cls_rgw.ReadOlhLogOp(olh=IndexKey.of(self.key).cls_key, ver_marker=0, olh_tag=tag)
        log = (await self._bucket.index.read(self.key, ReadOp().assert_exists().call(classes.BUCKET_READ_OLH_LOG(request)))).reply.log
        self._last = max(log)
        op = WriteOp().cmpxattr(OLH_IDTAG, tag.encode()).setxattr(OLH_VER, str(self._last).encode())
        for item in (item for epoch in sorted(log) for item in log[epoch]):
            op.rmxattr(OLH_PENDING + item.op_tag)
            if item.op == _LINK:
                info = OlhInfo(target=Obj(self._bucket.info.bucket, "", self.key, item.key.instance), removed=item.delete_marker)
                op.setxattr(OLH_INFO, info.encode())
        await self._head(op)

    async def _trim(self) -> None:
        await self._bucket.index.call(self.key, classes.BUCKET_TRIM_OLH_LOG(cls_rgw.TrimOlhLogOp(
            olh=IndexKey.of(self.key).cls_key, ver=self._last, olh_tag=await self._olh_tag())))

    async def _drop(self) -> None:
        op = WriteOp().cmpxattr(OLH_IDTAG, (await self._olh_tag()).encode()).cmpxattr(OLH_VER, str(self._last).encode())
        await self._head(op.call(classes.OBJ_CHECK_ATTRS_PREFIX(cls_rgw.CheckAttrsPrefixOp(check_prefix=OLH_PENDING, fail_if_exist=True))).remove())
