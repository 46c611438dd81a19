"""Users: objects and order of writes as radosgw-admin's (formats page, section 2)."""

from __future__ import annotations

import copy
import secrets
import string
from collections.abc import Callable
from typing import TYPE_CHECKING

from rgw.core.entropy import random_text
from rgw.core.metadata import SystemObject, is_name
from rgw.core.purge import purge_bucket
from rgw.core.restrictions import require_no_denials
from rgw.errors import S3Error
from rgw.formats.basics import AccessKey, QuotaInfo, User
from rgw.formats.encoding import decode_string, encode_string
from rgw.formats.user import UserInfo
from rgw.store.errors import Cancelled, Exists, NotFound

if TYPE_CHECKING:
    from rgw.core.gateway import Gateway

_RETRIES = 10
_BUCKETS = ".buckets"


class Users:
    """All users. Lookups are answered from memory while both of a user's system objects are."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._decoded: dict[str, tuple[SystemObject, UserInfo]] = {}  # by uid
        self._by_key: dict[str, tuple[SystemObject, SystemObject, UserInfo]] = {}  # by access key: key's and user's object

    @property
    def _uids(self) -> str:
        return self._gateway.zone.uid_pool

    def cached_by_access_key(self, access_key: str) -> UserInfo | None:
        """The user if in memory and fresh: no waiting."""
        known = self._by_key.get(access_key)
        if known is None:
            return None
        key, user, info = known
        if key.fresh() and user.fresh():
            return info
        del self._by_key[access_key]
        return None

    async def get_by_access_key(self, access_key: str) -> UserInfo:
        """The user, who asks for something. S3Error InvalidAccessKeyId, NotImplemented (see ``require_no_denials``)."""
        found = self.cached_by_access_key(access_key)
        if found is not None:
            return found
        key, user, info = await self._find(access_key)
        require_no_denials(user.xattrs)
        if len(self._by_key) > self._gateway.options.rgw_cache_lru_size:
            self._by_key.clear()
        self._by_key[access_key] = key, user, info
        return info

    async def find_by_access_key(self, access_key: str) -> UserInfo:
        """The user, whom somebody else asks for. S3Error InvalidAccessKeyId."""
        return (await self._find(access_key))[2]

    async def _find(self, access_key: str) -> tuple[SystemObject, SystemObject, UserInfo]:
        metadata = self._gateway.metadata
        if not access_key or "\0" in access_key:
            raise S3Error("InvalidAccessKeyId")
        try:
            key = await metadata.get(self._gateway.zone.key_pool, access_key)
            uid = decode_string(key.data)[0]
            user = await metadata.get(self._uids, uid)
        except NotFound:
            raise S3Error("InvalidAccessKeyId") from None
        info = self._decode(uid, user)
        if access_key not in info.access_keys:  # a key's removal that did not come to its end
            raise S3Error("InvalidAccessKeyId")
        return key, user, info

    async def get(self, uid: str | User) -> UserInfo:
        """S3Error NoSuchUser."""
        text = uid if isinstance(uid, str) else uid.text()
        if not text or text.endswith(_BUCKETS):
            raise S3Error("NoSuchUser")
        try:
            return self._decode(text, await self._gateway.metadata.get(self._uids, text))
        except NotFound:
            raise S3Error("NoSuchUser") from None

    async def get_by_email(self, email: str) -> UserInfo:
        """S3Error NoSuchUser."""
        try:
            found = await self._gateway.metadata.get(self._gateway.zone.email_pool, email.lower())
        except NotFound:
            raise S3Error("NoSuchUser") from None
        return await self.get(decode_string(found.data)[0])

    def _decode(self, uid: str, found: SystemObject) -> UserInfo:
        known = self._decoded.get(uid)
        if known is not None and known[0] is found:
            return known[1]
        _, rest = decode_string(found.data)
        info = UserInfo.decode(found.data[rest:])
        if len(self._decoded) > self._gateway.options.rgw_cache_lru_size:
            self._decoded.clear()
        self._decoded[uid] = found, info
        return info

    async def create(
        self, uid: str, display_name: str, email: str = "", access_key: str | None = None, secret_key: str | None = None,
        max_buckets: int | None = None, generate_key: bool = True, *, system: bool = False, admin: bool = False,
    ) -> UserInfo:
        """Makes a user, with the given or a new key. S3Error InvalidArgument, UserAlreadyExists, EmailExists, KeyExists."""
        user = User.parse(uid)
        if not user.id or user.id.endswith(_BUCKETS) or not is_name(user.text() + _BUCKETS):
            raise S3Error("InvalidArgument", "no user id was given, or it is not a valid one")
        if not display_name:
            raise S3Error("InvalidArgument", "no display name was given")
        options = self._gateway.options
        info = UserInfo(
            user_id=user, display_name=display_name, email=email.lower(), system=int(system), admin=int(admin), type=1,
            max_buckets=options.rgw_user_max_buckets if max_buckets is None else max_buckets,
            bucket_quota=_quota(options.rgw_bucket_default_quota_max_size, options.rgw_bucket_default_quota_max_objects),
            user_quota=_quota(options.rgw_user_default_quota_max_size, options.rgw_user_default_quota_max_objects),
        )
        if access_key or secret_key or generate_key:
            key = new_key(access_key, secret_key)
            info.access_keys[key.id] = key
        text = user.text()
        metadata = self._gateway.metadata
        try:
            await metadata.create(self._uids, text, _record(info))
        except Exists:
            raise S3Error("UserAlreadyExists", f"user: {text} exists") from None
        try:
            await self._claim(UserInfo(user_id=user), info)
        except S3Error:
            await metadata.remove(self._uids, text)
            raise
        return info

    async def modify(self, info: UserInfo) -> UserInfo:
        """Stores a changed user (changed copies of what ``get`` returned). S3Error NoSuchUser, EmailExists, KeyExists."""
        return await self.change(info.user_id, lambda _current: info)

    async def change(self, uid: str | User, make: Callable[[UserInfo], UserInfo]) -> UserInfo:
        """Stores ``make(copy of the current user)``, anew if somebody else was faster."""
        text = uid if isinstance(uid, str) else uid.text()
        metadata = self._gateway.metadata
        for _ in range(_RETRIES):
            try:
                found = await metadata.get(self._uids, text, fresh=True)
            except NotFound:
                raise S3Error("NoSuchUser") from None
            old = self._decode(text, found)
            if old.newer:
                raise S3Error("NotImplemented", "the user was written by a newer release, whose fields a change would drop")
            new = make(copy.deepcopy(old))
            await self._claim(old, new)
            try:
                await metadata.replace(self._uids, text, _record(new), found.xattrs, found)
            except (Cancelled, NotFound):
                await self._release(new, old)
                continue
            await self._release(old, new)
            return new
        raise S3Error("OperationAborted")

    async def _claim(self, old: UserInfo, new: UserInfo) -> None:
        """Makes the email and key objects that ``new`` has and ``old`` lacks: all of them or none."""
        metadata, zone = self._gateway.metadata, self._gateway.zone
        data = encode_string(new.user_id.text())
        wanted = [(zone.email_pool, new.email, "EmailExists")] if new.email and new.email != old.email else []
        wanted += [(zone.key_pool, key, "KeyExists") for key in new.access_keys if key not in old.access_keys]
        wanted += [(zone.swift_pool, key, "KeyExists") for key in new.swift_keys if key not in old.swift_keys]
        made: list[tuple[str, str]] = []
        if not all(is_name(oid) for _, oid, _ in wanted):
            raise S3Error("InvalidArgument", "an access key or e-mail address is too long")
        for pool, oid, taken in wanted:
            try:
                await metadata.create(pool, oid, data, versioned=False)
                made.append((pool, oid))
            except Exists:
                holder = await metadata.get(pool, oid, fresh=True)
                if holder.data == data:  # left by a change of this very user that did not come to its end
                    continue
                for done in made:
                    await metadata.remove(*done)
                raise S3Error(taken, f"{oid} belongs to another user") from None

    async def _release(self, old: UserInfo, new: UserInfo) -> None:
        """Removes the email and key objects that ``old`` has and ``new`` lacks."""
        zone = self._gateway.zone
        gone = [(zone.email_pool, old.email)] if old.email and old.email != new.email else []
        gone += [(zone.key_pool, key) for key in old.access_keys if key not in new.access_keys]
        gone += [(zone.swift_pool, key) for key in old.swift_keys if key not in new.swift_keys]
        for pool, oid in gone:
            try:
                await self._gateway.metadata.remove(pool, oid)
            except NotFound:
                continue  # removed by somebody else: all the same

    async def create_key(self, uid: str, access_key: str | None = None, secret_key: str | None = None, subuser: str = "") -> AccessKey:
        """Adds a key (or gives an existing one another secret). S3Error NoSuchUser, KeyExists."""
        key = new_key(access_key, secret_key, subuser)

        def add(info: UserInfo) -> UserInfo:
            info.access_keys[key.id] = key
            return info

        await self.change(uid, add)
        return key

    async def remove_key(self, uid: str, access_key: str) -> None:
        """S3Error NoSuchUser, InvalidAccessKeyId (no such key)."""
        def drop(info: UserInfo) -> UserInfo:
            if info.access_keys.pop(access_key, None) is None:
                raise S3Error("InvalidAccessKeyId", f"user {uid} has no key {access_key}")
            return info

        await self.change(uid, drop)

    async def remove(self, uid: str, purge: bool = False) -> None:
        """Removes a user. One with buckets only with ``purge``, which deletes them with all objects. S3Error NoSuchUser, BucketNotEmpty."""
        info = await self.get(uid)
        while True:
            page, _ = await self._gateway.buckets.list(info)
            if not page:
                break
            if not purge:
                raise S3Error("BucketNotEmpty", f"user {uid} has buckets; remove them first, or purge its data")
            for entry in page:
                await purge_bucket(self._gateway, await self._gateway.buckets.get(entry.bucket.name, info.tenant))
        await self._release(info, UserInfo(user_id=info.user_id))
        metadata = self._gateway.metadata
        for oid in (f"{info.user_id.text()}{_BUCKETS}", info.user_id.text()):
            try:
                await metadata.remove(self._uids, oid)
            except NotFound:
                continue  # a user without buckets has no list

    async def list(self) -> list[str]:
        """All user ids, sorted."""
        ioctx = await self._gateway.pool(self._uids)
        return sorted([found.name async for found in ioctx.list_objects() if not found.name.endswith(_BUCKETS)])


def _record(info: UserInfo) -> bytes:
    """A user object's data: its id as text, then the user."""
    return encode_string(info.user_id.text()) + info.encode()


def _quota(size: int, objects: int) -> QuotaInfo:
    kilobytes = -1 if size < 0 else (size + 1023) // 1024
    return QuotaInfo(enabled=size >= 0 or objects >= 0, max_size=size, max_size_kb=kilobytes, max_objects=objects)


def new_key(access_key: str | None, secret_key: str | None, subuser: str = "") -> AccessKey:
    """Fills in what was not given: 20 upper-case letters and digits, 40 of both cases."""
    alphabet = string.ascii_uppercase + string.digits
    if access_key is not None and (not access_key or any(ord(char) < 0x21 for char in access_key)):
        raise S3Error("InvalidArgument", "not a valid access key")
    return AccessKey(
        id=access_key or "".join(secrets.choice(alphabet) for _ in range(20)), key=secret_key or random_text(40), subuser=subuser,
    )
