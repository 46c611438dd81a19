import asyncio
import logging

from rgw.frontend.accesslog import AccessLog


async def test_lines_are_written_together(caplog):
    caplog.set_level(logging.INFO, "rgw.access")
    access = AccessLog()
    access.add("id1", "GetObject", "GET", "/b/k%20l", 200, 1.25)
    access.add("id2", "PutObject", "PUT", "/b/k", 403, 0.5)
    assert not caplog.records
    await asyncio.sleep(0.7)
    lines = caplog.records[0].getMessage().split("\n")
    assert [line.split(" ", 1)[1] for line in lines] == ["id1 GetObject GET /b/k%20l 200 1.2ms", "id2 PutObject PUT /b/k 403 0.5ms"]
    for number in range(300):
        access.add(str(number), "GetObject", "GET", "/b/k", 200, 1)
    assert len(caplog.records) == 2
    access.flush()
    assert sum(len(record.getMessage().split("\n")) for record in caplog.records) == 302
