"""Measures what polls of an unchanged donefile cost, for each type of remote and for many models.

    python -m bench.polls --kinds ftp,general --seconds 20 --models 1000

Starts each remote as a local process, publishes one release with the producer, and runs
``python -m monitor`` on it with ``--interval 0.1``. The CPU time is that of the monitor and of the
programs that it starts. ``--models`` adds a row: this number of models in one process, each
polled every 10 s over HTTP.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.remotes.base import Remote
from harness.remotes.registry import REMOTES
from harness.support.process import Process
from harness.support.waits import wait_for
from monitor.live.state import read_installed

_MODEL = "uci_housing_model"
_NAMES = [
    "--remote_donefile_name=donefile",
    "--remote_model_name=uci_housing.tar.gz",
    f"--local_model_name={_MODEL}",
    f"--unpacked_filename={_MODEL}",
]


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and of its children that ended."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, stat[11:15])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    fields = Path(f"/proc/{pid}/status").read_text()
    return next(int(s.split()[1]) for s in fields.splitlines() if s.startswith("VmRSS")) / 1024


def threads(pid: int) -> int:
    """Return the number of threads of a process."""
    return len(os.listdir(f"/proc/{pid}/task"))


def row(name: str, log: Path, monitor: Process, seconds: float) -> None:
    """Measure for ``seconds`` and print a row of the table."""
    pid = monitor.pids[0]

    def polls() -> int:
        return log.read_text(errors="replace").count(" sleep ")

    before, cpu, begun = polls(), cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    monitor.check()
    took = time.monotonic() - begun
    used, count = cpu_s(pid) - cpu, polls() - before
    print(
        f"| {name} | {count / took:.1f} | {1000 * used / max(count, 1):.2f} "
        f"| {100 * used / took:.1f} % | {memory_mib(pid):.0f} | {threads(pid)} |",
        flush=True,
    )


def publish(remote: Remote, work: Path) -> None:
    """Publish one release of uci_housing."""
    argv = [sys.executable, "-m", "producer", "--remote", remote.url, "--passes=1"]
    argv += [f"--work={work}", *remote.producer_options]
    environment = {**os.environ, **remote.producer_environment}
    subprocess.run(argv, check=True, env=environment, stdout=subprocess.DEVNULL)


def one_model(remote: Remote, kind: str, base: Path, seconds: float, python: str) -> None:
    """Print the row of one model on a remote that has a release."""
    local = base / kind
    local.mkdir()
    argv = [python, "-m", "monitor", *remote.monitor_options(kind), *_NAMES]
    argv += [f"--local_path={local}", "--interval=0.1"]
    log = base / f"{kind}.log"
    with Process("monitor", argv, log=log) as monitor:
        installed(monitor, local / _MODEL)
        row(f"`--type {kind}`", log, monitor, seconds)


def many_models(remote: Remote, count: int, base: Path, seconds: float, python: str) -> None:
    """Print the row of ``count`` models in one process, each polled every 10 s."""
    tables = []
    for number in range(count):
        local = base / f"many/{number}"
        local.mkdir(parents=True)
        tables.append(f'[[model]]\nlocal_path = "{local}"\n')
    config = base / "many.toml"
    config.write_text("\n".join(tables))
    log = base / "many.log"
    argv = [python, "-m", "monitor", f"--config={config}", "--interval=10"]
    argv += [*remote.monitor_options("general"), *_NAMES]
    with Process("monitor", argv, log=log) as monitor:
        for number in range(count):
            installed(monitor, base / f"many/{number}/{_MODEL}")
        row(f"{count} models, `--interval 10`", log, monitor, seconds)


def installed(monitor: Process, live: Path) -> None:
    """Wait until ``live`` has a release."""
    wait_for(
        lambda: read_installed(str(live)).identity is not None,
        f"a release in {live}",
        300,
        alive=monitor.check,
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    kinds = [kind for remote in REMOTES for kind in remote.local.monitor_kinds]
    parser.add_argument("--kinds", default=",".join(kinds), help="types of remotes (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="of each row (%(default)s)")
    parser.add_argument("--python", default=sys.executable, help="for the monitor (%(default)s)")
    parser.add_argument("--models", type=int, default=0, help="of the last row (none)")
    given = parser.parse_args()
    wanted = given.kinds.split(",")
    print("| monitor | polls/s | CPU a poll, ms | of a core | memory, MiB | threads |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in REMOTES:
        chosen = [name for name in kind.local.monitor_kinds if name in wanted]
        many = given.models if "general" in chosen else 0
        if not chosen:
            continue
        with (
            tempfile.TemporaryDirectory(prefix="polls-") as folder,
            contextlib.ExitStack() as stack,
        ):
            base = Path(folder)
            place = base / "remote"
            place.mkdir()
            remote = kind.local(place)
            stack.callback(remote.stop)
            remote.start()
            remote.ready()
            publish(remote, base / "producer")
            for name in chosen:
                one_model(remote, name, base, given.seconds, given.python)
            if many:
                many_models(remote, many, base, 2 * given.seconds, given.python)
    return 0


if __name__ == "__main__":
    sys.exit(main())
