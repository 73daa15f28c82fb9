"""The adopters' compose file, brought up as they would: by Compose alone, through pytest-docker.

pytest-docker fits here: one plain compose file, up for the module and down after it. It takes a
complete project down. The lifeline removes what a failed set-up or a killed test run leaves.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pytest_docker.plugin import Services, get_docker_services

from harness.containers import compose, engine, sweep
from harness.containers.lifeline import Lifeline
from harness.support.paths import repository_root
from harness.support.ports import free_port
from harness.support.waits import wait_for
from tests.docker.fleet import left_in_engine, left_of, volumes_of

pytestmark = pytest.mark.docker

POLL_S, TICK_S, INTERVAL_S = 1, 1, 4


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    return str(repository_root() / "docker" / "example" / "compose.yaml")


@contextlib.contextmanager
def project(logs: Path) -> Iterator[str]:
    """Yield a project's name; afterwards the engine has nothing of the project in any case."""
    name = f"{engine.PROJECT_PREFIX}example-{secrets.token_hex(3)}"
    line = Lifeline(name, logs)
    try:
        yield name
    finally:
        sweep.remove(engine.client(), name)
        line.let_go(done=not sweep.remove(engine.client(), name))


@pytest.fixture(scope="session")
def docker_compose_project_name(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with project(tmp_path_factory.mktemp("example-logs")) as name:
        yield name


@pytest.fixture(scope="session")
def docker_compose_command(built: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    settings = tmp_path_factory.mktemp("example") / "settings.env"
    values = {
        "HDFS_IMAGE": built["hdfs"],
        "SERVING_IMAGE": built["serving"],
        "MONITOR_IMAGE": built["monitor"],
        "SERVING_PORT": free_port(),
        "HDFS_WEB_PORT": free_port(),
        "POLL": POLL_S,
        "RELOAD_INTERVAL_S": TICK_S,
        "INTERVAL": INTERVAL_S,
        "RESTART": "no",
    }
    settings.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    return shlex.join([*compose.command(), "--env-file", str(settings)])


@pytest.fixture(scope="session")
def docker_setup() -> list[str]:
    return ["up --detach"]


@pytest.fixture(scope="session")
def docker_cleanup() -> list[str]:
    return ["down --volumes --timeout 2"]


@pytest.fixture(scope="module")
def example(docker_services: Services, docker_compose_project_name: str) -> str:
    """The project, once the server answers for the first release."""
    port = docker_services.port_for("serving", 9292)
    url = f"http://127.0.0.1:{port}/health"

    def responsive() -> bool:
        try:
            return requests.get(url, timeout=2).status_code == 200
        except requests.RequestException:
            return False

    docker_services.wait_until_responsive(check=responsive, timeout=120, pause=0.5)
    return docker_compose_project_name


def said(project: str, service: str) -> str:
    (container,) = engine.containers(project, service)
    return engine.command(["docker", "logs", container], 60, both=True)


def test_releases_arrive_in_the_server_without_anybody_doing_anything(example: str) -> None:
    wait_for(
        lambda: said(example, "monitor").count("update local model(uci_housing_model).") >= 3,
        "the sidecar to have installed three releases",
        120,
        every_s=1,
        last_seen=lambda: said(example, "monitor")[-400:],
    )
    (server,) = engine.containers(example, "serving")
    log = ["exec", server, "cat", "/serving/log/serving.INFO"]
    wait_for(
        lambda: engine.docker(*log).count("begin reload model[uci_housing_model]") >= 2,
        "the server to have reloaded twice",
        60,
        every_s=1,
        last_seen=lambda: engine.docker(*log)[-400:],
    )


def test_every_service_of_the_example_is_healthy(example: str) -> None:
    def states() -> dict[str, str]:
        found = {}
        for service in ("namenode", "datanode", "serving", "monitor"):
            (container,) = engine.containers(example, service)
            found[service] = engine.inspect(container)["State"]["Health"]["Status"]
        return found

    wait_for(
        lambda: set(states().values()) == {"healthy"},
        "all services of the example to be healthy by their own checks",
        60,
        every_s=1,
        last_seen=states,
    )


def test_the_sidecar_is_nobody_and_can_write_to_the_models_volume_only(example: str) -> None:
    (monitor,) = engine.containers(example, "monitor")
    seen = engine.inspect(monitor)
    assert seen["Config"]["User"] == "10001:10001"
    assert seen["HostConfig"]["ReadonlyRootfs"]
    assert {mount["Destination"] for mount in seen["Mounts"] if mount["RW"]} == {"/serving"}
    refusal = engine.docker(
        *("exec", monitor, "sh", "-c", "touch /opt/monitor/x 2>&1 || true"), deadline_s=30
    )
    assert "Read-only file system" in refusal


def test_the_sidecar_goes_back_a_release_and_on_with_the_next(example: str) -> None:
    (monitor,) = engine.containers(example, "monitor")
    (producer,) = engine.containers(example, "producer")
    (server,) = engine.containers(example, "serving")
    where = ["--local_path", "/serving", "--local_model_name", "uci_housing_model"]

    def ask(*words: str) -> str:
        program = ("exec", monitor, "/opt/monitor/bin/entrypoint.sh")
        return engine.docker(*program, *words[:1], *where, *words[1:])

    def status() -> dict[str, Any]:
        return dict(json.loads(ask("status", "--json")))

    def reloads() -> int:
        log = engine.docker("exec", server, "cat", "/serving/log/serving.INFO")
        return log.count("begin reload model[uci_housing_model]")

    def three_polls() -> None:
        polls = said(example, "monitor").count("sleep ")
        wait_for(
            lambda: said(example, "monitor").count("sleep ") >= polls + 3,
            "three polls of the sidecar's",
            60,
            every_s=0.5,
        )

    # Nothing is published meanwhile; what was announced last is installed.
    wait_for(lambda: status()["kept"], "the sidecar to keep a release", 120, every_s=1)
    engine.docker("pause", producer)
    try:
        three_polls()
        before, (kept, *_), seen = status()["installed"], status()["kept"], reloads()
        ask("rollback")
        assert status()["installed"] == kept != before
        assert status()["held"] == before
        wait_for(lambda: reloads() > seen, "the server to load the old release", 30, every_s=0.5)
        three_polls()
        assert status()["installed"] == kept, "the announced release came back by itself"
    finally:
        engine.docker("unpause", producer)
    wait_for(
        lambda: status()["installed"] not in (kept, before),
        "the release after that to be installed",
        60,
        every_s=1,
        last_seen=status,
    )


def test_nothing_but_the_server_and_the_web_page_is_published(example: str) -> None:
    published = {}
    for container in engine.containers(example):
        seen = engine.inspect(container)
        service = seen["Config"]["Labels"][engine.SERVICE_LABEL]
        for port, bindings in seen["NetworkSettings"]["Ports"].items():
            for binding in bindings or []:
                published[service, port] = binding["HostIp"]
    assert published == {
        ("serving", "9292/tcp"): "127.0.0.1",
        ("namenode", "9870/tcp"): "127.0.0.1",
    }


def test_a_set_up_that_fails_leaves_nothing(
    docker_compose_command: str, docker_compose_file: str, docker_setup: list[str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, project(tmp_path / "logs") as name:
        # The NameNode's port is another's: containers, network and volumes are made, then it fails.
        settings = tmp_path / "settings.env"
        ports = f"HDFS_WEB_PORT={taken.getsockname()[1]}\n"
        given = Path(shlex.split(docker_compose_command)[-1]).read_text()
        settings.write_text(given + ports)
        command = shlex.join([*shlex.split(docker_compose_command)[:-1], str(settings)])
        with (
            pytest.raises(Exception, match=r"already (allocated|in use)"),
            get_docker_services(command, docker_compose_file, name, docker_setup, []),
        ):
            raise AssertionError("the set-up did not fail")
        assert left_in_engine(name), "nothing was made, so nothing is shown"
        volumes = volumes_of(name)
        assert volumes, "no volume was made, so nothing is shown"
    assert left_in_engine(name) == []
    assert left_of(volumes) == []
