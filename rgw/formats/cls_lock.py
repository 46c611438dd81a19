"""Requests, replies and state of the object class ``lock`` (formats page 4). Source: cls_lock_ops.h, cls_lock_types.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.encoding import S64, STR, TIME, U8, FormatError, Struct, Wire, f, list_of, opaque, struct

EXCLUSIVE, SHARED, EXCLUSIVE_EPHEMERAL = 1, 2, 3
MAY_RENEW, MUST_RENEW = 1, 2
_LEGACY_ADDRESS = 136  # u32 type, u32 nonce, sockaddr_storage


@struct(1, 1)
class LockOp(Struct):
    """``duration`` in ns; 0: until it is unlocked."""

    name: str = f(STR)
    type: int = f(U8)
    cookie: str = f(STR)
    tag: str = f(STR)
    description: str = f(STR)
    duration: int = f(TIME)
    flags: int = f(U8)


@struct(1, 1)
class UnlockOp(Struct):
    name: str = f(STR)
    cookie: str = f(STR)


@struct()
class EntityName(Struct):
    """entity_name_t. ``type`` 8 is a client."""

    type: int = f(U8, 8)
    num: int = f(S64)


def _enc_address(out: bytearray, value: bytes) -> None:
    out += value


def _dec_address(buf: bytes, pos: int, end: int) -> tuple[bytes, int]:
    if pos < end and buf[pos] == 1:
        found, stop = opaque().dec(buf, pos + 1, end)
        return b"\x01" + found, stop
    if pos + _LEGACY_ADDRESS > end:
        raise FormatError("entity_addr_t is cut off")
    return buf[pos:pos + _LEGACY_ADDRESS], pos + _LEGACY_ADDRESS


# entity_addr_t, kept as its bytes; the default is an address of no type
ADDRESS = Wire(_enc_address, _dec_address, lambda: b"\x01\x01\x01\x0c\x00\x00\x00" + bytes(12))


@struct(1, 1)
class LockerId(Struct):
    """locker_id_t."""

    locker: EntityName = f(EntityName)
    cookie: str = f(STR)


@struct(1, 1)
class LockerInfo(Struct):
    """locker_info_t. ``expiration`` 0: never."""

    expiration: int = f(TIME)
    addr: bytes = f(ADDRESS)
    description: str = f(STR)


@struct()
class Locker(Struct):
    id: LockerId = f(LockerId)
    info: LockerInfo = f(LockerInfo)


@struct(1, 1)
class LockInfo(Struct):
    """lock_info_t, the xattr ``lock.<name>``."""

    lockers: list[Locker] = f(list_of(Locker))
    lock_type: int = f(U8)
    tag: str = f(STR)


@struct(1, 1)
class BreakLockOp(Struct):
    name: str = f(STR)
    locker: EntityName = f(EntityName)
    cookie: str = f(STR)


@struct(1, 1)
class GetInfoOp(Struct):
    name: str = f(STR)


@struct(1, 1)
class GetInfoRet(Struct):
    lockers: list[Locker] = f(list_of(Locker))
    lock_type: int = f(U8)
    tag: str = f(STR)


@struct(1, 1)
class ListLocksRet(Struct):
    locks: list[str] = f(list_of(STR))


@struct(1, 1)
class AssertLockedOp(Struct):
    name: str = f(STR)
    type: int = f(U8)
    cookie: str = f(STR)
    tag: str = f(STR)


@struct(1, 1)
class SetCookieOp(Struct):
    name: str = f(STR)
    type: int = f(U8)
    cookie: str = f(STR)
    tag: str = f(STR)
    new_cookie: str = f(STR)
