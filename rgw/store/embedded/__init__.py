"""A store in a folder of this machine: LMDB for metadata and small data, files for large data."""

from rgw.store.embedded.store import EmbeddedCluster, open_store

__all__ = ["EmbeddedCluster", "open_store"]
