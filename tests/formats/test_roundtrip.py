"""Every declared structure: what is written is read again, and damaged bytes are refused with FormatError alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rgw.formats import names
from rgw.formats.basics import BucketName, Obj
from rgw.formats.encoding import PACKED, FormatError
from rgw.formats.obj import ManifestPart, ObjManifest
from tests.formats.types import types, values

_TWO_FORMS = {"UserBucket", "LcExpiration", "LcFilter", "LcTransition"}  # written as an older version where that says all


@pytest.mark.parametrize("name", types())
def test_default_value_and_damage(name: str) -> None:
    kind = types()[name]
    data = kind().encode()
    value = kind.decode(data)
    assert value == kind() and value.encode() == data and not value.newer
    if kind.VERSION and kind.__name__ not in _TWO_FORMS:
        assert data[:2] == bytes([kind.VERSION, kind.COMPAT])
        for cut in range(len(data)):
            with pytest.raises(FormatError):
                kind.decode(data[:cut])
        with pytest.raises(FormatError):
            kind.decode(bytes([kind.VERSION + 1, kind.VERSION + 1]) + data[2:])
        longer = bytes([kind.VERSION + 1, kind.COMPAT]) + (len(data) - 3).to_bytes(4, "little") + data[6:] + b"new"
        assert kind.decode(longer) == value and kind.decode(longer).newer
    chance = random.Random(1)
    for _ in range(100):
        damaged = bytearray(data)
        for _ in range(3):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            kind.decode(bytes(damaged))
        except FormatError:
            pass


@pytest.mark.parametrize("name", types())
@settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_values(name: str, data: st.DataObject) -> None:
    value = data.draw(values(types()[name]))
    encoded = value.encode()
    again, end = types()[name].decode_from(encoded)
    assert again == value and end == len(encoded) and again.encode() == encoded


@pytest.mark.parametrize(("number", "data"), [(0x7F, "7f"), (0x80, "8180"), (0x10000, "8400000100"), (-1, "88" + "ff" * 8)])
def test_packed(number: int, data: str) -> None:
    out = bytearray()
    PACKED.enc(out, number)
    assert out.hex() == data and PACKED.dec(bytes(out), 0, len(out)) == (number, len(out))


def test_names() -> None:
    assert names.raw_name("M", "a") == "M_a" and names.raw_name("M", "_x") == "M___x" and names.locator("M", "_x") == "M__x"
    assert names.raw_name("M", "a", "I") == "M__:I_a" and names.raw_name("M", ".p_1", "I", "shadow") == "M__shadow:I_.p_1"
    for ns, name in (("", "a"), ("", "_a"), ("multipart", "_a.2~x.1")):
        assert names.parse_index_name(names.index_name(name, ns)) == (ns, name)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.integers(0, 2**40), st.integers(0, 2**22), st.booleans(), st.booleans())
def test_sizes_of_a_manifest_without_decoding_it(name: str, size: int, head: int, explicit: bool, pieces: bool) -> None:
    obj = Obj(BucketName(name, name, name), "", name, "")
    objs = {0: ManifestPart(obj, 0, size)} if pieces else {}
    data = ObjManifest(obj_size=size, objs=objs, explicit_objs=explicit, obj=obj, head_size=head).encode()
    assert ObjManifest.sizes(data) == (None if explicit or pieces else (size, head))
    assert all(ObjManifest.sizes(data[:cut]) is None for cut in range(40))
