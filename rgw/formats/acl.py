"""Access control lists, the xattr ``user.rgw.acl`` (formats page 3.5). Sources: rgw_acl.h, rgw_acl_types.h of Ceph Pacific."""

from __future__ import annotations

from functools import lru_cache

from rgw.formats.encoding import BOOL, S32, STR, U32, Struct, f, list_of, map_of, multimap_of, struct

USER, EMAIL, GROUP, UNKNOWN, REFERER = range(5)  # types of grantees
NO_GROUP, ALL_USERS, AUTHENTICATED_USERS = range(3)
READ, WRITE, READ_ACP, WRITE_ACP, FULL_CONTROL = 1, 2, 4, 8, 15


@struct(2, 2)
class GranteeType(Struct):
    """ACLGranteeType."""

    type: int = f(U32)


@struct(2, 2)
class AclPermission(Struct):
    """ACLPermission: a sum of READ ... WRITE_ACP."""

    flags: int = f(U32)


@struct(3, 2)
class AclOwner(Struct):
    """ACLOwner; ``id`` is a user's text."""

    id: str = f(STR)
    display_name: str = f(STR)


@struct(5, 3)
class AclGrant(Struct):
    """ACLGrant; ``id`` is a user's text, "" for groups and referers."""

    type: GranteeType = f(GranteeType)
    id: str = f(STR)
    uri: str = f(STR)
    email: str = f(STR)
    permission: AclPermission = f(AclPermission)
    name: str = f(STR)
    group: int = f(U32)
    url_spec: str = f(STR, since=5)

    @classmethod
    def user(cls, user: str, display_name: str, permission: int) -> AclGrant:
        return cls(GranteeType(USER), user, "", "", AclPermission(permission), display_name)

    @classmethod
    def to_group(cls, group: int, permission: int) -> AclGrant:
        return cls(GranteeType(GROUP), permission=AclPermission(permission), group=group)


@struct(1, 1)
class AclReferer(Struct):
    """ACLReferer."""

    url_spec: str = f(STR)
    perm: int = f(U32)


@struct(4, 3)
class AccessControlList(Struct):
    """RGWAccessControlList: grants, and their sums per user and group, which radosgw checks."""

    has_maps: bool = f(BOOL, True)
    user_map: dict[str, int] = f(map_of(STR, S32))
    grants: list[tuple[str, AclGrant]] = f(multimap_of(STR, AclGrant))
    group_map: dict[int, int] = f(map_of(U32, S32))
    referers: list[AclReferer] = f(list_of(AclReferer), since=4)

    def add(self, grant: AclGrant) -> None:
        """Adds a grant and its share of the sums."""
        flags = grant.permission.flags
        if grant.type.type == GROUP:
            self.grants.append(("", grant))
            self.group_map[grant.group] = self.group_map.get(grant.group, 0) | flags
        elif grant.type.type == REFERER:
            self.grants.append(("", grant))
            self.referers.append(AclReferer(grant.url_spec, flags))
        else:
            self.grants.append((grant.id, grant))
            self.user_map[grant.id] = self.user_map.get(grant.id, 0) | flags


@struct(2, 2)
class AccessControlPolicy(Struct):
    """RGWAccessControlPolicy."""

    owner: AclOwner = f(AclOwner)
    acl: AccessControlList = f(AccessControlList)

    @classmethod
    def private(cls, owner: str, display_name: str) -> AccessControlPolicy:
        """All for the owner, nothing for others."""
        made = cls(AclOwner(owner, display_name))
        made.acl.add(AclGrant.user(owner, display_name, FULL_CONTROL))
        return made


@lru_cache(4096)
def shared_policy(data: bytes) -> AccessControlPolicy:
    """A decoded policy. All who ask with the same bytes share it, so nobody may change it."""
    return AccessControlPolicy.decode(data)
