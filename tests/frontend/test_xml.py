import re
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rgw.errors import S3Error
from rgw.frontend import xml
from rgw.ops.attrs import iso
from rgw.ops.request import Rows


@pytest.mark.parametrize("document", [
    b"", b"<a>", b"<a/><b/>", b"no xml", b"\x00", b"<!DOCTYPE a><a/>",
    b'<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><a>&z;</a>',
    b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    b"<a>" * 50 + b"</a>" * 50, b"<a>" * 17 + b"</a>" * 17,
])
def test_refuses_all_but_plain_xml(document):
    with pytest.raises(S3Error) as refusal:
        xml.parse(document)
    assert refusal.value.code == "MalformedXML"


def test_refuses_large_documents():
    with pytest.raises(S3Error):
        xml.parse(b"<a>" + b" " * xml.MAX_BYTES + b"</a>")


def test_as_many_elements_as_fit():
    started = time.process_time()
    root = xml.parse(b"<a>" + b"<b/>" * 500_000 + b"</a>")
    assert len(root) == 500_000 and time.process_time() - started < 1


def test_depth_and_namespaces():
    root = xml.parse(b"<a xmlns='urn:x'>" + b"<a>" * 14 + b"<y:b xmlns:y='urn:y'>1</y:b>" + b"</a>" * 15)
    assert [element.tag for element in root.iter()] == ["a"] * 15 + ["b"]


def test_ten_thousand_parts_fit():
    part = b"<Part><PartNumber>10000</PartNumber><ETag>&quot;" + b"a" * 32 + b"&quot;</ETag><ChecksumSHA256>" + b"b" * 44
    root = xml.parse(b"<C xmlns='urn:x'>" + (part + b"</ChecksumSHA256></Part>") * 10_000 + b"</C>")
    assert root.tag == "C" and len(root.findall("Part")) == 10_000


def test_renders_and_escapes():
    data = xml.render(("R", [("K", "a<&>\"\r\x01"), ("No", None), ("Yes", True), ("N", 3)]), "")
    assert data.endswith(b"<R><K>a&lt;&amp;&gt;&quot;&#13;&#x1;</K><Yes>true</Yes><N>3</N></R>")


@pytest.fixture(params=["c", "python"])
def _writer(request, monkeypatch):
    """Rows are written by rows.c, and by what stands in for it."""
    if request.param == "python":
        monkeypatch.setattr(xml, "in_c", None)
    elif xml.in_c is None:
        pytest.skip("rgw/frontend/rows.c is not built")


_NUMBERS = st.integers(0, 2**64 - 1)
_TEXTS = st.one_of(st.text(), st.text(st.characters()), st.text(alphabet="a&<>\"%{}\r\n\t\x1f\x7f"))


@pytest.mark.usefixtures("_writer")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the same for all examples
@given(st.lists(st.tuples(_TEXTS, _TEXTS, _NUMBERS, _NUMBERS)))
def test_rows_are_as_the_same_elements_one_by_one(rows):
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 4
    table = Rows([("Key", "%s"), ("Inner", [("ETag", '"%s"'), ("Size", "%s")]), ("At", "%t")], columns)
    single = [("Row", [("Key", key), ("Inner", [("ETag", f'"{etag}"'), ("Size", size)]), ("At", iso(at))]) for key, etag, size, at in rows]
    assert xml.render(("L", [("Row", table)])) == xml.render(("L", single))


@pytest.mark.usefixtures("_writer")
def test_times_of_every_day():
    times = [(day * 86400 + day % 86400) * 10**9 + day % 10**9 * 999 for day in (*range(36525), *range(36525, 213_000, 13))]  # up to 2553
    data = xml.render(("L", [("Row", Rows([("At", "%t")], [times]))]), "").decode()
    assert re.findall("<At>(.*?)</At>", data) == [iso(at) for at in times]


@pytest.mark.usefixtures("_writer")
@pytest.mark.parametrize("columns", [[["a"]], [["a"], ["b"], ["c"]], [["a", "b"], ["c"]], [["a"], ["b", "c"]]])
def test_rows_that_do_not_fit_their_form_are_refused(columns):
    with pytest.raises(ValueError):
        xml.render(("L", [("Row", Rows([("A", "%s"), ("B", "%s")], columns))]))


def test_rows_of_other_things_are_refused():
    if xml.in_c is None:
        pytest.skip("rgw/frontend/rows.c is not built")

    def broken(text):
        raise KeyError(text)

    for kinds, column, refusal in (("s", [None], TypeError), ("t", ["a"], TypeError), ("s", [b"a"], TypeError), ("s", [-1], OverflowError),
                                   ("s", [2**64], OverflowError), ("s", ["a", "&"], KeyError), ("s", ("a",), TypeError)):
        with pytest.raises(refusal):
            xml.in_c.rows((b"<", b">"), kinds, (column,), broken)
    with pytest.raises(TypeError):
        xml.in_c.rows((b"<", ">"), "s", (["a"],), broken)
    with pytest.raises(TypeError):
        xml.in_c.rows((b"<", b">"), "s", (["&"],), lambda text: None)
