"""/admin/user: users, subusers, keys, capabilities and quotas."""

from __future__ import annotations

from typing import Any

from rgw.core import caps as capabilities
from rgw.core import quotas, subusers, user_stats
from rgw.core.dump import user as dumped
from rgw.core.dump.basics import quota
from rgw.core.purge import purge_bucket
from rgw.core.suspension import flag_buckets
from rgw.errors import S3Error
from rgw.formats.bucket import UserHeader
from rgw.formats.user import UserInfo
from rgw.ops.admin.request import AdminRequest

_S32 = -2**31, 2**31 - 1


async def info(req: AdminRequest) -> Any:
    gw = req.gw
    if req.args.get("uid"):
        found = await req.user()
    elif req.args.get("access-key"):
        found = await gw.users.find_by_access_key(req.args["access-key"])
    else:
        raise S3Error("InvalidArgument", "give uid or access-key")
    out = dumped.admin_user(found)
    if req.flag("stats"):
        if req.flag("sync"):
            await user_stats.sync(gw, found)
        try:
            header = await user_stats.read(gw, found)
        except S3Error as error:
            if error.code != "NoSuchUser":
                raise
            header = UserHeader()
        out["stats"] = dumped.admin_user_stats(header)
    return out


async def list_(req: AdminRequest) -> Any:
    limit = req.number("max-entries", low=0) or 1000
    marker = req.args.get("marker", "")
    found = [uid for uid in await req.gw.users.list() if uid > marker]
    page = found[:limit]
    out: dict[str, Any] = {"keys": page, "truncated": len(page) < len(found), "count": len(page)}
    if out["truncated"]:
        out["marker"] = page[-1]
    return out


async def create(req: AdminRequest) -> Any:
    granted = capabilities.parse(req.args["user-caps"]) if req.args.get("user-caps") else {}
    uid = req.uid()
    made = await req.gw.users.create(
        uid, req.args.get("display-name", ""), req.args.get("email", ""), req.args.get("access-key") or None, req.args.get("secret-key") or None,
        req.number("max-buckets", *_S32), req.flag("generate-key", True), system=req.flag("system"))
    suspended, key_type = req.flag("suspended"), req.args.get("key-type") or "s3"
    if key_type not in subusers.KEY_TYPES:
        raise S3Error("InvalidArgument", f"key type {key_type!r} is not s3 or swift")
    if granted or suspended:
        def change(user: UserInfo) -> UserInfo:
            user.caps.caps.update(granted)
            user.suspended = int(suspended)
            return user

        made = await req.gw.users.change(made.user_id, change)
    return dumped.admin_user(made)


async def modify(req: AdminRequest) -> Any:
    granted = capabilities.parse(req.args["user-caps"]) if req.args.get("user-caps") else {}
    max_buckets, suspended, system = req.number("max-buckets", *_S32), req.optional_flag("suspended"), req.optional_flag("system")
    access_key, secret_key, generate = req.args.get("access-key"), req.args.get("secret-key"), req.flag("generate-key")

    def change(user: UserInfo) -> UserInfo:
        user.display_name = req.args.get("display-name") or user.display_name
        if "email" in req.args:
            user.email = req.args["email"].lower()
        user.max_buckets = user.max_buckets if max_buckets is None else max_buckets
        user.suspended = user.suspended if suspended is None else int(suspended)
        user.system = user.system if system is None else int(system)
        user.caps.caps.update(granted)
        if access_key or secret_key or generate:
            subusers.add_key(user, "s3", "", access_key or None, secret_key or None)
        return user

    changed = await req.gw.users.change(req.uid(), change)
    if suspended is not None:
        await flag_buckets(req.gw, changed)
    return dumped.admin_user(changed)


async def remove(req: AdminRequest) -> None:
    found = await req.user()
    if req.flag("purge-data"):
        names = [entry.bucket.name async for entry in user_stats.bucket_entries(req.gw, found)]
        for name in names:
            await purge_bucket(req.gw, await req.gw.buckets.get(name, found.tenant))
    await req.gw.users.remove(found.user_id.text())


async def create_key(req: AdminRequest) -> Any:
    kind = req.args.get("key-type") or "s3"
    subuser = req.args.get("subuser", "")
    uid, name = subusers.split(subuser, req.args.get("uid", "")) if subuser else (req.uid(), "")
    access_key, secret_key = req.args.get("access-key") or None, req.args.get("secret-key") or None
    if not (access_key or secret_key or req.flag("generate-key", True)):
        raise S3Error("InvalidArgument", "no key is given, and none is to be generated")

    def change(user: UserInfo) -> UserInfo:
        subusers.add_key(user, kind, name, access_key, secret_key)
        return user

    changed = await req.gw.users.change(uid, change)
    return dumped.keys(changed) if kind == "s3" else dumped.swift_keys(changed)


async def remove_key(req: AdminRequest) -> None:
    if (req.args.get("key-type") or "s3") == "swift":
        uid, name = subusers.split(req.text("subuser"), req.args.get("uid", ""))

        def drop(user: UserInfo) -> UserInfo:
            if user.swift_keys.pop(f"{uid}:{name}", None) is None:
                raise S3Error("InvalidAccessKeyId", f"subuser {uid}:{name} has no swift key")
            return user

        await req.gw.users.change(uid, drop)
        return
    access_key = req.text("access-key")
    uid = req.uid() if req.args.get("uid") else (await req.gw.users.find_by_access_key(access_key)).user_id.text()
    await req.gw.users.remove_key(uid, access_key)


def _subuser_key(req: AdminRequest) -> dict[str, Any]:
    secret = req.args.get("secret-key") or req.args.get("secret") or None
    access_key = req.args.get("access-key") or None
    wanted = bool(secret or access_key or req.flag("generate-secret"))
    return {"key_type": (req.args.get("key-type") or "swift") if wanted else "", "access_key": access_key, "secret_key": secret}


async def create_subuser(req: AdminRequest) -> Any:
    uid, name = subusers.split(req.text("subuser"), req.uid())
    return dumped.subusers(await subusers.create(req.gw, uid, name, req.args.get("access", ""), **_subuser_key(req)))


async def modify_subuser(req: AdminRequest) -> Any:
    uid, name = subusers.split(req.text("subuser"), req.uid())
    return dumped.subusers(await subusers.modify(req.gw, uid, name, req.args.get("access"), **_subuser_key(req)))


async def remove_subuser(req: AdminRequest) -> None:
    uid, name = subusers.split(req.text("subuser"), req.uid())
    await subusers.remove(req.gw, uid, name)


async def add_caps(req: AdminRequest) -> Any:
    return dumped.caps(await capabilities.add(req.gw, req.uid(), req.text("user-caps")))


async def remove_caps(req: AdminRequest) -> Any:
    return dumped.caps(await capabilities.remove(req.gw, req.uid(), req.text("user-caps")))


async def get_quota(req: AdminRequest) -> Any:
    found = await req.user()
    scope = req.args.get("quota-type", "")
    if scope and scope not in quotas.SCOPES:
        raise S3Error("InvalidArgument", f"quota type {scope!r} is not user or bucket")
    both = {"bucket_quota": quota(found.bucket_quota), "user_quota": quota(found.user_quota)}
    return both[f"{scope}_quota"] if scope else both


async def set_quota(req: AdminRequest) -> None:
    scope = req.args.get("quota-type", "")
    document = await req.json()
    if scope:
        await quotas.set_of_user(req.gw, req.uid(), scope, **quota_changes(req, document))
        return
    for one in quotas.SCOPES:
        if f"{one}_quota" not in document:
            raise S3Error("InvalidArgument", "give quota-type, or both quotas in the body")
    for one in quotas.SCOPES:
        await quotas.set_of_user(req.gw, req.uid(), one, **quota_changes(req, document[f"{one}_quota"]))


def quota_changes(req: AdminRequest, document: Any) -> dict[str, Any]:
    """What a body or the parameters say of a quota: sizes in bytes, or in KiB where named so."""
    if not isinstance(document, dict):
        raise S3Error("InvalidArgument", "a quota is a JSON object")
    if document:
        size, kilobytes, objects, enabled = (document.get(name) for name in ("max_size", "max_size_kb", "max_objects", "enabled"))
        if any(not isinstance(value, int | None) for value in (size, kilobytes, objects, enabled)):
            raise S3Error("InvalidArgument", "sizes and counts of a quota are numbers, enabled is true or false")
    else:
        size, kilobytes, objects = (req.number(name) for name in ("max-size", "max-size-kb", "max-objects"))
        enabled = req.optional_flag("enabled")
    if size is None and kilobytes is not None:
        size = kilobytes * 1024 if kilobytes >= 0 else -1
    return {"max_size": size, "max_objects": objects, "enabled": None if enabled is None else bool(enabled)}
