"""The three remotes of this machine, for tests of one or of each."""

from __future__ import annotations

from typing import Any

import pytest

from harness.remotes.hdfs.local import LocalHdfs
from harness.remotes.registry import NAMES
from harness.remotes.services import LocalRemote
from tests.local_remotes import ONE_WORKER, healthy


@pytest.fixture(
    params=[pytest.param(name, marks=ONE_WORKER if name == "hdfs" else ()) for name in NAMES]
)
def remote(request: Any) -> LocalRemote:
    """Each of them in turn."""
    return healthy(request.param, request)


@pytest.fixture
def hdfs(request: pytest.FixtureRequest) -> LocalHdfs:
    """The HDFS; a test that takes it carries the mark ``ONE_WORKER``."""
    found = healthy("hdfs", request)
    assert isinstance(found, LocalHdfs)
    return found
