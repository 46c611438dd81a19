"""The usage log, with the object class's requests and replies. Sources: cls_rgw_types.h, cls_rgw_ops.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.encoding import BOOL, STR, U32, U64, Struct, f, list_of, map_of, struct


@struct(1, 1)
class UsageData(Struct):
    """rgw_usage_data. Bytes of bodies, without headers."""

    bytes_sent: int = f(U64)
    bytes_received: int = f(U64)
    ops: int = f(U64)
    successful_ops: int = f(U64)

    def add(self, other: UsageData) -> None:
        self.bytes_sent += other.bytes_sent
        self.bytes_received += other.bytes_received
        self.ops += other.ops
        self.successful_ops += other.successful_ops


_DATA = ("bytes_sent", "bytes_received", "ops", "successful_ops")
_CATEGORIES = map_of(STR, UsageData)


@struct(3, 1)
class UsageLogEntry(Struct):
    """rgw_usage_log_entry: an hour of one user's requests to one bucket. ``epoch`` in seconds; ``payer`` empty: the owner pays."""

    owner: str = f(STR)
    bucket: str = f(STR)
    epoch: int = f(U64)
    total: UsageData = f(UsageData)
    categories: dict[str, UsageData] = f(_CATEGORIES)
    payer: str = f(STR)

    @property
    def user(self) -> str:
        """Whose usage it is."""
        return self.payer or self.owner

    def count(self, category: str, data: UsageData) -> None:
        """Adds requests of a category."""
        self.categories.setdefault(category, UsageData()).add(data)
        self.total.add(data)

    @staticmethod
    def _enc_body(out: bytearray, o: UsageLogEntry) -> None:
        STR.enc(out, o.owner)
        STR.enc(out, o.bucket)
        U64.enc(out, o.epoch)
        for name in _DATA:
            U64.enc(out, getattr(o.total, name))
        _CATEGORIES.enc(out, o.categories)
        STR.enc(out, o.payer)

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[UsageLogEntry, int]:
        o = UsageLogEntry()
        o.owner, pos = STR.dec(buf, pos, end)
        o.bucket, pos = STR.dec(buf, pos, end)
        o.epoch, pos = U64.dec(buf, pos, end)
        for name in _DATA:
            value, pos = U64.dec(buf, pos, end)
            setattr(o.total, name, value)
        if v < 2:
            o.categories = {"": UsageData(*(getattr(o.total, name) for name in _DATA))}
        else:
            o.categories, pos = _CATEGORIES.dec(buf, pos, end)
        if v >= 3:
            o.payer, pos = STR.dec(buf, pos, end)
        return o, pos


@struct(1, 1)
class UsageLogInfo(Struct):
    """rgw_usage_log_info."""

    entries: list[UsageLogEntry] = f(list_of(UsageLogEntry))


@struct(1, 1)
class UserBucketKey(Struct):
    """rgw_user_bucket."""

    user: str = f(STR)
    bucket: str = f(STR)

    def __hash__(self) -> int:
        return hash((self.user, self.bucket))

    def __lt__(self, other: UserBucketKey) -> bool:
        return (self.user.encode(), self.bucket.encode()) < (other.user.encode(), other.bucket.encode())


@struct(2, 1)
class UsageAddOp(Struct):
    """rgw_cls_usage_log_add_op. ``user`` is left empty."""

    info: UsageLogInfo = f(UsageLogInfo)
    user: str = f(STR, since=2)


@struct(2, 1)
class UsageReadOp(Struct):
    """rgw_cls_usage_log_read_op. Epochs in seconds, the end exclusive; ``owner`` empty: all users; ``iter`` of the last reply."""

    start_epoch: int = f(U64)
    end_epoch: int = f(U64)
    owner: str = f(STR)
    iter: str = f(STR)
    max_entries: int = f(U32)
    bucket: str = f(STR, since=2)


@struct(1, 1)
class UsageReadRet(Struct):
    """rgw_cls_usage_log_read_ret: the entries of the range, added up by user and bucket."""

    usage: dict[UserBucketKey, UsageLogEntry] = f(map_of(UserBucketKey, UsageLogEntry))
    truncated: bool = f(BOOL)
    next_iter: str = f(STR)


@struct(3, 2)
class UsageTrimOp(Struct):
    """rgw_cls_usage_log_trim_op."""

    start_epoch: int = f(U64)
    end_epoch: int = f(U64)
    user: str = f(STR)
    bucket: str = f(STR, since=3)
