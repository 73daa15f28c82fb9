"""The container remotes for tests, each started once in a test run and healed in between."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from harness.containers import engine
from harness.remotes.container import ContainerRemote
from harness.remotes.registry import named
from producer.publish import Access, Publisher, connect, parse

_STARTED = pytest.StashKey[dict[str, ContainerRemote]]()


def healthy(name: str, request: pytest.FixtureRequest) -> ContainerRemote:
    """The remote ``name`` in containers, up and well whatever the test before did to it.

    Its path is the asking test's own, so that it finds nothing of another test there.
    """
    session = request.session
    started = session.stash.setdefault(_STARTED, {})
    request.getfixturevalue("built")
    if name not in started:
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        container = named(name).container
        assert container is not None
        remote = container(factory.mktemp(name))
        started[name] = remote
        session.addfinalizer(remote.stop)
    remote = started[name]
    # Resume first, because to start a paused remote waits for its answer.
    remote.resume()
    remote.start()
    remote.ready(150)
    remote.path = "/" + re.sub(r"[^a-z0-9]+", "-", request.node.nodeid.lower()).strip("-")
    return remote


def publisher(remote: ContainerRemote) -> Publisher:
    """What the producer publishes with, its folder made."""
    options = remote.producer_options
    access = Access(
        hdfs_user=options[1] if options else None,
        ftp_password=remote.producer_environment.get("PRODUCER_FTP_PASSWORD"),
    )
    made = connect(parse(remote.url), access)
    made.prepare()
    return made


def left_in_engine(project: str) -> list[str]:
    """Containers, networks and volumes that carry a project's label."""
    label = f"label={engine.PROJECT_LABEL}={project}"
    found = []
    for kind, listing in (
        ("container", ("ps", "--all")),
        ("network", ("network", "ls")),
        ("volume", ("volume", "ls")),
    ):
        ids = engine.docker(*listing, "--quiet", "--filter", label).split()
        found += [f"{kind} {one}" for one in ids]
    return found


def cli(*words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``python -m harness containers`` to its end with exactly this environment."""
    return _run("harness", "containers", *words, environment=environment)


def bootstrapped(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``python -m docker.bootstrap`` to its end with exactly this environment."""
    return _run("docker.bootstrap", environment=environment)


def _run(module: str, *words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def is_well(container: str) -> bool:
    """What the health check of a container says when it is run once, as the engine runs it."""
    test = engine.inspect(container)["Config"]["Healthcheck"]["Test"]
    assert test[0] == "CMD", test
    argv = [engine.client(), "exec", container, *test[1:]]
    return subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode == 0


def volumes_of(project: str) -> list[str]:
    """Names of the engine's volumes in a project's containers: anonymous ones carry no label."""
    mounts = [one for each in engine.containers(project) for one in engine.inspect(each)["Mounts"]]
    return [one["Name"] for one in mounts if one["Type"] == "volume"]


def left_of(volumes: list[str]) -> list[str]:
    """Those of some volumes that the engine still has."""
    there = engine.docker("volume", "ls", "--quiet").split()
    return [one for one in volumes if one in there]
