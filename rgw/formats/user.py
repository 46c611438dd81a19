"""RGWUserInfo (formats page 3.2) and the user's bucket list (3.4). Sources: rgw_common.h, cls_user_types.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.basics import AccessKey, PlacementRule, QuotaInfo, SubUser, User, UserCaps
from rgw.formats.encoding import S32, STR, U8, U32, U64, FormatError, Struct, Wire, f, list_of, map_of, struct

_FIELDS: list[tuple[str, Wire]] = [
    ("subusers", map_of(STR, SubUser)), ("suspended", U8), ("swift_keys", map_of(STR, AccessKey)), ("max_buckets", S32),
    ("caps", Wire(UserCaps._enc, UserCaps._dec, UserCaps)), ("op_mask", U32), ("system", U8),
    ("default_placement", Wire(PlacementRule._enc, PlacementRule._dec, PlacementRule)), ("placement_tags", list_of(STR)),
    ("bucket_quota", Wire(QuotaInfo._enc, QuotaInfo._dec, QuotaInfo)), ("temp_url_keys", map_of(S32, STR)),
    ("user_quota", Wire(QuotaInfo._enc, QuotaInfo._dec, QuotaInfo)),
]
_KEYS = map_of(STR, AccessKey)
_TEXTS = list_of(STR)


@struct(22, 9)
class UserInfo(Struct):
    """RGWUserInfo. ``type``: 1 rgw, 2 keystone, 3 ldap."""

    user_id: User = f(User)
    display_name: str = f(STR)
    email: str = f(STR)
    access_keys: dict[str, AccessKey] = f(_KEYS)
    subusers: dict[str, SubUser] = f(_FIELDS[0][1])
    suspended: int = f(U8)
    swift_keys: dict[str, AccessKey] = f(_KEYS)
    max_buckets: int = f(S32, 1000)
    caps: UserCaps = f(UserCaps)
    op_mask: int = f(U32, 7)
    system: int = f(U8)
    default_placement: PlacementRule = f(PlacementRule)
    placement_tags: list[str] = f(_TEXTS)
    bucket_quota: QuotaInfo = f(QuotaInfo)
    temp_url_keys: dict[int, str] = f(map_of(S32, STR))
    user_quota: QuotaInfo = f(QuotaInfo)
    admin: int = f(U8)
    type: int = f(U32, 1)
    mfa_ids: list[str] = f(_TEXTS)
    assumed_role_arn: str = f(STR)

    @property
    def user(self) -> User:
        return self.user_id

    @property
    def tenant(self) -> str:
        return self.user_id.tenant

    @staticmethod
    def _enc_body(out: bytearray, o: UserInfo) -> None:
        U64.enc(out, 0)
        first = o.access_keys[min(o.access_keys)] if o.access_keys else AccessKey()
        swift = o.swift_keys[min(o.swift_keys)] if o.swift_keys else None
        swift_name = f"{o.user_id.text()}:{swift.subuser}" if swift and swift.subuser else swift.id if swift else ""
        for text in (first.id, first.key, o.display_name, o.email, swift_name, swift.key if swift else "", o.user_id.id):
            STR.enc(out, text)
        _KEYS.enc(out, o.access_keys)
        for name, kind in _FIELDS:
            kind.enc(out, getattr(o, name))
        STR.enc(out, o.user_id.tenant)
        U8.enc(out, o.admin)
        U32.enc(out, o.type)
        _TEXTS.enc(out, o.mfa_ids)
        STR.enc(out, o.assumed_role_arn)
        STR.enc(out, o.user_id.ns)

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[UserInfo, int]:
        if v < 20:
            raise FormatError(f"RGWUserInfo of version {v} is older than this gateway reads")
        pos += 8
        texts = []
        for _ in range(7):
            text, pos = STR.dec(buf, pos, end)
            texts.append(text)
        info = UserInfo(User("", texts[6], ""), texts[2], texts[3])
        info.access_keys, pos = _KEYS.dec(buf, pos, end)
        for name, kind in _FIELDS:
            value, pos = kind.dec(buf, pos, end)
            setattr(info, name, value)
        info.user_id.tenant, pos = STR.dec(buf, pos, end)
        info.admin, pos = U8.dec(buf, pos, end)
        info.type, pos = U32.dec(buf, pos, end)
        info.mfa_ids, pos = _TEXTS.dec(buf, pos, end)
        if v >= 21:
            info.assumed_role_arn, pos = STR.dec(buf, pos, end)
        if v >= 22:
            info.user_id.ns, pos = STR.dec(buf, pos, end)
        return info, pos



