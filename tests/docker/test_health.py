"""Every health check says when its service does not do its work, though its process lives."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.containers import engine
from harness.remotes.http.container import ContainerHttp
from harness.remotes.registry import NAMES
from harness.serving.container import ContainerServing, serving_binary
from harness.support.ports import free_port
from harness.support.waits import wait_for
from tests.conftest import Releases
from tests.docker.fleet import healthy, is_well
from tests.faults.test_servers import MODEL, READY_S, first_release

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("built")]


def wait_until_well(container: str) -> None:
    wait_for(lambda: is_well(container), "the health check to succeed", 60, every_s=0.2)


def test_hdfs_is_unhealthy_in_safe_mode(request: pytest.FixtureRequest) -> None:
    remote = healthy("hdfs", request)
    (namenode,) = engine.containers(remote.project, "namenode")
    (datanode,) = engine.containers(remote.project, "datanode")

    def safe_mode(what: str) -> None:
        admin = "org.apache.hadoop.hdfs.tools.DFSAdmin"
        java = ("java", "-cp", "/opt/hadoop/lib/*", admin, "-fs", "hdfs://namenode:9000")
        engine.docker("exec", namenode, *java, "-safemode", what)

    assert is_well(namenode)
    assert is_well(datanode)
    safe_mode("enter")
    try:
        assert not is_well(namenode)
        assert not is_well(datanode)
    finally:
        safe_mode("leave")
    assert is_well(namenode)
    assert is_well(datanode)


@pytest.mark.parametrize("name", NAMES)
def test_checks_at_the_same_time_do_not_disturb_each_other(
    name: str, request: pytest.FixtureRequest
) -> None:
    # The engine runs its own check every few seconds, also during another check.
    remote = healthy(name, request)
    if isinstance(remote, ContainerHttp):
        # In an empty folder the check compares nothing.
        (remote.data / "release").write_bytes(bytes(1 << 16))
    for container in engine.containers(remote.project):
        with ThreadPoolExecutor(5) as pool:
            well = list(pool.map(is_well, [container] * 5))
        assert all(well), f"{name}: {well.count(False)} of {len(well)} checks failed: {well}"


def test_a_datanode_is_unhealthy_without_its_namenode(request: pytest.FixtureRequest) -> None:
    remote = healthy("hdfs", request)
    (datanode,) = engine.containers(remote.project, "datanode")
    remote.pause("namenode")
    assert not is_well(datanode)


def test_ftp_is_unhealthy_when_nothing_can_be_written(request: pytest.FixtureRequest) -> None:
    remote = healthy("ftp", request)
    (container,) = engine.containers(remote.project)
    assert is_well(container)
    data = remote.stack.folder / "ftp"
    mode = data.stat().st_mode
    data.chmod(0o500)
    try:
        assert not is_well(container)
    finally:
        data.chmod(mode)
    assert is_well(container)


def test_a_web_server_that_cannot_serve_what_lies_in_its_folder_is_unhealthy(
    request: pytest.FixtureRequest,
) -> None:
    remote = healthy("http", request)
    assert isinstance(remote, ContainerHttp)
    (container,) = engine.containers(remote.project)
    for left in remote.data.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    assert is_well(container)
    (remote.data / "release").write_text("what is served")
    (remote.data / "release").chmod(0o644)
    assert is_well(container)
    (remote.data / "release").chmod(0)
    assert not is_well(container)
    (remote.data / "release").unlink()
    assert is_well(container)


def test_what_the_health_check_fetches_is_not_in_the_web_servers_log(
    request: pytest.FixtureRequest,
) -> None:
    remote = healthy("http", request)
    assert isinstance(remote, ContainerHttp)
    (container,) = engine.containers(remote.project)
    (remote.data / "looked-at").write_text("by the health check")
    assert is_well(container)
    # The log has a client's later request, so it would also have the check's.
    remote.ready()
    log = remote.logs[-1].read_text()
    assert "GET /.harness-probe" in log
    assert "looked-at" not in log
    assert "digits" not in log


@pytest.fixture
def server(tmp_path: Path, releases: Releases) -> Iterator[ContainerServing]:
    """Release 1 served from a container."""
    first_release(tmp_path, releases)
    image = serving_binary("docker")
    made = ContainerServing(tmp_path, model=MODEL, binary=image, port=free_port())
    with made:
        made.ready(READY_S)
        yield made


def test_a_server_whose_engine_does_not_answer_is_unhealthy(server: ContainerServing) -> None:
    (container,) = engine.containers(server.stack.project)
    wait_until_well(container)

    def signal_engine(name: str) -> None:
        # The container is not paused as a whole: the check itself has to run in it.
        each = 'grep -qsxz engine "$p/cmdline" && kill -s "$0" "${p#/proc/}"'
        script = f"for p in /proc/[0-9]*; do [ $p = /proc/$$ ] || {{ {each}; }}; done; true"
        engine.docker("exec", container, "sh", "-c", script, name)

    signal_engine("STOP")
    try:
        assert not is_well(container)
    finally:
        signal_engine("CONT")
    wait_until_well(container)


def sidecar(image: str, network: str, host: str) -> str:
    """Start a monitor that polls ``host`` five times a second; a poll gives up after 1 s."""
    return engine.docker(
        *("run", "--detach", "--network", network, image),
        *("--type", "general", "--general_host", host, "--remote_path", "/"),
        *("--remote_model_name", "none.tar.gz", "--remote_donefile_name", "none"),
        *("--local_path", "/serving", "--local_model_name", MODEL),
        *("--interval", "0.2", "--backoff_max", "0.2", "--timeout", "1"),
    )


def test_a_monitor_is_healthy_while_its_polls_reach_the_remote(
    request: pytest.FixtureRequest, built: dict[str, str]
) -> None:
    remote = healthy("http", request)
    monitor = sidecar(built["monitor"], f"{remote.project}_default", "http://http:8080")
    try:
        wait_until_well(monitor)
        remote.pause()
        wait_for(lambda: not is_well(monitor), "the monitor to be unhealthy", 60, every_s=0.2)
        remote.resume()
        wait_until_well(monitor)
    finally:
        engine.docker("rm", "--force", "--volumes", monitor)


def test_a_monitor_that_has_not_reached_its_remote_is_not_healthy(built: dict[str, str]) -> None:
    # No server listens there.
    monitor = sidecar(built["monitor"], "none", "http://127.0.0.1:9")
    try:
        wait_for(
            lambda: "cannot read" in engine.command(["docker", "logs", monitor], 60, both=True),
            "the monitor to have tried",
            60,
            every_s=0.2,
        )
        assert not is_well(monitor)
    finally:
        engine.docker("rm", "--force", "--volumes", monitor)
