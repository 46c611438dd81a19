"""The lock and the mark under which one alone ends an upload, and parts are hidden from radosgw meanwhile (see rgw.core.complete)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from rgw.core.uploads import CLOSED_PART, CLOSING, NO_VERSION, PART, Part, Upload, load_upload, part_omap_key
from rgw.core.versions import new_instance
from rgw.errors import S3Error
from rgw.formats.cls_lock import EXCLUSIVE, BreakLockOp, GetInfoOp, LockOp, UnlockOp
from rgw.store import classes
from rgw.store import errors as store_errors
from rgw.store.interface import ReadOp, WriteOp

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

LOCK_NAME = "RGWCompleteMultipart"
LOCK_XATTR = f"lock.{LOCK_NAME}"
_LOCK_SECONDS = 600  # radosgw's own
NOT_CLOSED = ("NoSuchUpload", "OperationAborted")  # refusals of ``close`` and before it: nothing is locked, nothing has to be settled
_LOCK_WAIT = 30.0    # seconds to wait for another one who ends the upload: clients give up after 60


async def close(gw: Gateway, upload: Upload, cookie: str) -> bool:
    """Locks and closes the upload, and chooses the version that it becomes; waits while somebody else has it. S3Error NoSuchUpload if it ended.

    Returns whether it was closed before, by somebody who died then.
    """
    lock = LockOp(
        name=LOCK_NAME, type=EXCLUSIVE, cookie=cookie, tag="", description="", duration=_LOCK_SECONDS * 1_000_000_000, flags=0)
    deadline = time.monotonic() + _LOCK_WAIT
    while True:
        closing = upload.attrs.get(CLOSING, b"")
        try:
            chosen = closing or new_instance(upload.bucket).encode() or NO_VERSION
            op = WriteOp().assert_exists().call(classes.LOCK_LOCK(lock)).cmpxattr(CLOSING, closing).setxattr(CLOSING, chosen)
            await upload.pool.write(upload.meta_oid, op)
            upload.attrs[CLOSING] = chosen
            return bool(closing)
        except store_errors.Cancelled:  # somebody closed or opened it since it was read
            upload.attrs = (await load_upload(gw, upload.bucket, upload.key, upload.upload_id)).attrs
        except store_errors.NotFound:
            raise S3Error("NoSuchUpload", UploadId=upload.upload_id) from None
        except (store_errors.Busy, store_errors.Exists):
            if time.monotonic() > deadline:
                raise S3Error("OperationAborted", "the upload is being completed or aborted by another request") from None
            await asyncio.sleep(0.05)


async def reopen(upload: Upload, cookie: str, hidden: list[Part]) -> None:
    """Opens an upload that was closed under the lock of ``cookie``, and shows radosgw its ``hidden`` parts again."""
    op = WriteOp().assert_exists()
    if hidden:
        _rename(op, hidden, CLOSED_PART, PART)
    op.rmxattr(CLOSING).call(classes.LOCK_UNLOCK(UnlockOp(name=LOCK_NAME, cookie=cookie)))
    await upload.pool.write(upload.meta_oid, op)


async def take_over(upload: Upload, cookie: str) -> bool:
    """Breaks the lock that a dead gateway took under ``cookie``. False if somebody else has it. NotFound of the store if the upload is over."""
    locked = await upload.pool.read(upload.meta_oid, ReadOp().call(classes.LOCK_GET_INFO(GetInfoOp(name=LOCK_NAME))))
    for locker in locked.reply.lockers:
        if locker.id.cookie != cookie:
            return False
        request = BreakLockOp(name=LOCK_NAME, locker=locker.id.locker, cookie=cookie)
        await upload.pool.write(upload.meta_oid, WriteOp().assert_exists().call(classes.LOCK_BREAK_LOCK(request)))
    return True


async def hide_parts(upload: Upload, parts: list[Part]) -> None:
    """Renames the parts' records, so that radosgw sees none."""
    op = WriteOp().assert_exists()
    _rename(op, parts, PART, CLOSED_PART)
    await upload.pool.write(upload.meta_oid, op)


async def parts_hidden(upload: Upload) -> bool:
    """Whether ``hide_parts`` was done."""
    hidden = await upload.pool.read(upload.meta_oid, ReadOp().omap_get(b"", CLOSED_PART, 1))
    assert hidden.omap is not None
    return bool(hidden.omap.values)


def _rename(op: WriteOp, parts: list[Part], old: bytes, new: bytes) -> None:
    op.omap_set({part_omap_key(part.number, new): part.raw for part in parts})
    op.omap_rm([part_omap_key(part.number, old) for part in parts])
