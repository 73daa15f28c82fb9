"""The contracts of broken remotes and servers, kept by the ones in containers."""

from __future__ import annotations

from collections.abc import Iterator

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
    @pytest.fixture(scope="class")
    def contained(
        self, tmp_path_factory: pytest.TempPathFactory, releases: Releases
    ) -> Iterator[Serving]:
        """Release 1 served from a container."""
        folder = tmp_path_factory.mktemp("contained")
        first_release(folder, releases)
        image = serving_binary("docker")
        made = ContainerServing(folder, model=MODEL, binary=image, port=free_port())
        with made:
            made.ready(READY_S)
            yield made
        assert left_in_engine(made.stack.project) == []

    @pytest.fixture
    def server(self, contained: Serving) -> Serving:
        """The server. It runs, whatever the previous test did to it."""
        # In this order: starting a paused container would wait for its answer.
        contained.resume()
        contained.start()
        contained.ready(READY_S)
        return contained
