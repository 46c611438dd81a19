"""What dead gateways left half done is finished or taken back, by the intents that they noted (rgw.core.intents).

Tails and parts that nothing uses go to the garbage collector, under the tag that they would have had: giving back a reference twice
changes nothing. Whether something is used is read from the key's head, its versions, and the upload's records, never guessed from an intent.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from rgw.core import olh, places
from rgw.core.background import BackgroundTask
from rgw.core.complete import settle_ending
from rgw.core.copy import put_references
from rgw.core.delete import remove_object
from rgw.core.head import existing_head
from rgw.core.index import IndexKey
from rgw.core.intents import (
    ENDING,
    INSTANCE,
    LOCK_NAME,
    OBJECT,
    PART,
    REFERENCES,
    TAIL,
    VERSION,
    instance_oid,
    now,
    shard_oids,
)
from rgw.core.manifest import gc_chain, gc_obj, tails
from rgw.core.parts import MARK, drop_index_entry
from rgw.core.state import MANIFEST, TAIL_TAG, load
from rgw.core.uploads import CLOSED_PART, FORMER, held_references, object_tag, part_omap_key, reference_tag
from rgw.core.uploads import PART as RECORD
from rgw.errors import S3Error
from rgw.formats import names
from rgw.formats.cls_lock import EXCLUSIVE, GetInfoOp, LockOp
from rgw.formats.gc import GcObj, GcObjChain
from rgw.formats.intent import Intent
from rgw.formats.obj import ObjManifest, UploadPartInfo
from rgw.store import classes
from rgw.store.errors import Busy, Cancelled, NotFound, StoreError
from rgw.store.interface import IoCtx, ReadOp, ReadResult, WriteOp

if TYPE_CHECKING:
    from rgw.core.buckets import Bucket
    from rgw.core.gateway import Gateway

log = logging.getLogger(__name__)

_PAGE = 200
_LEAST_GAP = 33  # RADOS objects are removed from the highest down, 32 at a time: so many may be missing below one that is there


class Recovery:
    """Looks for the intents of dead gateways and settles them."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._worker = BackgroundTask("recovery")

    def start(self) -> None:
        """Starts the background worker."""
        self._worker.start(self._work)

    async def stop(self) -> None:
        """Stops the worker; what it has begun is taken up again by the next one."""
        await self._worker.stop()

    async def _work(self) -> None:
        while True:
            try:
                await self.run()
            except (StoreError, S3Error) as error:
                log.warning("the search for what dead gateways left stopped: %s", error)
            await asyncio.sleep(self._gateway.intents.lock_seconds)

    async def run(self) -> int:
        """Settles the intents of all gateways that are dead now, and this one's abandoned ones. The number of intents settled."""
        ioctx, done, seen = await self._gateway.intents.pool(), 0, set[bytes]()
        due = now() - self._gateway.intents.lock_seconds
        for oid in shard_oids():
            start = b""
            while True:
                try:
                    page = (await ioctx.read(oid, ReadOp().omap_get(start, b"", _PAGE))).omap
                except NotFound:
                    break
                assert page is not None
                alive: dict[int, bool] = {}  # asked anew for each page, and after it was read: see rgw.core.intents
                seen |= page.values.keys()
                for key, value in page.values.items():
                    if await self._may_settle(ioctx, key, value, alive):
                        done += await self._settle(ioctx, oid, key, value)
                    start = key
                if not page.more or not page.values:
                    break
        abandoned = self._gateway.intents.abandoned
        for key in [key for key, since in abandoned.items() if since < due and key not in seen]:
            del abandoned[key]  # another gateway removed it
        if done:
            log.info("settled %d intents of gateways that died", done)
        return done

    async def _may_settle(self, ioctx: IoCtx, key: bytes, value: bytes, alive: dict[int, bool]) -> bool:
        intents, intent = self._gateway.intents, Intent.decode(value)
        owner, claimer = int(key.split(b".")[0]), intent.claimer
        if intent.newer:
            return False  # a newer gateway's, to be settled by such a one
        since = intents.abandoned.get(key)
        if owner == intents.instance_id or since is not None:
            return since is not None and now() > since + intents.lock_seconds
        for instance in (owner, claimer):
            if instance in (0, intents.instance_id):
                continue
            if instance not in alive:
                alive[instance] = await _is_alive(ioctx, instance)
            if alive[instance]:
                return False
        return True

    async def _settle(self, ioctx: IoCtx, oid: str, key: bytes, value: bytes) -> bool:
        intents = self._gateway.intents
        await intents.hold_lease()  # so that others see that the claim is in living hands
        intent = replace(Intent.decode(value), claimer=intents.instance_id)
        claimed = intent.encode()
        try:
            if claimed != value:
                await ioctx.write(oid, WriteOp().omap_cmp(key, value).omap_set({key: claimed}))
            if not await self._undo(intent, key):
                intents.abandoned[key] = now() + intents.look_again
                return False
            await ioctx.write(oid, WriteOp().omap_cmp(key, claimed).omap_rm([key]))
        except Cancelled:
            return False  # its gateway lives after all, or another one settles it
        except (StoreError, S3Error) as error:
            log.warning("cannot settle an intent on %s in %s, trying again later: %s", intent.key, intent.bucket.name, error)
            return False
        intents.abandoned.pop(key, None)
        return True

    async def _undo(self, intent: Intent, key: bytes) -> bool:
        """False if it is to be looked at again."""
        if intent.kind == INSTANCE:
            await _remove_lease(await self._gateway.intents.pool(), int(key.split(b".")[0]), self._gateway.intents.instance_id)
        elif intent.kind == VERSION:
            await self._undo_version(intent)
        elif intent.kind == OBJECT:
            await self._undo_version(intent)
            await self._undo_object(intent)
        elif intent.kind == TAIL:
            await self._undo_tail(intent)
        elif intent.kind == REFERENCES:
            await self._undo_version(intent)
            await self._undo_tail(intent)
        elif intent.kind == PART:
            return await self._undo_part(intent, key)
        elif intent.kind == ENDING:
            bucket = await self._bucket(intent)
            if bucket is not None:
                await settle_ending(self._gateway, bucket, intent.key, intent.upload_id, intent.tag, aborting=bool(intent.number))
            await self._undo_ending(intent, bucket)
        else:
            raise S3Error("InternalError", f"an intent of the unknown kind {intent.kind}, noted by a newer gateway")
        return True

    async def _undo_version(self, intent: Intent) -> None:
        """A version whose head was written, but which was not linked: nobody has seen it."""
        bucket = await self._bucket(intent) if intent.instance else None
        if bucket is None:
            return
        state = await existing_head(self._gateway, bucket, intent.key, intent.instance)
        if state is not None:
            seen = await olh.look(bucket, intent.key, intent.instance)
            if seen.entry is None or not seen.entry.versioned_epoch:
                await remove_object(self._gateway, state)

    async def _undo_object(self, intent: Intent) -> None:
        marker, prefix = intent.bucket.marker, intent.prefixes[0]
        found = await self._probe(intent, lambda n: names.raw_name(marker, f"{prefix}{n}", intent.instance, "shadow"))
        await self._free(intent, found, intent.tag)

    async def _undo_tail(self, intent: Intent) -> None:
        """The tail that a head was about to lose or to get, or the references that it was about to gain."""
        state = await _xattrs(await self._gateway.pool(intent.head_pool), intent.head_oid, intent.head_locator)
        if state is not None and state.get(TAIL_TAG, b"").decode("utf-8", "surrogateescape") == intent.tag:
            return
        chain = gc_chain(tails(ObjManifest.decode(intent.manifest)), intent.pool)
        if intent.kind == TAIL:
            await self._gateway.gc.enqueue(intent.tag, chain)
        else:
            await put_references(self._gateway, chain, intent.tag)

    async def _undo_part(self, intent: Intent, mark: bytes) -> bool:
        """False of a part that counts and refers to others' tails: radosgw may replace it, or end its upload, and leave its references."""
        gw, marker = self._gateway, intent.bucket.marker
        ioctx = await gw.pool(intent.pool)
        recorded = await self._recorded(intent)
        heads = {prefix: names.raw_name(marker, f"{prefix}.{intent.number}", "", "multipart") for prefix in intent.prefixes}
        found_xattrs = {prefix: await _xattrs(ioctx, head) for prefix, head in heads.items()}
        counts = any(xattrs is not None and xattrs.get(MARK) == mark and prefix in (recorded or ()) for prefix, xattrs in found_xattrs.items())
        if intent.manifest and not counts:
            await put_references(gw, GcObjChain.decode(intent.manifest).objs, reference_tag(intent.upload_id, mark))
        for prefix, head in heads.items():
            xattrs = found_xattrs[prefix]
            if recorded is not None and prefix in recorded or xattrs is not None and xattrs.get(MARK) != mark:
                continue  # it counts, or is another writer's
            if xattrs is not None:
                found = [gc_obj(intent.pool, head)]
                found += await self._probe(intent, lambda n, p=prefix: names.raw_name(marker, f"{p}.{intent.number}_{n}", "", "shadow"))
                if recorded is None and await self._used(intent) & {(item.pool, item.oid) for item in found}:
                    continue  # it was completed
                await gw.gc.enqueue(intent.upload_id, found)
            await self._drop_index_entry(intent, IndexKey.multipart(f"{prefix}.{intent.number}", intent.key))
        return not (counts and intent.manifest)

    async def _undo_ending(self, intent: Intent, bucket: Bucket | None) -> None:
        """What an object would have held of others', and what is left of an upload of which radosgw saw no parts when it aborted it."""
        gw, marker = self._gateway, intent.bucket.marker
        if not intent.manifest:
            return
        head = await _xattrs(await gw.pool(intent.head_pool), intent.head_oid, intent.head_locator)
        if head is None or head.get(TAIL_TAG, b"").decode("utf-8", "surrogateescape") != object_tag(intent.upload_id, intent.tag):
            await put_references(gw, GcObjChain.decode(intent.manifest).objs, object_tag(intent.upload_id, intent.tag))
        if bucket is not None:
            meta = names.raw_name(marker, f"{intent.key}.{intent.upload_id}.meta", "", "multipart")
            if await _exists(await places.extra_pool(gw, bucket), meta):
                return
        ioctx, used = await gw.pool(intent.pool), await self._used(intent)
        for name in intent.prefixes:
            oid = names.raw_name(marker, name, "", "multipart")
            xattrs = await _xattrs(ioctx, oid)
            if xattrs is None or (intent.pool, oid) in used:
                continue
            tag, held = held_references(xattrs, intent.pool)
            await put_references(gw, held, tag)
            tail = [] if held else await self._probe(intent, lambda n, name=name: names.raw_name(marker, f"{name}_{n}", "", "shadow"))
            await gw.gc.enqueue(intent.upload_id, [gc_obj(intent.pool, oid), *tail])
            await self._drop_index_entry(intent, IndexKey.multipart(name, intent.key))

    async def _recorded(self, intent: Intent) -> set[str] | None:
        """The prefixes of the part's records, former ones too; None if the upload is over."""
        extra = await self._gateway.pool(intent.head_pool)
        keys = [part_omap_key(intent.number, RECORD), part_omap_key(intent.number, CLOSED_PART)]
        try:
            result = await extra.read(intent.head_oid, ReadOp().omap_get_keys(keys))
            former = await extra.read(intent.head_oid, ReadOp().omap_get(b"", part_omap_key(intent.number, FORMER), _PAGE))
        except NotFound:
            return None
        assert result.omap is not None and former.omap is not None
        return {UploadPartInfo.decode(value).manifest.prefix for value in (*result.omap.values.values(), *former.omap.values.values())}

    async def _drop_index_entry(self, intent: Intent, key: IndexKey) -> None:
        bucket = await self._bucket(intent)
        if bucket is not None:
            await drop_index_entry(self._gateway, bucket, key)
            # The dead gateway's own announcement keeps the entry until it is old, as it will be by now: a listing then takes it away.
            async for _ in self._gateway.listing.namespace(bucket, "multipart", names.parse_index_name(key.name)[1]):
                pass

    async def _bucket(self, intent: Intent) -> Bucket | None:
        """The bucket of the intent; None if it is gone."""
        return await self._gateway.buckets.find(intent.bucket.name, intent.bucket.tenant, intent.bucket.marker)

    async def _probe(self, intent: Intent, name) -> list[GcObj]:  # type: ignore[no-untyped-def]
        """The RADOS objects ``name(0)``, ``name(1)``, ... that exist, up to a gap that is wider than any writer or remover leaves."""
        ioctx = await self._gateway.pool(intent.pool)
        gap = max(intent.window, _LEAST_GAP)
        found: list[GcObj] = []
        number = 0  # where the head holds no data; else the first tail is 1
        while True:
            oids = [name(n) for n in range(number, number + gap)]
            present = [oid for oid, there in zip(oids, await asyncio.gather(*(_exists(ioctx, oid) for oid in oids)), strict=True) if there]
            if not present:
                return found
            found += [gc_obj(intent.pool, oid) for oid in present]
            number += gap

    async def _free(self, intent: Intent, found: list[GcObj], tag: str) -> None:
        if found and not await self._used(intent) & {(item.pool, item.oid) for item in found}:
            await self._gateway.gc.enqueue(tag, found)

    async def _used(self, intent: Intent) -> set[tuple[str, str]]:
        """The tails (pool, name) of the key's head and of all its versions."""
        gw, used = self._gateway, set[tuple[str, str]]()
        bucket = await self._bucket(intent)
        if bucket is None:
            return used
        versions = {"", intent.instance}
        if bucket.versioning_enabled or bucket.versioning_suspended:
            marker, more = "", True
            while more:
                page = await gw.listing.versions(bucket, intent.key, key_marker=intent.key if marker else "", version_marker=marker)
                versions |= {entry.instance for entry in page.entries if entry.name == intent.key}
                more = page.truncated and page.next_marker == intent.key
                marker = page.next_version_marker
        for version in versions:
            try:
                state = await load(gw, bucket, intent.key, version, raw=True)
            except S3Error as error:
                if error.code not in ("NoSuchKey", "NoSuchVersion"):
                    raise
                continue
            if MANIFEST in state.attrs:
                manifest = ObjManifest.decode(state.attrs[MANIFEST])
                used |= {(item.pool, item.oid) for item in gc_chain(tails(manifest), places.manifest_pool_name(gw, bucket, manifest))}
        return used


async def _is_alive(ioctx: IoCtx, instance_id: int) -> bool:
    try:
        result: ReadResult = await ioctx.read(instance_oid(instance_id), ReadOp().call(classes.LOCK_GET_INFO(GetInfoOp(name=LOCK_NAME))))
    except NotFound:
        return False
    return bool(result.reply.lockers)


async def _remove_lease(ioctx: IoCtx, instance_id: int, own: int) -> None:
    # Only who could take the lock removes it, in one operation.
    request = LockOp(name=LOCK_NAME, type=EXCLUSIVE, cookie=str(own), tag="", description="", duration=0, flags=0)
    try:
        await ioctx.write(instance_oid(instance_id), WriteOp().assert_exists().call(classes.LOCK_LOCK(request)).remove())
    except NotFound:
        return
    except Busy:
        raise Cancelled("the gateway lives") from None


async def _exists(ioctx: IoCtx, oid: str) -> bool:
    try:
        await ioctx.read(oid, ReadOp().stat())
    except NotFound:
        return False
    return True


async def _xattrs(ioctx: IoCtx, oid: str, locator: str = "") -> dict[str, bytes] | None:
    try:
        return (await ioctx.read(oid, ReadOp().getxattrs().stat(), locator=locator)).xattrs
    except NotFound:
        return None
