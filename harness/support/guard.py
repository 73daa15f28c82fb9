"""Runs one command so that nothing of it outlives the harness, whatever ends the harness.

    python guard.py LIFELINE_FD GRACE_S COMMAND [ARG ...]

``LIFELINE_FD`` is the reading end of a pipe. Only the harness holds the writing end, so the pipe
ends when the harness exits, is killed or closes it. The guard is the subreaper of every process
that the command starts (prctl(2) PR_SET_CHILD_SUBREAPER). So it also finds daemons that leave the
process group: Paddle Serving's launcher starts its binary through a shell, and both would survive.

On SIGTERM, or when the lifeline ends, every descendant gets SIGTERM and, ``GRACE_S`` seconds
later, SIGKILL. The guard's exit code is the command's (128 + n for signal n).
Standard library only and no import from the project: it starts in 20 ms.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# How long SIGKILL may take; a process in an uninterruptible wait takes longer.
KILL_S = 5.0


def descendants(root: int) -> list[int]:
    """Process ids of all living descendants of ``root``, from /proc (proc(5), stat field 4).

    Children come in the order in which they were started (field 22). So a guard's own command
    comes before the orphans that it adopts later, whose process ids may be lower.
    """
    children: dict[int, list[tuple[int, int]]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append((int(fields[19]), int(name)))
    found: list[int] = []
    todo = [root]
    while todo:
        for _, child in sorted(children.get(todo.pop(), [])):
            found.append(child)
            todo.append(child)
    return found


def _signal_all(signum: int) -> list[int]:
    pids = descendants(os.getpid())
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
    return pids


def main() -> int:
    """Run the command until it ends or the lifeline breaks. Return the exit code."""
    lifeline = int(sys.argv[1])
    grace = float(sys.argv[2])
    command = sys.argv[3:]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    asked, asking = os.pipe()
    os.set_blocking(asking, False)
    # If a signal comes right before select(), its handler runs only after select(). The
    # interpreter writes the signal's number into the pipe at once, which ends select().
    signal.set_wakeup_fd(asking, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # Ctrl-C reaches the whole foreground group; the harness decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def child_setup() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    try:
        # One thread only, so preexec_fn is safe here.
        child = subprocess.Popen(command, preexec_fn=child_setup)  # noqa: PLW1509
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    while True:
        ready, _, _ = select.select([asked, lifeline], [], [])
        if lifeline in ready:
            break
        if signal.SIGTERM in os.read(asked, 4096):
            break
        if child.poll() is not None:
            break
        _reap_adopted(child.pid)
    # The command may be gone while what it started lives on.
    _signal_all(signal.SIGTERM)
    _signal_all(signal.SIGCONT)
    end = time.monotonic() + grace
    while descendants(os.getpid()) and time.monotonic() < end:
        child.poll()
        _reap_adopted(child.pid)
        time.sleep(0.01)
    end = time.monotonic() + KILL_S
    # Look for descendants each time, because one may have forked since the last time.
    while _signal_all(signal.SIGKILL) and time.monotonic() < end:
        child.poll()
        _reap_adopted(child.pid)
        time.sleep(0.01)
    # A JVM's first thread is a zombie before its others have ended: its status comes later.
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(KILL_S)
    code = child.returncode
    _reap_all(KILL_S)
    return code if code is not None and code >= 0 else 128 - (code or 0)


def _reap_all(at_most_s: float) -> None:
    """Reap every dead child, because not every init reaps the orphans that it gets."""
    deadline = time.monotonic() + at_most_s
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)


def _reap_adopted(own_child: int) -> None:
    """Reap the dead orphans of this guard. Popen reads the status of the command itself."""
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == own_child:
            continue
        try:
            with open(f"/proc/{name}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] == "Z" and int(fields[1]) == os.getpid():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(int(name), os.WNOHANG)


if __name__ == "__main__":
    sys.exit(main())
