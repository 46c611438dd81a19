"""?tagging of objects and buckets."""

from __future__ import annotations

from typing import Any

from rgw.errors import S3Error
from rgw.formats.basics import ObjTags
from rgw.ops import access, attrs, versioning
from rgw.ops.request import Request, Result

OBJECT_TAGS, BUCKET_TAGS = 10, 50  # the most, by S3's documentation


def tag_pairs(nodes: list[Any]) -> list[tuple[str, str]]:
    """The pairs of ``Tag`` elements, in their order. S3Error MalformedXML, InvalidTag."""
    found: dict[str, str] = {}
    for node in nodes:
        key, value = node.findtext("Key"), node.findtext("Value")
        if node.tag != "Tag" or key is None or value is None:
            raise S3Error("MalformedXML")
        if not key or len(key) > 128 or len(value) > 256:
            raise S3Error("InvalidTag", TagKey=key)
        if key in found:
            raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=key)
        found[key] = value
    return list(found.items())


async def pairs_of(req: Request, document: bytes) -> list[tuple[str, str]]:
    """The tags of a ``Tagging`` document that came elsewhere than in the body. S3Error MalformedXML, InvalidTag."""
    return _pairs(await req.xml(document), OBJECT_TAGS)


async def _wanted(req: Request, most: int) -> list[tuple[str, str]]:
    return _pairs(await req.xml(), most)


def _pairs(root: Any, most: int) -> list[tuple[str, str]]:
    tag_set = None if root is None or root.tag != "Tagging" else root.find("TagSet")
    if tag_set is None:
        raise S3Error("MalformedXML")
    found = tag_pairs(list(tag_set))
    if len(found) > most:
        raise S3Error("InvalidTag", f"At most {most} tags are allowed.")
    return found


def _document(raw: bytes | None) -> tuple[str, Any]:
    tags = ObjTags.decode(raw).tags if raw is not None else []
    return "Tagging", [("TagSet", [("Tag", [("Key", key), ("Value", value)]) for key, value in tags])]


async def get_object(req: Request) -> Result:
    state = await access.named_object(req, access.READ)
    return Result(headers=versioning.headers(state), xml=_document(state.attrs.get(attrs.TAGGING)))


async def put_object(req: Request) -> Result:
    tags = await _wanted(req, OBJECT_TAGS)
    state = await access.named_object(req, access.WRITE)
    await req.gw.objects.set_attrs(state, {attrs.TAGGING: ObjTags(tags).encode() if tags else None})
    return Result(headers=versioning.headers(state))


async def delete_object(req: Request) -> Result:
    state = await access.named_object(req, access.WRITE)
    if attrs.TAGGING in state.attrs:
        await req.gw.objects.set_attrs(state, {attrs.TAGGING: None})
    return Result(204, versioning.headers(state))


async def get_bucket(req: Request) -> Result:
    raw = req.the_bucket.attrs.get(attrs.TAGGING)
    if raw is None:
        raise S3Error("NoSuchTagSet", BucketName=req.bucket_name)
    return Result(xml=_document(raw))


async def put_bucket(req: Request) -> Result:
    tags = await _wanted(req, BUCKET_TAGS)
    await req.gw.buckets.set_attrs(req.the_bucket, {attrs.TAGGING: ObjTags(tags).encode()})
    return Result(204)


async def delete_bucket(req: Request) -> Result:
    await req.gw.buckets.set_attrs(req.the_bucket, {attrs.TAGGING: None})
    return Result(204)
