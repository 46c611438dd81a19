"""What each step of a compound operation does to an object."""

from __future__ import annotations

from functools import cache
from typing import Any

from rgw.store.classcall import ClassCall
from rgw.store.embedded.layout import Extent
from rgw.store.embedded.objecttxn import ObjectTxn
from rgw.store.errors import Cancelled, Exists, InvalidArgument, NotFound, NotSupported, StoreError
from rgw.store.interface import OmapPage, ReadResult, Stat, Step, StepKind


def run_write(obj: ObjectTxn, steps: list[Step]) -> None:
    """Runs a WriteOp's steps; the caller flushes. A StoreError tells the step."""
    for index, (kind, args) in enumerate(steps):
        try:
            _WRITE[kind](obj, *args)
        except StoreError as error:
            error.step = index
            raise


def run_read(obj: ObjectTxn, steps: list[Step]) -> tuple[ReadResult, list[bytes | Extent] | None]:
    """Runs a ReadOp's steps. If the data lies in files, it is returned as pieces instead of in the result."""
    if not obj.exists:
        raise NotFound("no such object")
    result = ReadResult(version=obj.record.version)
    pieces: list[bytes | Extent] | None = None
    for index, (kind, args) in enumerate(steps):
        try:
            if kind is StepKind.STAT:
                result.stat = Stat(obj.record.size, obj.record.mtime)
            elif kind is StepKind.GETXATTRS:
                result.xattrs = obj.xattrs()
            elif kind is StepKind.READ:
                pieces, data = None, obj.at_hand(*args)
                if data is not None:
                    result.data = data
                    continue
                found = list(obj.pieces(*args))
                if any(isinstance(p, Extent) for p in found):
                    pieces = found
                else:
                    result.data = b"".join(found)  # type: ignore[arg-type]
            elif kind is StepKind.OMAP_GET:
                result.omap = _page(obj, *args)
            elif kind is StepKind.OMAP_GET_KEYS:
                values = ((key, obj.omap_get(key)) for key in sorted(set(args[0])))
                result.omap = OmapPage({k: v for k, v in values if v is not None}, False)
            elif kind is StepKind.OMAP_GET_HEADER:
                result.omap_header = obj.omap_header()
            elif kind is StepKind.CALL:
                result.replies.append(_call(obj, *args))
            else:
                _WRITE[kind](obj, *args)
        except StoreError as error:
            error.step = index
            raise
    return result, pieces


def _page(obj: ObjectTxn, start_after: bytes, prefix: bytes, max_entries: int) -> OmapPage:
    found = obj.omap_page(start_after, prefix, max_entries + 1)
    return OmapPage(dict(found[:max_entries]), len(found) > max_entries)


def _create(obj: ObjectTxn, exclusive: bool) -> None:
    if exclusive and obj.exists:
        raise Exists("the object exists")
    obj.create()


def _assert_exists(obj: ObjectTxn) -> None:
    if not obj.exists:
        raise NotFound("no such object")


def _assert_version(obj: ObjectTxn, version: int) -> None:
    _assert_exists(obj)
    if obj.record.version != version:
        raise Cancelled(f"the object is of version {obj.record.version}, not {version}")


def _cmpxattr(obj: ObjectTxn, name: str, value: bytes) -> None:
    _assert_exists(obj)
    if (obj.get_xattr(name) or b"") != value:
        raise Cancelled(f"xattr {name} differs")


def _omap_cmp(obj: ObjectTxn, key: bytes, value: bytes) -> None:
    _assert_exists(obj)
    if (obj.omap_get(key) or b"") != value:
        raise Cancelled("an omap entry differs")


def _omap_set(obj: ObjectTxn, values: dict[bytes, bytes]) -> None:
    obj.create()
    for key, value in values.items():
        obj.omap_set(key, value)


def _omap_rm(obj: ObjectTxn, keys: list[bytes]) -> None:
    _assert_exists(obj)
    for key in keys:
        obj.omap_rm(key)


@cache
def _registry() -> dict[tuple[str, str], Any]:
    from rgw.store.embedded.classes import REGISTRY  # the classes import our context

    return REGISTRY


def _call(obj: ObjectTxn, call: ClassCall) -> Any:
    method = call.method
    function = _registry().get((method.cls, method.name))
    if function is None:
        raise NotSupported(f"no object class method {method.cls}.{method.name}")
    return function(obj, call.request)


def _not_in_writes(obj: ObjectTxn, *args: Any) -> None:
    raise InvalidArgument("a write operation returns no data")


_WRITE: dict[StepKind, Any] = {
    StepKind.CREATE: _create,
    StepKind.ASSERT_EXISTS: _assert_exists,
    StepKind.ASSERT_VERSION: _assert_version,
    StepKind.CMPXATTR: _cmpxattr,
    StepKind.WRITE: ObjectTxn.write,
    StepKind.WRITE_FULL: ObjectTxn.write_full,
    StepKind.APPEND: ObjectTxn.append,
    StepKind.TRUNCATE: ObjectTxn.truncate,
    StepKind.REMOVE: ObjectTxn.remove,
    StepKind.SETXATTR: ObjectTxn.set_xattr,
    StepKind.RMXATTR: ObjectTxn.rm_xattr,
    StepKind.OMAP_SET: _omap_set,
    StepKind.OMAP_RM: _omap_rm,
    StepKind.OMAP_CMP: _omap_cmp,
    StepKind.OMAP_SET_HEADER: ObjectTxn.set_omap_header,
    StepKind.OMAP_CLEAR: ObjectTxn.omap_clear,
    StepKind.CALL: _call,
    **{kind: _not_in_writes for kind in (StepKind.STAT, StepKind.GETXATTRS, StepKind.READ, StepKind.OMAP_GET,
                                         StepKind.OMAP_GET_KEYS, StepKind.OMAP_GET_HEADER)},
}
