"""Who sends a request and what they may do. Works on data (RequestView), not on an HTTP library's requests."""

from .authenticate import authenticate
from .chunked import ChunkedDecoder
from .identity import Identity, PayloadKind, PayloadPlan
from .request import RequestView

__all__ = ["ChunkedDecoder", "Identity", "PayloadKind", "PayloadPlan", "RequestView", "authenticate"]
