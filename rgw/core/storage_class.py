"""Which storage class a new object gets: the one that its attributes name, or else that of its bucket.

A bucket has one of its own where its maker had a default class. Source: rgw_placement_rule::inherit_from of Ceph Pacific.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rgw.core.state import STORAGE_CLASS, text
from rgw.formats.basics import PlacementRule

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket


def with_class(bucket: Bucket, attrs: dict[str, bytes]) -> dict[str, bytes]:
    """The attributes of a new object with its class; without one it is the standard class."""
    inherited = bucket.placement.storage_class
    return attrs if STORAGE_CLASS in attrs or not inherited else {**attrs, STORAGE_CLASS: inherited.encode()}


def object_placement(bucket: Bucket, attrs: dict[str, bytes]) -> PlacementRule:
    """Where the data of an object with these attributes goes."""
    return PlacementRule(bucket.placement.name, text(attrs.get(STORAGE_CLASS)))
