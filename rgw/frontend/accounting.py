"""What is written down of a request that is over: its usage, its bytes against rate limits, and that its bucket has changed."""

from __future__ import annotations

from rgw.core.ratelimit import Charge, RateLimits
from rgw.frontend.categories import category
from rgw.ops.request import Request

_NOT_FOUND = 404
_DATA = ("put_obj", "post_obj")


def account(req: Request, op_name: str, status: int, sent: int, received: int, charge: Charge) -> None:
    """``sent`` and ``received``: bytes of the bodies. Only those of objects are received in the usage log, as with radosgw."""
    gw = req.gw
    if charge:
        RateLimits.settle(charge, sent if req.method in ("GET", "HEAD") else received)
    if req.bucket is not None and req.method in ("PUT", "POST", "DELETE") and status < 300:
        gw.quotas.touched(req.bucket)
    if not gw.usage.enabled:
        return
    if req.bucket is not None:
        owner = req.bucket.owner.text()
        payer = req.identity.user.user_id.text() if req.bucket.info.requester_pays and req.identity.user is not None else ""
    elif req.identity.user is not None and (not req.bucket_name or op_name == "CreateBucket"):
        owner, payer = req.identity.user.user_id.text(), ""
    else:
        return  # nobody's bucket: radosgw leaves these out too
    name = "-" if status == _NOT_FOUND and req.bucket_name else req.bucket_name
    kind = category(op_name)
    gw.usage.count(owner, name, kind, sent, received if kind in _DATA else 0, status < 400, payer)
