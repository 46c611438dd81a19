"""Writers on the same few keys, and what the keys may hold afterwards."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

KIB, MIB = 1 << 10, 1 << 20
GONE = ""
FOREVER = float("inf")


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@dataclass
class Write:
    """One write of a key: ``content`` the MD5 of the bytes (GONE: a deletion; None: those of a copy that nobody confirmed)."""

    key: str
    what: str
    started: float
    content: str | None
    ended: float = FOREVER  # never: it was not acknowledged
    version: str | None = None  # of a bucket with versions, where the gateway told it

    def __str__(self) -> str:
        return f"{self.what} {self.content} {self.started:.3f}-{self.ended:.3f}"


@dataclass
class History:
    """What was written. ``by_etag``: the content behind each ETag; ``removed``: versions that somebody tried to remove, and whether
    that was acknowledged.
    """

    writes: list[Write] = field(default_factory=list)
    by_etag: dict[str, str] = field(default_factory=dict)
    removed: dict[tuple[str, str], bool] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, key: str, what: str, content: str | None) -> Write:
        write = Write(key, what, time.monotonic(), content)
        with self.lock:
            self.writes.append(write)
        return write

    def may_hold(self, key: str, content: str) -> bool:
        """Whether ``content`` is of a write that no acknowledged one came after. Nothing (GONE) also stands before all writes."""
        writes = [write for write in self.writes if write.key == key and not self.removed.get((key, write.version or ""))]
        sure = [write for write in writes if write.ended < FOREVER and (key, write.version) not in self.removed]
        begun = max((write.started for write in sure), default=0.0)
        last = [write for write in writes if write.ended > begun]
        if not sure and content == GONE:
            return True
        return any(write.content == content or (write.content is None and content != GONE) for write in last)

    def of(self, key: str) -> str:
        return "\n".join(str(write) for write in self.writes if write.key == key)

    def kept(self) -> dict[tuple[str, str], str]:
        """The contents of the acknowledged versions that nobody tried to remove, by key and version."""
        return {(write.key, write.version): write.content for write in self.writes
                if write.version and write.content is not None and write.ended < FOREVER and (write.key, write.version) not in self.removed}


class Writer(threading.Thread):
    """Puts, uploads in parts, copies and, if it ``deletes``, deletes through one gateway until it is told to stop."""

    def __init__(self, client: Any, bucket: str, keys: list[str], history: History, stop: threading.Event, seed: int,
                 codes: tuple[str, ...] = (), *, deletes: bool = True) -> None:
        super().__init__(daemon=True)
        self._client, self._bucket, self._keys, self._history, self._halt = client, bucket, keys, history, stop
        self._chance = random.Random(seed)
        self._codes = ("NoSuchKey", "NoSuchUpload", "404", "OperationAborted", "ServiceUnavailable", "SlowDown", *codes)
        self._works = [self._put, self._put, self._put, self._copy, self._copy, self._multipart]
        if deletes:
            self._works += [self._remove, self._remove_version]
        self.done = 0

    def run(self) -> None:
        while not self._halt.is_set():
            try:
                self._chance.choice(self._works)(self._chance.choice(self._keys))
                self.done += 1
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code not in self._codes:
                    self._history.errors.append(f"{error.operation_name}: {code}")
            except BotoCoreError:  # the gateway is being killed or is not back yet
                self._halt.wait(0.1)

    def _version(self, reply: Any) -> str | None:
        """The id of a version that stays; the null version is written again and again."""
        version = reply.get("VersionId")
        return None if version == "null" else version

    def _body(self) -> bytes:
        size = self._chance.choice([0, 100, 64 * KIB, 64 * KIB, 4 * MIB + 1, 5 * MIB])
        return self._chance.randbytes(min(size, 1000)) * (size // 1000 + 1)

    def _put(self, key: str) -> None:
        body = self._body()
        content = _md5(body)
        with self._history.lock:
            self._history.by_etag[content] = content
        write = self._history.begin(key, "put", content)
        write.version = self._version(self._client.put_object(Bucket=self._bucket, Key=key, Body=body))
        write.ended = time.monotonic()

    def _multipart(self, key: str) -> None:
        place = {"Bucket": self._bucket, "Key": key}
        place["UploadId"] = self._client.create_multipart_upload(**place)["UploadId"]
        parts = [self._chance.randbytes(1024) * (5 * KIB), self._chance.randbytes(1000)]
        done = [{"PartNumber": n, "ETag": self._client.upload_part(PartNumber=n, Body=part, **place)["ETag"]} for n, part in enumerate(parts, 1)]
        content = _md5(b"".join(parts))
        etag = _md5(b"".join(bytes.fromhex(_md5(part)) for part in parts)) + "-2"
        with self._history.lock:
            self._history.by_etag[etag] = content
        write = self._history.begin(key, "multipart", content)
        write.version = self._version(self._client.complete_multipart_upload(MultipartUpload={"Parts": done}, **place))
        write.ended = time.monotonic()

    def _copy(self, key: str) -> None:
        source = self._chance.choice([other for other in self._keys if other != key])
        write = self._history.begin(key, "copy", None)
        try:
            reply = self._client.copy_object(Bucket=self._bucket, Key=key, CopySource={"Bucket": self._bucket, "Key": source})
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                with self._history.lock:
                    self._history.writes.remove(write)
            raise
        write.content = self._history.by_etag[reply["CopyObjectResult"]["ETag"].strip('"')]
        write.version = self._version(reply)
        write.ended = time.monotonic()

    def _remove(self, key: str) -> None:
        write = self._history.begin(key, "delete", GONE)
        write.version = self._client.delete_object(Bucket=self._bucket, Key=key).get("VersionId")
        write.ended = time.monotonic()

    def _remove_version(self, key: str) -> None:
        """Removes a version for good; a plain bucket has none."""
        with self._history.lock:
            known = [version for (of, version) in self._history.kept() if of == key]
            if not known:
                return
            version = self._chance.choice(known)
            self._history.removed[key, version] = False
        self._client.delete_object(Bucket=self._bucket, Key=key, VersionId=version)
        self._history.removed[key, version] = True
