"""An object's head in radosgw's JSON. The positions of radosgw's own iterators (`begin_iter`, `end_iter`) are not shown."""

from __future__ import annotations

from typing import Any

from rgw.core.dump.basics import bucket_name, flag
from rgw.core.dump.bucket import policy
from rgw.core.manifest import tail_bucket
from rgw.core.state import ACL, ETAG, IDTAG, MANIFEST, ObjectState
from rgw.formats.basics import Obj
from rgw.formats.obj import ObjManifest

_SHOWN_APART = {ACL, ETAG, IDTAG, MANIFEST}


def _obj(obj: Obj) -> dict[str, Any]:
    return {"bucket": bucket_name(obj.bucket), "key": {"name": obj.name, "instance": obj.instance, "ns": obj.ns}}


def manifest(found: ObjManifest) -> dict[str, Any]:
    return {
        "objs": [{"key": offset, "val": {"loc": _obj(part.loc), "loc_ofs": part.loc_ofs, "size": part.size}}
                 for offset, part in sorted(found.objs.items())],
        "obj_size": found.obj_size,
        "explicit_objs": flag(found.explicit_objs),
        "head_size": found.head_size,
        "max_head_size": found.max_head_size,
        "prefix": found.prefix,
        "rules": [{"key": offset, "val": {
            "start_part_num": rule.start_part_num, "start_ofs": rule.start_ofs, "part_size": rule.part_size,
            "stripe_max_size": rule.stripe_max_size, "override_prefix": rule.override_prefix}} for offset, rule in sorted(found.rules.items())],
        "tail_instance": found.obj.instance if found.tail_instance is None else found.tail_instance,
        "tail_placement": {"bucket": bucket_name(tail_bucket(found)), "placement_rule": found.tail_placement.text()},
    }


def attribute(value: bytes) -> str:
    """An xattr as text: up to its first NUL, as radosgw shows it."""
    return value.partition(b"\0")[0].decode("utf-8", "replace")


def stat(state: ObjectState) -> dict[str, Any]:
    """What `radosgw-admin object stat` prints."""
    out: dict[str, Any] = {
        "name": state.key,
        "size": state.size,
        "policy": policy(state.acl),
        "etag": state.etag,
        "tag": attribute(state.idtag),
    }
    if state.manifest is not None:
        out["manifest"] = manifest(state.manifest)
    out["attrs"] = {name: attribute(value) for name, value in sorted(state.attrs.items()) if name not in _SHOWN_APART}
    return out
