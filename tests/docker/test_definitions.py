"""What the image and compose files promise, read from the files themselves; no engine needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from harness.containers import images
from harness.containers.packages import parse_names
from harness.paths import repository_root

DOCKER = repository_root() / "docker"
COMPOSE_FILES = ("compose.yaml", "example/compose.yaml")
# It is never started: the serving image stands on it.
NOT_STARTED = {"serving-packages"}
OFFICIAL = {"official", "official-gpu"}


def services() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name in COMPOSE_FILES:
        content = yaml.safe_load((DOCKER / name).read_text())
        for service, definition in content["services"].items():
            yield name, service, definition


ALL_SERVICES = [pytest.param(*each, id=f"{each[0]}-{each[1]}") for each in services()]
IMAGES = sorted(images.IMAGES)


@pytest.mark.parametrize(("file", "service", "definition"), ALL_SERVICES)
def test_every_port_is_published_on_the_loopback_address_only(
    file: str, service: str, definition: dict[str, Any]
) -> None:
    for port in definition.get("ports", []):
        assert port.startswith("127.0.0.1:"), f"{file}: {service} publishes {port}"


@pytest.mark.parametrize(("file", "service", "definition"), ALL_SERVICES)
def test_no_service_may_gain_privileges(
    file: str, service: str, definition: dict[str, Any]
) -> None:
    assert definition["cap_drop"] == ["ALL"], f"{file}: {service}"
    assert definition["security_opt"] == ["no-new-privileges:true"], f"{file}: {service}"
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(definition)


@pytest.mark.parametrize(("file", "service", "definition"), ALL_SERVICES)
def test_root_filesystems_are_read_only_but_the_vendors(
    file: str, service: str, definition: dict[str, Any]
) -> None:
    assert definition.get("read_only", False) == (service not in OFFICIAL), f"{file}: {service}"


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_files_are_understood_by_1_29_which_knows_no_top_level_name(name: str) -> None:
    assert "name" not in yaml.safe_load((DOCKER / name).read_text())


@pytest.mark.parametrize("name", IMAGES)
def test_every_image_can_be_given_another_base(name: str) -> None:
    instructions = instructions_of(name)
    assert instructions[0].startswith("ARG BASE_IMAGE=")
    assert instructions[1] == "FROM ${BASE_IMAGE}"


@pytest.mark.parametrize("name", sorted(set(IMAGES) - NOT_STARTED))
def test_every_image_runs_as_nobody_in_particular_and_checks_its_health(name: str) -> None:
    instructions = instructions_of(name)
    users = [line.split()[1] for line in instructions if line.startswith("USER ")]
    assert users == ["10001:10001"]
    assert any(line.startswith("HEALTHCHECK ") for line in instructions)


@pytest.mark.parametrize("name", IMAGES)
def test_every_package_that_apt_installs_is_pinned(name: str) -> None:
    for line in instructions_of(name):
        for words in re.findall(r"--no-install-recommends\s+(.*?)\s+>", line):
            for package in words.split():
                assert re.fullmatch(r"'[a-z0-9.+-]+=[0-9][^']*'", package), package


@pytest.mark.parametrize("name", IMAGES)
def test_no_image_is_given_a_secret(name: str) -> None:
    for line in instructions_of(name):
        if line.split()[0] in ("ENV", "ARG", "LABEL"):
            assert not re.search(r"passw|secret|token|credential", line, re.IGNORECASE), line


@pytest.mark.parametrize("name", IMAGES)
def test_every_build_context_leaves_caches_out(name: str) -> None:
    assert "**/__pycache__" in (DOCKER / name / ".dockerignore").read_text().splitlines()


@pytest.mark.parametrize(
    "selection", [images.SERVING_PACKAGES, images.MONITOR_PACKAGES], ids=lambda s: s.image
)
def test_every_python_package_in_an_image_is_pinned_with_hashes_in_a_lock(selection: Any) -> None:
    names = parse_names((DOCKER / selection.image / "packages.txt").read_text())
    chosen = selection.requirements()
    assert len(names) == len(set(names))
    for name in names:
        blocks = re.findall(rf"^{re.escape(name)}==\S+[^\n]*(?:\n[ \t].*)*", chosen, re.M | re.I)
        assert blocks, name
        assert all("--hash=sha256:" in block for block in blocks), name


def instructions_of(name: str) -> list[str]:
    """A Dockerfile's instructions, a line each, without comments."""
    text = (DOCKER / name / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [line for line in joined.splitlines() if line.strip()]


def test_the_folder_of_every_image_is_known_to_the_harness() -> None:
    folders = {path.parent.name for path in Path(DOCKER).glob("*/Dockerfile")}
    assert folders == set(images.IMAGES)
