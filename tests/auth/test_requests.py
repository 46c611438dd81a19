"""Signatures of botocore's, over whatever paths, queries and headers; and what must be refused."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgw.auth import PayloadKind, RequestView
from rgw.errors import S3Error
from tests.auth.signing import ACCESS, HOST, SECOND, SECRET, check, signed, user

KINDS = ("v4", "v4-query", "v2", "v2-query")
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


def now() -> int:
    return int(time.time()) * SECOND


@pytest.mark.parametrize("kind", KINDS)
@given(key=TEXT, query=st.dictionaries(st.sampled_from(("prefix", "marker", "uploadId", "acl", "versionId")), TEXT, max_size=3),
       headers=st.dictionaries(st.sampled_from(("x-amz-meta-a", "x-amz-meta-b", "x-amz-acl")), VISIBLE, max_size=3))
@settings(max_examples=40, deadline=None)
async def test_botocore_signs_the_same(kind: str, key: str, query: dict[str, str], headers: dict[str, str]) -> None:
    pairs = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query.items())
    view = signed("GET", f"/bucket/a{quote(key, safe='/-_.~')}" + (f"?{pairs}" if pairs else ""), headers, kind)
    identity = await check(view, now())
    assert identity.access_key == ACCESS


async def refusal(view: RequestView, moment: int | None = None, **who: object) -> S3Error:
    with pytest.raises(S3Error) as caught:
        await check(view, moment or now(), user(**who))  # type: ignore[arg-type]
    shown = repr(caught.value.fields) + "".join(traceback.format_exception(caught.value))
    assert str(who.get("secret", SECRET)) not in shown
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
async def test_each_change_is_seen(kind: str) -> None:
    body = b"" if kind == "v4-query" else b"body"  # botocore's presigner takes a body for form fields
    view = signed("PUT", "/bucket/key?uploadId=u&partNumber=1", {"x-amz-meta-a": "1", "content-type": "text/plain"}, kind, body)
    await check(view, now())
    changed = [replace(view, method="GET"), replace(view, raw_path="/bucket/kez"),
               replace(view, raw_query=view.raw_query.replace("uploadId=u", "uploadId=v")),
               replace(view, raw_query=view.raw_query + "&versionId=3")]
    names = ["x-amz-meta-a", *(["host", "x-amz-content-sha256", "x-amz-date"] if kind == "v4" else [])]
    for name in names:
        if name in dict(view.headers):
            changed.append(replace(view, headers=[(n, v + "0" if n == name else v) for n, v in view.headers]))
    for other in changed:
        assert (await refusal(other)).code in ("SignatureDoesNotMatch", "AccessDenied", "InvalidArgument")
    error = await refusal(replace(view, raw_path="/other"))
    assert error.code == "SignatureDoesNotMatch" and error.fields["AWSAccessKeyId"] == ACCESS and error.fields["StringToSign"]
    assert (await refusal(view, secret="another-secret-altogether")).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("added", ["acl", "%61cl", "%61%63%6c=", "%76ersionId=3", "upload%49d=u"])
async def test_no_subresource_can_be_added(kind: str, added: str) -> None:
    """However its name is written: the operation that is served is the one that was signed."""
    view = signed("PUT", "/bucket/key", {}, kind)
    query = f"{view.raw_query}&{added}" if view.raw_query else added
    assert (await refusal(replace(view, raw_query=query))).code == "SignatureDoesNotMatch"


async def test_unsigned_amz_header_and_host() -> None:
    view = signed("GET", "/b/k", {})
    error = await refusal(replace(view, headers=[*view.headers, ("x-amz-acl", "public-read")]))
    assert error.code == "AccessDenied" and error.fields["HeadersNotSigned"] == "x-amz-acl"
    stripped = [(n, v.replace("host;", "")) for n, v in view.headers]
    assert (await refusal(replace(view, headers=stripped))).fields["HeadersNotSigned"] == "host"


@pytest.mark.parametrize("kind", ["v4", "v2"])
async def test_skew(kind: str) -> None:
    view = signed("GET", "/b/k", {}, kind)
    for seconds in (-890, 890):
        await check(view, now() + seconds * SECOND)
    for seconds in (-910, 910):
        assert (await refusal(view, now() + seconds * SECOND)).code == "RequestTimeTooSkewed"


async def test_who() -> None:
    view = signed("GET", "/b/k", {})
    assert (await refusal(view, access="AKOTHER")).code == "InvalidAccessKeyId"
    assert (await refusal(view, suspended=True)).code == "UserSuspended"
    assert (await check(view, now(), user(subuser="u:s", mask=1))).perm_mask == 1
    anonymous = await check(RequestView("GET", "/b/k", "", [("host", HOST)]), now())
    assert anonymous.anonymous and anonymous.payload.kind is PayloadKind.UNSIGNED
    both = signed("GET", "/b/k", {}, "v4-query")
    assert (await refusal(replace(both, headers=[*both.headers, ("authorization", "AWS a:b")]))).code == "InvalidArgument"


async def test_presigned_limits() -> None:
    view = signed("GET", "/b/k", {}, "v4-query")
    assert (await refusal(view, now() + 700 * SECOND)).message == "Request has expired"
    assert (await refusal(view, now() - 1000 * SECOND)).code == "AccessDenied"
    week = "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"
    for value, message in (("604801", week), ("9" * 19, week), ("-1", "X-Amz-Expires must be non-negative"),
                           ("x", "X-Amz-Expires should be a number"), ("\u0663", "X-Amz-Expires should be a number"),
                           ("--1", "X-Amz-Expires should be a number"), ("", "Query-string authentication version 4 requires")):
        said = await refusal(replace(view, raw_query=view.raw_query.replace("X-Amz-Expires=600", f"X-Amz-Expires={quote(value)}")))
        assert (said.status, said.code) == (400, "AuthorizationQueryParametersError") and said.message.startswith(message), value
    for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"):
        pairs = [pair for pair in view.raw_query.split("&") if not pair.startswith(f"X-Amz-{name}=")]
        said = await refusal(replace(view, raw_query="&".join(pairs)))
        assert (said.status, said.code) == (400, "AuthorizationQueryParametersError") and f"X-Amz-{name}" in said.message


@given(authorization=st.one_of(st.text(max_size=80), st.text(max_size=60).map(lambda t: "AWS4-HMAC-SHA256 " + t),
                               st.text(max_size=30).map(lambda t: "AWS " + t)),
       query=st.text(max_size=60), date=st.text(max_size=30), sha=st.text(max_size=66))
@settings(max_examples=150, deadline=None)
async def test_nonsense_gets_s3_errors(authorization: str, query: str, date: str, sha: str) -> None:
    headers = [("host", HOST), ("authorization", authorization), ("x-amz-date", date), ("x-amz-content-sha256", sha)]
    for view in (RequestView("GET", "/", query, headers), RequestView("GET", "/", "X-Amz-Signature=1&" + query, headers[:1])):
        with pytest.raises(S3Error):
            await check(view, now())
