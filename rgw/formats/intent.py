"""What a gateway notes before it writes what only later becomes reachable. Not a structure of radosgw's, which does not see it."""

from __future__ import annotations

from rgw.formats.basics import BucketName
from rgw.formats.encoding import BLOB, STR, U8, U32, U64, Struct, f, list_of, struct


@struct(1, 1)
class Intent(Struct):
    """``kind`` tells what is about to be done (rgw.core.intents), ``claimer`` who undoes it (an instance id; 0: nobody).

    ``head_*``: the RADOS object that decides whether it was done. ``pool``, ``prefixes``, ``number`` (of a part): the names of what is
    written, or of an upload's parts; ``window``: how many of them may be missing below the highest. ``manifest``: an ObjManifest of which
    tails are meant, or, of uploads, a GcObjChain of the others' tails that are referred to.
    """

    kind: int = f(U8)
    claimer: int = f(U64)
    confirmed: int = f(U32)
    bucket: BucketName = f(BucketName)
    key: str = f(STR)
    instance: str = f(STR)
    head_pool: str = f(STR)
    head_oid: str = f(STR)
    head_locator: str = f(STR)
    pool: str = f(STR)
    prefixes: list[str] = f(list_of(STR))
    number: int = f(U32)
    window: int = f(U32)
    upload_id: str = f(STR)
    tag: str = f(STR)
    manifest: bytes = f(BLOB)
