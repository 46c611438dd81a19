"""Requests, replies and state of the object class `lock`. Sources: cls_lock_ops.h, cls_lock_types.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.encoding import S64, STR, TIME, U8, FormatError, Struct, Wire, f, list_of, map_of, struct

EXCLUSIVE, SHARED, EXCLUSIVE_EPHEMERAL = 1, 2, 3
MAY_RENEW, MUST_RENEW = 1, 2

# entity_addr_t of no type: marker 1, header 1/1, type, nonce, length of the socket address
_NO_ADDRESS = bytes((1, 1, 1)) + (12).to_bytes(4, "little") + bytes(12)


def _enc_raw(out: bytearray, value: bytes) -> None:
    out += value


def _dec_address(buf: bytes, pos: int, end: int) -> tuple[bytes, int]:
    """entity_addr_t, kept as its bytes: of the old form with its fixed size, or versioned behind a 1."""
    stop = pos + 136 if buf[pos] == 0 else pos + 7 + int.from_bytes(buf[pos + 3:pos + 7], "little")
    if stop > end:
        raise FormatError("an address is cut off")
    return buf[pos:stop], stop


ADDRESS = Wire(_enc_raw, _dec_address, lambda: _NO_ADDRESS)


@struct()
class EntityName(Struct):
    """entity_name_t: type 8 is a client."""

    type: int = f(U8, 8)
    num: int = f(S64)

    def __hash__(self) -> int:
        return hash((self.type, self.num))


@struct(1, 1)
class LockerId(Struct):
    """locker_id_t."""

    locker: EntityName = f(EntityName)
    cookie: str = f(STR)

    def __hash__(self) -> int:
        return hash((self.locker, self.cookie))

    def __lt__(self, other: LockerId) -> bool:
        return (self.locker.type, self.locker.num, self.cookie) < (other.locker.type, other.locker.num, other.cookie)


@struct(1, 1)
class LockerInfo(Struct):
    """locker_info_t; ``expiration`` 0: never."""

    expiration: int = f(TIME)
    addr: bytes = f(ADDRESS)
    description: str = f(STR)


_LOCKERS = map_of(LockerId, LockerInfo)


@struct(1, 1)
class LockInfo(Struct):
    """lock_info_t, the xattr `lock.<name>`."""

    lockers: dict[LockerId, LockerInfo] = f(_LOCKERS)
    type: int = f(U8)
    tag: str = f(STR)


@struct(1, 1)
class LockOp(Struct):
    """cls_lock_lock_op; ``duration`` in ns, 0: without end."""

    name: str = f(STR)
    type: int = f(U8)
    cookie: str = f(STR)
    tag: str = f(STR)
    description: str = f(STR)
    duration: int = f(TIME)
    flags: int = f(U8)


@struct(1, 1)
class UnlockOp(Struct):
    """cls_lock_unlock_op."""

    name: str = f(STR)
    cookie: str = f(STR)


@struct(1, 1)
class BreakLockOp(Struct):
    """cls_lock_break_op."""

    name: str = f(STR)
    locker: EntityName = f(EntityName)
    cookie: str = f(STR)


@struct(1, 1)
class GetInfoOp(Struct):
    """cls_lock_get_info_op."""

    name: str = f(STR)


@struct(1, 1)
class GetInfoRet(Struct):
    """cls_lock_get_info_reply."""

    lockers: dict[LockerId, LockerInfo] = f(_LOCKERS)
    type: int = f(U8)
    tag: str = f(STR)


@struct(1, 1)
class ListLocksRet(Struct):
    """cls_lock_list_locks_reply."""

    locks: list[str] = f(list_of(STR))


@struct(1, 1)
class AssertLockedOp(Struct):
    """cls_lock_assert_op."""

    name: str = f(STR)
    type: int = f(U8)
    cookie: str = f(STR)
    tag: str = f(STR)


@struct(1, 1)
class SetCookieOp(Struct):
    """cls_lock_set_cookie_op."""

    name: str = f(STR)
    type: int = f(U8)
    cookie: str = f(STR)
    tag: str = f(STR)
    new_cookie: str = f(STR)
