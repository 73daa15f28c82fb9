"""A guarded process: nothing of it outlives the harness, whatever ends either of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest

from harness.support.errors import Failed
from harness.support.process import Process, marked
from harness.support.waits import wait_for

# A command that hands a daemon of its own to init, as a careless launcher would.
FORKS = "import subprocess, time; subprocess.Popen(['sleep', '300'], start_new_session=True); "
SLEEPS = FORKS + "print('up', flush=True); time.sleep(300)"


def state(pid: int) -> str:
    """A process's state letter (proc(5)); Z when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def alive(pid: int) -> bool:
    return state(pid) != "Z"


def started(process: Process) -> list[int]:
    process.start()
    wait_for(lambda: "up" in process.log.read_text(), "the command to print", 20)
    pids = process.pids
    assert len(pids) == 2, f"expected the command and its daemon, found {pids}"
    return pids


def command(tmp_path: Path, code: str = SLEEPS) -> Process:
    return Process("the sleeper", [sys.executable, "-c", code], log=tmp_path / "log")


@pytest.mark.parametrize("given", [None, {}], ids=["inherited", "replaced"])
def test_a_line_of_a_python_program_is_in_the_log_at_once(
    given: Optional[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    argv = [sys.executable, "-c", "import time; print('up'); time.sleep(300)"]
    with Process("sleeper", argv, log=tmp_path / "log", env=given) as process:
        wait_for(lambda: "up" in process.log.read_text(), "the line", 20, alive=process.check)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_stop_and_kill_end_the_command_and_the_daemon_it_left(tmp_path: Path, how: str) -> None:
    process = command(tmp_path)
    pids = started(process)
    getattr(process, how)()
    assert [pid for pid in pids if alive(pid)] == []
    assert not process.running
    process.stop()


def test_a_kill_right_after_the_start_ends_the_command(tmp_path: Path) -> None:
    process = command(tmp_path)
    process.start()
    process.kill()
    assert not process.running


def test_a_command_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS
    process = command(tmp_path, stubborn)
    pids = started(process)
    process.stop()
    assert [pid for pid in pids if alive(pid)] == []


def test_a_paused_command_is_stopped_all_the_same(tmp_path: Path) -> None:
    process = command(tmp_path)
    pids = started(process)
    process.pause()
    wait_for(lambda: {state(pid) for pid in pids} == {"T"}, "both to be stopped", 10)
    process.stop()
    assert [pid for pid in pids if alive(pid)] == []


def test_the_daemon_goes_when_its_command_ends_by_itself(tmp_path: Path) -> None:
    process = command(tmp_path, FORKS + "print('up', flush=True)")
    process.start()
    assert process.wait(20) == 0
    assert process.pids == []


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_harness_itself_is_ended(tmp_path: Path, signum: int) -> None:
    code = f"""
import sys, time
from pathlib import Path
from harness.support.process import Process
from harness.support.waits import wait_for
process = Process("inner", [sys.executable, "-c", {SLEEPS!r}], log=Path({str(tmp_path)!r}) / "log")
process.start()
wait_for(lambda: "up" in process.log.read_text(), "the command to print", 20)
print(*process.pids, flush=True)
# In steps: a signal that comes just before a long sleep would be seen only behind it.
for _ in range(3000):
    time.sleep(0.1)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as harness:
        assert harness.stdout is not None
        pids = [int(pid) for pid in harness.stdout.readline().split()]
        assert len(pids) == 2
        os.kill(harness.pid, signum)
    wait_for(
        lambda: not [pid for pid in pids if alive(pid)],
        f"processes {pids} to be gone after the harness",
        10,
        last_seen=lambda: [pid for pid in pids if alive(pid)],
    )


def test_nothing_is_left_when_the_guard_itself_is_killed(tmp_path: Path) -> None:
    process = command(tmp_path)
    pids = started(process)
    os.kill(parent(pids[0]), signal.SIGKILL)
    wait_for(lambda: not process.running, "the guard to be gone", 10)
    assert alive(pids[1]), "the daemon outlives the guard"
    process.stop()
    wait_for(lambda: not alive(pids[1]), "the daemon to be swept up", 10)


def test_what_forks_on_while_it_is_killed_is_killed_too(tmp_path: Path) -> None:
    forks = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
"""
    process = Process("forks", [sys.executable, "-c", forks], log=tmp_path / "log", grace_s=0.3)
    process.start()
    wait_for(lambda: "up" in process.log.read_text(), "the command to print", 20)
    mark = process._mark
    process.stop()
    wait_for(lambda: not marked(mark), "all of it to be gone", 10)


def test_the_command_comes_before_the_orphans_that_were_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphans = "import subprocess, time; subprocess.run(['sh', '-c', 'sleep 300 &']); "
    with command(tmp_path, orphans + "print('up', flush=True); time.sleep(300)") as process:
        wait_for(lambda: "up" in process.log.read_text(), "the command to print", 20)
        (first,) = [pid for pid in process.pids if "python" in command_line(pid)]
        (orphan,) = [pid for pid in process.pids if pid != first]
        assert parent(orphan) == parent(first)
        # As after a wrap of the process ids, where the orphan's is the lower.
        monkeypatch.setattr(os, "listdir", lambda _: [str(orphan), str(first)])
        assert process.pids == [first, orphan]
        monkeypatch.undo()


def test_the_exit_code_is_the_commands(tmp_path: Path) -> None:
    process = command(tmp_path, "raise SystemExit(7)")
    process.start()
    assert process.wait(20) == 7
    with pytest.raises(Failed, match="ended with exit code 7"):
        process.check()


def test_a_command_that_is_not_there_says_so(tmp_path: Path) -> None:
    process = Process("ghost", ["/no/such/program"], log=tmp_path / "log")
    process.start()
    assert process.wait(20) == 127
    assert "cannot start /no/such/program: No such file or directory" in process.log.read_text()


def test_two_starts_are_refused(tmp_path: Path) -> None:
    with command(tmp_path) as process, pytest.raises(Failed, match="already running"):
        process.start()


def test_a_restart_keeps_the_log(tmp_path: Path) -> None:
    process = command(tmp_path, "print('once more')")
    for _ in range(2):
        process.start()
        process.wait(20)
    assert process.log.read_text() == "once more\n" * 2
