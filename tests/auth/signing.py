"""What the tests of signatures share: a user, a lookup, botocore as the other signer."""

from __future__ import annotations

from types import SimpleNamespace

from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from rgw.auth import Identity, RequestView, authenticate
from rgw.errors import S3Error

ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SECOND = 1_000_000_000
OPTIONS = SimpleNamespace(rgw_s3_auth_allowed_skew=900, rgw_dns_name="s3.amazonaws.com,us-west-1.s3.amazonaws.com")
HOST = "gateway.example:8000"


def user(suspended: bool = False, secret: str = SECRET, access: str = ACCESS, subuser: str = "", mask: int = 0) -> SimpleNamespace:
    subusers = {subuser: SimpleNamespace(perm_mask=mask)} if subuser else {}
    key = SimpleNamespace(id=access, key=secret, subuser=subuser)
    return SimpleNamespace(access_keys={access: key}, subusers=subusers, suspended=suspended)


async def check(view: RequestView, now: int, who: SimpleNamespace | None = None) -> Identity:
    known = who or user()

    async def lookup(access_key: str) -> SimpleNamespace:
        if access_key not in known.access_keys:
            raise S3Error("InvalidAccessKeyId")
        return known

    return await authenticate(view, lookup, now, OPTIONS)


def signed(method: str, target: str, headers: dict[str, str], kind: str = "v4", body: bytes = b"") -> RequestView:
    """A request as botocore signs it now; ``target``: encoded path and query."""
    credentials = Credentials(ACCESS, SECRET)
    request = AWSRequest(method, f"http://{HOST}{target}", headers=dict(headers), data=body)
    signers = {
        "v4": lambda: S3SigV4Auth(credentials, "s3", "us-east-1"),
        "v4-query": lambda: S3SigV4QueryAuth(credentials, "s3", "us-east-1", 600),
        "v2": lambda: HmacV1Auth(credentials),
        "v2-query": lambda: HmacV1QueryAuth(credentials, 600),
    }
    signers[kind]().add_auth(request)
    rest = request.url.split("/", 3)[3]
    path, _, query = rest.partition("?")
    sent = {name.lower(): value for name, value in request.headers.items()}
    sent.setdefault("host", HOST)
    return RequestView(method, "/" + path, query, list(sent.items()))
