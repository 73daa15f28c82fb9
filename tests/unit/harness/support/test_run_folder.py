"""Old run folders go, running ones and the newest stay; a full disk is told at the start."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.conformance.options import run_folder as suite_folder
from harness.support import run_folder
from harness.support.errors import BadInput

RUNNING = """
import sys
from pathlib import Path
from harness.support.run_folder import new_run_folder
print(new_run_folder(Path(sys.argv[1]), 1), flush=True)
sys.stdin.read()
"""


def test_the_oldest_runs_go_but_not_one_that_is_going(tmp_path: Path) -> None:
    for day in range(1, 6):
        (tmp_path / f"202601{day:02}T000000Z-1" / "ftp").mkdir(parents=True)
    (tmp_path / "my-notes").mkdir()
    command = [sys.executable, "-c", RUNNING, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        running = Path(process.stdout.readline().strip())
        # As old as can be, and still going.
        old = running.rename(tmp_path / "20250101T000000Z-1")
        (tmp_path / "latest").symlink_to("20260102T000000Z-1")
        gone = run_folder.prune(tmp_path, 2)
        process.communicate()
    assert [path.name for path in gone] == ["20260101T000000Z-1", "20260103T000000Z-1"]
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [
        "20250101T000000Z-1",
        "20260102T000000Z-1",
        "20260104T000000Z-1",
        "20260105T000000Z-1",
        "latest",
        "my-notes",
    ]
    assert run_folder.prune(tmp_path, 2) == [old], "its run has ended"


def test_the_folder_of_a_suite_is_kept_while_it_runs_and_is_not_the_latest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = argparse.Namespace(run=None)
    suite = suite_folder(options, "serving")
    assert suite_folder(options, "serving") != suite
    newer = [run_folder.new_run_folder(tmp_path / "runs", seed) for seed in (1, 2)]
    assert not (tmp_path / "runs" / "latest").exists()
    run_folder.point_latest_at(newer[-1])
    assert run_folder.prune(tmp_path / "runs", 1) == []
    ended = tmp_path / "runs" / "20250101T000000Z-serving"
    ended.mkdir()
    assert run_folder.prune(tmp_path / "runs", 1) == [ended]


@pytest.mark.parametrize("given", ["0", "-1", "few"])
def test_a_wrong_number_of_runs_to_keep_is_one_sentence(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEP_RUNS", given)
    with pytest.raises(BadInput, match=f"KEEP_RUNS={given} is no number of run folders"):
        run_folder.kept()


def test_a_disk_that_is_too_small_for_a_run_is_told_before_anything_is_started(
    tmp_path: Path,
) -> None:
    unshare = ["unshare", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("no user namespaces here")
    script = f'mount -t tmpfs -o size=3m none {tmp_path} && exec "$@"'
    harness = [sys.executable, "-m", "harness", "e2e", "--remotes", "ftp", "--serving", "embedded"]
    done = subprocess.run(
        [*unshare, "sh", "-c", script, "sh", *harness, "--runs", f"{tmp_path}/runs"],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"harness: {tmp_path}/runs has 3 MB free and a run needs 200 MB; make" in done.stderr
    assert "RUNS (--runs)" in done.stderr
