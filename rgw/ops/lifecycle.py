"""?lifecycle: rules between S3's XML and RGW's form."""

from __future__ import annotations

import secrets
import string
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

from rgw.core.buckets import LC_XATTR
from rgw.core.lc_rules import Item, expires_at, parse_date
from rgw.core.objects import ObjectState
from rgw.core.zone import ZoneError
from rgw.errors import S3Error
from rgw.formats.basics import ObjTags, PlacementRule
from rgw.formats.lifecycle import LcExpiration, LcFilter, LcRule, LcTransition, LifecycleConfiguration
from rgw.ops import attrs
from rgw.ops.request import Request, Result
from rgw.ops.tagging import tag_pairs

_MOST_RULES, _LONGEST_ID, _MOST_DAYS, _MOST_NEWER = 1000, 255, 2**31 - 1, 100
_ID = string.ascii_lowercase + string.digits
_FILTERS = ("Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan")


def _number(node: Any, name: str, low: int, high: int) -> str:
    """A child's decimal text; "" without the child. S3Error InvalidArgument."""
    text = node.findtext(name)
    if text is None:
        return ""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise S3Error("InvalidArgument", f"'{name}' must be a number between {low} and {high}", ArgumentName=name, ArgumentValue=text)
    return str(int(text))


def _date(node: Any) -> str:
    """A child ``Date`` as RGW keeps it; "" without it. S3Error InvalidArgument unless it is a midnight, UTC."""
    text = (node.findtext("Date") or "").strip()
    if not text:
        return ""
    moment = parse_date(text)
    if moment is None:
        raise S3Error("InvalidArgument", "'Date' must be an ISO 8601 date", ArgumentName="Date", ArgumentValue=text)
    if moment % 86400:
        raise S3Error("InvalidArgument", "'Date' must be at midnight GMT", ArgumentName="Date", ArgumentValue=text)
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _when(node: Any, days: str, low: int = 1) -> tuple[str, str]:
    """Days or date, exactly one of them."""
    found = _number(node, days, low, _MOST_DAYS), _date(node)
    if bool(found[0]) == bool(found[1]):
        raise S3Error("MalformedXML")
    return found


def _filter(node: Any) -> LcFilter:
    parts = list(node)
    if len(parts) == 1 and parts[0].tag == "And":
        parts = list(parts[0])
        if len(parts) < 2:
            raise S3Error("MalformedXML")
    elif len(parts) > 1:
        raise S3Error("MalformedXML")
    names = [part.tag for part in parts if part.tag != "Tag"]
    if any(part.tag not in _FILTERS for part in parts) or len(set(names)) != len(names):
        raise S3Error("MalformedXML")
    holder = node.find("And") if node.find("And") is not None else node
    found = LcFilter(
        prefix=holder.findtext("Prefix") or "", tags=ObjTags(tag_pairs([part for part in parts if part.tag == "Tag"])),
        size_gt=_number(holder, "ObjectSizeGreaterThan", 0, 2**63), size_lt=_number(holder, "ObjectSizeLessThan", 1, 2**63))
    if found.size_gt and found.size_lt and int(found.size_gt) >= int(found.size_lt):
        raise S3Error("InvalidRequest", "'ObjectSizeLessThan' has to be greater than 'ObjectSizeGreaterThan'")
    return found


def _transitions(req: Request, nodes: list[Any], days: str, current: bool) -> dict[str, LcTransition]:
    found: dict[str, LcTransition] = {}
    for node in nodes:
        storage_class = (node.findtext("StorageClass") or "").strip()
        try:
            req.gw.zone.data_pool(PlacementRule(req.the_bucket.placement.name, storage_class))
        except ZoneError:
            raise S3Error("InvalidArgument", "'StorageClass' is not a storage class of this zone", ArgumentName="StorageClass",
                          ArgumentValue=storage_class) from None
        when, date = _when(node, days, 0) if current else (_number(node, days, 0, _MOST_DAYS), "")
        newer = _number(node, "NewerNoncurrentVersions", 1, _MOST_NEWER)
        if storage_class in found or not (when or date) or (current and newer):
            raise S3Error("MalformedXML")
        found[storage_class] = LcTransition(when, date, storage_class, newer)
    return found


def _rule(req: Request, node: Any) -> LcRule:
    status = (node.findtext("Status") or "").strip()
    if status not in ("Enabled", "Disabled"):
        raise S3Error("MalformedXML")
    rule = LcRule(id=node.findtext("ID") or "".join(secrets.choice(_ID) for _ in range(48)), status=status)
    if len(rule.id) > _LONGEST_ID:
        raise S3Error("InvalidArgument", "ID length should not exceed allowed limit of 255")
    chosen, prefix = node.find("Filter"), node.find("Prefix")
    if (chosen is None) == (prefix is None):
        raise S3Error("MalformedXML")
    if chosen is None:
        rule.prefix = prefix.text or ""
    else:
        rule.filter = _filter(chosen)
    expiration = node.find("Expiration")
    if expiration is not None:
        marker = (expiration.findtext("ExpiredObjectDeleteMarker") or "").strip().lower()
        if marker not in ("", "true", "false"):
            raise S3Error("MalformedXML")
        if marker:
            if expiration.find("Days") is not None or expiration.find("Date") is not None:
                raise S3Error("MalformedXML")
            rule.dm_expiration = marker == "true"
        else:
            rule.expiration = LcExpiration(*_when(expiration, "Days"))
    noncurrent = node.find("NoncurrentVersionExpiration")
    if noncurrent is not None:
        rule.noncur_expiration = LcExpiration(days=_number(noncurrent, "NoncurrentDays", 1, _MOST_DAYS),
                                              newer_noncurrent=_number(noncurrent, "NewerNoncurrentVersions", 1, _MOST_NEWER))
        if not rule.noncur_expiration.days:
            raise S3Error("MalformedXML")
    uploads = node.find("AbortIncompleteMultipartUpload")
    if uploads is not None:
        rule.mp_expiration = LcExpiration(days=_number(uploads, "DaysAfterInitiation", 1, _MOST_DAYS))
        if not rule.mp_expiration.days:
            raise S3Error("MalformedXML")
    rule.transitions = _transitions(req, node.findall("Transition"), "Days", True)
    rule.noncur_transitions = _transitions(req, node.findall("NoncurrentVersionTransition"), "NoncurrentDays", False)
    if (rule.filter.tags.tags or rule.filter.size_gt or rule.filter.size_lt) and (rule.mp_expiration.given or rule.dm_expiration):
        raise S3Error("InvalidRequest", "Uploads and delete markers have no tags and no size to choose them by.")
    if not (rule.expiration.given or rule.noncur_expiration.given or rule.mp_expiration.given or rule.dm_expiration or rule.transitions
            or rule.noncur_transitions):
        raise S3Error("InvalidRequest", "At least one action needs to be specified in a rule")
    return rule


async def put(req: Request) -> Result:
    root = await req.xml()
    if root is None or root.tag != "LifecycleConfiguration" or any(node.tag != "Rule" for node in root):
        raise S3Error("MalformedXML")
    rules = [_rule(req, node) for node in root]
    if not rules or len(rules) > _MOST_RULES:
        raise S3Error("MalformedXML")
    if len({rule.id for rule in rules}) < len(rules):
        raise S3Error("InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule")
    await req.gw.lifecycle.set_config(req.the_bucket, LifecycleConfiguration([(rule.id, rule) for rule in rules]))
    return Result()


async def delete(req: Request) -> Result:
    await req.gw.lifecycle.remove_config(req.the_bucket)
    return Result(204)


def _filter_document(found: LcFilter) -> tuple[str, Any]:
    parts: list[tuple[str, Any]] = [("Prefix", found.prefix)] if found.prefix else []
    parts += [("Tag", [("Key", key), ("Value", value)]) for key, value in found.tags.tags]
    parts += [(name, text) for name, text in (("ObjectSizeGreaterThan", found.size_gt), ("ObjectSizeLessThan", found.size_lt)) if text]
    return "Filter", [("And", parts)] if len(parts) > 1 else parts


def _rule_document(rule: LcRule) -> tuple[str, Any]:
    def when(found: LcExpiration | LcTransition, days: str) -> list[tuple[str, Any]]:
        return [(days, found.days or None), ("Date", found.date or None), ("NewerNoncurrentVersions", found.newer_noncurrent or None)]

    rows: list[tuple[str, Any]] = [("ID", rule.id)]
    chosen = rule.filter.prefix or rule.filter.tags.tags or rule.filter.size_gt or rule.filter.size_lt
    rows += [_filter_document(rule.filter)] if chosen else [("Prefix", rule.prefix)]
    rows.append(("Status", rule.status))
    if rule.expiration.given:
        rows.append(("Expiration", when(rule.expiration, "Days")))
    elif rule.dm_expiration:
        rows.append(("Expiration", [("ExpiredObjectDeleteMarker", True)]))
    if rule.noncur_expiration.given:
        rows.append(("NoncurrentVersionExpiration", when(rule.noncur_expiration, "NoncurrentDays")))
    if rule.mp_expiration.given:
        rows.append(("AbortIncompleteMultipartUpload", [("DaysAfterInitiation", rule.mp_expiration.days)]))
    for name, days, group in (("Transition", "Days", rule.transitions), ("NoncurrentVersionTransition", "NoncurrentDays", rule.noncur_transitions)):
        rows += [(name, [*when(each, days), ("StorageClass", each.storage_class)]) for each in group.values()]
    return "Rule", rows


async def get(req: Request) -> Result:
    config = req.gw.lifecycle.config(req.the_bucket)
    if config is None:
        raise S3Error("NoSuchLifecycleConfiguration", BucketName=req.bucket_name)
    return Result(xml=("LifecycleConfiguration", [_rule_document(rule) for _, rule in config.rules]))


def expiration(req: Request, state: ObjectState) -> dict[str, str]:
    """The header x-amz-expiration, if a rule lets the current object go one day."""
    config = req.gw.lifecycle.config(req.the_bucket) if LC_XATTR in req.the_bucket.attrs else None
    if config is None or req.query.get("versionId"):
        return {}
    raw = state.attrs.get(attrs.TAGGING)
    tags = ObjTags.decode(raw).tags if raw is not None else []
    found = expires_at([rule for _, rule in config.rules], Item(state.key, "", state.mtime, state.size), tags)
    if found is None:
        return {}
    return {"x-amz-expiration": f'expiry-date="{formatdate(found[0], usegmt=True)}", rule-id="{quote(found[1])}"'}
