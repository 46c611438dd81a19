"""Every S3 operation, as data. Those without a handler answer NotImplemented by their name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from rgw.errors import S3Error
from rgw.ops import (
    access,
    acl,
    bucket,
    copy,
    delete,
    lifecycle,
    listing,
    multipart,
    object_attributes,
    object_read,
    object_write,
    post_object,
    service,
    tagging,
    versioning,
)
from rgw.ops.access import READ, READ_ACP, WRITE, WRITE_ACP
from rgw.ops.request import Request, Result

Handler = Callable[[Request], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Op:
    """A row: ``keys`` are query keys and ``header`` a header that must be there; ``body`` whether the request's body is read."""

    name: str
    method: str
    scope: str  # service, bucket or object
    keys: tuple[str, ...] = ()
    header: str = ""
    handler: Handler | None = None
    body: bool = False
    own_sums: bool = False  # x-amz-checksum-* headers are the operation's own, not of the request's body
    permission: int = 0  # what the bucket's ACL must grant; 0: the operation checks for itself
    kind: int = field(init=False)  # what a user must be allowed to do (``op_mask``), by radosgw's division

    def __post_init__(self) -> None:
        if self.method in ("GET", "HEAD"):
            kind = access.TO_READ
        elif self.method == "DELETE" and self.name != "DeleteBucketLifecycle" or self.name == "DeleteObjects":
            kind = access.TO_DELETE
        else:
            kind = access.TO_WRITE
        object.__setattr__(self, "kind", kind)


OPS: list[Op] = [
    Op("ListBuckets", "GET", "service", handler=service.list_buckets),
    Op("GetBucketLocation", "GET", "bucket", ("location",), handler=bucket.location),
    Op("GetBucketVersioning", "GET", "bucket", ("versioning",), handler=versioning.get),
    Op("PutBucketVersioning", "PUT", "bucket", ("versioning",), handler=versioning.put, body=True),
    Op("ListObjectVersions", "GET", "bucket", ("versions",), handler=versioning.list_versions, permission=READ),
    Op("GetBucketAcl", "GET", "bucket", ("acl",), handler=acl.get_bucket, permission=READ_ACP),
    Op("PutBucketAcl", "PUT", "bucket", ("acl",), handler=acl.put_bucket, body=True, permission=WRITE_ACP),
    Op("GetBucketTagging", "GET", "bucket", ("tagging",), handler=tagging.get_bucket, permission=READ_ACP),
    Op("PutBucketTagging", "PUT", "bucket", ("tagging",), handler=tagging.put_bucket, body=True, permission=WRITE_ACP),
    Op("DeleteBucketTagging", "DELETE", "bucket", ("tagging",), handler=tagging.delete_bucket, permission=WRITE_ACP),
    Op("GetBucketLifecycleConfiguration", "GET", "bucket", ("lifecycle",), handler=lifecycle.get, permission=READ_ACP),
    Op("PutBucketLifecycleConfiguration", "PUT", "bucket", ("lifecycle",), handler=lifecycle.put, body=True, permission=WRITE_ACP),
    Op("DeleteBucketLifecycle", "DELETE", "bucket", ("lifecycle",), handler=lifecycle.delete, permission=WRITE_ACP),
    Op("ListMultipartUploads", "GET", "bucket", ("uploads",), handler=multipart.list_uploads, permission=READ),
    Op("ListObjectsV2", "GET", "bucket", ("list-type",), handler=listing.list_v2, permission=READ),
    Op("DeleteObjects", "POST", "bucket", ("delete",), handler=delete.delete_many, body=True, permission=WRITE),
    Op("CreateBucket", "PUT", "bucket", handler=bucket.create, body=True),
    Op("HeadBucket", "HEAD", "bucket", handler=bucket.head, permission=READ),
    Op("DeleteBucket", "DELETE", "bucket", handler=bucket.delete),
    Op("ListObjects", "GET", "bucket", handler=listing.list_v1, permission=READ),
    Op("PostObject", "POST", "bucket", handler=post_object.post, body=True),
    Op("GetObjectAcl", "GET", "object", ("acl",), handler=acl.get_object),
    Op("PutObjectAcl", "PUT", "object", ("acl",), handler=acl.put_object, body=True),
    Op("GetObjectTagging", "GET", "object", ("tagging",), handler=tagging.get_object),
    Op("PutObjectTagging", "PUT", "object", ("tagging",), handler=tagging.put_object, body=True),
    Op("DeleteObjectTagging", "DELETE", "object", ("tagging",), handler=tagging.delete_object),
    Op("CreateMultipartUpload", "POST", "object", ("uploads",), handler=multipart.create, permission=WRITE),
    Op("CompleteMultipartUpload", "POST", "object", ("uploadId",), handler=multipart.complete, body=True, own_sums=True,
       permission=WRITE),
    Op("UploadPartCopy", "PUT", "object", ("partNumber", "uploadId"), "x-amz-copy-source", multipart.copy_part, permission=WRITE),
    Op("UploadPart", "PUT", "object", ("partNumber", "uploadId"), handler=multipart.upload_part, body=True, permission=WRITE),
    Op("ListParts", "GET", "object", ("uploadId",), handler=multipart.list_parts),
    Op("AbortMultipartUpload", "DELETE", "object", ("uploadId",), handler=multipart.abort, permission=WRITE),
    Op("CopyObject", "PUT", "object", header="x-amz-copy-source", handler=copy.copy_object, permission=WRITE),
    Op("PutObject", "PUT", "object", handler=object_write.put, body=True, permission=WRITE),
    Op("GetObjectAttributes", "GET", "object", ("attributes",), handler=object_attributes.get),
    Op("GetObject", "GET", "object", handler=object_read.get),
    Op("HeadObject", "HEAD", "object", handler=object_read.head),
    Op("DeleteObject", "DELETE", "object", handler=delete.delete_one, permission=WRITE),
]


def _unsupported(scope: str, rows: str) -> list[Op]:
    """Rows of ``Name=key[,key]`` for calls that are not served: their method follows from the name."""
    methods = {"Get": "GET", "Lis": "GET", "Put": "PUT", "Del": "DELETE", "Sel": "POST", "Res": "POST", "Upd": "PUT", "Cre": "POST"}
    return [Op(name, methods[name[:3]], scope, tuple(keys.split(","))) for name, _, keys in (row.partition("=") for row in rows.split())]


OPS += _unsupported("bucket", """
    GetBucketPolicy=policy PutBucketPolicy=policy DeleteBucketPolicy=policy
    GetBucketPolicyStatus=policyStatus GetBucketCors=cors PutBucketCors=cors DeleteBucketCors=cors
    GetBucketWebsite=website PutBucketWebsite=website DeleteBucketWebsite=website
    GetBucketEncryption=encryption PutBucketEncryption=encryption DeleteBucketEncryption=encryption
    GetBucketReplication=replication PutBucketReplication=replication DeleteBucketReplication=replication
    GetBucketLogging=logging PutBucketLogging=logging GetBucketNotificationConfiguration=notification
    PutBucketNotificationConfiguration=notification GetBucketRequestPayment=requestPayment PutBucketRequestPayment=requestPayment
    GetBucketAccelerateConfiguration=accelerate PutBucketAccelerateConfiguration=accelerate
    GetPublicAccessBlock=publicAccessBlock PutPublicAccessBlock=publicAccessBlock DeletePublicAccessBlock=publicAccessBlock
    GetBucketOwnershipControls=ownershipControls PutBucketOwnershipControls=ownershipControls
    DeleteBucketOwnershipControls=ownershipControls GetObjectLockConfiguration=object-lock PutObjectLockConfiguration=object-lock
    GetBucketAnalyticsConfiguration=analytics,id PutBucketAnalyticsConfiguration=analytics DeleteBucketAnalyticsConfiguration=analytics
    GetBucketInventoryConfiguration=inventory,id PutBucketInventoryConfiguration=inventory DeleteBucketInventoryConfiguration=inventory
    GetBucketMetricsConfiguration=metrics,id PutBucketMetricsConfiguration=metrics DeleteBucketMetricsConfiguration=metrics
    GetBucketIntelligentTieringConfiguration=intelligent-tiering,id PutBucketIntelligentTieringConfiguration=intelligent-tiering
    DeleteBucketIntelligentTieringConfiguration=intelligent-tiering
    ListBucketAnalyticsConfigurations=analytics ListBucketInventoryConfigurations=inventory ListBucketMetricsConfigurations=metrics
    ListBucketIntelligentTieringConfigurations=intelligent-tiering GetBucketAbac=abac PutBucketAbac=abac
    CreateBucketMetadataTableConfiguration=metadataTable GetBucketMetadataTableConfiguration=metadataTable
    DeleteBucketMetadataTableConfiguration=metadataTable CreateBucketMetadataConfiguration=metadataConfiguration
    GetBucketMetadataConfiguration=metadataConfiguration DeleteBucketMetadataConfiguration=metadataConfiguration
    UpdateBucketMetadataAnnotationTableConfiguration=metadataAnnotationTable
    UpdateBucketMetadataInventoryTableConfiguration=metadataInventoryTable
    UpdateBucketMetadataJournalTableConfiguration=metadataJournalTable""")
OPS.append(Op("CreateSession", "GET", "bucket", ("session",)))
OPS += _unsupported("object", """
    GetObjectRetention=retention
    PutObjectRetention=retention GetObjectLegalHold=legal-hold PutObjectLegalHold=legal-hold
    GetObjectTorrent=torrent RestoreObject=restore SelectObjectContent=select UpdateObjectEncryption=encryption
    ListObjectAnnotations=annotation GetObjectAnnotation=annotation,annotationName PutObjectAnnotation=annotation
    DeleteObjectAnnotation=annotation""")
OPS.append(Op("RenameObject", "PUT", "object", ("renameObject",)))
OPS.append(Op("AppendObject", "PUT", "object", ("append",)))  # radosgw's own
OPS += [Op("CORS preflight", "OPTIONS", scope, header="origin") for scope in ("bucket", "object")]

# the most specific row first: more query keys, then a header
_ROWS: dict[tuple[str, str], list[Op]] = {}
for _op in sorted(OPS, key=lambda op: (-len(op.keys), not op.header)):
    _ROWS.setdefault((_op.method, _op.scope), []).append(_op)
_PLAIN_ROWS = {place: [op for op in rows if not op.keys] for place, rows in _ROWS.items()}
_KEYS = frozenset(key for op in OPS for key in op.keys)
# the keys that name a resource of its own; the others only say more about one
_RESOURCES = {scope: _KEYS.intersection(key for op in OPS if op.scope == scope for key in op.keys) - {"partNumber", "list-type", "id", "annotationName"}
              for scope in ("service", "bucket", "object")}


def find(method: str, scope: str, query: dict[str, str], headers: dict[str, str]) -> Op:
    """The operation that a request names. S3Error MethodNotAllowed if there is none, BadRequest for a preflight that does not say from where."""
    if method == "PUT" and scope == "object" and ("uploadId" in query) != ("partNumber" in query):
        raise S3Error("InvalidArgument", "A part needs both an upload and a number.")  # else it would replace the object
    rows = _PLAIN_ROWS if _KEYS.isdisjoint(query) else _ROWS
    for op in rows.get((method, scope), ()):
        if (not op.header or op.header in headers) and all([key in query for key in op.keys]):
            if rows is not _PLAIN_ROWS and method != "HEAD" and not _RESOURCES[scope].isdisjoint(query.keys() - set(op.keys)):
                break  # DELETE of a bucket's ?acl is not DELETE of the bucket
            return op
    if method == "OPTIONS" and "origin" not in headers:
        raise S3Error("BadRequest", "Insufficient information. Origin request header needed.")
    raise S3Error("MethodNotAllowed")
