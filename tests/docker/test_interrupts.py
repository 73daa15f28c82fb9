"""Whatever ends the harness, and whenever: no container, network or volume of it is left."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from harness.containers import engine, sweep
from harness.remotes.ftp.container import ContainerFtp
from harness.remotes.http.container import ContainerHttp
from harness.support.errors import BadInput, Failed
from harness.support.waits import wait_for
from tests.docker.fleet import left_in_engine

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("built")]

Start = Callable[..., "Harness"]


class Harness:
    """A harness in a process of its own, its artefacts under ``folder``."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.output = folder / "output"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def projects(self) -> list[str]:
        """The Compose projects that it has begun so far, by their settings files."""
        found = []
        for file in self.folder.rglob("compose.env"):
            for line in file.read_text().splitlines():
                if line.startswith("COMPOSE_PROJECT_NAME="):
                    found.append(line.partition("=")[2])
        return found

    @property
    def left(self) -> list[str]:
        """What its projects have in the engine."""
        return [one for project in self.projects for one in left_in_engine(project)]

    def wait_until(self, kind: str) -> None:
        """Until the engine has a ``network`` or a ``container`` of it."""
        wait_for(
            lambda: any(one.startswith(kind) for one in self.left),
            f"the harness to have made a {kind}",
            60,
            every_s=0.01,
            alive=self.check,
            last_seen=self.output.read_text,
        )

    def wait_until_up(self) -> str:
        """Until its remote is up; gives the project's name."""
        wait_for(
            lambda: "up after" in self.output.read_text(),
            "a remote to be up",
            60,
            alive=self.check,
            last_seen=self.output.read_text,
        )
        (project,) = self.projects
        return project

    def check(self) -> None:
        if self.process.poll() is not None:
            raise Failed(f"the harness ended by itself: {self.output.read_text()}")

    def wait_for_nothing_left(self) -> None:
        """Until the engine has nothing of it, and its sweepers are gone."""
        wait_for(
            lambda: not self.left and not self._sweepers(),
            "nothing to be left of the harness",
            90,
            every_s=0.3,
            last_seen=lambda: (self.left, self._sweepers()),
        )

    def _sweepers(self) -> list[str]:
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = file.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if sweep.__file__ in words and any(project in words for project in self.projects):
                found.append(" ".join(words))
        return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts one harness; ends it after the test."""
    started: list[Harness] = []

    def begin(*words: str) -> Harness:
        started.append(Harness(tmp_path, *words))
        return started[0]

    yield begin
    for harness in started:
        harness.process.kill()
        harness.process.wait(10)
        harness.wait_for_nothing_left()


def up(start: Start, tmp_path: Path, *remotes: str) -> Harness:
    folder = ("--folder", str(tmp_path / "run"))
    return start("harness", "containers", "up", *remotes, *folder)


@pytest.mark.parametrize(
    ("signum", "kind"),
    [
        (signal.SIGINT, "network"),
        (signal.SIGTERM, "container"),
        pytest.param(signal.SIGINT, "container", marks=pytest.mark.proof),
        pytest.param(signal.SIGTERM, "network", marks=pytest.mark.proof),
    ],
)
def test_interrupting_while_containers_are_being_made_leaves_nothing(
    signum: signal.Signals, kind: str, start: Start, tmp_path: Path
) -> None:
    harness = up(start, tmp_path, "hdfs", "http")
    harness.wait_until(kind)
    harness.process.send_signal(signum)
    assert harness.process.wait(90) == 128 + signal.SIGINT, harness.output.read_text()
    assert "up after" not in harness.output.read_text(), "the signal came too late to tell anything"
    assert harness.left == []
    assert "Traceback" not in harness.output.read_text()


def test_interrupting_the_main_job_while_its_remote_is_made_leaves_nothing(
    start: Start, tmp_path: Path
) -> None:
    harness = start(
        *("harness", "e2e", "--remotes", "hdfs", "--on", "docker", "--serving", "docker"),
        *("--runs", str(tmp_path / "runs")),
    )
    harness.wait_until("network")
    harness.process.send_signal(signal.SIGTERM)
    assert harness.process.wait(90) == 128 + signal.SIGINT, harness.output.read_text()
    assert "up at webhdfs" not in harness.output.read_text(), "the signal came too late"
    assert harness.left == []


def test_a_harness_killed_while_containers_are_being_made_leaves_nothing(
    start: Start, tmp_path: Path
) -> None:
    harness = up(start, tmp_path, "hdfs")
    harness.wait_until("network")
    harness.process.kill()
    harness.process.wait(10)
    harness.wait_for_nothing_left()


def test_interrupting_twice_leaves_nothing(start: Start, tmp_path: Path) -> None:
    harness = up(start, tmp_path, "hdfs")
    harness.wait_until("container")
    harness.process.send_signal(signal.SIGINT)
    wait_for(
        lambda: harness.process.poll() is not None or (tmp_path / "run/hdfs/logs").exists(),
        "the harness to take its remote down",
        30,
    )
    harness.process.send_signal(signal.SIGINT)
    harness.process.wait(120)
    harness.wait_for_nothing_left()


def test_ctrl_c_leaves_nothing_and_keeps_the_logs(start: Start, tmp_path: Path) -> None:
    harness = up(start, tmp_path, "http")
    project = harness.wait_until_up()
    assert left_in_engine(project)
    harness.process.send_signal(signal.SIGINT)
    assert harness.process.wait(60) == 128 + signal.SIGINT
    assert left_in_engine(project) == []
    assert "GET /.harness-probe" in (tmp_path / "run/http/logs/http.log").read_text()
    assert "Traceback" not in harness.output.read_text()


def test_a_harness_that_was_killed_leaves_nothing_and_keeps_the_logs(
    start: Start, tmp_path: Path
) -> None:
    harness = up(start, tmp_path, "http")
    harness.wait_until_up()
    harness.process.kill()
    harness.process.wait(10)
    harness.wait_for_nothing_left()
    assert "GET /.harness-probe" in (tmp_path / "run/http/logs/http.log").read_text()


def test_a_failure_inside_leaves_nothing(tmp_path: Path) -> None:
    remote = ContainerHttp(tmp_path)

    def fail_inside() -> None:
        with remote:
            assert left_in_engine(remote.project)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert left_in_engine(remote.project) == []


def test_a_paused_and_a_disconnected_remote_are_taken_down_as_well(tmp_path: Path) -> None:
    remote = ContainerFtp(tmp_path)
    with remote:
        remote.disconnect()
        remote.pause()
    assert left_in_engine(remote.project) == []


def test_a_container_that_was_removed_is_reported_and_the_rest_taken_down(
    tmp_path: Path,
) -> None:
    remote = ContainerHttp(tmp_path)
    with remote:
        remote.ready()
        engine.docker("rm", "--force", *engine.containers(remote.project))
        with pytest.raises(Failed, match="container of http is gone"):
            remote.ready(10)
    assert left_in_engine(remote.project) == []


def test_an_engine_that_does_not_answer_is_not_taken_for_an_empty_one() -> None:
    project = f"{engine.PROJECT_PREFIX}none"
    assert sweep.remove("/bin/false", project)
    assert not sweep.remove(engine.client(), project)


def test_a_service_that_dies_at_its_start_is_reported_at_once_with_its_log(
    tmp_path: Path,
) -> None:
    remote = ContainerFtp(tmp_path)
    remote.stack.set("FTP_USER", "")
    with remote, pytest.raises(Failed) as failure:
        remote.ready(600)  # longer than a test may take: it must not wait that out
    assert "the container of ftp ended with exit code 1" in str(failure.value)
    assert "FTP_USER and FTP_PASSWORD must not be empty" in str(failure.value)
    assert left_in_engine(remote.project) == []


def test_a_folder_that_compose_would_misread_is_refused(tmp_path: Path) -> None:
    remote = ContainerHttp(tmp_path / "a:b")
    with pytest.raises(BadInput, match="cannot be shared with a container"):
        remote.start()
