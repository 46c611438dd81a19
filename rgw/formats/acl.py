"""Access control policies, the xattr ``user.rgw.acl`` (formats page 3.5). Source: rgw_acl.h of Ceph Pacific."""

from __future__ import annotations

from rgw.formats.encoding import S32, STR, U8, U32, Struct, f, list_of, map_of, multimap_of, struct

READ, WRITE, READ_ACP, WRITE_ACP, FULL_CONTROL = 1, 2, 4, 8, 15
USER, EMAIL, GROUP, REFERER = 0, 1, 2, 4
NO_GROUP, ALL_USERS, AUTHENTICATED_USERS = 0, 1, 2


@struct(3, 2)
class AclOwner(Struct):
    """ACLOwner; ``id`` is the user as text."""

    id: str = f(STR)
    display_name: str = f(STR)


@struct(2, 2)
class AclGranteeType(Struct):
    """ACLGranteeType."""

    type: int = f(U32)


@struct(2, 2)
class AclPermission(Struct):
    """ACLPermission."""

    flags: int = f(U32)


@struct(5, 3)
class AclGrant(Struct):
    """ACLGrant: what one user, group or referer may do."""

    type: AclGranteeType = f(AclGranteeType)
    id: str = f(STR)
    uri: str = f(STR)
    email: str = f(STR)
    permission: AclPermission = f(AclPermission)
    name: str = f(STR)
    group: int = f(U32)
    url_spec: str = f(STR, since=5)

    @classmethod
    def user(cls, user: str, display_name: str, permission: int) -> AclGrant:
        return cls(AclGranteeType(USER), id=user, permission=AclPermission(permission), name=display_name)

    @classmethod
    def to_group(cls, group: int, permission: int) -> AclGrant:
        return cls(AclGranteeType(GROUP), permission=AclPermission(permission), group=group)


@struct(1, 1)
class AclReferer(Struct):
    """ACLReferer."""

    url_spec: str = f(STR)
    perm: int = f(U32)


@struct(4, 3)
class AccessControlList(Struct):
    """RGWAccessControlList. Checks use the flat maps, which add up the grants; ``add`` keeps both."""

    has_maps: int = f(U8, 1)
    user_map: dict[str, int] = f(map_of(STR, S32))
    grants: list[tuple[str, AclGrant]] = f(multimap_of(STR, AclGrant))
    group_map: dict[int, int] = f(map_of(U32, S32), since=4)
    referers: list[AclReferer] = f(list_of(AclReferer), since=4)

    def add(self, grant: AclGrant) -> None:
        """Adds a grant, and its permissions to the flat maps."""
        perm = grant.permission.flags
        if grant.type.type == GROUP:
            self.group_map[grant.group] = self.group_map.get(grant.group, 0) | perm
            self.grants.append(("", grant))
        elif grant.type.type == REFERER:
            self.referers.append(AclReferer(grant.url_spec, perm))
            self.grants.append(("", grant))
        else:
            self.user_map[grant.id] = self.user_map.get(grant.id, 0) | perm
            self.grants.append((grant.id, grant))


@struct(2, 2)
class AccessControlPolicy(Struct):
    """RGWAccessControlPolicy."""

    owner: AclOwner = f(AclOwner)
    acl: AccessControlList = f(AccessControlList)

    @classmethod
    def private(cls, owner: str, display_name: str) -> AccessControlPolicy:
        """Full control for the owner, nothing for others. ``owner`` is the user as text."""
        policy = cls(AclOwner(owner, display_name))
        policy.acl.add(AclGrant.user(owner, display_name, FULL_CONTROL))
        return policy
