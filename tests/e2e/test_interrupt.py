"""Whatever ends a run, and whenever: nothing of it is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from harness.support.waits import tail, wait_for

ROOT = Path(__file__).resolve().parents[2]
HARNESS = [sys.executable, "-m", "harness", "e2e", "--remotes", "http", "--serving", "embedded"]
# The environment is there already; a run folder belongs below the test's own.
MAKE = ["make", "-f", str(ROOT / "Makefile"), "BOOT=true", f"PY={sys.executable}"]
MAKE += ["e2e", "REMOTES=http", "SERVING=embedded"]
GROUP = [*MAKE, "DEVICE=cpu"]
COMPOSE = [sys.executable, "-m", "harness", "compose", "--seed", "7"]


def marked(mark: str) -> list[str]:
    """Command lines of all living processes whose environment carries ``mark``."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:120])
        except OSError:
            continue  # gone meanwhile, or a zombie without an environment
    return found


@pytest.mark.xdist_group("interrupt")
@pytest.mark.parametrize(
    ("command", "moment", "signum", "code"),
    [
        (HARNESS, "artefacts of this run", signal.SIGINT, 130),
        (HARNESS, "server ready", signal.SIGKILL, -signal.SIGKILL),
        # As a CI runner cancels: one signal to make alone, or two to all processes of its group.
        (MAKE, "server ready", signal.SIGTERM, -signal.SIGTERM),
        (GROUP, "artefacts of this run", signal.SIGTERM, -signal.SIGTERM),
        (COMPOSE, "artefacts of this run", signal.SIGTERM, 130),
        # The same with more parts up.
        pytest.param(
            *(HARNESS, "release 1 published", signal.SIGINT, 130), marks=pytest.mark.proof
        ),
        pytest.param(
            *(MAKE, "release 1 served to all", signal.SIGTERM, -signal.SIGTERM),
            marks=pytest.mark.proof,
        ),
        pytest.param(*(COMPOSE, "server ready", signal.SIGTERM, 130), marks=pytest.mark.proof),
        pytest.param(
            *(COMPOSE, "release 1 served to all", signal.SIGTERM, 130), marks=pytest.mark.proof
        ),
    ],
)
def test_nothing_is_left_after(
    tmp_path: Path, command: list[str], moment: str, signum: int, code: int
) -> None:
    mark = f"HARNESS_TEST_MARK={uuid.uuid4()}"
    name, _, value = mark.partition("=")
    log = tmp_path / "output"
    # Runs that `compose` starts have a log of their own.
    logs = (log, tmp_path / "runs" / "composed.log")

    def said() -> str:
        return "".join(one.read_text() for one in logs if one.exists())

    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, name: value, "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as run,
    ):

        def still_running() -> None:
            assert run.poll() is None, f"ended with {run.poll()} before it:\n{tail(log)}"

        wait_for(lambda: moment in said(), f"{moment!r}", 90, alive=still_running, log=log)
        assert marked(mark), "the run and its children carry the mark"
        if command == GROUP:
            os.killpg(run.pid, signum)
            os.killpg(run.pid, signum)
        else:
            run.send_signal(signum)
        assert run.wait(30) == code, said()
    wait_for(
        lambda: not marked(mark),
        f"everything to be gone after signal {signum} at {moment!r}",
        15,
        last_seen=lambda: marked(mark),
    )
    assert "Traceback" not in said()
    if signum != signal.SIGKILL:
        report = json.loads((tmp_path / "runs" / "latest" / "report.json").read_text())
        assert report["verdict"] == "unknown", "what was seen is judged, and nothing was wrong"
        assert "interrupted" in report["claims"][0]["why"]
