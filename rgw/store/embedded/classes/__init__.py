"""Ceph's object classes as the gateway needs them, in Python, with the replies and stored bytes of Ceph 16.2.15."""

from rgw.store.embedded.classes import gc, lock, refcount, rgw_bi, rgw_gc, rgw_index, rgw_lc, rgw_object, rgw_olh, rgw_usage, user, version  # noqa: F401
from rgw.store.embedded.classes.registry import REGISTRY

__all__ = ["REGISTRY"]
