import pytest

from rgw.auth.request import gateway_domains, parse_query
from rgw.errors import S3Error
from rgw.frontend import address


@pytest.mark.parametrize(("path", "key"), [
    ("/b/a//b", "a//b"), ("/b/../x", "../x"), ("/b/a%2Fb", "a/b"), ("/b/a+b", "a+b"), ("/b/%F0%9F%98%80", "\U0001f600"),
    ("/b/%01", "\x01"), ("/b//", "/"), ("/b", ""), ("/b/", ""),
])
def test_keys_byte_for_byte(path, key):
    assert address.bucket_and_key(path, "h:80", ()) == ("b", key, False)


def test_virtual_host():
    assert address.bucket_and_key("/k/l", "My.b.s3.test:8000", ("s3.test",)) == ("my.b", "k/l", True)
    domains = gateway_domains("test, S3.test  eu.s3.test")
    for host in ("b.s3.test", "B.EU.S3.TEST:80", "b.test"):
        assert address.bucket_and_key("/k", host, domains) == ("b", "k", True)
    for host in (".s3.test", "s3.test", "s3.test:80", "[::1]:80", "b.s3.testy", ""):  # no bucket stands there
        assert address.bucket_and_key("/b/k", host, domains) == ("b", "k", False)


def test_an_encoded_slash_is_one():
    """As for radosgw: a signature's path may be encoded otherwise than the one that was sent, and must name the same object."""
    for path in ("/b/c/d", "/b%2Fc/d", "/b/c%2fd", "/b%2fc%2Fd"):
        assert address.bucket_and_key(path, "h", ()) == ("b", "c/d", False)


@pytest.mark.parametrize(("path", "code"), [
    ("/b/%ff", "InvalidURI"), ("/b/%zz", "InvalidURI"), ("/b/%", "InvalidURI"), ("/b/a%00", "InvalidURI"),
    ("/b/" + "x" * 1025, "KeyTooLongError"), ("/%ff/a", "InvalidURI"),
])
def test_refused(path, code):
    with pytest.raises(S3Error) as refusal:
        address.bucket_and_key(path, "h", ())
    assert refusal.value.code == code


def test_no_slash_in_a_host():
    with pytest.raises(S3Error) as refusal:
        address.bucket_and_key("/k", "t/b.s3.test", ("s3.test",))
    assert refusal.value.code == "InvalidURI"


def test_query():
    assert parse_query("a=1&b&a=2&c=x+y%2B") == {"a": "1", "b": "", "c": "x y+"}
    assert address.split_target("http://h/p?q=1") == ("/p", "q=1")
