"""Announcements, lifecycle and reshard entries (formats page 3.8, 8). Sources: cls_rgw_types.h, rgw_cache.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.basics import ObjVersion, RawObj
from rgw.formats.encoding import BLOB, S32, S64, STR, TIME, U32, U64, Struct, f, map_of, struct


@struct(1, 1)
class LcEntry(Struct):
    """cls_rgw_lc_entry. ``start_time`` in seconds; ``status``: 0 not started, 1 processing, 2 failed, 3 complete."""

    bucket: str = f(STR)
    start_time: int = f(U64)
    status: int = f(U32)


@struct(1, 1)
class LcHead(Struct):
    """cls_rgw_lc_obj_head. ``start_date`` in seconds."""

    start_date: int = f(U64)
    marker: str = f(STR)


@struct(2, 2)
class ObjectMetaInfo(Struct):
    """ObjectMetaInfo."""

    size: int = f(U64)
    mtime: int = f(TIME)


_XATTRS = map_of(STR, BLOB)


@struct(5, 3)
class ObjectCacheInfo(Struct):
    """ObjectCacheInfo. ``flags``: 1 data, 2 xattrs, 4 meta, 8 modify xattrs, 0x10 version."""

    status: int = f(S32)
    flags: int = f(U32)
    data: bytes = f(BLOB)
    xattrs: dict[str, bytes] = f(_XATTRS)
    meta: ObjectMetaInfo = f(ObjectMetaInfo)
    rm_xattrs: dict[str, bytes] = f(_XATTRS)
    epoch: int = f(U64, since=4)
    version: ObjVersion = f(ObjVersion, since=5)


@struct(2, 2)
class CacheNotifyInfo(Struct):
    """RGWCacheNotifyInfo. ``op``: 0 update, 1 invalidate."""

    op: int = f(U32)
    obj: RawObj = f(RawObj)
    obj_info: ObjectCacheInfo = f(ObjectCacheInfo)
    ofs: int = f(S64)
    ns: str = f(STR)
