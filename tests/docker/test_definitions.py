"""What the image and compose files promise, as Compose and the engine read them.

The first part needs neither: it reads the files themselves. The last needs no engine.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from harness.cli import images
from harness.containers import builder, compose, engine, monitor
from harness.containers.packages import parse_names
from harness.serving.container import PACKAGES
from harness.support.paths import repository_root
from tests.docker.compose_only import needs_compose

DOCKER = repository_root() / "docker"
COMPOSE_FILES = ("compose.yaml", "example/compose.yaml")
IMAGES = sorted(images.IMAGES)
# serving-packages is never started: the serving image is built on it.
STARTED = sorted(set(IMAGES) - {"serving-packages"})
PROFILES = ("official", "official-gpu")

# -- the files ------------------------------------------------------------------------------------


def instructions_of(name: str) -> list[str]:
    """A Dockerfile's instructions, a line each, without comments."""
    text = (DOCKER / name / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [line for line in joined.splitlines() if line.strip()]


def test_the_folder_of_every_image_is_known_to_the_harness() -> None:
    folders = {path.parent.name for path in Path(DOCKER).glob("*/Dockerfile")}
    assert folders == set(IMAGES)


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_files_are_understood_by_1_29_which_knows_no_top_level_name(name: str) -> None:
    assert "name" not in yaml.safe_load((DOCKER / name).read_text())


@pytest.mark.parametrize("name", IMAGES)
def test_every_image_can_be_given_another_base(name: str) -> None:
    instructions = instructions_of(name)
    assert instructions[0].startswith("ARG BASE_IMAGE=")
    assert instructions[1] == "FROM ${BASE_IMAGE}"


@pytest.mark.parametrize("name", sorted(set(IMAGES) - {"serving"}))
def test_every_package_of_apt_is_pinned_and_installed_under_the_secret(
    name: str,
) -> None:
    (line,) = [line for line in instructions_of(name) if "apt-install.sh '" in line]
    assert line.startswith(f"RUN {builder.SECRET} ")
    packages = line.partition("apt-install.sh ")[2].split()
    assert packages
    for package in packages:
        assert re.fullmatch(r"'[a-z0-9.+-]+=[0-9][^']*'", package), package
    assert not any("apt-get" in line for line in instructions_of(name))


@pytest.mark.parametrize("name", IMAGES)
def test_every_build_context_leaves_caches_out(name: str) -> None:
    assert "**/__pycache__" in (DOCKER / name / ".dockerignore").read_text().splitlines()


@pytest.mark.parametrize("selection", [PACKAGES, monitor.PACKAGES], ids=lambda s: s.image)
def test_every_python_package_in_an_image_is_pinned_with_hashes_in_a_lock(selection: Any) -> None:
    names = parse_names((DOCKER / selection.image / "packages.txt").read_text())
    chosen = selection.requirements()
    assert len(names) == len(set(names))
    for name in names:
        blocks = re.findall(rf"^{re.escape(name)}==\S+[^\n]*(?:\n[ \t].*)*", chosen, re.M | re.I)
        assert blocks, name
        assert all("--hash=sha256:" in block for block in blocks), name


# -- as the engine reads the images ---------------------------------------------------------------


@pytest.mark.docker
@pytest.mark.parametrize("name", STARTED)
def test_every_image_runs_as_nobody_and_has_a_health_check_that_is_in_it(
    name: str, built: dict[str, str]
) -> None:
    shown = engine.docker("image", "inspect", "--format", "{{json .Config}}", built[name])
    configuration = json.loads(shown)
    assert configuration["User"] == "10001:10001"
    kind, *words = configuration["Healthcheck"]["Test"]
    assert kind == "CMD"
    script = words[-1]
    listed = engine.docker("run", "--rm", "--entrypoint", "ls", built[name], "-l", script)
    assert listed.startswith("-rw" if len(words) > 1 else "-rwxr-xr-x"), listed


@pytest.mark.docker
@pytest.mark.parametrize("name", IMAGES)
def test_every_image_says_exactly_what_it_holds(name: str, built: dict[str, str]) -> None:
    base = ("run", "--rm", "--entrypoint")
    holds = engine.docker(*base, "sh", built[name], "-c", "cat /usr/share/hot-loading/apt.txt")
    versions = dict(line.split("=", 1) for line in holds.splitlines())
    (line,) = [line for line in instructions_of("serving-packages" if name == "serving" else name)
               if "apt-install.sh '" in line]  # fmt: skip
    for pin in re.findall(r"'([^=']+)=([^']*)'", line):
        exact = versions[pin[0]].partition(":")[2] or versions[pin[0]]
        assert exact.startswith(pin[1].rstrip("*")), (pin, versions[pin[0]])
    installed = engine.docker(*base, "dpkg-query", built[name], "-W")
    assert len(installed.splitlines()) == len(versions)


@pytest.mark.docker
def test_the_monitors_image_holds_bytecode_of_all_that_it_imports(built: dict[str, str]) -> None:
    script = """
import pathlib, sys
for folder in sys.argv[1:]:
    for file in pathlib.Path(folder).rglob("*.py"):
        name = f"{file.stem}.{sys.implementation.cache_tag}.pyc"
        if not (file.parent / "__pycache__" / name).exists():
            print(file)
"""
    folders = ("/opt/monitor/monitor", "/usr/local/lib/python3.11/dist-packages")
    run = ("run", "--rm", "--entrypoint", "python3", built["monitor"], "-c", script)
    assert engine.docker(*run, *folders) == ""


# -- as Compose reads its files, wherever there is one --------------------------------------------

#: Every variable with a value that is found again.
VARIABLES = {
    "RUN_FOLDER": "/run-folder",
    "RUN_AS": "1234:5678",
    "NAMENODE_PORT": "20001",
    "NAMENODE_HTTP_PORT": "20002",
    "DATANODE_PORT": "20003",
    "DATANODE_HTTP_PORT": "20004",
    "FTP_PORT": "20005",
    "FTP_PASSIVE_PORTS": "20010-20012",
    "FTP_USER": "somebody",
    "FTP_PASSWORD": "hush",
    "HTTP_PORT": "20006",
    "SERVING_PORT": "20007",
    "SERVING_FOLDER": "/serving-folder",
    "SERVING_MODEL": "a_model",
    "SERVING_THREADS": "7",
    "RELOAD_INTERVAL_S": "3",
    "GPU_IDS": "2",
    "LAUNCHER": "/a/launcher.py",
    "OFFICIAL_ENTRYPOINT": "/an/entrypoint.sh",
    "OFFICIAL_HEALTHCHECK": "/a/healthcheck.py",
    "HDFS_WEB_PORT": "20008",
    "HDFS_IMAGE": "i/hdfs:1",
    "FTP_IMAGE": "i/ftp:1",
    "HTTP_IMAGE": "i/http:1",
    "SERVING_IMAGE": "i/serving:1",
    "MONITOR_IMAGE": "i/monitor:1",
    "OFFICIAL_IMAGE": "i/official:1",
    "OFFICIAL_GPU_IMAGE": "i/official-gpu:1",
}


@functools.cache
def resolved(file: str) -> dict[str, dict[str, Any]]:
    """The services of a compose file as Compose reads it, every variable given."""
    words = [*compose.command(), "--project-name", "definitions", "--file", str(DOCKER / file)]
    if file == "compose.yaml":
        for profile in PROFILES:
            words += ["--profile", profile]
    shown = engine.command([*words, "config"], 60, environment=VARIABLES)
    services: dict[str, dict[str, Any]] = yaml.safe_load(shown)["services"]
    return services


def published(definition: dict[str, Any]) -> set[tuple[str, int, int]]:
    """Address, port outside, port inside; Compose 2 writes each out, 1.29 the short form."""
    found = set()
    for port in definition.get("ports", []):
        words = port
        if isinstance(port, dict):
            words = f"{port.get('host_ip', '')}:{port['published']}:{port['target']}"
        address, outside, inside = words.partition("/")[0].rsplit(":", 2)
        # 1.29 writes a range as one: "20010-20012".
        first, _, last = outside.partition("-")
        for offset in range(int(last or first) - int(first) + 1):
            found.add((address, int(first) + offset, int(inside.partition("-")[0]) + offset))
    return found


def mounted(definition: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Target to source and ``ro`` or ``rw``."""
    found = {}
    for volume in definition.get("volumes", []):
        if isinstance(volume, dict):
            mode = "ro" if volume.get("read_only") else "rw"
            found[volume["target"]] = (volume["source"], mode)
        else:
            source, target, mode = volume.split(":")
            found[target] = (source, mode)
    return found


HERE = "127.0.0.1"
SERVER_COMMAND = [
    *("--model", "a_model", "--thread", "7", "--port", "9292", "--reload_interval_s", "3"),
]
PASSWD = {"/etc/passwd": ("/run-folder/passwd", "ro")}
OFFICIAL_MOUNTS = {
    "/serving": ("/serving-folder", "rw"),
    "/opt/hot-loading/launcher.py": ("/a/launcher.py", "ro"),
    "/opt/hot-loading/entrypoint.sh": ("/an/entrypoint.sh", "ro"),
    "/opt/hot-loading/healthcheck.py": ("/a/healthcheck.py", "ro"),
}
#: Service to its ports outside and inside, its mounts, its command line and its image.
HARNESS: dict[str, tuple[set[tuple[str, int, int]], dict[str, Any], Any, str]] = {
    "namenode": (
        {(HERE, 20001, 9000), (HERE, 20002, 9870)},
        {"/data": ("/run-folder/namenode", "rw"), **PASSWD},
        ["namenode"],
        "i/hdfs:1",
    ),
    "datanode": (
        {(HERE, 20003, 20003), (HERE, 20004, 20004)},
        {"/data": ("/run-folder/datanode", "rw"), **PASSWD},
        ["datanode"],
        "i/hdfs:1",
    ),
    "ftp": (
        {(HERE, 20005, 2121), *((HERE, port, port) for port in (20010, 20011, 20012))},
        {"/data": ("/run-folder/ftp", "rw")},
        None,
        "i/ftp:1",
    ),
    "http": (
        {(HERE, 20006, 8080)},
        {"/data": ("/run-folder/http", "ro")},
        None,
        "i/http:1",
    ),
    "serving": (
        {(HERE, 20007, 9292)},
        {"/serving": ("/serving-folder", "rw"), **PASSWD},
        SERVER_COMMAND,
        "i/serving:1",
    ),
    "official": ({(HERE, 20007, 9292)}, OFFICIAL_MOUNTS, SERVER_COMMAND, "i/official:1"),
    "official-gpu": (
        {(HERE, 20007, 9292)},
        OFFICIAL_MOUNTS,
        [*SERVER_COMMAND, "--gpu_ids", "2"],
        "i/official-gpu:1",
    ),
}
EXAMPLE = ("namenode", "datanode", "producer", "serving", "monitor")
ALL = [
    *(pytest.param("compose.yaml", name, id=f"harness-{name}") for name in HARNESS),
    *(pytest.param("example/compose.yaml", name, id=f"example-{name}") for name in EXAMPLE),
]


@needs_compose
def test_the_compose_files_have_these_services_and_no_others() -> None:
    assert set(resolved("compose.yaml")) == set(HARNESS)
    assert set(resolved("example/compose.yaml")) == set(EXAMPLE)


@needs_compose
@pytest.mark.parametrize("service", HARNESS)
def test_a_service_of_the_harness_has_its_ports_folders_command_and_image(service: str) -> None:
    ports, mounts, command, image = HARNESS[service]
    definition = resolved("compose.yaml")[service]
    assert published(definition) == ports
    assert mounted(definition) == mounts
    assert definition.get("command") == command
    assert definition["image"] == image
    assert definition["user"] == "1234:5678"


@needs_compose
@pytest.mark.parametrize(("file", "service"), ALL)
def test_every_service_is_confined_and_its_log_bounded(file: str, service: str) -> None:
    definition = resolved(file)[service]
    assert {address for address, _, _ in published(definition)} <= {HERE}
    assert definition["cap_drop"] == ["ALL"]
    assert definition["security_opt"] == ["no-new-privileges:true"]
    forbidden = {"privileged", "cap_add", "network_mode", "pid", "ipc"}
    assert {key for key in forbidden & set(definition) if definition[key]} == set()
    assert definition["logging"]["driver"] == "json-file"
    assert definition["logging"]["options"] == {"max-size": "32m", "max-file": "2"}
    # The vendor's images are not ours to say where they write.
    assert definition.get("read_only", False) == (service not in PROFILES)
    if service not in PROFILES:
        assert [mount.partition(":")[0] for mount in definition["tmpfs"]] == ["/tmp"]


@needs_compose
@pytest.mark.parametrize("service", PROFILES)
def test_the_vendors_image_is_given_a_health_check_as_it_has_none(service: str) -> None:
    check = resolved("compose.yaml")[service]["healthcheck"]
    assert check["test"] == ["CMD", "/bin/sh", "/opt/hot-loading/entrypoint.sh", "health"]


@needs_compose
def test_only_the_graphics_profile_reserves_a_gpu() -> None:
    for name, definition in resolved("compose.yaml").items():
        resources = definition.get("deploy", {}).get("resources", {})
        devices = resources.get("reservations", {}).get("devices", [])
        if name != "official-gpu":
            assert devices == [], name
            continue
        (gpu,) = devices
        assert (gpu["driver"], gpu["capabilities"]) == ("nvidia", ["gpu"])
        # Compose 2 writes "all" as -1.
        assert gpu["count"] in ("all", -1)


@needs_compose
def test_the_ftp_password_comes_from_the_environment_alone() -> None:
    for name, definition in resolved("compose.yaml").items():
        text = yaml.safe_dump(definition)
        assert ("hush" in text) == (name == "ftp")
    environment = resolved("compose.yaml")["ftp"]["environment"]
    assert environment["FTP_PASSWORD"] == "hush"


@needs_compose
def test_the_example_publishes_server_and_web_page_and_shares_one_volume() -> None:
    services = resolved("example/compose.yaml")
    found = {name: published(definition) for name, definition in services.items()}
    assert {name: ports for name, ports in found.items() if ports} == {
        "serving": {(HERE, 20007, 9292)},
        "namenode": {(HERE, 20008, 9870)},
    }
    sources = {name: mounted(definition) for name, definition in services.items()}
    # The live directory's parent, for both, so that the monitor can exchange it in one step.
    assert sources["serving"] == sources["monitor"] == {"/serving": ("models", "rw")}
    assert sources["producer"] == {}
    command = services["monitor"]["command"]
    options = dict(zip(command[::2], command[1::2]))
    assert options["--local_path"] == "/serving"
    assert options["--interval"] == "10"
