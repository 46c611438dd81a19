"""Who may do what under each canned ACL and under grants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgw.auth import Identity
from rgw.auth.acl import (
    AUTHENTICATED_USERS,
    FULL_CONTROL,
    READ,
    READ_ACP,
    WRITE,
    WRITE_ACP,
    Grant,
    allowed,
    canned,
    header_grants,
    policy,
)
from rgw.errors import S3Error
from rgw.formats.acl import AccessControlPolicy
from rgw.formats.basics import User
from rgw.formats.user import UserInfo


def identity(name: str, mask: int = FULL_CONTROL, admin: int = 0) -> Identity:
    info = UserInfo()
    info.user_id, info.admin = User("", name), admin
    return Identity(info, "AK", mask)


OWNER, OTHER, BUCKET_OWNER, ANYONE = identity("owner"), identity("other"), identity("lord"), Identity()

# canned ACL: what others, the bucket's owner, and the anonymous get
CANNED = {
    "private": (0, 0, 0),
    "public-read": (READ, READ, READ),
    "public-read-write": (READ | WRITE,) * 3,
    "authenticated-read": (READ, READ, 0),
    "bucket-owner-read": (0, READ, 0),
    "bucket-owner-full-control": (0, FULL_CONTROL, 0),
}


@pytest.mark.parametrize("name", CANNED)
def test_canned(name: str) -> None:
    acl = AccessControlPolicy.decode(canned(name, "owner", "The Owner", "lord", "Lord").encode())
    assert acl.owner.id == "owner" and acl.owner.display_name == "The Owner"
    for who, given_bits in zip((OTHER, BUCKET_OWNER, ANYONE), CANNED[name], strict=True):
        for bit in (READ, WRITE, READ_ACP, WRITE_ACP):
            assert allowed(acl, who, bit) is bool(given_bits & bit), (who, bit)
    assert allowed(acl, OWNER, FULL_CONTROL)
    assert not allowed(acl, identity("owner", READ), WRITE) and allowed(acl, identity("owner", READ), READ)
    assert allowed(acl, identity("root", admin=1), FULL_CONTROL)


def test_unknown_canned() -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        canned("public", "owner", "")


def test_owner_without_grants() -> None:
    acl = policy("owner", "", [])
    assert allowed(acl, OWNER, READ_ACP | WRITE_ACP) and not allowed(acl, OWNER, READ)
    assert allowed(policy("", "", []), BUCKET_OWNER, WRITE_ACP, "lord") and not allowed(policy("", "", []), OTHER, WRITE_ACP, "lord")


def test_header_grants() -> None:
    headers = {"x-amz-grant-read": 'id="a", uri="http://acs.amazonaws.com/groups/global/AuthenticatedUsers"',
               "x-amz-grant-full-control": "emailAddress=x@example.com,id=b"}
    assert header_grants(headers) == [Grant(READ, "a"), Grant(READ, group=AUTHENTICATED_USERS), Grant(FULL_CONTROL, email="x@example.com"),
                                      Grant(FULL_CONTROL, "b")]
    for bad in ('id="a', "name=a", 'uri="http://x"', "id=a id=b", 'id=""'):
        with pytest.raises(S3Error, match="InvalidArgument"):
            header_grants({"x-amz-grant-read": bad})
    with pytest.raises(S3Error, match="InvalidRequest"):
        header_grants({"x-amz-grant-read": "id=a", "x-amz-acl": "private"})
    with pytest.raises(S3Error, match="InvalidArgument"):
        policy("owner", "", [Grant(READ, email="nobody@example.com")])


@given(st.text(max_size=60))
def test_nonsense(text: str) -> None:
    try:
        header_grants({"x-amz-grant-write": text})
    except S3Error as error:
        assert error.status == 400
