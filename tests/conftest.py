"""Fixtures for everyone: an open cluster on each store."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import shutil

import pytest

from rgw.store.embedded import open_store

_CEPH_PROGRAMS = ("ceph-mon", "ceph-mgr", "ceph-osd")
_pool_numbers = itertools.count(1)


def missing_ceph() -> str:
    """Why tests on Ceph cannot run here; empty if they can. RGW_TEST_NO_CEPH=1 leaves them out."""
    if os.environ.get("RGW_TEST_NO_CEPH"):
        return "RGW_TEST_NO_CEPH is set"
    missing = [p for p in _CEPH_PROGRAMS if shutil.which(p) is None]
    return f"NOT TESTED ON CEPH: {', '.join(missing)} not installed (apt-get install ceph-mon ceph-mgr ceph-osd)" if missing else ""


def _import_ceph_fixture() -> None:
    """Takes over the session fixture that starts a Ceph cluster, where Ceph is installed."""
    if not missing_ceph() and importlib.util.find_spec("tests.cephcluster"):
        module = importlib.import_module("tests.cephcluster")
        globals().update(ceph_cluster=module.ceph_cluster, ceph_conf=module.ceph_conf, emptied=module.emptied)


_import_ceph_fixture()

if "ceph_cluster" not in globals():

    @pytest.fixture(scope="session")
    def ceph_cluster():
        """Skips what asks for it, here where Ceph is not."""
        pytest.skip(missing_ceph())

    @pytest.fixture(scope="session")
    def ceph_conf(ceph_cluster):
        """As ``ceph_cluster``."""


@pytest.fixture(params=["embedded", "ceph"])
async def cluster(request, tmp_path):
    """An open cluster of each kind."""
    if request.param == "embedded":
        opened = await open_store(tmp_path / "store")
    else:
        if reason := missing_ceph():
            pytest.skip(reason)
        conf = request.getfixturevalue("ceph_conf")
        from rgw.store.librados import connect

        opened = await connect(str(conf), "client.admin")
    yield opened
    await opened.close()


@pytest.fixture
async def pool(cluster):
    """A pool with nothing in it. On Ceph pools cost seconds, so tests get a namespace of their own in a common one."""
    await cluster.create_pool("contract")
    return await cluster.open_pool("contract", f"test-{next(_pool_numbers)}")
