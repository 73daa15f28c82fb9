"""What Compose is told of a run: its settings, and nothing of the user's environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from harness.containers import compose, engine
from harness.containers.stack import Stack
from harness.serving.container import OFFICIAL, ContainerServing, ServingImage
from tests.docker.compose_only import needs_compose
from tests.docker.test_definitions import VARIABLES, published

pytestmark = needs_compose


def read(stack: Stack) -> dict[str, Any]:
    """The stack's services as Compose understands them, without an engine."""
    stack.write_settings()
    services: dict[str, Any] = yaml.safe_load(stack.compose("config"))["services"]
    return services


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "rootless", lambda: False)


def test_every_variable_of_the_compose_file_is_known_by_name() -> None:
    assert compose.variables(compose.compose_file()) <= {*VARIABLES, "HDFS_JAVA_OPTIONS"}


def test_what_the_users_environment_holds_by_chance_does_not_reach_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(tmp_path, ("ftp",), {"FTP_PORT": "20005"})
    before = read(stack)
    for name in compose.variables(compose.compose_file()):
        # As Kubernetes sets it for a service called "http".
        monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    monkeypatch.setenv("JAVA_OPTIONS", "-Dhush=hush")
    assert read(stack) == before
    assert before["namenode"]["environment"]["JAVA_OPTIONS"] == "-Xmx256m"
    assert published(before["ftp"]) >= {("127.0.0.1", 20005, 2121)}


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_the_vendors_service_is_given_its_image_port_folder_and_what_is_mounted(
    device: str, tmp_path: Path
) -> None:
    service = "official-gpu" if device == "gpu" else "official"
    image = ServingImage("official-docker", Path(OFFICIAL[device]), "0.9.0", "asked for", service)
    made = ContainerServing(tmp_path, binary=image, port=19292, gpu_ids="1")
    assert made.stack.compose_words()[-2:] == ["--profile", service]
    definition = read(made.stack)[service]
    assert definition["image"] == OFFICIAL[device]
    assert published(definition) == {("127.0.0.1", 19292, 9292)}
    words = " ".join(map(str, definition["command"]))
    assert words.endswith("--gpu_ids 1") == (device == "gpu")
    given = made.stack.variables
    assert given["SERVING_FOLDER"] == str(tmp_path)
    for name in ("LAUNCHER", "OFFICIAL_ENTRYPOINT"):
        assert Path(given[name]).is_file()
