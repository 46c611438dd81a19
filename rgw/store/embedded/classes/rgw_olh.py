"""The object class ``rgw`` on versioned objects: versions, which of them is the current one, and the log of what is still
to be done to the data objects (the "OLH log").
"""

from __future__ import annotations

from rgw.formats import index_keys as keys
from rgw.formats.cls_rgw import ClearOlhOp, LinkOlhOp, ReadOlhLogOp, ReadOlhLogRet, TrimOlhLogOp, UnlinkInstanceOp
from rgw.formats.index import FLAG_CURRENT, FLAG_DELETE_MARKER, FLAG_VER, FLAG_VER_MARKER, ClsObjKey, DirEntry, OlhEntry, OlhLogEntry
from rgw.store import classes
from rgw.store.embedded.classes.entries import find_entry, read_entry
from rgw.store.embedded.classes.registry import implements
from rgw.store.embedded.classes.rgw_index import refuse_log
from rgw.store.embedded.context import ObjectContext
from rgw.store.errors import Cancelled, InvalidArgument, NotFound

_LINK, _UNLINK, _REMOVE = 1, 2, 3  # operations of the OLH log
_FIRST_EPOCH = 2  # epoch 1 is left to an entry that was there before versioning
_LOG_PAGE = 1000
_SECOND = 1_000_000_000


class _Version:
    """One version's two entries: by instance, and in listing order."""

    def __init__(self, ctx: ObjectContext, key: ClsObjKey, place: bytes, entry: DirEntry) -> None:
        self._ctx, self._key, self._place, self.entry = ctx, key, place, entry

    @classmethod
    def find(cls, ctx: ObjectContext, key: ClsObjKey, delete_marker: bool = True) -> _Version | None:
        place, entry = find_entry(ctx, key, delete_marker and not key.instance)
        return None if entry is None else cls(ctx, key, place, entry)

    @property
    def is_delete_marker(self) -> bool:
        return bool(self.entry.flags & FLAG_DELETE_MARKER)

    @property
    def list_key(self) -> bytes:
        return keys.list_key(self.entry.name, self.entry.versioned_epoch, self.entry.instance)

    def unlist(self) -> None:
        self._ctx.omap_rm(self.list_key)

    def remove(self) -> None:
        self._ctx.omap_rm(self._place)

    def write(self, epoch: int, current: bool) -> None:
        """Enters the version at its place in time."""
        if self.entry.versioned_epoch:
            self.unlist()
        self.entry.versioned_epoch = epoch
        self.entry.flags |= FLAG_VER | (FLAG_CURRENT if current else 0)
        self._store()

    def demote(self) -> None:
        self.entry.flags &= ~FLAG_CURRENT
        self._store()

    def _store(self) -> None:
        self._place = keys.instance_key(self._key, self.is_delete_marker and not self.entry.instance)
        data = self.entry.encode()
        self._ctx.omap_set(self._place, data)
        self._ctx.omap_set(self.list_key, data)

    def older(self) -> ClsObjKey | None:
        """The next version of the same object in listing order."""
        for _, value in self._ctx.omap_iter(self.list_key, keys.raw(self._key.name)):
            entry = DirEntry.decode(value)
            return ClsObjKey(name=entry.name, instance=entry.instance) if entry.name == self._key.name else None
        return None


def _start_modify(olh: OlhEntry, epoch: int) -> bool:
    """Moves the OLH to its next epoch, or to a given one; False if that lies behind."""
    if epoch and epoch < olh.epoch:
        return False
    olh.epoch = epoch or (olh.epoch + 1 if olh.epoch else _FIRST_EPOCH)
    return True


def _log(olh: OlhEntry, op: int, tag: str, key: ClsObjKey, delete_marker: bool, epoch: int = 0) -> None:
    entry = OlhLogEntry(epoch=epoch or olh.epoch, op=op, op_tag=tag, key=key, delete_marker=delete_marker)
    olh.pending_log.setdefault(olh.epoch, []).append(entry)


def _read_olh(ctx: ObjectContext, name: str) -> OlhEntry | None:
    data = ctx.omap_get(keys.olh_key(name))
    return None if data is None else OlhEntry.decode(data)


def _write_olh(ctx: ObjectContext, name: str, olh: OlhEntry) -> None:
    ctx.omap_set(keys.olh_key(name), olh.encode())


def _convert_plain(ctx: ObjectContext, name: str, instance_only: bool) -> None:
    """Makes the null version of an entry from before versioning, and leaves a placeholder at its plain key."""
    key = ClsObjKey(name=name)
    _, entry = find_entry(ctx, key)
    if entry is not None:
        entry.versioned_epoch = 1
        entry.flags = (entry.flags | FLAG_VER) & ~FLAG_CURRENT
        data = entry.encode()
        ctx.omap_set(keys.instance_key(key), data)
        if not instance_only:
            ctx.omap_set(keys.list_key(name, 1, entry.instance), data)
    ctx.omap_set(keys.raw(name), DirEntry(name=name, flags=FLAG_VER_MARKER).encode())


def _drop_other_null(ctx: ObjectContext, key: ClsObjKey, delete_marker: bool) -> bool:
    """A null version and a null delete marker do not stand side by side. True if there is a null version to be removed."""
    other = _Version.find(ctx, key, delete_marker=not delete_marker)
    if other is None:
        return False
    if other.is_delete_marker != delete_marker:
        other.unlist()
    removing = delete_marker and not other.is_delete_marker
    if not removing:
        other.remove()
    return removing


@implements(classes.BUCKET_LINK_OLH)
def link_olh(ctx: ObjectContext, request: LinkOlhOp) -> None:
    """Makes a version the current one, or puts a delete marker on top."""
    refuse_log(request.log_op)
    key = request.key
    version = _Version.find(ctx, key, request.delete_marker)
    if version is None and not request.delete_marker:
        raise NotFound("no such version")
    since = request.unmod_since
    if version is not None and since and _modified(version.entry.meta.mtime, since, request.high_precision_time):
        return
    if key.instance:
        removing = version is not None and not version.is_delete_marker and request.delete_marker
    else:
        removing = _drop_other_null(ctx, key, request.delete_marker)
    version_is_new = version is None
    if request.delete_marker:
        entry = version.entry if version is not None else DirEntry()
        entry.name, entry.instance = key.name, key.instance
        entry.flags, entry.meta, entry.tag = FLAG_DELETE_MARKER, request.meta, "delete-marker"
        version = _Version(ctx, key, b"", entry)
    assert version is not None

    stored = _read_olh(ctx, key.name)
    olh = stored or OlhEntry()
    if request.delete_marker and key.instance and version_is_new and stored is not None and stored.exists and stored.delete_marker:
        raise NotFound("the object is deleted already")
    before = olh.epoch
    if not _start_modify(olh, request.olh_epoch):
        version.write(request.olh_epoch, False)
        if removing:
            _log(olh, _REMOVE, request.op_tag, key, False, request.olh_epoch)
            _write_olh(ctx, key.name, olh)
        return
    promote = olh.epoch > before or olh.key.instance >= key.instance  # of one epoch, the lesser instance is current
    if stored is None:
        _convert_plain(ctx, key.name, instance_only=not key.instance and request.delete_marker)
        olh.tag = request.olh_tag
    else:
        if request.olh_tag != olh.tag:
            if not olh.pending_removal:
                raise Cancelled("another head object with that name")
            olh.tag = request.olh_tag
        if promote and olh.exists and olh.key != key:
            _demote(ctx, olh.key)
        olh.pending_removal = False
    _log(olh, _LINK, request.op_tag, key, request.delete_marker)
    if removing:
        _log(olh, _REMOVE, request.op_tag, key, False)
    if promote:
        olh.key, olh.delete_marker = key, request.delete_marker
    olh.exists = True
    _write_olh(ctx, key.name, olh)
    version.write(olh.epoch, promote)


def _modified(mtime: int, since: int, high_precision: bool) -> bool:
    return mtime >= since if high_precision else mtime // _SECOND >= since // _SECOND


def _demote(ctx: ObjectContext, key: ClsObjKey) -> None:
    old = _Version.find(ctx, key)
    if old is None:
        raise NotFound("the current version has no entry")
    old.demote()


@implements(classes.BUCKET_UNLINK_INSTANCE)
def unlink_instance(ctx: ObjectContext, request: UnlinkInstanceOp) -> None:
    """Takes a version out of the listing; if it was current, the next older one becomes so."""
    refuse_log(request.log_op)
    key = ClsObjKey(name=request.key.name, instance="" if request.key.instance == "null" else request.key.instance)
    version = _Version.find(ctx, key)
    if version is None:
        return
    stored = _read_olh(ctx, key.name)
    olh = stored or OlhEntry()
    if stored is None:
        _convert_plain(ctx, key.name, instance_only=False)
        olh.key, olh.delete_marker, olh.tag = key, False, request.olh_tag
        version.entry.versioned_epoch = 1
    if not _start_modify(olh, request.olh_epoch):
        version.unlist()
        if not version.is_delete_marker:
            _log(olh, _REMOVE, request.op_tag, request.key, False, request.olh_epoch)
            _write_olh(ctx, key.name, olh)
        return
    if olh.key == key:
        _promote(ctx, olh, key.name, version.older(), request.op_tag)
    if version.is_delete_marker:
        version.remove()
    else:
        _log(olh, _REMOVE, request.op_tag, request.key, False)
    version.unlist()
    _write_olh(ctx, key.name, olh)


def _promote(ctx: ObjectContext, olh: OlhEntry, name: str, key: ClsObjKey | None, tag: str) -> None:
    version = None if key is None else _Version.find(ctx, key)
    if key is None:
        olh.key, olh.delete_marker, olh.exists, olh.pending_removal = ClsObjKey(name=name), False, False, True
        _log(olh, _UNLINK, tag, olh.key, False)
        return
    if version is None:
        raise NotFound("the next version has no entry")
    version.write(version.entry.versioned_epoch, True)  # it keeps its place in time
    olh.key, olh.delete_marker = key, version.is_delete_marker
    _log(olh, _LINK, tag, key, version.is_delete_marker)


def _checked(ctx: ObjectContext, key: ClsObjKey, tag: str) -> OlhEntry:
    if key.instance:
        raise InvalidArgument("the OLH has no instance")
    olh = _read_olh(ctx, key.name) or OlhEntry()
    if olh.tag != tag:
        raise Cancelled("another head object with that name")
    return olh


@implements(classes.BUCKET_READ_OLH_LOG)
def read_olh_log(ctx: ObjectContext, request: ReadOlhLogOp) -> ReadOlhLogRet:
    log = _checked(ctx, request.olh, request.olh_tag).pending_log
    epochs = [epoch for epoch in sorted(log) if epoch > request.ver_marker]
    return ReadOlhLogRet(log={epoch: log[epoch] for epoch in epochs[:_LOG_PAGE]}, truncated=len(epochs) > _LOG_PAGE)


@implements(classes.BUCKET_TRIM_OLH_LOG)
def trim_olh_log(ctx: ObjectContext, request: TrimOlhLogOp) -> None:
    olh = _checked(ctx, request.olh, request.olh_tag)
    olh.pending_log = {epoch: entries for epoch, entries in olh.pending_log.items() if epoch > request.ver}
    _write_olh(ctx, request.olh.name, olh)


@implements(classes.BUCKET_CLEAR_OLH)
def clear_olh(ctx: ObjectContext, request: ClearOlhOp) -> None:
    _checked(ctx, request.key, request.olh_tag)
    ctx.omap_rm(keys.olh_key(request.key.name))
    plain = read_entry(ctx, keys.raw(request.key.name))
    if plain is not None and plain.flags & FLAG_VER_MARKER:
        ctx.omap_rm(keys.raw(request.key.name))
