"""The remotes in containers do what the local ones do: the same contract, the same faults."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from harness.containers import engine
from harness.remotes.container import ContainerRemote
from harness.remotes.hdfs.container import ContainerHdfs
from harness.remotes.http.container import ContainerHttp
from harness.remotes.registry import NAMES, REMOTES
from harness.support.errors import BadInput
from harness.support.ports import is_listening
from harness.support.waits import wait_for
from producer.publish import Publisher, publish
from tests.conftest import Releases
from tests.docker.fleet import healthy, left_of, publisher, volumes_of
from tests.local_remotes import WAYS

pytestmark = pytest.mark.docker

MODEL, TARBALL, DONEFILE = "uci_housing_model", "uci_housing.tar.gz", "donefile"
IN_CONTAINERS = [remote.container for remote in REMOTES if remote.container]
PARTS = [(remote.name, service) for remote in IN_CONTAINERS for service in remote.services]


def parts(*short: str) -> list[object]:
    """Return each service of each remote. Only those in ``short`` run without ``proof``."""
    return [
        pytest.param(*part, marks=[] if part[1] in short else [pytest.mark.proof]) for part in PARTS
    ]


def put(remote: ContainerRemote, folder: Path, text: str) -> Publisher:
    """Publishes one small file; gives the publisher, whose ``read`` gets it back."""
    file = folder / "a-file"
    file.write_text(text)
    made = publisher(remote)
    made.put(file, file.name)
    return made


@pytest.mark.parametrize(("name", "kind"), WAYS)
def test_a_release_published_to_a_container_is_installed_by_the_monitor(
    name: str, kind: str, request: pytest.FixtureRequest, releases: Releases, tmp_path: Path
) -> None:
    remote = healthy(name, request)
    made = releases.folder / "releases" / "1"
    publish(publisher(remote), made / TARBALL, made / DONEFILE)
    argv = [sys.executable, "-m", "monitor", *remote.monitor_options(kind), "--once"]
    argv += ["--remote_model_name", TARBALL, "--remote_donefile_name", DONEFILE]
    argv += ["--local_path", str(tmp_path), "--local_model_name", MODEL]
    argv += ["--local_tmp_path", "_tmp", "--unpacked_filename", MODEL]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for file in releases.model(1).iterdir():
        assert (tmp_path / MODEL / file.name).read_bytes() == file.read_bytes(), file.name


# The two daemons of HDFS are killed in test_faults.py: each takes seconds to come back.
@pytest.mark.parametrize(("name", "service"), [part for part in PARTS if part[0] != "hdfs"])
def test_a_killed_service_refuses_and_what_was_published_survives(
    name: str, service: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    remote = healthy(name, request)
    published = put(remote, tmp_path, "before the kill")
    remote.kill(service)
    assert remote.stack.identity(service) is None
    remote.start(service)
    remote.ready(150)
    assert published.read("a-file") == b"before the kill"


@pytest.mark.parametrize(
    ("name", "service"),
    [pytest.param("hdfs", "namenode", marks=pytest.mark.proof), ("http", "http")],
)
def test_a_restarted_service_is_another_process_and_keeps_what_was_published(
    name: str, service: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    remote = healthy(name, request)
    published = put(remote, tmp_path, "before the restart")
    identity = remote.stack.identity(service)
    remote.restart(service)
    remote.ready(150)
    assert remote.stack.identity(service) not in (identity, None)
    assert published.read("a-file") == b"before the restart"


def test_a_remote_that_a_test_left_paused_is_well_for_the_next(
    request: pytest.FixtureRequest,
) -> None:
    healthy("hdfs", request).pause("namenode")
    healthy("hdfs", request)


def test_a_remote_is_ready_whatever_the_umask(request: pytest.FixtureRequest) -> None:
    # Another user, the web server, must read what the harness writes.
    before = os.umask(0o077)
    try:
        healthy("http", request)
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", NAMES)
def test_a_stopped_remote_is_gone_from_the_engine_and_keeps_what_was_published(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    remote = healthy(name, request)
    published = put(remote, tmp_path, "before the stop")
    volumes = volumes_of(remote.project)
    remote.stop()
    assert engine.containers(remote.project) == []
    assert left_of(volumes) == []
    remote.start()
    remote.ready(150)
    assert published.read("a-file") == b"before the stop"


# test_faults.py pauses and disconnects services during a pull as well.
@pytest.mark.parametrize(("name", "service"), parts("namenode", "ftp"))
def test_a_paused_service_keeps_its_port_and_answers_when_resumed(
    name: str, service: str, request: pytest.FixtureRequest
) -> None:
    remote = healthy(name, request)
    identity = remote.stack.identity(service)
    port = published_port(remote, service)
    remote.pause(service)
    assert is_listening(port)
    with pytest.raises(requests.exceptions.RequestException):
        # An FTP server would answer with its greeting before it reads the request.
        requests.get(f"http://127.0.0.1:{port}/", timeout=0.7)
    remote.resume(service)
    remote.ready(150)
    assert remote.stack.identity(service) == identity


@pytest.mark.parametrize(("name", "service"), parts("datanode", "http"))
def test_a_disconnected_service_refuses_connections_and_lives_on(
    name: str, service: str, request: pytest.FixtureRequest
) -> None:
    remote = healthy(name, request)
    identity = remote.stack.identity(service)
    port = published_port(remote, service)
    remote.disconnect(service)
    assert not is_listening(port)
    assert remote.stack.identity(service) == identity
    remote.resume(service)
    remote.ready(150)
    assert remote.stack.identity(service) == identity


def published_port(remote: ContainerRemote, service: str) -> int:
    """The lowest port of 127.0.0.1 that leads to the service."""
    (container,) = engine.containers(remote.project, service)
    published = engine.inspect(container)["HostConfig"]["PortBindings"]
    return min(int(one["HostPort"]) for bindings in published.values() for one in bindings)


@pytest.mark.parametrize("name", NAMES)
def test_containers_publish_on_loopback_run_as_nobody_and_write_only_data(
    name: str, request: pytest.FixtureRequest
) -> None:
    remote = healthy(name, request)
    for container in engine.containers(remote.project):
        seen = engine.inspect(container)
        for bindings in seen["NetworkSettings"]["Ports"].values():
            assert {one["HostIp"] for one in bindings or []} <= {"127.0.0.1"}
        # A rootless engine's root is the user who runs it.
        assert seen["Config"]["User"].split(":")[0] != "0" or engine.rootless()
        assert seen["HostConfig"]["ReadonlyRootfs"]
        assert seen["HostConfig"]["CapDrop"] == ["ALL"]


@pytest.mark.parametrize("name", NAMES)
def test_the_health_checks_of_all_services_succeed(
    name: str, request: pytest.FixtureRequest
) -> None:
    remote = healthy(name, request)

    def states() -> dict[str, str]:
        return {
            container: engine.inspect(container)["State"]["Health"]["Status"]
            for container in engine.containers(remote.project)
        }

    wait_for(
        lambda: set(states().values()) == {"healthy"},
        f"{name} to be healthy by its own checks",
        60,
        every_s=0.5,
        last_seen=states,
    )


def test_the_web_server_sends_what_a_monitor_tells_releases_apart_by(
    request: pytest.FixtureRequest,
) -> None:
    remote = healthy("http", request)
    assert isinstance(remote, ContainerHttp)
    file = remote.data / "digits"
    file.write_text("0123456789")
    whole = requests.get(f"{remote.host}/digits", timeout=5)
    assert whole.text == "0123456789"
    assert "Last-Modified" in whole.headers
    tag = whole.headers["ETag"]
    part = requests.get(f"{remote.host}/digits", headers={"Range": "bytes=3-5"}, timeout=5)
    assert (part.status_code, part.text) == (206, "345")
    same = requests.get(f"{remote.host}/digits", headers={"If-None-Match": tag}, timeout=5)
    assert same.status_code == 304
    beside = file.with_name("other")
    beside.write_text("9876543210")
    beside.replace(file)
    assert requests.get(f"{remote.host}/digits", timeout=5).text == "9876543210"


def test_a_run_says_exactly_which_images_and_packages_it_had(
    request: pytest.FixtureRequest,
) -> None:
    remote = healthy("hdfs", request)
    assert isinstance(remote, ContainerHdfs)
    for service in remote.services:
        noted = remote.folder / "images" / service
        name, image = (noted / "image.txt").read_text().split()
        assert engine.image_id(name) == image
        assert re.search(
            r"^openjdk-17-jre-headless=17\.\S+$", (noted / "apt.txt").read_text(), re.M
        )
        assert "org.apache.hadoop:hadoop-client-api:" in (noted / "jars.txt").read_text()


def test_logs_of_every_container_are_kept_over_restarts(request: pytest.FixtureRequest) -> None:
    remote = healthy("ftp", request)
    before = remote.logs[-1].read_text()
    assert before.count("starting FTP server") >= 1
    remote.kill()
    remote.start()
    remote.ready(150)
    remote.stop()
    after = remote.logs[-1].read_text()
    assert after.startswith(before)
    assert after.count("starting FTP server") == before.count("starting FTP server") + 1


def test_an_unknown_service_or_monitor_type_is_bad_input(
    request: pytest.FixtureRequest,
) -> None:
    remote = healthy("http", request)
    with pytest.raises(BadInput, match="namenode is no service; use http"):
        remote.kill("namenode")
    with pytest.raises(BadInput, match="no monitor of type 'ftp' reaches http"):
        remote.monitor_options("ftp")
