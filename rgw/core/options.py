"""The gateway's options, under RGW's own names, from ceph.conf-like files and the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

Value = str | int | float | bool
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Option:
    """One option: ``kind`` is ``int``, ``size`` (bytes; K/M/G suffixes), ``float``, ``bool`` or ``str``."""

    kind: str
    default: Value
    doc: str


OPTIONS: dict[str, Option] = {
    "rgw_max_chunk_size": Option("size", 4 * MIB, "most bytes that an object's head holds"),
    "rgw_obj_stripe_size": Option("size", 4 * MIB, "size of an object's tail stripes"),
    "rgw_put_obj_min_window_size": Option("size", 16 * MIB, "bytes in flight to the store while an object is written"),
    "rgw_put_memory": Option("size", 32 * MIB, "bytes of bodies that all uploads of a process hold together before they wait for the store"),
    "rgw_get_obj_window_size": Option("size", 16 * MIB, "bytes in flight from the store while an object is read"),
    "rgw_max_put_size": Option("size", 5 << 30, "largest object or part that one request may upload"),
    "rgw_max_attr_size": Option("size", 2048, "most bytes of user metadata"),
    "rgw_max_listing_results": Option("int", 1000, "most keys in one listing"),
    "rgw_delete_multi_obj_max_num": Option("int", 1000, "most keys in one DeleteObjects"),
    "rgw_multi_obj_del_max_aio": Option("int", 16, "deletions in flight of one DeleteObjects"),
    "rgw_multipart_min_part_size": Option("size", 5 * MIB, "smallest part, except the last"),
    "rgw_multipart_part_upload_limit": Option("int", 10_000, "highest part number"),
    "rgw_part_copy_max_pieces": Option("int", 2500, "most pieces of an object that UploadPartCopy makes by reference; above, it copies"),
    "rgw_part_copy_etag": Option("str", "derived", "ETag of a part copied by reference: derived, or md5 (reads every byte)"),
    "rgw_intent_lease": Option("float", 60.0, "seconds for which a gateway that writes may be silent; much longer, and it counts as dead"),
    "rgw_olh_pending_timeout_sec": Option("int", 3600, "seconds after which a change of versions that never reached the index is given up"),
    "rgw_copy_obj_concurrency": Option("int", 16, "references or stripes in flight of one copy"),
    "rgw_override_bucket_index_max_shards": Option("int", 0, "index shards of new buckets; 0: the zone's value"),
    "rgw_max_objs_per_shard": Option("int", 100_000, "objects in an index shard above which a bucket is resharded"),
    "rgw_dynamic_resharding": Option("bool", True, "reshard growing buckets"),
    "rgw_max_dynamic_shards": Option("int", 1999, "most index shards that dynamic resharding gives a bucket"),
    "rgw_safe_max_objects_per_shard": Option("int", 102_400, "objects in an index shard that bucket limit check finds too many"),
    "rgw_shard_warning_threshold": Option("float", 90.0, "percent of the safe number of objects in a shard at which it warns"),
    "rgw_reshard_thread_interval": Option("float", 600.0, "seconds between two looks at the reshard queue"),
    "rgw_reshard_num_logs": Option("int", 16, "objects that the reshard queue is spread over"),
    "rgw_reshard_bucket_lock_duration": Option("float", 30.0, "seconds after which a reshard whose gateway died may be taken over"),
    "rgw_reshard_batch_size": Option("int", 128, "index entries copied in one step of a reshard"),
    "rgw_reshard_rest": Option("float", 1.0, "seconds of rest after each second of copying in a reshard while others write"),
    "rgw_reshard_wait_timeout": Option("float", 60.0, "seconds that a change waits for a reshard of its bucket before 503 SlowDown"),
    "rgw_list_bucket_min_readahead": Option("int", 8, "fewest entries asked of one index shard"),
    "rgw_bucket_index_max_aio": Option("int", 128, "index shards asked at the same time"),
    "rgw_user_max_buckets": Option("int", 1000, "buckets that a new user may own"),
    "rgw_default_region": Option("str", "", "region name told to clients; empty: the zonegroup's"),
    "rgw_zone": Option("str", "default", "the zone to serve"),
    "rgw_zonegroup": Option("str", "default", "the zonegroup to serve"),
    "rgw_realm": Option("str", "", "multisite realm; not supported"),
    "rgw_dns_name": Option("str", "", "host name under which buckets are subdomains; several, separated by commas"),
    "rgw_relaxed_s3_bucket_names": Option("bool", False, "allow upper case and underscores in bucket names"),
    "rgw_num_control_oids": Option("int", 8, "objects through which gateways tell each other of changed metadata"),
    "rgw_cache_enabled": Option("bool", True, "keep users' and buckets' metadata in memory"),
    "rgw_cache_lru_size": Option("int", 10_000, "metadata objects kept in memory"),
    "rgw_cache_expiry_interval": Option("float", 900.0, "seconds that metadata is kept in memory"),
    "rgw_cache_notify_timeout": Option("float", 10.0, "seconds to wait for other gateways to drop changed metadata"),
    "rgw_admin_entry": Option("str", "admin", "path below which the Admin Ops API is served"),
    "rgw_enable_apis": Option("str", "s3, admin", "APIs that are served: s3 always; admin if it is named"),
    "rgw_enable_gc_threads": Option("bool", True, "collect garbage in the background"),
    "rgw_gc_max_objs": Option("int", 32, "garbage collection queues"),
    "rgw_gc_obj_min_wait": Option("int", 7200, "seconds before deleted data is collected"),
    "rgw_gc_processor_period": Option("int", 3600, "seconds between two collections"),
    "rgw_gc_processor_max_time": Option("int", 3600, "seconds for which a collector holds a queue"),
    "rgw_gc_max_concurrent_io": Option("int", 10, "objects removed at the same time by the collector"),
    "rgw_gc_rest": Option("float", 3.0, "seconds of rest after each second of collecting while requests come"),
    "rgw_gc_max_trim_chunk": Option("int", 100, "queue entries collected in one step"),
    "rgw_gc_max_queue_size": Option("size", 134_217_728 - 4096, "bytes of a garbage collection queue"),
    "rgw_gc_max_deferred": Option("int", 50, "deferred entries of a garbage collection queue"),
    "rgw_enable_lc_threads": Option("bool", True, "carry out lifecycle rules in the background"),
    "rgw_lifecycle_work_time": Option("str", "00:00-06:00", "hours of the day, local time, in which they are carried out"),
    "rgw_lc_max_objs": Option("int", 32, "lifecycle queues"),
    "rgw_lc_lock_max_time": Option("int", 90, "seconds for which a worker may hold the lock of a lifecycle queue"),
    "rgw_lc_max_wp_worker": Option("int", 3, "objects that one worker handles at the same time"),
    "rgw_lc_debug_interval": Option("int", -1, "for tests: seconds that count as a day, and between two runs; -1: real days"),
    "rgw_enable_usage_log": Option("bool", False, "write down what users use"),
    "rgw_usage_log_tick_interval": Option("float", 30.0, "seconds between two writes of the usage log"),
    "rgw_usage_log_flush_threshold": Option("int", 1024, "entries gathered before the usage log is written out of turn"),
    "rgw_usage_max_shards": Option("int", 32, "objects that the usage log is spread over"),
    "rgw_usage_max_user_shards": Option("int", 1, "of these, how many one user's usage is spread over"),
    "rgw_enable_quota_threads": Option("bool", True, "bring buckets into their owners' sums in the background"),
    "rgw_user_quota_bucket_sync_interval": Option("float", 180.0, "seconds between two of these runs"),
    "rgw_bucket_quota_ttl": Option("float", 600.0, "seconds that a bucket's statistics are trusted for its quota"),
    "rgw_bucket_default_quota_max_objects": Option("int", -1, "objects a new user's bucket may hold; -1: no limit"),
    "rgw_bucket_default_quota_max_size": Option("int", -1, "bytes a new user's bucket may hold; -1: no limit"),
    "rgw_user_default_quota_max_objects": Option("int", -1, "objects a new user may hold; -1: no limit"),
    "rgw_user_default_quota_max_size": Option("int", -1, "bytes a new user may hold; -1: no limit"),
    "rgw_max_concurrent_requests": Option("int", 1024, "requests served at the same time; more are told to come later. 0: no limit"),
    "rgw_op_timeout": Option("float", 30.0, "seconds after which an operation of the store is given up"),
    "rgw_body_stall_timeout": Option("float", 60.0, "seconds for which a client may send nothing of its request's body"),
    "rgw_crypt_require_ssl": Option("bool", True, "take customers' encryption keys through HTTPS only"),
    "rgw_trust_forwarded_https": Option("bool", False, "believe a proxy's Forwarded or X-Forwarded-Proto header that a request came through HTTPS"),
    "rgw_s3_auth_allowed_skew": Option("int", 900, "seconds that a request's date may be off"),
}


def normalise(name: str) -> str:
    """An option's name as the table has it: ceph.conf allows spaces and dashes for underscores."""
    return re.sub(r"[\s_-]+", "_", name.strip()).lower()


def _parse(name: str, option: Option, value: Value) -> Value:
    text = str(value).strip()
    if option.kind == "str":
        return text
    if option.kind == "bool":
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
    elif option.kind == "float":
        try:
            return float(text)
        except ValueError:
            pass
    else:
        match = re.fullmatch(r"(-?\d+)\s*([kmgt]?)(?:i?b)?", text, re.IGNORECASE)
        if match:
            return int(match[1]) * _UNITS[match[2].lower()]
    raise ValueError(f"{name} = {text!r} is not a valid {option.kind}")


class Options:
    """Option values; each option of the table is an attribute. Unknown ``rgw_...`` names are kept aside in ``unknown``."""

    def __init__(self, values: Mapping[str, Value] | None = None) -> None:
        """ValueError if a value does not parse."""
        self._values: dict[str, Value] = self.__dict__  # each an attribute, found sooner than by __getattr__
        self._values |= {name: option.default for name, option in OPTIONS.items()}
        self.unknown: dict[str, str] = {}
        for raw, value in (values or {}).items():
            name = normalise(raw)
            if name in OPTIONS:
                self._values[name] = _parse(name, OPTIONS[name], value)
            else:
                self.unknown[name] = str(value)
        for name in ("rgw_gc_max_objs", "rgw_num_control_oids", "rgw_max_chunk_size", "rgw_obj_stripe_size", "rgw_gc_max_trim_chunk",
                     "rgw_gc_max_concurrent_io", "rgw_bucket_index_max_aio", "rgw_gc_processor_period", "rgw_reshard_num_logs", "rgw_reshard_batch_size",
                     "rgw_max_objs_per_shard", "rgw_reshard_thread_interval", "rgw_reshard_bucket_lock_duration", "rgw_lc_max_objs", "rgw_lc_max_wp_worker",
                     "rgw_lc_lock_max_time", "rgw_usage_max_shards", "rgw_usage_max_user_shards"):
            if int(self._values[name]) < 1:
                raise ValueError(f"{name} must be at least 1")
        if not re.fullmatch(r"\d\d?:\d\d-\d\d?:\d\d", hours := str(self._values["rgw_lifecycle_work_time"]), re.ASCII):
            raise ValueError(f"rgw_lifecycle_work_time = {hours!r} is not HH:MM-HH:MM")

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...

    def as_dict(self) -> dict[str, Value]:
        return {name: self._values[name] for name in OPTIONS}

    @classmethod
    def load(cls, path: str | Path | None, section: str = "", overrides: Mapping[str, Value] | None = None) -> Options:
        """The file's ``[global]``, ``[client]`` and ``[<section>]`` values in this order, then ``overrides``.

        A file that does not exist counts as empty. OSError if it cannot be read, ValueError if it does not parse.
        """
        values: dict[str, Value] = {}
        if path is not None and Path(path).exists():
            sections = parse_conf(Path(path).read_text(encoding="utf-8").splitlines())
            for name in ("global", "client", section):
                if name:
                    values.update(sections.get(name, {}))
        known = {name: value for name, value in values.items() if name in OPTIONS or name.startswith("rgw_")}
        for raw, value in (overrides or {}).items():
            name = normalise(raw)
            if name not in OPTIONS:
                raise ValueError(f"unknown option {raw}")
            known[name] = value
        return cls(known)


def parse_conf(lines: Iterable[str]) -> dict[str, dict[str, str]]:
    """The sections of a ceph.conf: names normalised, comments (``#`` and ``;``) dropped, lines ending in a backslash joined."""
    sections: dict[str, dict[str, str]] = {}
    current = sections.setdefault("global", {})
    pending = ""
    for number, raw in enumerate(lines, 1):
        line = pending + raw.strip()
        pending = ""
        if line.endswith("\\"):
            pending = line[:-1]
            continue
        line = re.sub(r"(^|\s)[#;].*$", "", line).strip()
        if not line:
            continue
        if line.startswith("[") and line.endswith("]"):
            current = sections.setdefault(line[1:-1].strip(), {})
        elif "=" in line:
            name, value = line.split("=", 1)
            current[normalise(name)] = value.strip().strip('"')
        else:
            raise ValueError(f"line {number}: neither a section nor NAME = VALUE: {line}")
    return sections
