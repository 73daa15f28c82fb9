"""`make e2e` in containers on a machine that lacks something: one sentence, exit code 2."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

import pytest

from harness.containers import engine
from harness.run.backend import Docker
from harness.serving import container
from harness.serving.binary import ServingBinary
from harness.support.errors import BadInput
from tests.unit.harness.conftest import Harness
from tests.unit.harness.containers.standins import HEALTHY, borrowed, docker

#: What the main job over HTTP says, in its one sentence, before it starts anything.
Said = Callable[[str, str], str]
IN_CONTAINERS = [
    pytest.param("docker", "docker", id="all-in-containers"),
    pytest.param("docker", "auto", id="remotes"),
    pytest.param("local", "docker", id="server"),
    pytest.param("docker", "official-docker", id="remotes-and-vendors-server"),
    pytest.param("local", "official-docker", id="vendors-server"),
]


@pytest.fixture
def e2e(here: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Said:
    for name in (
        *("ALLOW_INSTALL", "HARNESS_COMPOSE", "DOCKER_HOST", "DOCKER_CONTEXT"),
        *(name for name in os.environ if name.startswith("BASE_IMAGE")),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OFFICIAL_IMAGE", "vendor.example/serving:0.9.0")

    def run(on: str, serving: str) -> str:
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        words = ["--remotes", "http", "--on", on, "--serving", serving]
        code, _, said = here("e2e", *words, "--runs", str(tmp_path / "runs"))
        assert code == 2, said
        assert not (tmp_path / "runs").exists()
        (sentence,) = said.splitlines()
        return sentence

    return run


@pytest.mark.parametrize(("on", "serving"), IN_CONTAINERS)
def test_a_machine_without_an_engine_is_told_in_one_sentence(
    on: str, serving: str, tmp_path: Path, e2e: Said
) -> None:
    borrowed(tmp_path / "bin", "uname")
    sentence = e2e(on, serving)
    assert "there is no docker command on this machine; `make docker-ready` says" in sentence


@pytest.mark.parametrize(
    ("on", "serving", "base"),
    [
        ("docker", "auto", "debian:bookworm-slim"),
        ("local", "docker", "debian:bullseye-slim"),
        ("docker", "official-docker", "debian:bookworm-slim"),
    ],
)
def test_a_base_image_that_no_registry_gives_is_named_in_one_sentence(
    on: str, serving: str, base: str, tmp_path: Path, e2e: Said
) -> None:
    borrowed(tmp_path / "bin", "uname")
    docker(tmp_path / "bin")
    sentence = e2e(on, serving)
    assert f"the base image {base} is not here and no registry gave it" in sentence


def test_the_vendors_image_with_local_remotes_asks_for_no_base_image(
    tmp_path: Path, e2e: Said
) -> None:
    borrowed(tmp_path / "bin", "uname")
    docker(tmp_path / "bin")
    sentence = e2e("local", "official-docker")
    assert "the official image vendor.example/serving:0.9.0 is not here and cannot be" in sentence
    assert "SERVING=docker" in sentence


def test_a_gpu_that_the_engine_cannot_hand_on_is_refused_before_a_pull(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker(tmp_path, HEALTHY)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    said: list[str] = []
    with pytest.raises(BadInput, match="install nvidia-container-toolkit"):
        Docker().prepare((), "official-docker", "gpu", said.append)
    assert said == []


def test_a_serving_bin_that_an_image_takes_no_notice_of_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = ServingBinary("docker", Path("an-image"), "1", "asked for")
    monkeypatch.setattr(container, "serving_binary", lambda *_: image)
    monkeypatch.setenv("SERVING_BIN", "/bin/true")
    said: list[str] = []
    assert Docker().binary("docker", "cpu", "run", said.append) == image
    assert said == ["SERVING_BIN is not used: SERVING=docker serves what its image holds"]


def test_a_container_for_another_choice_or_device_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "require", lambda: None)
    with pytest.raises(BadInput, match="SERVING=embedded is not a container"):
        container.serving_binary("embedded")
    with pytest.raises(BadInput, match="SERVING=docker serves on the CPU only"):
        container.serving_binary("docker", "gpu")
