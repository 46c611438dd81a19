"""A user's op_mask: what may be asked for at all, whatever the ACLs say. Which request needs what was taken from a radosgw 16.2.15."""

import pytest

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
