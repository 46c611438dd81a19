"""Keys that may not do all: a user's op_mask and a subuser's access, whatever the ACLs say. Which needs what was taken from a radosgw 16.2.15."""

from dataclasses import replace

import pytest

from rgw.core import subusers
from tests.s3.test_post import post, signed_form
from tests.s3.wire import ask

ASKED = {
    "read": [("GET", ""), ("GET", "B"), ("HEAD", "B/k"), ("GET", "B/k"), ("GET", "B/k?acl"), ("GET", "B/k?uploadId=x"), ("GET", "B?lifecycle")],
    "write": [("PUT", "B/k"), ("POST", "B/k?uploads"), ("PUT", "B/k?uploadId=x&partNumber=1"), ("POST", "B/k?uploadId=x"), ("PUT", "B?acl"),
              ("PUT", "Bx"), ("PUT", "B/k?tagging"), ("DELETE", "B?lifecycle")],
    "delete": [("DELETE", "B/k"), ("POST", "B?delete"), ("DELETE", "B/k?uploadId=x"), ("DELETE", "B/k?tagging"), ("DELETE", "B?tagging"),
               ("DELETE", "B")],
}


@pytest.mark.parametrize(("allowed", "bit"), [("read", 1), ("write", 2), ("delete", 4)])
async def test_what_a_user_may_do(s3, allowed, bit):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"1")
    user = await s3.gw.users.get_by_access_key(s3.access_key)

    def change(info):
        info.op_mask = bit
        return info
    await s3.gw.users.change(user.user_id, change)
    for needed, requests in ASKED.items():
        for method, target in requests:
            reply = await ask(s3, method, f"/{target.replace('B', s3.bucket, 1)}", body=b"x" if method in ("PUT", "POST") else b"")
            assert (reply.status == 403) == (needed != allowed), (method, target, reply.status, reply.body)
            assert method == "HEAD" or reply.status != 403 or reply.code == "AccessDenied"
    if allowed != "delete":
        assert (await post(s3, signed_form(s3))).status == (204 if allowed == "write" else 403)


@pytest.mark.parametrize("allowed", ["read", "write"])
async def test_what_a_subuser_may_do(s3, allowed):
    await s3.run("put_object", Bucket=s3.bucket, Key="k", Body=b"1")
    owner = await s3.gw.users.get_by_access_key(s3.access_key)
    user = await subusers.create(s3.gw, owner.user_id.text(), "sub", allowed, key_type="s3")
    key, = (key for key in user.access_keys.values() if key.subuser)
    limited = replace(s3, access_key=key.id, secret_key=key.key)
    for needed, requests in {"read": [("GET", "B"), ("HEAD", "B/k"), ("GET", "B/k"), ("GET", "B/k?uploadId=x")],
                             "write": [("PUT", "B/k"), ("POST", "B/k?uploadId=x"), ("DELETE", "B/k?uploadId=x"), ("POST", "B?delete"), ("DELETE", "B")],
                             "": [("GET", "B?acl"), ("PUT", "B?acl"), ("GET", "B/k?acl"), ("PUT", "B/k?acl"), ("DELETE", "B?lifecycle")]}.items():
        for method, target in requests:
            reply = await ask(limited, method, f"/{target.replace('B', s3.bucket, 1)}", body=b"x" if method in ("PUT", "POST") else b"")
            assert (reply.status == 403) == (needed != allowed), (method, target, reply.status, reply.body)
