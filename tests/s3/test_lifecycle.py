"""Lifecycle configurations over the wire: what is put is got, what S3 refuses is refused."""

import datetime
import email.utils
import re

import pytest
from botocore.exceptions import ClientError

from tests.s3.wire import ask, path

RULES = [
    {"ID": "simple", "Status": "Enabled", "Prefix": "logs/", "Expiration": {"Days": 3}},
    {"ID": "all", "Status": "Disabled", "Prefix": "", "Expiration": {"Date": datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC)}},
    {"ID": "tag", "Status": "Enabled", "Filter": {"Tag": {"Key": "a", "Value": "<1>"}}, "Expiration": {"Days": 1}},
    {"ID": "size", "Status": "Enabled", "Filter": {"ObjectSizeGreaterThan": 500}, "Expiration": {"Days": 1}},
    {"ID": "and", "Status": "Enabled", "Expiration": {"Days": 9}, "Filter": {"And": {
        "Prefix": "x", "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}], "ObjectSizeGreaterThan": 1, "ObjectSizeLessThan": 7}}},
    {"ID": "versions", "Status": "Enabled", "Filter": {"Prefix": "v/"}, "Expiration": {"ExpiredObjectDeleteMarker": True},
     "NoncurrentVersionExpiration": {"NoncurrentDays": 2, "NewerNoncurrentVersions": 3}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
    {"ID": "move", "Status": "Enabled", "Filter": {"Prefix": "m/"}, "Transitions": [{"Days": 4, "StorageClass": "STANDARD"}],
     "NoncurrentVersionTransitions": [{"NoncurrentDays": 5, "StorageClass": "STANDARD", "NewerNoncurrentVersions": 4}]},
]


async def test_round_trip(s3):
    with pytest.raises(ClientError) as refusal:
        await s3.run("get_bucket_lifecycle_configuration", Bucket=s3.bucket)
    assert refusal.value.response["Error"]["Code"] == "NoSuchLifecycleConfiguration"
    await s3.run("put_bucket_lifecycle_configuration", Bucket=s3.bucket, LifecycleConfiguration={"Rules": RULES})
    got = await s3.run("get_bucket_lifecycle_configuration", Bucket=s3.bucket)
    assert sorted(got["Rules"], key=lambda r: r["ID"]) == sorted(RULES, key=lambda r: r["ID"])
    listed = [entry.bucket for entry in await s3.gw.lifecycle.entries()]
    assert any(f":{s3.bucket}:" in name for name in listed)
    await s3.run("delete_bucket_lifecycle", Bucket=s3.bucket)
    with pytest.raises(ClientError):
        await s3.run("get_bucket_lifecycle_configuration", Bucket=s3.bucket)
    assert not any(f":{s3.bucket}:" in entry.bucket for entry in await s3.gw.lifecycle.entries())


async def test_a_rule_gets_an_id(s3):
    await s3.run("put_bucket_lifecycle_configuration", Bucket=s3.bucket, LifecycleConfiguration={"Rules": [
        {"Status": "Enabled", "Filter": {}, "Expiration": {"Days": 3}}]})
    found, = (await s3.run("get_bucket_lifecycle_configuration", Bucket=s3.bucket))["Rules"]
    assert found.pop("ID") and found == {"Status": "Enabled", "Prefix": "", "Expiration": {"Days": 3}}


def _rule(inner: str, status: str = "Enabled", prefix: str = "<Prefix/>") -> str:
    return f"<Rule>{prefix}<Status>{status}</Status>{inner}</Rule>"


_DAYS = "<Expiration><Days>1</Days></Expiration>"


REFUSED = [
    ("", "MalformedXML"), (_rule(_DAYS, status="on"), "MalformedXML"), (_rule(_DAYS, prefix=""), "MalformedXML"),
    (_rule(_DAYS, prefix="<Prefix/><Filter/>"), "MalformedXML"), (_rule(""), "InvalidRequest"),
    (_rule("<Expiration/>"), "MalformedXML"), (_rule("<Expiration><Days>0</Days></Expiration>"), "InvalidArgument"),
    (_rule("<Expiration><Days>-1</Days></Expiration>"), "InvalidArgument"), (_rule("<Expiration><Days>x</Days></Expiration>"), "InvalidArgument"),
    (_rule("<Expiration><Days>1</Days><Date>2030-01-01</Date></Expiration>"), "MalformedXML"),
    (_rule("<Expiration><Date>2030-01-01T10:00:00Z</Date></Expiration>"), "InvalidArgument"),
    (_rule("<Expiration><Date>soon</Date></Expiration>"), "InvalidArgument"),
    (_rule("<Expiration><Days>1</Days><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"), "MalformedXML"),
    (_rule("<NoncurrentVersionExpiration/>"), "MalformedXML"), (_rule("<AbortIncompleteMultipartUpload/>"), "MalformedXML"),
    (_rule("<Transition><Days>1</Days><StorageClass>NOWHERE</StorageClass></Transition>"), "InvalidArgument"),
    (_rule("<Transition><StorageClass>STANDARD</StorageClass></Transition>"), "MalformedXML"),
    (_rule("<Transition><Days>1</Days><StorageClass>STANDARD</StorageClass><NewerNoncurrentVersions>1</NewerNoncurrentVersions></Transition>"),
     "MalformedXML"),
    (_rule("<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays><StorageClass>STANDARD</StorageClass>"
           "<NewerNoncurrentVersions>101</NewerNoncurrentVersions></NoncurrentVersionTransition>"), "InvalidArgument"),
    (_rule(_DAYS, prefix="<Filter><Prefix>a</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></Filter>"), "MalformedXML"),
    (_rule(_DAYS, prefix="<Filter><Colour/></Filter>"), "MalformedXML"),
    (_rule(_DAYS, prefix="<Filter><And><Prefix>a</Prefix></And></Filter>"), "MalformedXML"),
    (_rule("<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
           prefix="<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter>"), "InvalidRequest"),
    (_rule(_DAYS + f"<ID>{'i' * 256}</ID>"), "InvalidArgument"), (_rule(_DAYS + "<ID>i</ID>") * 2, "InvalidArgument"),
    ("<Role/>" + _rule(_DAYS), "MalformedXML"), (_rule(_DAYS) * 1001, "MalformedXML"),
]


async def test_refused(s3):
    for rules, code in REFUSED:
        reply = await ask(s3, "PUT", f"/{s3.bucket}?lifecycle", {}, f"<LifecycleConfiguration>{rules}</LifecycleConfiguration>".encode())
        assert (reply.status, reply.code) == (400, code), rules[:200]
    reply = await ask(s3, "GET", f"/{s3.bucket}?lifecycle")
    assert reply.code == "NoSuchLifecycleConfiguration"


async def test_expiration_header(s3):
    """Of the rule that comes first, on every reply about the object."""
    reply = await ask(s3, "PUT", path(s3, "logs/1"), {}, b"x")
    assert "x-amz-expiration" not in reply.headers
    rules = [{"ID": "a b", "Status": "Enabled", "Prefix": "logs/", "Expiration": {"Days": 3}},
             {"ID": "tag", "Status": "Enabled", "Filter": {"Tag": {"Key": "a", "Value": "1"}}, "Expiration": {"Days": 1}},
             {"ID": "late", "Status": "Enabled", "Prefix": "", "Expiration": {"Date": datetime.datetime(2099, 1, 2, tzinfo=datetime.UTC)}},
             {"ID": "old", "Status": "Enabled", "Prefix": "logs/", "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}]
    await s3.run("put_bucket_lifecycle_configuration", Bucket=s3.bucket, LifecycleConfiguration={"Rules": rules})
    replies = [await ask(s3, "PUT", path(s3, "logs/2"), {}, b"x"), await ask(s3, "GET", path(s3, "logs/1")), await ask(s3, "HEAD", path(s3, "logs/1"))]
    for reply in replies:
        found = re.fullmatch(r'expiry-date="(.*)", rule-id="a%20b"', reply.headers["x-amz-expiration"])
        when = email.utils.parsedate_to_datetime(found[1])
        assert datetime.timedelta(days=3) <= when - datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1) < datetime.timedelta(days=4, minutes=2)
        assert (when.hour, when.minute, when.second) == (0, 0, 0)
    reply = await ask(s3, "PUT", path(s3, "logs/2"), {"x-amz-tagging": "a=1"}, b"x")
    assert reply.headers["x-amz-expiration"].endswith('rule-id="tag"')
    await ask(s3, "PUT", path(s3, "other"), {}, b"x")
    reply = await ask(s3, "GET", path(s3, "other"))
    assert reply.headers["x-amz-expiration"] == 'expiry-date="Fri, 02 Jan 2099 00:00:00 GMT", rule-id="late"'
