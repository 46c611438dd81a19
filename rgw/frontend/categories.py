"""How radosgw names the operations in its usage log. Source: the names of the operations in rgw_op.h of Ceph Pacific."""

from __future__ import annotations

import re

_CATEGORIES = {
    "ListBuckets": "list_buckets", "CreateBucket": "create_bucket", "HeadBucket": "stat_bucket", "DeleteBucket": "delete_bucket",
    "ListObjects": "list_bucket", "ListObjectsV2": "list_bucket", "ListObjectVersions": "list_bucket",
    "ListMultipartUploads": "list_bucket_multiparts", "DeleteObjects": "multi_object_delete", "PutBucketVersioning": "set_bucket_versioning",
    "GetBucketAcl": "get_acls", "PutBucketAcl": "put_acls", "GetObjectAcl": "get_acls", "PutObjectAcl": "put_acls",
    "GetBucketTagging": "get_bucket_tags", "PutBucketTagging": "put_bucket_tags", "DeleteBucketTagging": "delete_bucket_tags",
    "GetObjectTagging": "get_obj_tags", "PutObjectTagging": "put_obj_tags", "DeleteObjectTagging": "delete_obj_tags",
    "GetBucketLifecycleConfiguration": "get_lifecycle", "PutBucketLifecycleConfiguration": "put_lifecycle",
    "DeleteBucketLifecycle": "delete_lifecycle", "GetBucketCors": "get_cors", "PutBucketCors": "put_cors", "DeleteBucketCors": "delete_cors",
    "PutBucketWebsite": "set_bucket_website", "GetBucketRequestPayment": "get_request_payment", "PutBucketRequestPayment": "set_request_payment",
    "PostObject": "post_obj", "PutObject": "put_obj", "UploadPart": "put_obj", "UploadPartCopy": "put_obj", "CopyObject": "copy_obj",
    "GetObject": "get_obj", "HeadObject": "get_obj", "DeleteObject": "delete_obj", "CreateMultipartUpload": "init_multipart",
    "CompleteMultipartUpload": "complete_multipart", "AbortMultipartUpload": "abort_multipart", "ListParts": "list_multipart",
}


def category(operation: str) -> str:
    """The category of an S3 operation; those without one of their own bear its name in radosgw's spelling."""
    return _CATEGORIES.get(operation) or re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower().replace("object_", "obj_")
