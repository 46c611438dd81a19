"""Rate limits: requests and bytes in a minute, of users and of buckets."""

import pytest

from rgw.core.ratelimit import RateLimits
from rgw.errors import S3Error
from rgw.formats.ratelimit import RateLimitInfo


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def wait_of(limits, user, bucket, method) -> int:
    """Seconds that a request is told to wait; 0: it was taken."""
    try:
        await limits.admit(user, bucket, method)
    except S3Error as error:
        assert (error.code, error.status) == ("SlowDown", 503)
        return int(error.headers["Retry-After"])
    return 0


async def test_requests_of_a_user(gateway, user, bucket):
    clock = Clock()
    limits = RateLimits(gateway, clock)
    await limits.set_user(user, RateLimitInfo(max_write_ops=6, max_read_ops=2, enabled=True))
    assert (await limits.of_user(user)).max_write_ops == 6
    assert [await wait_of(limits, user, bucket, "PUT") for _ in range(8)] == [0] * 6 + [10, 10]
    assert [await wait_of(limits, user, bucket, "HEAD") for _ in range(3)] == [0, 0, 30]
    clock.now += 10
    assert [await wait_of(limits, user, bucket, "DELETE") for _ in range(2)] == [0, 10]
    clock.now += 1000
    assert [await wait_of(limits, user, bucket, "PUT") for _ in range(7)] == [0] * 6 + [10]
    assert await wait_of(limits, None, bucket, "PUT") == 0
    await limits.set_user(user, RateLimitInfo(max_write_ops=6))
    assert await wait_of(limits, user, bucket, "PUT") == 0  # not enabled


async def test_bytes_of_a_bucket(gateway, user, bucket):
    clock = Clock()
    limits = RateLimits(gateway, clock)
    await limits.set_bucket(bucket, RateLimitInfo(max_write_bytes=600, max_read_bytes=60, enabled=True))
    assert limits.of_bucket(bucket).max_read_bytes == 60
    limits.settle(await limits.admit(user, bucket, "PUT"), 500)
    limits.settle(await limits.admit(user, bucket, "PUT"), 500)  # a debt of 400
    assert await wait_of(limits, user, bucket, "PUT") == 40
    assert await wait_of(limits, user, bucket, "GET") == 0
    clock.now += 39
    assert await wait_of(limits, user, bucket, "PUT") == 1
    clock.now += 2
    assert await wait_of(limits, user, bucket, "PUT") == 0


async def test_a_limit_that_is_set_later_counts_from_then(gateway, user, bucket):
    """What was used while only the other limit was set is no debt."""
    clock = Clock()
    limits = RateLimits(gateway, clock)
    await limits.set_user(user, RateLimitInfo(max_write_ops=10, max_read_bytes=1 << 40, enabled=True))
    for method in ["PUT"] * 3 + ["GET"] * 50:
        limits.settle(await limits.admit(user, bucket, method), 1 << 30)
    await limits.set_user(user, RateLimitInfo(max_write_ops=10, max_write_bytes=1000, max_read_ops=2, max_read_bytes=1 << 40, enabled=True))
    assert await wait_of(limits, user, bucket, "PUT") == 0
    assert [await wait_of(limits, user, bucket, "GET") for _ in range(3)] == [0, 0, 30]


async def test_other_changes_keep_the_limit(gateway, user, bucket):
    limits = RateLimits(gateway)
    await limits.set_user(user, RateLimitInfo(max_read_ops=5, enabled=True))

    def change(info):
        info.display_name = "changed"
        return info

    await gateway.users.change(user.user_id, change)
    assert (await limits.of_user(user)).max_read_ops == 5


@pytest.mark.parametrize("info", [RateLimitInfo(1, 2, 3, 4, True), RateLimitInfo()])
def test_format(info):
    assert RateLimitInfo.decode(info.encode()) == info
