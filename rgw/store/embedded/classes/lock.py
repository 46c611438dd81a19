"""The object class ``lock``: advisory locks with an end, in xattrs.

A locker is known by its cookie alone: whoever runs these classes is one client, of no number.
"""

from __future__ import annotations

from typing import Any

from rgw.formats.cls_lock import (
    EXCLUSIVE,
    EXCLUSIVE_EPHEMERAL,
    MAY_RENEW,
    MUST_RENEW,
    SHARED,
    AssertLockedOp,
    BreakLockOp,
    EntityName,
    GetInfoOp,
    GetInfoRet,
    ListLocksRet,
    Locker,
    LockerId,
    LockerInfo,
    LockInfo,
    LockOp,
    SetCookieOp,
    UnlockOp,
)
from rgw.store import classes
from rgw.store.embedded.classes.registry import implements
from rgw.store.embedded.context import ObjectContext
from rgw.store.errors import Busy, Exists, InvalidArgument, NotFound

_PREFIX = "lock."


def _read(ctx: ObjectContext, name: str) -> LockInfo:
    """The lock without lockers whose time is over."""
    data = ctx.get_xattr(_PREFIX + name) if ctx.exists else None
    if data is None:
        return LockInfo()
    lock = LockInfo.decode(data)
    lock.lockers = [locker for locker in lock.lockers if not locker.info.expiration or locker.info.expiration >= ctx.now()]
    return lock


def _write(ctx: ObjectContext, name: str, lock: LockInfo) -> None:
    ctx.set_xattr(_PREFIX + name, lock.encode())


def _own(lock: LockInfo, cookie: str) -> Locker | None:
    return next((locker for locker in lock.lockers if locker.id.cookie == cookie), None)


@implements(classes.LOCK_LOCK)
def take(ctx: ObjectContext, request: LockOp) -> None:
    """Busy if others hold it, Exists if the same locker does and does not renew, NotFound if there is nothing that it must renew."""
    if request.type not in (EXCLUSIVE, SHARED, EXCLUSIVE_EPHEMERAL) or not request.name:
        raise InvalidArgument("bad lock type or name")
    if request.flags & MAY_RENEW and request.flags & MUST_RENEW:
        raise InvalidArgument("a lock may renew or must renew")
    lock = _read(ctx, request.name)
    if lock.lockers and lock.tag != request.tag:
        raise Busy("the lock has another tag")
    own = _own(lock, request.cookie)
    if own is not None:
        if not request.flags & (MAY_RENEW | MUST_RENEW):
            raise Exists("the lock is held already")
        lock.lockers.remove(own)
    elif request.flags & MUST_RENEW:
        raise NotFound("there is no such lock to renew")
    if lock.lockers and (request.type != SHARED or lock.lock_type != SHARED):
        raise Busy("somebody else holds the lock")
    lock.lock_type, lock.tag = request.type, request.tag
    info = LockerInfo(expiration=ctx.now() + request.duration if request.duration else 0, description=request.description)
    lock.lockers.append(Locker(id=own.id if own else LockerId(cookie=request.cookie), info=info))
    lock.lockers.sort(key=lambda locker: locker.id.cookie)
    ctx.create()
    _write(ctx, request.name, lock)


def _drop(ctx: ObjectContext, name: str, cookie: str, locker: EntityName | None = None) -> None:
    lock = _read(ctx, name)
    own = _own(lock, cookie)
    if own is None or (locker is not None and own.id.locker != locker):
        raise NotFound("the lock is not held")
    lock.lockers.remove(own)
    if lock.lock_type == EXCLUSIVE_EPHEMERAL and not lock.lockers:
        ctx.remove()
    else:
        _write(ctx, name, lock)


@implements(classes.LOCK_UNLOCK)
def unlock(ctx: ObjectContext, request: UnlockOp) -> None:
    _drop(ctx, request.name, request.cookie)


@implements(classes.LOCK_BREAK_LOCK)
def break_lock(ctx: ObjectContext, request: BreakLockOp) -> None:
    _drop(ctx, request.name, request.cookie, request.locker)


@implements(classes.LOCK_GET_INFO)
def get_info(ctx: ObjectContext, request: GetInfoOp) -> GetInfoRet:
    lock = _read(ctx, request.name)
    return GetInfoRet(lockers=lock.lockers, lock_type=lock.lock_type, tag=lock.tag)


@implements(classes.LOCK_LIST_LOCKS)
def list_locks(ctx: ObjectContext, request: Any) -> ListLocksRet:
    if not ctx.exists:
        raise NotFound("no such object")
    return ListLocksRet(locks=[name[len(_PREFIX):] for name in sorted(ctx.xattrs()) if name.startswith(_PREFIX)])


def _held(ctx: ObjectContext, request: AssertLockedOp | SetCookieOp) -> tuple[LockInfo, Locker]:
    lock = _read(ctx, request.name)
    own = _own(lock, request.cookie)
    if not lock.lockers or own is None or lock.lock_type != request.type or lock.tag != request.tag:
        raise Busy("the lock is not held that way")
    return lock, own


@implements(classes.LOCK_ASSERT_LOCKED)
def assert_locked(ctx: ObjectContext, request: AssertLockedOp) -> None:
    _held(ctx, request)


@implements(classes.LOCK_SET_COOKIE)
def set_cookie(ctx: ObjectContext, request: SetCookieOp) -> None:
    lock, own = _held(ctx, request)
    if _own(lock, request.new_cookie) is not None:
        raise Busy("the new cookie is in use")
    own.id = LockerId(locker=own.id.locker, cookie=request.new_cookie)
    _write(ctx, request.name, lock)
