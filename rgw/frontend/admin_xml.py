"""Answers of the Admin Ops API in XML, for those who ask for `format=xml`: the JSON's members as elements, by the names that radosgw gives them.

Source: what radosgw 16.2.15 was seen to answer; the usage log's and the less common lists' names are from its sources.
"""

from __future__ import annotations

from typing import Any

from rgw.frontend.xml import render

_ROOTS = {
    "GetUser": "user_info", "CreateUser": "user_info", "ModifyUser": "user_info", "ListUsers": "result", "CreateKey": "keys",
    "AddCaps": "caps", "RemoveCaps": "caps", "CreateSubuser": "subusers", "ModifySubuser": "subusers", "GetPolicy": "policy",
    "CheckBucketIndex": "bucket_check", "GetUsage": "usage", "GetInfo": "info", "GetConfig": "zone_params",
}

# the elements of a list, by the list's name; "entry" where it is not here
_ITEMS = {"keys": "key", "swift_keys": "key", "caps": "cap", "subusers": "user", "objects": "object", "summary": "user"}


def document(operation: str, value: Any) -> bytes:
    """What an operation answered (JSON's kinds of values) as a document."""
    root = _ROOTS.get(operation)
    items = dict(_ITEMS)
    if operation == "GetQuota":
        root = "quota" if "user_quota" in value else "user_quota"
    elif operation == "GetBucketInfo":
        root = "buckets" if isinstance(value, list) else "stats"
        items["buckets"] = "stats" if value and isinstance(value, list) and isinstance(value[0], dict) else "bucket"
    elif operation == "GetMetadata":
        root = "keys" if isinstance(value, list) else "result" if "keys" in value else "metadata_info"
        items["subusers"] = "subuser"
    elif operation == "GetUsage":
        items |= {"entries": "user", "buckets": "bucket"}
    elif operation == "GetInfo":
        value = value["info"]
    return render((root or "result", _children(root or "result", value, items)), namespace="")


def refusal(code: str, message: str, request_id: str, host_id: str) -> bytes:
    return render(("Error", [("Code", code), ("Message", message), ("RequestId", request_id), ("HostId", host_id)]), namespace="")


def _children(name: str, value: Any, items: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return [(member, _children(member, child, items)) for member, child in value.items()]
    if isinstance(value, list):
        item = items.get(name, "entry")
        return [(item, _children(item, child, items)) for child in value]
    return "" if value is None else value
