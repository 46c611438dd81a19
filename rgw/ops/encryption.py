"""Headers that ask for encryption: keys that clients provide (SSE-C) are taken, other ways are refused.

Answers are radosgw's: InvalidArgument where S3 has several codes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from rgw.core.encryption import KEY_SIZE, CustomerKey
from rgw.core.state import ObjectState
from rgw.errors import S3Error
from rgw.ops.request import Request

_PREFIX = "x-amz-server-side-encryption"
_CUSTOMER = f"{_PREFIX}-customer-"
_SOURCE = "x-amz-copy-source-server-side-encryption-customer-"
_MODES = ("AES256", "aws:kms", "aws:kms:dsse")


def _decoded(req: Request, name: str, size: int) -> bytes:
    try:
        value = base64.b64decode(req.headers.get(name, ""), validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != size:
        raise S3Error("InvalidArgument", f"{name} must be the base64 form of {size} bytes.", ArgumentName=name)
    return value


def _key(req: Request, prefix: str) -> CustomerKey | None:
    algorithm = req.headers.get(f"{prefix}algorithm")
    if algorithm is None:
        for name in (f"{prefix}key", f"{prefix}key-md5"):
            if name in req.headers:
                raise S3Error("InvalidArgument", f"{name} needs {prefix}algorithm beside it.", ArgumentName=f"{prefix}algorithm")
        return None
    if algorithm != "AES256":
        raise S3Error("InvalidEncryptionAlgorithmError", "The encryption algorithm must be AES256.", ArgumentName=f"{prefix}algorithm")
    _require_secure(req)
    key, md5 = _decoded(req, f"{prefix}key", KEY_SIZE), _decoded(req, f"{prefix}key-md5", 16)
    if not hmac.compare_digest(hashlib.md5(key, usedforsecurity=False).digest(), md5):
        raise S3Error("InvalidArgument", f"{prefix}key-md5 is not the MD5 of the key.", ArgumentName=f"{prefix}key-md5")
    return CustomerKey(key)


def _require_secure(req: Request) -> None:
    if req.gw.options.rgw_crypt_require_ssl and not req.secure:
        raise S3Error("InvalidRequest", "Encryption with a customer's key needs HTTPS (rgw_crypt_require_ssl).")


def key_to_write(req: Request) -> CustomerKey | None:
    """The key by which what the request writes is to be encrypted, None without one.

    S3Error InvalidArgument, InvalidEncryptionAlgorithmError, InvalidRequest without HTTPS, NotImplemented for other ways of encryption.
    """
    others = [name for name in req.headers if name.startswith(_PREFIX) and not name.startswith(_CUSTOMER)]
    if others:
        mode = req.headers.get(_PREFIX)
        if mode is None:
            raise S3Error("InvalidArgument", f"{others[0]} needs {_PREFIX} beside it.", ArgumentName=others[0])
        if mode not in _MODES:
            raise S3Error("InvalidArgument", f"{_PREFIX} is none of {', '.join(_MODES)}.", ArgumentName=_PREFIX)
        if f"{_CUSTOMER}algorithm" in req.headers or (mode == "AES256" and len(others) > 1):
            raise S3Error("InvalidArgument", f"{_PREFIX}: {mode} does not go with the other headers of encryption.", ArgumentName=_PREFIX)
        raise S3Error("NotImplemented", f"Encryption by {_PREFIX}: {mode} is not implemented.")
    return _key(req, _CUSTOMER)


def unlock(req: Request, state: ObjectState) -> dict[str, str]:
    """Unlocks an object that is to be read by the request's key, if it is encrypted; returns the headers of the reply.

    S3Error as ``key_to_write``; InvalidRequest for headers that only writes may have.
    """
    if _PREFIX in req.headers:
        raise S3Error("InvalidRequest", f"{_PREFIX} is for requests that write.")
    if not state.encrypted:
        return {}
    return _unlock(req, state, _CUSTOMER)


def unlock_source(req: Request, state: ObjectState) -> None:
    """Unlocks the source of a copy, if it is encrypted, by the key of the x-amz-copy-source- headers."""
    if state.encrypted:
        _unlock(req, state, _SOURCE)


def _unlock(req: Request, state: ObjectState, prefix: str) -> dict[str, str]:
    key = _key(req, prefix)
    state.unlock(key)
    return headers(key)


def headers(key: CustomerKey | None) -> dict[str, str]:
    """What a reply tells of the key that was used."""
    if key is None:
        return {}
    return {f"{_CUSTOMER}algorithm": "AES256", f"{_CUSTOMER}key-MD5": base64.b64encode(key.md5).decode()}
