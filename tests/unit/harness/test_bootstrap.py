"""What ``make setup`` does before there is an environment: run by the machine's own Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness import bootstrap
from harness.engine._inference import package_folder

# Loads every library that Paddle's loading needs, all symbols bound, and counts OpenMP's threads.
LOAD = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
print(library.omp_get_max_threads())
print(open("/proc/self/maps").read())
"""


def environment_with_paddle(folder: Path) -> Path:
    """An environment's folder whose ``paddle/libs`` are links to the installed ones."""
    libraries = folder / "lib/python3.9/site-packages/paddle/libs"
    libraries.mkdir(parents=True)
    for file in (package_folder() / "libs").iterdir():
        if file.name != "libgomp.so.1":
            (libraries / file.name).symlink_to(file)
    return libraries


def fake_python(folder: Path, *, finds_libgomp: bool) -> str:
    """A stand-in for an environment's Python, on a system with or without libgomp."""
    python = folder / "bin" / "python"
    python.parent.mkdir(exist_ok=True)
    python.write_text(f"#!/bin/sh\nexit {0 if finds_libgomp else 1}\n")
    python.chmod(0o755)
    return str(python)


def test_paddle_gets_its_own_openmp_library_under_the_name_of_gnus(tmp_path: Path) -> None:
    libraries = environment_with_paddle(tmp_path)
    bootstrap.provide_libgomp(fake_python(tmp_path, finds_libgomp=False))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(libraries / "libdnnl.so.3")],
        env={"LD_BIND_NOW": "1", "OMP_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    threads, maps = done.stdout.split("\n", 1)
    assert threads == "3"
    assert "libiomp5.so" in maps
    assert "libgomp" not in maps, "the system's libgomp was loaded: the link was not used"


def test_a_system_libgomp_is_preferred(tmp_path: Path) -> None:
    libraries = environment_with_paddle(tmp_path)
    bootstrap.provide_libgomp(fake_python(tmp_path, finds_libgomp=True))
    assert not (libraries / "libgomp.so.1").is_symlink()
    # Installed later: the link of the time before goes away.
    bootstrap.provide_libgomp(fake_python(tmp_path, finds_libgomp=False))
    assert (libraries / "libgomp.so.1").is_symlink()
    bootstrap.provide_libgomp(fake_python(tmp_path, finds_libgomp=True))
    assert not (libraries / "libgomp.so.1").is_symlink()


def test_libgomp_is_named_when_nothing_can_stand_in_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    libraries = environment_with_paddle(tmp_path)
    (libraries / "libiomp5.so").unlink()
    with pytest.raises(SystemExit) as ended:
        bootstrap.provide_libgomp(fake_python(tmp_path, finds_libgomp=False))
    assert ended.value.code == 2
    assert "apt-get install libgomp1" in capsys.readouterr().err
