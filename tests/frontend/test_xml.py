import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgw.errors import S3Error
from rgw.frontend import xml
from rgw.ops.request import Rows


@pytest.mark.parametrize("document", [
    b"", b"<a>", b"<a/><b/>", b"no xml", b"\x00", b"<!DOCTYPE a><a/>",
    b'<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><a>&z;</a>',
    b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    b"<a>" * 50 + b"</a>" * 50,
])
def test_refuses_all_but_plain_xml(document):
    with pytest.raises(S3Error) as refusal:
        xml.parse(document)
    assert refusal.value.code == "MalformedXML"


def test_refuses_large_documents():
    with pytest.raises(S3Error):
        xml.parse(b"<a>" + b" " * xml.MAX_BYTES + b"</a>")


def test_ten_thousand_parts_fit():
    part = b"<Part><PartNumber>10000</PartNumber><ETag>&quot;" + b"a" * 32 + b"&quot;</ETag><ChecksumSHA256>" + b"b" * 44
    root = xml.parse(b"<C xmlns='urn:x'>" + (part + b"</ChecksumSHA256></Part>") * 10_000 + b"</C>")
    assert root.tag == "C" and len(root.findall("Part")) == 10_000


def test_renders_and_escapes():
    data = xml.render(("R", [("K", "a<&>\"\r\x01"), ("No", None), ("Yes", True), ("N", 3)]), "")
    assert data.endswith(b"<R><K>a&lt;&amp;&gt;&quot;&#13;&#x1;</K><Yes>true</Yes><N>3</N></R>")


@given(st.lists(st.tuples(st.text(), st.text(alphabet="a&<>\"%{}"))))
def test_rows_are_as_the_same_elements_one_by_one(rows):
    table = Rows([("Key", "%s"), ("Inner", [("ETag", '"%s"')])], [[key for key, _ in rows], [etag for _, etag in rows]])
    single = [("Row", [("Key", key), ("Inner", [("ETag", f'"{etag}"')])]) for key, etag in rows]
    assert xml.render(("L", [("Row", table)])) == xml.render(("L", single))
