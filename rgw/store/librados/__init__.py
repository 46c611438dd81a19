"""The store on a real Ceph cluster, through librados.

Control and data plane both go through one small compiled binding (binding.c): python-rados is not needed.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from rgw.store.interface import Cluster
from rgw.store.librados.binding import require

IN_FLIGHT_BYTES = 1 << 30  # librados blocks the caller above this; callers bound themselves far below


async def connect(conf: str | Path, name: str = "client.admin", *, keyring: str | Path | None = None, timeout: float = 30) -> Cluster:
    """Connects to the cluster of a ceph.conf. What takes longer than ``timeout`` seconds raises TimedOut; the connection heals by itself.

    Unavailable if the binding is not built (the message says how to), NotFound without the file or the key, TimedOut if no monitor answers.
    """
    require()
    from rgw.store.librados.cluster import RadosCluster, open_handle
    from rgw.store.librados.queue import CompletionQueue

    settings = {
        "rados_osd_op_timeout": str(timeout), "rados_mon_op_timeout": str(timeout), "client_mount_timeout": str(timeout),
        "objecter_inflight_ops": "24576", "objecter_inflight_op_bytes": str(IN_FLIGHT_BYTES),
    }
    if keyring:
        settings["keyring"] = str(keyring)
    client = partial(open_handle, Path(conf), name, settings)
    return RadosCluster(await asyncio.to_thread(client), CompletionQueue(), client)
