"""A server in a container: the main job over it, the vendor's image in its place, its faults."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml  # type: ignore[import-untyped]

from harness import containers
from harness.containers import compose, engine
from harness.containers.server import OFFICIAL, ContainerServing, ServingImage
from harness.errors import BadInput
from harness.history import SCHEMA, History
from harness.history import read as read_history
from harness.leg import Leg, LegSettings
from harness.ports import free_port
from harness.serving.base import Serving
from harness.verdict import judge
from harness.waits import wait_for
from tests.conftest import Releases
from tests.docker.fleet import healthy, left_in_engine

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("built")]

MODEL = "uci_housing_model"


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


def expected(event: dict[str, Any]) -> list[float]:
    manifest = event["manifest"]
    rows = manifest["probe"]["expected"][manifest["fetches"][0]["alias"]]
    return [value for row in rows for value in row]


@pytest.fixture
def server(tmp_path: Path, releases: Releases) -> Iterator[ContainerServing]:
    """Release 1 served from a container."""
    shutil.copytree(releases.model(1), tmp_path / MODEL)
    (tmp_path / MODEL / "fluid_time_file").touch()
    image = containers.serving_binary("docker")
    made = containers.serving(tmp_path, model=MODEL, binary=image, port=free_port())
    with made:
        made.ready()
        yield made
    assert left_in_engine(made.stack.project) == []


def test_a_server_in_a_container_predicts_is_healthy_and_survives_pause_and_kill(
    server: ContainerServing, releases: Releases
) -> None:
    release = releases.published[0]
    assert predict(server.port, release) == pytest.approx(expected(release), rel=1e-5)
    (container,) = engine.containers(server.stack.project)
    wait_for(
        lambda: engine.inspect(container)["State"]["Health"]["Status"] == "healthy",
        "the health check to get a prediction",
        60,
        every_s=0.5,
        last_seen=lambda: engine.inspect(container)["State"]["Health"]["Log"][-1:],
    )
    identity = server.identity()
    assert identity is not None
    server.pause()
    with pytest.raises(requests.exceptions.RequestException):
        requests.get(f"http://127.0.0.1:{server.port}/health", timeout=0.7)
    server.resume()
    server.ready()
    assert server.identity() == identity
    server.kill()
    assert server.identity() is None
    server.start()
    server.ready()
    assert server.identity() not in (None, identity)
    assert predict(server.port, release) == pytest.approx(expected(release), rel=1e-5)
    wait_for(
        lambda: "Begin reload framework..." in server.log_file.read_text(),
        "the server to look at its time file",
        30,
        log=server.log_file,
    )


def test_a_server_that_is_stopped_ends_in_order_and_within_its_grace(
    server: ContainerServing,
) -> None:
    (container,) = engine.containers(server.stack.project)
    server.stack.stop("serving")
    # 137 would say that it had to be killed.
    assert engine.inspect(container)["State"]["ExitCode"] == 143


def test_the_main_job_holds_with_remote_and_server_in_containers(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    history = History(tmp_path / "history.jsonl")
    history.record("run", schema=SCHEMA, seed=1, remotes=["http"])
    image = containers.serving_binary("docker")

    def serving(folder: Path, model: str) -> Serving:
        return containers.serving(folder, model=model, binary=image, port=free_port())

    remote = healthy("http", request)
    leg = Leg(remote, serving, folder=tmp_path, history=history, settings=LegSettings(releases=3))
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
    image = containers.serving_binary("docker")
    made = containers.serving(tmp_path, model=MODEL, binary=image, port=free_port())
    with pytest.raises(BadInput, match="the server needs a first model"):
        made.start()
    assert left_in_engine(made.stack.project) == []


def test_an_official_image_that_cannot_be_pulled_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"127.0.0.1:{free_port()}/serving:none"
    monkeypatch.setenv("OFFICIAL_IMAGE", name)
    with pytest.raises(BadInput) as refusal:
        containers.serving_binary("official-docker", "cpu", lambda _: None)
    assert f"the official image {name} is not here and cannot be pulled (" in str(refusal.value)
    assert "SERVING=docker" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_vendors_entrypoint_finds_the_python_with_the_server_in_it(
    tmp_path: Path,
    releases: Releases,
    built: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Any image with a Python that has paddle_serving_server will do; the vendor's cannot be
    # pulled everywhere. What is tried is all around it: profile, entrypoint, launcher, folders.
    monkeypatch.setenv("OFFICIAL_IMAGE", built["serving"])
    image = containers.serving_binary("official-docker", "cpu")
    assert (image.kind, image.service, image.why) == (
        "official-docker",
        "official",
        "found in the engine",
    )
    shutil.copytree(releases.model(1), tmp_path / MODEL)
    made = containers.serving(tmp_path, model=MODEL, binary=image, port=free_port())
    with made:
        made.ready()
        release = releases.published[0]
        assert predict(made.port, release) == pytest.approx(expected(release), rel=1e-5)
    assert left_in_engine(made.stack.project) == []


def target_and_source(volume: Any) -> tuple[str, str]:
    """Target and source of a volume in either of Compose's forms."""
    if isinstance(volume, dict):
        return volume["target"], volume["source"]
    source, target = volume.split(":")[:2]
    return target, source


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_the_official_service_is_what_the_harness_and_the_vendor_need(
    device: str, tmp_path: Path
) -> None:
    service = "official-gpu" if device == "gpu" else "official"
    name = OFFICIAL[device]
    image = ServingImage("official-docker", Path(name), "0.9.0", "asked for", service)
    made = ContainerServing(tmp_path, binary=image, port=19292, reload_interval_s=1, gpu_ids="1")
    made.stack.write_settings()
    shown = engine.command([*made.stack.compose_words(), "config"], 60)
    definition = yaml.safe_load(shown)["services"][service]
    assert definition["image"] == name
    command = definition["command"]
    assert command[:8] == [
        *("--model", MODEL, "--thread", "10", "--port", "9292", "--reload_interval_s", "1"),
    ]
    assert command[8:] == (["--gpu_ids", "1"] if device == "gpu" else [])
    (port,) = definition["ports"]
    if isinstance(port, dict):  # Compose 2 writes everything out, 1.29 the short form
        port = f"{port['host_ip']}:{port['published']}:{port['target']}/{port['protocol']}"
    assert port == "127.0.0.1:19292:9292/tcp"
    mounts = dict(target_and_source(volume) for volume in definition["volumes"])
    assert mounts["/serving"] == str(tmp_path)
    assert Path(mounts["/opt/hot-loading/launcher.py"]).is_file()
    assert Path(mounts["/opt/hot-loading/entrypoint.sh"]).is_file()
    resources = definition.get("deploy", {}).get("resources", {})
    devices = resources.get("reservations", {}).get("devices", [])
    if device == "gpu":
        (gpu,) = devices
        assert (gpu["driver"], gpu["capabilities"]) == ("nvidia", ["gpu"])
    else:
        assert devices == []


def test_a_container_for_another_choice_or_device_is_refused() -> None:
    with pytest.raises(BadInput, match="SERVING=embedded is not a container"):
        containers.serving_binary("embedded")
    with pytest.raises(BadInput, match="SERVING=docker serves on the CPU only"):
        containers.serving_binary("docker", "gpu")


def test_compose_reads_the_whole_file(tmp_path: Path) -> None:
    words = [*compose.command(), "--file", str(compose.compose_file())]
    for profile in ("official", "official-gpu"):
        words += ["--profile", profile]
    found = engine.command([*words, "config", "--services"], 60).split()
    assert sorted(found) == sorted(
        ["namenode", "datanode", "ftp", "http", "serving", "official", "official-gpu"]
    )
