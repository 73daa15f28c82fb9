"""Two runs at once, each a process of its own: neither takes nor breaks what is the other's."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.containers import engine
from harness.support.waits import wait_for
from tests.docker.fleet import left_in_engine

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("built")]

NAMES = ("one", "other")


def settings_in(folder: Path) -> dict[str, str]:
    """All settings of a run's remotes, each by its remote and its variable."""
    return {
        f"{file.parent.name} {key}": value
        for file in folder.rglob("compose.env")
        for key, _, value in (line.partition("=") for line in file.read_text().splitlines())
    }


def of_kind(settings: dict[str, str], end: str) -> set[str]:
    return {value for key, value in settings.items() if key.endswith(end)}


def numbers(settings: dict[str, str]) -> set[int]:
    """Every port of a run; a range is written as its first and last."""
    found: set[int] = set()
    for value in of_kind(settings, "_PORT") | of_kind(settings, "_PORTS"):
        first, _, last = value.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def test_two_runs_at_once_share_no_project_and_no_port_and_end_each_for_itself(
    tmp_path: Path,
) -> None:
    runs = {}
    for name in NAMES:
        folder = tmp_path / name
        folder.mkdir()
        argv = [sys.executable, "-m", "harness", "containers", "up", "ftp", "http"]
        with (folder / "output").open("w") as output:
            runs[name] = subprocess.Popen(
                [*argv, "--folder", str(folder / "run")],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(name: str) -> str:
        return (tmp_path / name / "output").read_text()

    try:
        for name, process in runs.items():
            wait_for(
                lambda name=name, process=process: (  # type: ignore[misc]
                    "up after" in said(name) or process.poll() is not None
                ),
                "a run to be up",
                120,
                last_seen=lambda name=name: said(name),  # type: ignore[misc]
            )
            assert process.poll() is None, said(name)
        one, other = (settings_in(tmp_path / name) for name in NAMES)
        projects = [of_kind(each, "COMPOSE_PROJECT_NAME") for each in (one, other)]
        assert [len(each) for each in projects] == [2, 2]
        assert projects[0].isdisjoint(projects[1])
        assert len(numbers(one)) == len(numbers(other)) == 12
        assert numbers(one).isdisjoint(numbers(other))
        runs["one"].send_signal(signal.SIGTERM)
        assert runs["one"].wait(90) == 128 + signal.SIGINT
        assert [left for each in projects[0] for left in left_in_engine(each)] == []
        for each in projects[1]:
            states = engine.states(each)
            assert [state for _, state in states.values()] == ["running"]
    finally:
        for process in runs.values():
            # The second signal to one that has ended does nothing.
            process.terminate()
        for process in runs.values():
            process.wait(90)


BUILD = """
import sys
from pathlib import Path
from harness.containers import images
name, root = sys.argv[1:]
images.repository_root = lambda: Path(root)
print("ready", flush=True)
sys.stdin.readline()
print(images.ensure(images.Image(name, "bookworm", sources=()), print))
"""


def test_two_runs_at_once_build_an_image_once(tmp_path: Path) -> None:
    name = f"test-twice-{secrets.token_hex(3)}"
    folder = tmp_path / "docker" / name
    folder.mkdir(parents=True)
    # Long enough that the second asks while the first one builds.
    text = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN sleep 2; date +%N > /when\n"
    (folder / "Dockerfile").write_text(text)
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD, name, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in NAMES
    ]
    try:
        for run in runs:
            assert run.stdout is not None
            assert run.stdout.readline() == "ready\n"
        for run in runs:
            assert run.stdin is not None
            run.stdin.write("go\n")
            run.stdin.flush()
        said = [run.communicate(timeout=120)[0].splitlines() for run in runs]
        assert [run.returncode for run in runs] == [0, 0]
        tags = {lines[-1] for lines in said}
        assert len(tags) == 1
        built = [line for lines in said for line in lines if line.startswith("built ")]
        assert len(built) == 1, said
    finally:
        for run in runs:
            run.kill()
            run.wait(10)
        listing = ("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"hot-loading/{name}")
        for image in engine.docker(*listing).split():
            engine.docker("image", "rm", "--force", image)
