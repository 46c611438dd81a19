"""Notes of unfinished changes that listings show of null versions, taken away before radosgw's listing stumbles over them.

Whoever links a null version, or makes another one current, copies its entry with the notes of all who are at it into the order of listings.
There nobody ever ends them. radosgw's listing takes them for doubt and sends a suggestion, for which the class enters the version at the
plain key, in the placeholder's place, whatever the age of the note: listings then show it twice, and statistics count it twice.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rgw.core import key_index, version_mend
from rgw.core.null_places import is_null
from rgw.formats import index_keys, names
from rgw.formats.index import FLAG_CURRENT, FLAG_DELETE_MARKER, ClsObjKey, DirEntry
from rgw.formats.listed import ListedEntry
from rgw.store.errors import Cancelled, NotFound
from rgw.store.interface import ReadOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)


def is_noted(entry: ListedEntry) -> bool:
    """Whether it is a null version, or the delete marker in its place, with a note."""
    return entry.pending and is_null(entry)


async def take_away(gw: Gateway, bucket: Bucket, entry: DirEntry, timeout: int) -> DirEntry:
    """What listings are to show. A note older than ``timeout`` (ns) is its gateway's last: the version's own entry loses it too.

    Before that the entry is brought up to what the head tells, which the gateway may have written.
    """
    key = names.parse_index_name(entry.name)[1]
    is_marker = bool(entry.flags & FLAG_DELETE_MARKER)
    row = index_keys.list_key(entry.name, entry.versioned_epoch, "")
    place = index_keys.instance_key(ClsObjKey(entry.name), is_marker)
    try:
        found = await _read(bucket, key, row, place)
        if row not in found or place not in found:
            return entry  # it is about to go
        if any(DirEntry.decode(raw).newer for raw in found.values()):
            return entry  # it would lose what only a newer release knows
        shown = replace(DirEntry.decode(found[row]), pending_map={})
        # Not made during a reshard, for whose end the rest would wait.
        await key_index.edit(bucket, key, found.items(), {row: shown.encode()})
        since = time.time_ns() - timeout
        if any(change.timestamp < since for change in DirEntry.decode(found[place]).pending_map.values()):
            if not is_marker:
                await version_mend.tell_head(gw, bucket, key, "")
            found = await _read(bucket, key, row, place)
            if row not in found or place not in found:
                return shown
            listed, own = DirEntry.decode(found[row]), DirEntry.decode(found[place])
            own.pending_map = {tag: change for tag, change in own.pending_map.items() if change.timestamp >= since}
            if own.exists and own.versioned_epoch == listed.versioned_epoch:
                shown = replace(own, pending_map={}, flags=own.flags & ~FLAG_CURRENT | listed.flags & FLAG_CURRENT)
            await key_index.edit(bucket, key, found.items(), {row: shown.encode(), place: own.encode()})
    except (Cancelled, NotFound):
        log.debug("%s in bucket %s changed while it was looked at", entry.name, bucket.name)
        return entry
    return shown


async def _read(bucket: Bucket, key: str, *places: bytes) -> dict[bytes, bytes]:
    result = await bucket.index.read(key, ReadOp().assert_exists().omap_get_keys(list(places)))
    assert result.omap is not None
    return result.omap.values
