"""One contract for every server: broken in each way, and well again afterwards.

``ServerFaults`` is run over local processes here, and in containers by ``tests/docker``.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from harness.serving.base import Serving
from harness.serving.choice import choose
from harness.serving.local import LocalServing
from harness.support.errors import BadInput
from harness.support.ports import free_port, is_listening
from harness.support.waits import wait_for
from tests.conftest import Releases

MODEL = "uci_housing_model"
READY_S = 120.0


def predict(port: int, event: dict[str, Any]) -> list[float]:
    """The server's answer to a release's probe."""
    manifest = event["manifest"]
    (feed,) = manifest["feeds"]
    values = manifest["probe"]["feed"][feed["alias"]]
    tensor = {
        "name": feed["name"],
        "alias_name": feed["alias"],
        "elem_type": 1,
        "shape": [len(values), len(values[0])],
        "float_data": [value for row in values for value in row],
    }
    answer = requests.post(
        f"http://127.0.0.1:{port}/GeneralModelService/inference",
        json={"tensor": [tensor]},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    return list(answer.json()["outputs"][0]["tensor"][0]["float_data"])


def expected(event: dict[str, Any]) -> Any:
    """What a release's manifest promises for its probe, within float32 rounding."""
    manifest = event["manifest"]
    rows = manifest["probe"]["expected"][manifest["fetches"][0]["alias"]]
    return pytest.approx([value for row in rows for value in row], rel=1e-5)


@contextlib.contextmanager
def open_connection(port: int) -> Iterator[socket.socket]:
    """A connection on which the server has answered once, and which it keeps."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as made:
        made.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
        assert made.recv(4096).startswith(b"HTTP/1.1 200")
        yield made


def has_ended(connection: socket.socket, within_s: float) -> bool:
    """Whether the other side ended a connection; false when nothing came in the time."""
    connection.settimeout(within_s)
    try:
        return connection.recv(4096) == b""
    except socket.timeout:
        return False
    except OSError:
        return True


class ServerFaults:
    """The tests. A subclass has the fixture ``server``, which serves release 1."""

    def test_a_killed_server_refuses_and_comes_back_as_another(
        self, server: Serving, releases: Releases
    ) -> None:
        identity = server.identity()
        assert identity is not None
        with open_connection(server.port) as connection:
            server.kill()
            assert has_ended(connection, 10), "a connection outlived the server"
        assert server.identity() is None
        assert not is_listening(server.port)
        server.start()
        server.ready(READY_S)
        assert server.identity() not in (None, identity)
        assert predict(server.port, releases.published[0]) == expected(releases.published[0])

    def test_a_restarted_server_answers_as_another(
        self, server: Serving, releases: Releases
    ) -> None:
        identity = server.identity()
        server.restart()
        server.ready(READY_S)
        assert server.identity() not in (None, identity)
        assert predict(server.port, releases.published[0]) == expected(releases.published[0])

    def test_a_paused_server_keeps_its_port_answers_nothing_and_can_be_resumed(
        self, server: Serving, releases: Releases
    ) -> None:
        identity = server.identity()
        with open_connection(server.port) as connection:
            server.pause()
            assert is_listening(server.port)
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
            connection.settimeout(0.7)
            with pytest.raises(socket.timeout):
                connection.recv(4096)
            server.resume()
            connection.settimeout(30)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        server.ready(READY_S)
        assert server.identity() == identity
        assert predict(server.port, releases.published[0]) == expected(releases.published[0])

    def test_a_disconnected_server_breaks_connections_refuses_new_ones_and_lives_on(
        self, server: Serving, releases: Releases
    ) -> None:
        identity = server.identity()
        with open_connection(server.port) as connection:
            server.disconnect()
            assert has_ended(connection, 10), "a connection survived"
        assert not is_listening(server.port)
        assert server.identity() == identity
        ticks = server.log_file.read_text().count("Begin reload framework...")
        wait_for(
            lambda: server.log_file.read_text().count("Begin reload framework...") > ticks,
            "the server to look at its time file while nobody reaches it",
            30,
            log=server.log_file,
        )
        server.resume()
        server.ready(READY_S)
        assert server.identity() == identity
        assert predict(server.port, releases.published[0]) == expected(releases.published[0])

    def test_a_stopped_server_is_gone_and_stopping_it_again_does_nothing(
        self, server: Serving
    ) -> None:
        server.stop()
        assert server.identity() is None
        assert not is_listening(server.port)
        server.stop()


def first_release(folder: Path, releases: Releases) -> None:
    """Puts release 1 into ``folder`` as the live directory."""
    shutil.copytree(releases.model(1), folder / MODEL)
    (folder / MODEL / "fluid_time_file").touch()


# One server for all tests.
@pytest.mark.xdist_group("gated server")
class TestServersOnThisMachine(ServerFaults):
    @pytest.fixture(scope="class")
    def gated(
        self, tmp_path_factory: pytest.TempPathFactory, releases: Releases
    ) -> Iterator[LocalServing]:
        """A local server behind a gate."""
        folder = tmp_path_factory.mktemp("gated")
        first_release(folder, releases)
        made = LocalServing(
            folder, binary=choose("embedded"), port=free_port(), model=MODEL, gated=True
        )
        with made:
            made.ready(READY_S)
            yield made

    @pytest.fixture
    def server(self, gated: LocalServing) -> Serving:
        """The server. It runs, whatever the previous test did to it."""
        if gated.identity() is None:
            gated.start()
        gated.resume()
        gated.ready(READY_S)
        return gated

    def test_without_a_gate_a_server_cannot_be_disconnected_and_says_so(
        self, tmp_path: Path
    ) -> None:
        made = LocalServing(tmp_path, binary=choose("embedded"), port=free_port())
        with pytest.raises(BadInput, match="started without a gate"):
            made.disconnect()
