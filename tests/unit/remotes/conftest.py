"""The three remotes of this machine, each started once for all tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.remotes import REMOTES, local
from harness.remotes.hdfs import LocalHdfs
from harness.remotes.services import LocalRemote


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LocalRemote]]:
    """Remotes by name, started when first asked for and stopped at the end."""
    remotes: dict[str, LocalRemote] = {}

    class Started(dict[str, LocalRemote]):  # type: ignore[misc]
        def __missing__(self, name: str) -> LocalRemote:
            remote = local(name, tmp_path_factory.mktemp(name))
            assert isinstance(remote, LocalRemote)
            remotes[name] = self[name] = remote
            return remote

    yield Started()
    for remote in remotes.values():
        remote.stop()


def _healthy(remote: LocalRemote, request: pytest.FixtureRequest) -> LocalRemote:
    """Up and well whatever the test before did to it, with a path of the test's own."""
    remote.path = "/"
    remote.start()
    remote.resume()
    remote.ready(90)
    remote.path = "/" + "".join(c if c.isalnum() else "-" for c in request.node.name)
    return remote


# One HDFS is enough for a test run: all that use it go to one worker.
@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.xdist_group("local-hdfs") if name == "hdfs" else ())
        for name in REMOTES
    ]
)
def remote(request: Any, started: dict[str, LocalRemote]) -> LocalRemote:
    """Each of the three in turn."""
    return _healthy(started[request.param], request)


@pytest.fixture
def hdfs(request: pytest.FixtureRequest, started: dict[str, LocalRemote]) -> LocalHdfs:
    """The HDFS; a test that takes it belongs to the xdist group ``local-hdfs``."""
    found = _healthy(started["hdfs"], request)
    assert isinstance(found, LocalHdfs)
    return found
