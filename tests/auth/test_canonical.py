"""What is canonical already is taken as it is: always the same as decoding and encoding it again."""

from urllib.parse import quote, unquote_to_bytes

from hypothesis import example, given
from hypothesis import strategies as st

from rgw.auth.request import parse_query, unquote
from rgw.auth.sigv4 import KeyCache, SigningKey, canonical_piece, canonical_query, derive_key, sign, sorted_query

_RAW = st.text(st.sampled_from("aZ09-._~/+ %2F2f41&==é\t*'()"), max_size=30)
_ESCAPES = st.integers(0, 255).map(lambda byte: f"%{byte:02X}")


def _slow(text: str) -> str:
    return quote(unquote_to_bytes(text.replace("+", " ").encode()), safe="-_.~")


@given(_RAW | _ESCAPES)
def test_pieces(text):
    assert canonical_piece(text) == _slow(text)


def test_every_escape():
    for byte in range(256):
        assert canonical_piece(f"%{byte:02X}") == _slow(f"%{byte:02X}")


@given(st.lists(_RAW | _ESCAPES).map("&".join))
@example("a=b=c&a-b=1&a=0&X=1")
def test_queries(raw):
    pairs = [piece.partition("=")[::2] for piece in raw.split("&") if piece]
    expected = sorted((_slow(name), _slow(value)) for name, value in pairs)
    assert canonical_query(raw, "X") == "&".join(f"{name}={value}" for name, value in expected if name != "X")


@given(st.lists(st.tuples(_RAW, _RAW)))
def test_a_canonical_query_is_only_sorted(pairs):
    raw = "&".join(f"{_slow(name)}={_slow(value)}" for name, value in pairs)
    assert sorted_query(raw, "X") == canonical_query(raw, "X")


@given(st.binary(max_size=64), st.text())
def test_a_prepared_key_signs_as_hmac(key, text):
    prepared = SigningKey(b"", key)
    assert prepared.sign(text) == prepared.sign(text) == sign(key, text)


def test_a_changed_secret_has_another_key():
    keys = KeyCache(2)
    for secret in (b"old", b"new", b"new", b"old"):
        key = keys.get("access", secret, "20130524", "us-east-1", "s3")
        assert key.secret.reveal() == derive_key(secret, "20130524", "us-east-1", "s3")
    for name in ("a", "b"):
        keys.get(name, b"", "20130524", "us-east-1", "s3")
    assert len(keys) == 2


@given(st.lists(st.tuples(st.text(), st.text())))
def test_what_a_client_encodes_is_decoded(pairs):
    raw = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)
    expected: dict[str, str] = {}
    for name, value in pairs:
        expected.setdefault(name, value)
    assert parse_query(raw) == expected
    assert all(unquote(quote(name)) == name for name, _ in pairs)
