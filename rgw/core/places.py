"""Which pool holds what: heads, tails by placement rule, the objects of multipart uploads.

Pools are text, ``name`` or ``name:namespace``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rgw.core.manifest import pool_text, tail_bucket
from rgw.core.zone import ZoneError
from rgw.errors import S3Error
from rgw.formats.basics import PlacementRule
from rgw.formats.obj import ObjManifest
from rgw.store.interface import IoCtx

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway


def bucket_rule(bucket: Bucket) -> PlacementRule:
    """The bucket's own placement: where heads go, whatever class their objects have."""
    return bucket.info.placement_rule


def tail_pool_name(gw: Gateway, bucket: Bucket, rule: PlacementRule) -> str:
    """The pool of a placement rule's storage class; a pool of the bucket's own (as old releases gave) goes first.

    S3Error InvalidStorageClass if the zone does not have the class.
    """
    try:
        found = gw.zone.data_pool(rule)
    except ZoneError as error:
        raise S3Error("InvalidStorageClass") from error
    return pool_text(bucket.info.bucket.data_pool) or found


def head_pool_name(gw: Gateway, bucket: Bucket) -> str:
    """The pool of object heads."""
    return pool_text(bucket.info.bucket.data_pool) or gw.zone.data_pool(bucket_rule(bucket))


def head_room(gw: Gateway, bucket: Bucket, pool: str) -> int:
    """Most bytes of an object with its tail in ``pool`` that its head holds: none where that is not the heads' pool, as with radosgw."""
    return gw.options.rgw_max_chunk_size if pool == head_pool_name(gw, bucket) else 0


def extra_pool_name(gw: Gateway, bucket: Bucket) -> str:
    """The pool of the ``.meta`` objects of multipart uploads."""
    return pool_text(bucket.info.bucket.data_extra_pool) or gw.zone.extra_pool(bucket_rule(bucket))


def manifest_pool_name(gw: Gateway, bucket: Bucket, manifest: ObjManifest) -> str:
    """The pool of a manifest's tails where its pieces name none."""
    rule = manifest.tail_placement
    return pool_text(tail_bucket(manifest).data_pool) or (gw.zone.data_pool(rule) if rule.name else head_pool_name(gw, bucket))


async def head_pool(gw: Gateway, bucket: Bucket) -> IoCtx:
    if bucket.head_ioctx is None:
        bucket.head_ioctx = await gw.pool(head_pool_name(gw, bucket))
    return bucket.head_ioctx


async def extra_pool(gw: Gateway, bucket: Bucket) -> IoCtx:
    return await gw.pool(extra_pool_name(gw, bucket))
