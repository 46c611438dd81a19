import secrets

import pytest

from rgw.core.gateway import Gateway
from rgw.errors import S3Error
from rgw.formats.encoding import decode_string


def unique() -> str:
    return secrets.token_hex(5)


async def test_create_and_look_up(gateway):
    uid, email = unique(), f"{unique()}@Example.org"
    made = await gateway.users.create(uid, "Some One", email=email)
    (key,) = made.access_keys
    assert (await gateway.users.get(uid)).display_name == "Some One"
    found = await gateway.users.get_by_access_key(key)
    assert found.user_id.text() == uid and found.access_keys[key].key == made.access_keys[key].key
    assert gateway.users.cached_by_access_key(key) is found
    assert (await gateway.users.get_by_email(email)).user_id.id == uid
    assert uid in await gateway.users.list()


async def test_objects_are_radosgws(gateway):
    """The formats page, section 2: the key object holds the uid, the user object the uid and then the user, with a version."""
    uid = unique()
    made = await gateway.users.create(uid, "x", access_key=f"AK{uid}")
    zone = gateway.zone
    key = await gateway.metadata.get(zone.key_pool, f"AK{uid}", fresh=True)
    assert decode_string(key.data) == (uid, len(key.data)) and not key.xattrs
    record = await gateway.metadata.get(zone.uid_pool, uid, fresh=True)
    text, rest = decode_string(record.data)
    assert text == uid and record.data[rest:] == made.encode()
    assert record.version.ver == 1 and record.version.tag.startswith("_")


@pytest.mark.parametrize("what", ["uid", "email", "key"])
async def test_uniqueness(gateway, what):
    uid, other = unique(), unique()
    await gateway.users.create(uid, "x", email=f"{uid}@x", access_key=f"AK{uid}")
    arguments = {
        "uid": (uid, f"{other}@x", f"AK{other}"), "email": (other, f"{uid}@x", f"AK{other}"), "key": (other, f"{other}@x", f"AK{uid}"),
    }
    name, email, key = arguments[what]
    with pytest.raises(S3Error, match="(?i)exists"):
        await gateway.users.create(name, "y", email=email, access_key=key)
    if what != "uid":  # and nothing is left of the attempt
        with pytest.raises(S3Error, match="NoSuchUser"):
            await gateway.users.get(other)
        await gateway.users.create(other, "y", email=f"{other}@x", access_key=f"AK{other}")


async def test_keys(gateway):
    uid = unique()
    await gateway.users.create(uid, "x", generate_key=False)
    key = await gateway.users.create_key(uid)
    assert (await gateway.users.get_by_access_key(key.id)).user_id.id == uid
    await gateway.users.remove_key(uid, key.id)
    with pytest.raises(S3Error, match="InvalidAccessKeyId"):
        await gateway.users.get_by_access_key(key.id)
    with pytest.raises(S3Error, match="no key"):
        await gateway.users.remove_key(uid, key.id)


async def test_modify_and_remove(gateway):
    uid = unique()
    info = await gateway.users.create(uid, "x", email=f"{uid}@a")

    def rename(current):
        current.display_name, current.email = "z", f"{uid}@b"
        return current

    await gateway.users.change(uid, rename)
    assert (await gateway.users.get(uid)).display_name == "z"
    with pytest.raises(S3Error, match="NoSuchUser"):
        await gateway.users.get_by_email(f"{uid}@a")
    assert (await gateway.users.get_by_email(f"{uid}@b")).user_id.id == uid
    await gateway.users.remove(uid)
    for access_key in info.access_keys:
        with pytest.raises(S3Error, match="InvalidAccessKeyId"):
            await gateway.users.get_by_access_key(access_key)
    with pytest.raises(S3Error, match="NoSuchUser"):
        await gateway.users.get(uid)


@pytest.mark.parametrize("uid,name", [("", "x"), ("a.buckets", "x"), ("a", "")])
async def test_bad_users(gateway, uid, name):
    with pytest.raises(S3Error, match="InvalidArgument"):
        await gateway.users.create(uid, name)


async def test_another_gateway_hears_of_a_change(gateway, cluster, options):
    """What a gateway has in memory is dropped when another one changes it."""
    other = await Gateway.open(cluster, options)
    try:
        uid = unique()
        made = await gateway.users.create(uid, "before")
        (key,) = made.access_keys
        assert (await other.users.get_by_access_key(key)).display_name == "before"
        assert other.users.cached_by_access_key(key) is not None

        def rename(current):
            current.display_name = "after"
            return current

        await gateway.users.change(uid, rename)
        assert (await other.users.get_by_access_key(key)).display_name == "after"
    finally:
        await other.close()


async def test_tenants(gateway):
    uid = unique()
    await gateway.users.create(f"ten${uid}", "x")
    info = await gateway.users.get(f"ten${uid}")
    assert (info.user_id.tenant, info.user_id.id) == ("ten", uid)
