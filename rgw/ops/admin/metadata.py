"""/admin/metadata, /admin/info and /admin/config: records, and what the gateway runs on."""

from __future__ import annotations

from typing import Any

from rgw.core import metadata_sections as sections
from rgw.core.dump import zone as dumped
from rgw.errors import S3Error
from rgw.ops.admin.request import AdminRequest


async def get(req: AdminRequest) -> Any:
    """The sections, a section's keys (a page of them if max-entries is given), or a record (key, or the caller's own with myself)."""
    section = req.path.strip("/").partition("/")[0]
    if not section:
        return list(sections.SECTIONS)
    key = req.args.get("key", "")
    if "myself" in req.args and req.identity.user is not None:
        key = req.identity.user.user_id.text()
    if key:
        return await sections.get(req.gw, *sections.split_key(f"{section}:{key}"))
    limit = req.number("max-entries", low=0)
    if limit is None:
        return await sections.keys(req.gw, section)
    return await sections.page(req.gw, section, req.args.get("marker", ""), limit)


def _key(req: AdminRequest) -> tuple[str, str]:
    return sections.split_key(f"{req.path.strip('/').partition('/')[0]}:{req.text('key')}")


async def put(req: AdminRequest) -> None:
    section, key = _key(req)
    await sections.put(req.gw, section, key, await req.json())


async def remove(req: AdminRequest) -> None:
    await sections.remove(req.gw, *_key(req))


async def info(req: AdminRequest) -> Any:
    return {"info": {"storage_backends": [{"name": "rados", "cluster_id": req.gw.cluster.fsid}]}}


async def config(req: AdminRequest) -> Any:
    kind = req.args.get("type", "")
    if kind == "zone":
        return dumped.zone(req.gw.zone.params)
    raise S3Error("NoSuchKey", f"there is no configuration of the type {kind!r}")
