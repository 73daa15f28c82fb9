"""Whatever ends a run, and whenever: nothing of it is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from harness.waits import tail, wait_for


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
    ("moment", "signum", "code"),
    [
        ("artefacts of this run", signal.SIGINT, 130),
        ("release 1 published", signal.SIGINT, 130),
        ("server ready", signal.SIGKILL, -signal.SIGKILL),
        ("release 1 served to all", signal.SIGTERM, 130),
    ],
)
def test_nothing_is_left_after(tmp_path: Path, moment: str, signum: int, code: int) -> None:
    mark = f"HARNESS_TEST_MARK={uuid.uuid4()}"
    name, _, value = mark.partition("=")
    log = tmp_path / "output"
    command = [sys.executable, "-m", "harness", "e2e", "--remotes", "http", "--serving", "embedded"]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, name: value, "PYTHONUNBUFFERED": "1"},
            # A shell's background job has it ignored, and so would all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as run,
    ):

        def still_running() -> None:
            assert run.poll() is None, f"ended with {run.poll()} before it:\n{tail(log)}"

        wait_for(lambda: moment in log.read_text(), f"{moment!r}", 90, alive=still_running, log=log)
        assert marked(mark), "the run and its children carry the mark"
        run.send_signal(signum)
        assert run.wait(30) == code, log.read_text()
    wait_for(
        lambda: not marked(mark),
        f"everything to be gone after signal {signum} at {moment!r}",
        15,
        last_seen=lambda: marked(mark),
    )
    assert "Traceback" not in log.read_text()
