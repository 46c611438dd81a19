"""Every parser under atheris, the same inputs each time. ``make fuzz`` goes on for longer."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from rgw.errors import S3Error
from tests.fuzz.parsers import PARSERS, SEEDS


@pytest.mark.parametrize("name", PARSERS)
def test_seeds(name: str) -> None:
    for seed in SEEDS[name]:
        try:
            PARSERS[name](seed)
        except S3Error:
            continue


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="ATHERIS IS NOT INSTALLED: the parsers were not fuzzed")
def test_fuzz(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.fuzz", "all", "-seed=1", "-runs=20000", "-max_len=2048", f"-artifact_prefix={tmp_path}/"],
                          capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr[-3000:]
