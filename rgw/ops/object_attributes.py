"""GetObjectAttributes: what is known of an object, without its data."""

from __future__ import annotations

from typing import Any

from rgw.core.objects import ObjectState
from rgw.core.state import STORAGE_CLASS, text
from rgw.errors import S3Error
from rgw.ops import access, attrs, encryption, versioning
from rgw.ops.object_read import check_conditions
from rgw.ops.request import Request, Result

_NAMES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
_MOST_PARTS = 1000  # of one reply


async def get(req: Request) -> Result:
    wanted = {name.strip() for name in req.headers.get("x-amz-object-attributes", "").split(",") if name.strip()}
    if not wanted:
        raise S3Error("InvalidRequest", "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty")
    if not wanted.issubset(_NAMES):
        raise S3Error("InvalidArgument", "Invalid attribute name specified.", ArgumentName="x-amz-object-attributes")
    marker, most = req.integer_header("x-amz-part-number-marker", 0), req.integer_header("x-amz-max-parts", _MOST_PARTS)
    state = await access.named_object(req, access.READ)
    check_conditions(state, req.headers)
    headers = {"Last-Modified": attrs.http_date(state.mtime // 10**9)} | versioning.headers(state) | encryption.unlock(req, state)
    shown: dict[str, Any] = {
        "ETag": state.etag,
        "Checksum": attrs.checksum_elements(state.attrs) or None,
        "ObjectParts": _parts(state, marker, min(most, _MOST_PARTS)) if "ObjectParts" in wanted else None,
        "StorageClass": text(state.attrs.get(STORAGE_CLASS)) or "STANDARD",
        "ObjectSize": state.size,
    }
    return Result(headers=headers, xml=("GetObjectAttributesResponse", [(name, shown[name]) for name in _NAMES if name in wanted]))


def _parts(state: ObjectState, marker: int, most: int) -> list[tuple[str, Any]] | None:
    """The parts behind number ``marker``. None for an object that was not uploaded in parts."""
    if not state.parts:
        return None
    sums = attrs.part_sums(state)
    rows: list[list[tuple[str, Any]]] = [[("PartNumber", number), ("Size", size)] for number, _, size in state.parts]
    if sums is not None:
        rows = [[*row, (f"Checksum{sums[0].upper()}", value)] for row, value in zip(rows, sums[1], strict=True)]
    behind = [row for row in rows if row[0][1] > marker]
    page = behind[:most]
    return [("PartsCount", len(rows)), ("PartNumberMarker", marker), ("NextPartNumberMarker", page[-1][0][1] if page else 0), ("MaxParts", most),
            ("IsTruncated", len(behind) > len(page)), *(("Part", row) for row in page)]
