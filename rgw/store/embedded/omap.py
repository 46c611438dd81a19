"""Ordered maps in LMDB, with keys of any length.

An entry stands at map id (8, big endian) + key, its value after a zero byte. LMDB's keys end at 511 bytes, so a key of
``CUT`` bytes or more leads, by its first ``CUT`` bytes, to a map of its own (a one byte and that map's id), where its rest is the
key. That keeps the order of keys: two of them that differ within ``CUT`` bytes are ordered there, all others by their rests.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

CUT = 500
_LEAF, _BRANCH = 0, 1

Txn = Any  # lmdb.Transaction
Db = Any


def _id(map_id: int) -> bytes:
    return map_id.to_bytes(8, "big")


def get(txn: Txn, db: Db, map_id: int, key: bytes) -> bytes | None:
    while len(key) >= CUT:
        branch = txn.get(_id(map_id) + key[:CUT], db=db)
        if branch is None:
            return None
        map_id, key = int.from_bytes(branch[1:], "big"), key[CUT:]
    value = txn.get(_id(map_id) + key, db=db)
    return None if value is None else bytes(value[1:])


def put(txn: Txn, db: Db, map_id: int, key: bytes, value: bytes, new_id: Callable[[], int]) -> None:
    while len(key) >= CUT:
        at = _id(map_id) + key[:CUT]
        branch = txn.get(at, db=db)
        if branch is None:
            map_id = new_id()
            txn.put(at, b"\x01" + _id(map_id), db=db)
        else:
            map_id = int.from_bytes(branch[1:], "big")
        key = key[CUT:]
    txn.put(_id(map_id) + key, b"\0" + value, db=db)


def delete(txn: Txn, db: Db, map_id: int, key: bytes) -> None:
    """No error if the key is not there."""
    if len(key) >= CUT:
        at = _id(map_id) + key[:CUT]
        branch = txn.get(at, db=db)
        if branch is None:
            return
        child = int.from_bytes(branch[1:], "big")
        delete(txn, db, child, key[CUT:])
        with txn.cursor(db=db) as cursor:
            if not (cursor.set_range(_id(child)) and bytes(cursor.key()[:8]) == _id(child)):
                txn.delete(at, db=db)
    else:
        txn.delete(_id(map_id) + key, db=db)


def purge(txn: Txn, db: Db, map_id: int, limit: int = sys.maxsize) -> int:
    """Removes a map with all that hangs on it, ``limit`` entries at most; how many: fewer than ``limit`` if it is gone."""
    prefix, done = _id(map_id), 0
    with txn.cursor(db=db) as cursor:
        found = cursor.set_range(prefix)
        while found and done < limit and bytes(cursor.key()[:8]) == prefix:
            value = cursor.value()
            if value[0] == _BRANCH:
                at = bytes(cursor.key())
                done += purge(txn, db, int.from_bytes(value[1:], "big"), limit - done)
                if done >= limit:
                    break  # the rest of the branch is still found through its entry
                cursor.set_key(at)
            cursor.delete()  # moves on to the next entry
            done += 1
            found = bool(cursor.key())
    return done


def page(txn: Txn, db: Db, map_id: int, start: bytes, prefix: bytes, count: int) -> list[tuple[bytes, bytes]]:
    """The first ``count`` entries that ``iterate`` gives, at a third of its cost. For transactions that give bytes, not buffers."""
    if len(start) < CUT and len(prefix) < CUT:
        head = _id(map_id)
        skip, begin = len(head), head + prefix
        with txn.cursor(db=db) as cursor:
            raw = list(islice(cursor.iternext(), count)) if cursor.set_range(head + max(start, prefix)) else []
        if raw and not raw[-1][0].startswith(begin):
            del raw[bisect_left(raw, True, key=lambda item: not item[0].startswith(begin)):]
        found = [(key[skip:], value[1:]) for key, value in raw if not value[0]]
        if len(found) == len(raw):
            return found
    return list(islice(iterate(txn, db, map_id, start, prefix), count))


def iterate(txn: Txn, db: Db, map_id: int, start: bytes = b"", prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """Entries with ``prefix`` in byte order, from the first that is ``start`` or comes after it. Close it before the transaction."""
    start = max(start, prefix)
    head = _id(map_id)
    with txn.cursor(db=db) as cursor:
        found = cursor.set_range(head + start[:CUT])
        while found:
            raw, value = cursor.item()
            raw = bytes(raw)
            if raw[:8] != head:
                return
            key = raw[8:]
            if key[:len(prefix)] != prefix[:CUT]:
                return
            if value[0] == _LEAF:
                yield key, bytes(value[1:])
            else:
                rest = start[CUT:] if key == start[:CUT] else b""
                for tail, item in iterate(txn, db, int.from_bytes(value[1:], "big"), rest, prefix[CUT:]):
                    yield key + tail, item
            found = cursor.next()
