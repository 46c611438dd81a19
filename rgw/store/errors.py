"""What a store may answer instead of a result. Layers above never see a raw errno."""


class StoreError(Exception):
    """Any refusal of the store. ``step`` is the index of the failed step of a compound op, where it is known."""

    step: int | None = None


class NotFound(StoreError):
    """The object, pool or omap entry is not there (ENOENT)."""


class Exists(StoreError):
    """An exclusive create met an object (EEXIST)."""


class Cancelled(StoreError):
    """A comparison, version check or guard did not hold; nothing was changed (ECANCELED)."""


class Busy(StoreError):
    """Somebody else holds the lock (EBUSY)."""


class NoSpace(StoreError):
    """The store is full; nothing was changed (ENOSPC, EDQUOT)."""


class NoData(StoreError):
    """The named xattr is not set (ENODATA)."""


class InvalidArgument(StoreError):
    """The class method refused its input (EINVAL)."""


class TimedOut(StoreError):
    """The store did not answer in time; a write may or may not have happened (ETIMEDOUT)."""


class Unavailable(StoreError):
    """The store cannot be reached (ENOTCONN, ESHUTDOWN)."""


class NotSupported(StoreError):
    """The store lacks this class or method (EOPNOTSUPP)."""


class PermissionDenied(StoreError):
    """The store's own credentials do not allow it (EACCES, EPERM)."""


class ClassError(StoreError):
    """A class method returned a code of its own. ``code`` is negative, as the method returned it."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message or f"class method returned {code}")
        self.code = code


BY_ERRNO: dict[int, type[StoreError]] = {
    1: PermissionDenied, 2: NotFound, 13: PermissionDenied, 16: Busy, 17: Exists, 22: InvalidArgument,
    28: NoSpace, 61: NoData, 95: NotSupported, 107: Unavailable, 108: Unavailable, 110: TimedOut,
    122: NoSpace, 125: Cancelled,
}


def from_code(code: int, message: str = "") -> StoreError:
    """The error for a negative return code of a store operation."""
    kind = BY_ERRNO.get(-code)
    return kind(message) if kind else ClassError(code, message)
