"""Faults of a disk that one process has for itself, and of one process's clock."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.faults import clock, namespace
from harness.faults.base import Targets
from harness.faults.clock import Clock
from harness.faults.disk import Disk
from harness.faults.namespace import Namespace
from harness.faults.registry import make
from harness.support.errors import BadInput

# Writes 1 MB and gives the error's number, if any.
_WRITE = """
import sys
try:
    with open(sys.argv[1], "wb") as file:
        file.write(bytes(1000000))
except OSError as error:
    sys.exit(error.errno)
"""


def targets(**offered: object) -> Targets:
    return Targets(parts={}, restart=lambda _: None, **offered)  # type: ignore[arg-type]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    why = namespace.why_not()
    if why is not None:
        pytest.skip(why)
    holder = Namespace(tmp_path / "namespace.log")
    try:
        yield Disk(holder, tmp_path / "disk", "size=8m,nr_inodes=50")
    finally:
        holder.close()


def write(disk: Disk, name: str) -> int:
    """A process on the disk writes a file; 0, or the error that it met."""
    argv = [*disk.prefix, sys.executable, "-c", _WRITE, str(disk.folder / name)]
    return subprocess.run(argv, check=False, timeout=30).returncode


@pytest.mark.parametrize(
    ("name", "parameters", "met"),
    [
        ("full-disk", {"left": 4096}, errno.ENOSPC),
        ("no-inodes", {}, errno.ENOSPC),
        ("read-only", {}, errno.EROFS),
        ("read-only", {"folder": "model"}, errno.EROFS),
    ],
)
def test_a_process_meets_the_error_of_its_disk_until_the_fault_ends(
    disk: Disk, name: str, parameters: dict[str, object], met: int
) -> None:
    (disk.seen / "model").mkdir()
    assert write(disk, "model/before") == 0
    fault = make(name, parameters)
    fault.start(targets(disk=disk))
    assert write(disk, "model/during") == met
    fault.stop()
    assert write(disk, "model/after") == 0
    fault.stop()
    assert not (disk.folder / "model").exists(), "the disk is seen outside of its namespace"


def seconds(environment: dict[str, str]) -> int:
    argv = [sys.executable, "-c", "import time; print(int(time.time()))"]
    done = subprocess.run(argv, env=environment, check=True, timeout=30, capture_output=True)
    return int(done.stdout)


@pytest.mark.skipif(clock.why_not() is not None, reason=str(clock.why_not()))
def test_a_clock_step_moves_the_clock_of_one_process_alone(tmp_path: Path) -> None:
    own = Clock(tmp_path)
    fault = make("clock-step", {"seconds": -7200})
    fault.start(targets(clocks={"monitor": own}))
    assert seconds({}) >= time.time() - 60, "another process's clock was moved, too"
    assert -7260 < seconds(own.environment) - time.time() < -7140
    fault.stop()
    assert seconds(own.environment) >= time.time() - 60


@pytest.mark.parametrize("name", ["full-disk", "no-inodes", "read-only", "clock-step"])
def test_what_this_machine_lacks_for_a_fault_is_said_in_one_sentence(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(BadInput, match=r"here.*(util-linux|C compiler)"):
        make(name, {}).require()
