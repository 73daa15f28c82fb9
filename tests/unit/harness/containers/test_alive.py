"""What `down` and `clean` leave alone: the containers of a run that is still going."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.containers import alive, cleaning, engine, sweep
from harness.support.errors import BadInput

GOING, LEFT = "hotloading-0123456789", "hotloading-9876543210"


@pytest.fixture
def removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """An engine with two projects of ours in it; gives those that were removed."""
    gone: list[str] = []
    monkeypatch.setattr(alive, "_FOLDER", tmp_path)
    alive._registry.cache_clear()
    monkeypatch.setattr(engine, "require", lambda: None)
    monkeypatch.setattr(engine, "client", lambda: "docker")
    monkeypatch.setattr(cleaning, "left_projects", lambda: [GOING, LEFT])
    monkeypatch.setattr(sweep, "remove", lambda _, name: gone.append(name))
    yield gone
    alive._registry.cache_clear()


@pytest.fixture
def run_of(tmp_path: Path) -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    """Starts a run of the user with that number which holds ``GOING`` until it is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(uid: int) -> subprocess.Popen[str]:
        code = (
            "import os, pathlib, sys; from harness.containers import alive\n"
            f"os.getuid = lambda: {uid}; os.umask(0o077)\n"
            f"alive._FOLDER = pathlib.Path({str(tmp_path)!r}); alive.hold({GOING!r})\n"
            "print('held', flush=True); sys.stdin.read()\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("whose", ["own", "another-users"])
def test_down_spares_a_run_that_is_going_and_not_one_that_was_killed(
    whose: str, removed: list[str], run_of: Callable[[int], subprocess.Popen[str]]
) -> None:
    run = run_of(os.getuid() if whose == "own" else 54321)
    said = cleaning.down(None)
    assert removed == [LEFT]
    assert said == f"removed {LEFT}; {GOING} of a run that is still going stays"
    run.kill()
    run.wait()
    assert cleaning.down(None) == f"removed {GOING}, {LEFT}"


def test_down_removes_what_is_named_whoever_uses_it(
    removed: list[str], run_of: Callable[[int], subprocess.Popen[str]]
) -> None:
    run_of(54321)
    assert cleaning.down([GOING]) == f"removed {GOING}"
    assert removed == [GOING]


def test_clean_is_refused_during_a_run_because_the_run_needs_its_images(
    removed: list[str], run_of: Callable[[int], subprocess.Popen[str]]
) -> None:
    run_of(54321)
    with pytest.raises(BadInput, match=f"still going uses {GOING} and the images; wait"):
        cleaning.clean()
    assert removed == []


def test_a_process_holds_a_project_until_it_lets_go_and_asking_changes_nothing(
    removed: list[str],
) -> None:
    alive.hold(GOING)
    assert (alive.is_held(GOING), alive.is_held(GOING), alive.is_held(LEFT)) == (True, True, False)
    alive.let_go(GOING)
    assert not alive.is_held(GOING)
    alive.let_go(GOING)
    assert not alive.is_held("hotloading-not-of-ours")
    assert cleaning.down(None) == f"removed {GOING}, {LEFT}"
