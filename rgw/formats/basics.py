"""Users, pools, buckets' names, objects' names, versions and quotas (formats page 3.1). Sources: rgw_common.h, rgw_basic_types.h of Ceph Pacific."""

from __future__ import annotations

from functools import lru_cache

from rgw.formats.encoding import BOOL, S64, STR, U32, U64, FormatError, Struct, f, map_of, multimap_of, struct


@struct(2, 1)
class User(Struct):
    """rgw_user."""

    tenant: str = f(STR)
    id: str = f(STR)
    ns: str = f(STR, since=2)

    def text(self) -> str:
        """`id`, `tenant$id`, `tenant$ns$id` or `$ns$id`."""
        if self.ns:
            return f"{self.tenant}${self.ns}${self.id}"
        return f"{self.tenant}${self.id}" if self.tenant else self.id

    @classmethod
    def parse(cls, text: str) -> User:
        tenant, dollar, rest = text.partition("$")
        if not dollar:
            return cls("", text, "")
        ns, dollar, user_id = rest.partition("$")
        return cls(tenant, user_id, ns) if dollar else cls(tenant, rest, "")


@struct(10, 10)
class Pool(Struct):
    """rgw_pool; as text `pool` or `pool:namespace`, with ``\\`` before a colon that is part of a name."""

    name: str = f(STR)
    ns: str = f(STR)

    def text(self) -> str:
        return _pool_text(self.name, self.ns)

    @classmethod
    def parse(cls, text: str) -> Pool:
        parts, escaped = [""], False
        for c in text:
            if escaped:
                parts[-1] += c
                escaped = False
            elif c == "\\":
                escaped = True
            elif c == ":" and len(parts) == 1:
                parts.append("")
            else:
                parts[-1] += c
        return cls(parts[0], parts[1] if len(parts) > 1 else "")


@lru_cache(1024)
def _pool_text(name: str, ns: str) -> str:
    name, ns = (text.replace("\\", "\\\\").replace(":", "\\:") for text in (name, ns))
    return f"{name}:{ns}" if ns else name


@lru_cache(1024)
def _bucket_texts(*texts: str) -> bytes:
    """Of a bucket's name, encoded: each manifest of its objects begins with the same."""
    out = bytearray()
    for text in texts:
        STR.enc(out, text)
    return bytes(out)


@struct(10, 10)
class BucketName(Struct):
    """rgw_bucket. The pools are written only if ``data_pool`` is named (explicit placement)."""

    name: str = f(STR)
    marker: str = f(STR)
    bucket_id: str = f(STR)
    tenant: str = f(STR)
    data_pool: Pool = f(Pool)
    data_extra_pool: Pool = f(Pool)
    index_pool: Pool = f(Pool)

    @staticmethod
    def _enc_body(out: bytearray, o: BucketName) -> None:
        out += _bucket_texts(o.name, o.marker, o.bucket_id, o.tenant)
        out.append(bool(o.data_pool.name))
        if o.data_pool.name:
            for pool in (o.data_pool, o.data_extra_pool, o.index_pool):
                Pool._enc(out, pool)

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[BucketName, int]:
        texts = []
        for _ in range(4):
            text, pos = STR.dec(buf, pos, end)
            texts.append(text)
        if v < 10:
            raise FormatError(f"rgw_bucket of version {v} is older than this gateway reads")
        explicit, pos = BOOL.dec(buf, pos, end)
        pools = []
        if explicit:
            for _ in range(3):
                pool, pos = Pool._dec(buf, pos, end)
                pools.append(pool)
        return BucketName(*texts, *pools), pos

    def __hash__(self) -> int:
        return hash((self.tenant, self.name, self.bucket_id))


@struct(6, 6)
class RawObj(Struct):
    """rgw_raw_obj."""

    pool: Pool = f(Pool)
    oid: str = f(STR)
    loc: str = f(STR)


@struct(6, 6)
class Obj(Struct):
    """rgw_obj; ``name`` is unescaped."""

    bucket: BucketName = f(BucketName)
    ns: str = f(STR)
    name: str = f(STR)
    instance: str = f(STR)


@struct()
class PlacementRule(Struct):
    """rgw_placement_rule: one string, `name` or `name/STORAGE_CLASS`."""

    name: str = f(STR)
    storage_class: str = f(STR)

    def text(self) -> str:
        return f"{self.name}/{self.storage_class}" if self.storage_class not in ("", "STANDARD") else self.name

    @classmethod
    def parse(cls, text: str) -> PlacementRule:
        name, _, storage_class = text.partition("/")
        return cls(name, storage_class)

    @staticmethod
    def _enc_body(out: bytearray, o: PlacementRule) -> None:
        STR.enc(out, o.text())

    @staticmethod
    def _dec_body(buf: bytes, pos: int, end: int, v: int) -> tuple[PlacementRule, int]:
        text, pos = STR.dec(buf, pos, end)
        return PlacementRule.parse(text), pos


@struct(1, 1)
class ObjVersion(Struct):
    """obj_version."""

    ver: int = f(U64)
    tag: str = f(STR)


@struct(3, 1)
class QuotaInfo(Struct):
    """RGWQuotaInfo. Sizes in bytes; -1: unlimited."""

    max_size_kb: int = f(S64, -1)
    max_objects: int = f(S64, -1)
    enabled: bool = f(BOOL)
    max_size: int = f(S64, -1, since=2)
    check_on_raw: bool = f(BOOL, since=3)


@struct(2, 2)
class AccessKey(Struct):
    """RGWAccessKey. Its repr does not show the secret."""

    id: str = f(STR)
    key: str = f(STR)
    subuser: str = f(STR)

    def __repr__(self) -> str:
        return f"AccessKey(id={self.id!r}, subuser={self.subuser!r})"


@struct(2, 2)
class SubUser(Struct):
    """RGWSubUser."""

    name: str = f(STR)
    perm_mask: int = f(U32)


@struct(1, 1)
class UserCaps(Struct):
    """RGWUserCaps: 1 read, 2 write, 3 both."""

    caps: dict[str, int] = f(map_of(STR, U32))


@struct(1, 1)
class ObjTags(Struct):
    """RGWObjTags."""

    tags: list[tuple[str, str]] = f(multimap_of(STR, STR))
