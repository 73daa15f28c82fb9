"""Which Docker engines are used, and which are refused: in one sentence, with the remedy."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.cli import environment
from harness.containers import builder, engine
from harness.support.errors import BadInput
from tests.docker.fleet import cli
from tests.unit.harness.containers.standins import HEALTHY, docker, program

INSPECT = "context inspect --format {{.Endpoints.docker.Host}}"
OPTIONS = "info --format {{json .SecurityOptions}}"
GPU = "info --format {{json .}}"


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        (
            {INSPECT: "ssh://somebody@elsewhere.example"},
            "the Docker engine at ssh://somebody@elsewhere.example is another machine",
        ),
        ({OPTIONS: '["name=seccomp","name=userns"]'}, "remaps users (userns-remap)"),
    ],
    ids=["context", "userns-remap"],
)
def test_an_engine_that_shares_no_folders_is_refused_in_one_sentence(
    answers: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    docker(tmp_path, {**HEALTHY, **answers})
    done = cli("up", "http", environment={"PATH": f"{tmp_path}:/bin"})
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert sentence in said
    # It is there and answers: there is nothing to install.
    assert "docker-ready" not in said


def test_the_doctor_says_why_no_container_can_be_run_and_calls_it_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("DOCKER_HOST", "HARNESS_COMPOSE"):
        monkeypatch.delenv(name, raising=False)
    nothing = "ON=local only: there is no docker command on this machine"
    assert environment._docker().startswith(nothing)
    docker(tmp_path, {**HEALTHY, INSPECT: "tcp://elsewhere.example:2375"})
    assert "elsewhere.example:2375 is another machine" in environment._docker()
    docker(tmp_path)
    assert environment._docker() == "engine 26.1.5, Compose 2.26.1 (docker compose)"


@pytest.mark.parametrize(
    ("known", "works"),
    [
        ('{"Runtimes": {"runc": {}}}', False),
        ('{"Runtimes": {"runc": {}}, "DiscoveredDevices": null}', False),
        ('{"Runtimes": {"nvidia": {}, "runc": {}}}', True),
        ('{"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}', True),
    ],
    ids=["bare", "bare-newer", "runtime", "cdi"],
)
def test_a_gpu_is_for_engines_that_can_hand_one_on(
    known: str, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker(tmp_path, {**HEALTHY, GPU: known})
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    if works:
        engine.require_gpu()
        return
    with pytest.raises(BadInput, match="install nvidia-container-toolkit"):
        engine.require_gpu()
    # Docker itself looks for this one in its PATH, and lists no runtime then.
    program(tmp_path, "nvidia-container-runtime-hook", "exit 0")
    engine.require_gpu()


def test_buildx_builds_inside_the_engine_whichever_builder_somebody_selected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"buildx version": "github.com/docker/buildx 0.13.1"}
    docker(tmp_path, {**HEALTHY, "context inspect --format {{.Name}}": "mine", **answers})
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    words = builder.find().words
    assert words[words.index("--builder") + 1] == "mine"


def test_a_command_can_be_run_without_some_of_the_users_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PORT", "tcp://10.0.0.1:80")
    code = "import os; print(os.environ.get('HTTP_PORT'), os.environ.get('FTP_PORT'))"
    words = [sys.executable, "-c", code]
    assert engine.command(words, 20) == "tcp://10.0.0.1:80 None"
    assert engine.command(words, 20, without={"HTTP_PORT"}) == "None None"
    given = {"HTTP_PORT": "8080", "FTP_PORT": "21"}
    assert engine.command(words, 20, environment=given, without=given) == "8080 21"
    assert os.environ["HTTP_PORT"] == "tcp://10.0.0.1:80"
