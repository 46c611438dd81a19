"""What radosgw's own tools say after a scenario: one check for all crossed tests."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from tests.radosgw.conftest import Pair


def counts(stats: dict[str, Any]) -> dict[str, Any]:
    """The usage of what is stored: headers also tell of a category whose last object is gone, counts also of delete markers."""
    return {category: row for category, row in stats["usage"].items() if row["num_objects"] and category != "rgw.none"}


def listed(client: Any, bucket: str) -> list[tuple[str, int, str]]:
    """(key, size, ETag) of every object, paged."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [(row["Key"], row["Size"], row["ETag"]) for page in pages for row in page.get("Contents", [])]


def refused(call: Any, **arguments: Any) -> str:
    """The code of the error with which a client's call is answered, or ""."""
    try:
        reply = call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ",".join(row["Code"] for row in reply.get("Errors", []))  # of a DeleteObjects


def collect(pair: Pair) -> None:
    """Both garbage collectors, whatever is due or not."""
    pair.radosgw_admin("gc", "process", "--include-all")
    pair.rgw_admin("gc", "process", "--include-all")


def rados_objects(pair: Pair, marker: str) -> set[str]:
    """The RADOS objects of the bucket with this marker in every data pool, index excepted."""
    found = set()
    for pool in pair.data_pools:
        lines = pair.cluster.run("rados", "-n", "client.admin", "-p", pool, "ls", "--all", timeout=60).split("\n")
        names = [line.split("\t")[1] for line in lines if line]  # namespace, name, locator
        found |= {name for name in names if name.startswith(f"{marker}_")}
    return found


def reachable(pair: Pair, bucket: str) -> set[str]:
    """The RADOS objects that radosgw-admin reaches from the bucket's index."""
    text = pair.cluster.run("radosgw-admin", "-n", "client.admin", "bucket", "radoslist", "--bucket", bucket, timeout=60)
    return set(text.split("\n")) - {""}


def check_index(pair: Pair, bucket: str, clients: list[Any], tenant: str = "", *, finished: bool = True) -> dict[str, Any]:
    """The index is in order: bucket check finds nothing, stats and the two listings agree, as bi list does. Returns the bucket's stats.

    ``finished`` False: a radosgw was killed, which leaves entries of parts without an upload and changes that it only announced.
    """
    full = f"{tenant}/{bucket}" if tenant else bucket
    checked = pair.radosgw_admin("bucket", "check", "--bucket", full)
    assert not finished or checked["invalid_multipart_entries"] == []
    stored, counted = (counts(checked["check_result"][which]) for which in ("existing_header", "calculated_header"))
    assert stored == counted
    stats = pair.radosgw_admin("bucket", "stats", "--bucket", full)
    listings = [listed(client, bucket) for client in clients]
    assert all(listing == listings[0] for listing in listings)
    main = counts(stats).get("rgw.main", {"num_objects": 0, "size": 0})
    assert set(counts(stats)) <= {"rgw.main", "rgw.multimeta"}
    entries = pair.radosgw_admin("bucket", "list", "--bucket", full, "--max-entries", "100000")
    visible = {row["name"]: row for row in entries if not row["name"].startswith("_multipart_")}
    assert len(visible) == len(listings[0])
    raw = pair.radosgw_admin("bi", "list", "--bucket", full)
    assert not finished or all(not row["entry"].get("pending_map") for row in raw), "an operation is still pending in the index"
    assert len([row for row in raw if row["type"] == "plain"]) == len(entries)
    assert (main["num_objects"], main["size"]) == (
        len([row for row in entries if row["meta"]["category"] == 1]), sum(row["meta"]["accounted_size"] for row in entries if row["meta"]["category"] == 1))
    return stats  # type: ignore[no-any-return]


def settled(pair: Pair, uid: str, buckets: list[str], clients: list[Any], *, orphans: bool = True, finished: bool = True, tenant: str = "") -> set[str]:
    """Every tool of radosgw's agrees with what both gateways show, and no RADOS object is lost or left over.

    Returns what is left over where that is allowed (``orphans`` False).
    """
    pair.radosgw_admin("gc", "process", "--include-all")
    assert pair.radosgw_admin("gc", "list", "--include-all") == []
    held: set[str] = set()
    found: set[str] = set()
    for bucket in buckets:
        stats = check_index(pair, bucket, clients, tenant, finished=finished)
        full = f"{tenant}/{bucket}" if tenant else bucket
        names = listed(clients[0], bucket)
        for key, size, etag in names[:3]:
            shown = pair.radosgw_admin("object", "stat", "--bucket", full, "--object", key)
            assert (shown["name"], shown["etag"].rstrip("\0")) == (key, etag.strip('"'))
            assert shown["size"] == size or "compression" in shown  # of compressed ones the tool shows the stored size
        held |= reachable(pair, full)
        found |= rados_objects(pair, stats["marker"])
    missing, left = held - found, found - held  # over all buckets: copies share tails
    assert not missing, f"radosgw misses RADOS objects: {sorted(missing)}"
    assert not orphans or not left, f"no index entry leads to these RADOS objects: {sorted(left)}"
    limits = {row["bucket"]: row for user in pair.radosgw_admin("bucket", "limit", "check", "--uid", uid) for row in user["buckets"]}
    assert set(buckets) <= set(limits) or tenant
    assert all(limits[bucket]["fill_status"] == "OK" for bucket in buckets if bucket in limits)
    ours = {row["bucket"]: row for row in pair.rgw_admin("bucket", "stats", "--uid", uid)}
    theirs = {row["bucket"]: row for row in pair.radosgw_admin("bucket", "stats", "--uid", uid)}
    assert {name: theirs[name] for name in buckets} == {name: ours[name] for name in buckets}
    return left


def check_versions(pair: Pair, bucket: str) -> int:
    """The index of a bucket with versions is in order: bucket check agrees, no operation is pending, no log left. Returns how many are stored."""
    checked = pair.radosgw_admin("bucket", "check", "--bucket", bucket)["check_result"]
    stored, counted = (counts(checked[which]) for which in ("existing_header", "calculated_header"))  # without delete markers
    assert stored == counted
    for row in pair.radosgw_admin("bi", "list", "--bucket", bucket):
        assert not row["entry"].get("pending_map") and not row["entry"].get("pending_log"), row
    return stored.get("rgw.main", {"num_objects": 0})["num_objects"]  # type: ignore[no-any-return]


def settled_versions(pair: Pair, bucket: str) -> int:
    """As ``settled``, for a bucket with versions: its index is in order, no RADOS object is lost or left over. Returns how many are stored."""
    stored = check_versions(pair, bucket)
    collect(pair)
    assert pair.radosgw_admin("gc", "list", "--include-all") == []
    marker = pair.radosgw_admin("bucket", "stats", "--bucket", bucket)["marker"]
    held, found = reachable(pair, bucket), rados_objects(pair, marker)
    assert found == held, f"left over: {sorted(found - held)}, missing: {sorted(held - found)}"
    return stored
