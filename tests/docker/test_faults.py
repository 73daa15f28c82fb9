"""The contracts of broken remotes and servers, kept by the ones in containers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.serving.base import Serving
from harness.serving.container import ContainerServing, serving_binary
from harness.support.ports import free_port
from tests.conftest import Releases
from tests.docker.fleet import healthy, left_in_engine
from tests.faults.test_pulls import Healthy, PullFaults
from tests.faults.test_servers import MODEL, READY_S, ServerFaults, first_release

pytestmark = pytest.mark.docker


class TestPullsFromContainers(PullFaults):
    @pytest.fixture
    def bring(self, request: pytest.FixtureRequest) -> Healthy:
        return lambda name: healthy(name, request)


@pytest.mark.usefixtures("built")
class TestServersInContainers(ServerFaults):
    @pytest.fixture
    def server(self, tmp_path: Path, releases: Releases) -> Iterator[Serving]:
        """Release 1 served from a container."""
        first_release(tmp_path, releases)
        image = serving_binary("docker")
        made = ContainerServing(tmp_path, model=MODEL, binary=image, port=free_port())
        with made:
            made.ready(READY_S)
            yield made
        assert left_in_engine(made.stack.project) == []
