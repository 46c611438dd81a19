"""The one door through which XML comes in, and the one place where it is written."""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from rgw.errors import S3Error
from rgw.ops.attrs import iso
from rgw.ops.request import Rows

try:
    from rgw.frontend import _rows as in_c  # type: ignore[attr-defined]
except ImportError:  # not built, or for another Python
    in_c = None

MAX_BYTES = 2 << 20   # a CompleteMultipartUpload of 10,000 parts with checksums fits
MAX_DEPTH = 16
_TOO_DEEP = etree.XPath("boolean(" + "/*" * (MAX_DEPTH + 1) + ")")
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile(f'[&<>"\r]|{_CONTROL.pattern}')
_PLACE = re.compile("%([st])")
_SPECIAL_BYTES = bytes(code for code in range(0x80) if _SPECIAL.match(chr(code)))


def parse(data: bytes) -> etree._Element:
    """The document's root, its elements without namespaces. S3Error MalformedXML for anything but plain, shallow XML."""
    if len(data) > MAX_BYTES:
        raise S3Error("MaxMessageLengthExceeded")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False,
                             remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise S3Error("MalformedXML") from error
    if root.getroottree().docinfo.doctype:  # type: ignore[union-attr]
        raise S3Error("MalformedXML")
    if _TOO_DEEP(root):
        raise S3Error("MalformedXML")
    for element in root.iter():
        tag = element.tag
        if not isinstance(tag, str):
            raise S3Error("MalformedXML")
        if tag[0] == "{":
            element.tag = tag.rpartition("}")[2]
    return root


def escape(text: str) -> str:
    """Character data. What XML 1.0 cannot hold is written as a character reference, as S3 does."""
    if not _SPECIAL.search(text):
        return text
    if "&" in text or "<" in text or ">" in text or '"' in text:
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    if "\r" in text:
        text = text.replace("\r", "&#13;")
    return _CONTROL.sub(lambda m: f"&#x{ord(m[0]):X};", text)


def _node(out: list[Any], name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, list):
        out.append(f"<{name}>")
        for child_name, child in value:
            if isinstance(child, Rows):
                out.append(_rows(child_name, child))
            else:
                _node(out, child_name, child)
        out.append(f"</{name.partition(' ')[0]}>")
    else:
        if value is True or value is False:
            value = "true" if value else "false"
        out.append(f"<{name}>{escape(str(value))}</{name.partition(' ')[0]}>")


def _rows(name: str, table: Rows) -> bytes:
    pieces: list[str] = []
    _node(pieces, name, table.form)
    parts = _PLACE.split("".join(pieces))
    fixed, kinds = parts[::2], "".join(parts[1::2])
    if in_c is not None:
        return in_c.rows(tuple([text.encode() for text in fixed]), kinds, tuple(table.columns), escape)  # type: ignore[no-any-return]
    return rows_in_python(fixed, kinds, table.columns)


def rows_in_python(fixed: list[str], kinds: str, columns: list[list[Any]]) -> bytes:
    """What rows.c does. ``kinds``: a letter for each column, as in the form's places."""
    count, step = len(columns[0]), 2 * len(columns) + 1
    texts = [""] * (step * count)
    for i, text in enumerate(fixed):
        texts[2 * i::step] = [text] * count
    for i, (kind, column) in enumerate(zip(kinds, columns, strict=True)):
        items = list(map(iso if kind == "t" else str, column))
        texts[2 * i + 1::step] = [escape(text) for text in items] if _is_special("".join(items)) else items
    return "".join(texts).encode()


def _is_special(text: str) -> bool:
    """Whether anything in it must be escaped. Long ASCII texts, as most are, are looked through faster as bytes."""
    return len(text.encode().translate(None, _SPECIAL_BYTES)) != len(text) if text.isascii() else _SPECIAL.search(text) is not None


def render(root: tuple[str, Any], namespace: str = NAMESPACE) -> bytes:
    """A document from nested ``(name, text or list of children or Rows)`` pairs; None leaves an element out."""
    out: list[str | bytes] = ['<?xml version="1.0" encoding="UTF-8"?>\n']
    name, value = root
    _node(out, f'{name} xmlns="{namespace}"' if namespace else name, value)
    if bytes in map(type, out):  # rows
        return b"".join([piece if isinstance(piece, bytes) else piece.encode() for piece in out])
    return "".join(out).encode()  # type: ignore[arg-type]


def error_document(error: S3Error, resource: str, request_id: str, host_id: str) -> bytes:
    """S3's error document, which has no namespace."""
    children: list[tuple[str, Any]] = [("Code", error.code), ("Message", error.message), *error.fields.items()]
    children += [("Resource", resource), ("RequestId", request_id), ("HostId", host_id)]
    return render(("Error", children), "")
