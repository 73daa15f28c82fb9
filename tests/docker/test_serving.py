"""A server in a container: the main job over it, the vendor's image in its place, its faults."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.checker.history import SCHEMA, History
from harness.checker.history import read as read_history
from harness.checker.verdict import judge
from harness.containers import engine
from harness.run.leg import Leg
from harness.run.leg_settings import LegSettings
from harness.serving.container import ContainerServing, serving_binary
from harness.support.errors import BadInput
from harness.support.ports import free_port
from harness.support.process import new_mark
from harness.support.waits import wait_for
from tests.conftest import Releases
from tests.docker.fleet import healthy, left_in_engine
from tests.faults.test_servers import MODEL, expected, first_release, predict

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("built")]


@pytest.fixture
def server(tmp_path: Path, releases: Releases) -> Iterator[ContainerServing]:
    """Release 1 served from a container."""
    first_release(tmp_path, releases)
    image = serving_binary("docker")
    made = ContainerServing(tmp_path, model=MODEL, binary=image, port=free_port())
    with made:
        made.ready()
        yield made
    assert left_in_engine(made.stack.project) == []


def test_a_server_in_a_container_is_healthy_by_a_prediction(server: ContainerServing) -> None:
    (container,) = engine.containers(server.stack.project)
    wait_for(
        lambda: engine.inspect(container)["State"]["Health"]["Status"] == "healthy",
        "the health check to get a prediction",
        60,
        every_s=0.5,
        last_seen=lambda: engine.inspect(container)["State"]["Health"]["Log"][-1:],
    )


def test_a_server_that_is_stopped_ends_in_order_and_is_not_killed(
    server: ContainerServing,
) -> None:
    (container,) = engine.containers(server.stack.project)
    # A long time-out, because the time depends more on the machine than on the server.
    engine.docker("stop", "--time", "100", container, deadline_s=120)
    # 137 would say that it had to be killed.
    assert engine.inspect(container)["State"]["ExitCode"] == 143


def test_a_server_that_waits_for_its_first_release_ends_at_once_when_told_to(
    built: dict[str, str],
) -> None:
    run = ("run", "--detach", "--env", "WAIT_FOR_MODEL=none", built["serving"])
    container = engine.docker(*run)
    try:
        wait_for(
            lambda: "sleep" in engine.docker("top", container),
            "the entrypoint to wait for a model",
            30,
        )
        engine.docker("stop", "--time", "100", container, deadline_s=120)
        assert engine.inspect(container)["State"]["ExitCode"] == 143
    finally:
        engine.docker("rm", "--force", "--volumes", container)


# `make e2e ON=docker SERVING=docker` is the short form.
@pytest.mark.proof
def test_the_main_job_holds_with_remote_and_server_in_containers(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    history = History(tmp_path / "history.jsonl")
    history.record("run", schema=SCHEMA, seed=1, remotes=["http"])
    image = serving_binary("docker")
    serving = ContainerServing(tmp_path / "serving", model=MODEL, binary=image, port=free_port())
    remote = healthy("http", request)
    leg = Leg(
        remote,
        [serving],
        folder=tmp_path,
        history=history,
        settings=LegSettings(releases=3),
        mark=new_mark(),
    )
    with leg:
        leg.publish()
        leg.publish()
    history.record("leg_ended", remote="http")
    history.record("end")
    history.close()
    verdict = judge(list(read_history(history.path)))
    assert verdict.exit_code == 0, verdict
    switched = (tmp_path / "serving/log/serving.INFO").read_text()
    assert switched.count(f"begin reload model[{MODEL}]") >= 2


def test_a_server_without_a_first_model_is_refused_before_a_container_is_made(
    tmp_path: Path,
) -> None:
    image = serving_binary("docker")
    made = ContainerServing(tmp_path, model=MODEL, binary=image, port=free_port())
    with pytest.raises(BadInput, match="the server needs a first model"):
        made.start()
    assert left_in_engine(made.stack.project) == []


# tests/docker/test_official.py has the short form.
@pytest.mark.proof
def test_the_vendors_entrypoint_finds_the_python_with_the_server_in_it(
    tmp_path: Path,
    releases: Releases,
    built: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Any image with a Python that has paddle_serving_server will do, because not every machine can
    # pull the vendor's. The test is of the parts around it: profile, entrypoint, launcher, folders.
    monkeypatch.setenv("OFFICIAL_IMAGE", built["serving"])
    image = serving_binary("official-docker", "cpu")
    assert (image.kind, image.service, image.why) == (
        "official-docker",
        "official",
        "found in the engine",
    )
    shutil.copytree(releases.model(1), tmp_path / MODEL)
    made = ContainerServing(tmp_path, model=MODEL, binary=image, port=free_port())
    with made:
        made.ready()
        release = releases.published[0]
        assert predict(made.port, release) == expected(release)
    assert left_in_engine(made.stack.project) == []
