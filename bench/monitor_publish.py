"""How long a release takes from published to swapped in, and what a monitor costs meanwhile.

    python -m bench.monitor_publish --releases 100 --interval 0.5 --every 0.3 --size 1048576

Serves a folder with the HTTP remote's own server, publishes releases into it by rename, runs
``python -m monitor`` on it, and prints one table. A release that is superseded before it is
swapped in counts as superseded, not as slow: the newest wins.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import statistics
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from harness.remotes.http import server as http_server
from harness.support.ports import free_port, is_listening
from harness.support.process import Process
from harness.support.repeater import Repeater
from harness.support.waits import wait_for
from monitor.live.state import read_installed

_CONF = (
    'feed_var {\n  name: "x"\n  alias_name: "x"\n}\n'
    'fetch_var {\n  name: "y"\n  alias_name: "price"\n}\n'
)
MODEL, TARBALL = "bench_model", "bench_model.tar.gz"


def publish(folder: Path, number: int, size: int, seed: int) -> float:
    """Publishes a release of ``size`` bytes of parameters; gives when its donefile was there."""
    files = {
        "model.pdmodel": b"graph",
        "params.pdiparams": random.Random(seed + number).randbytes(size),
        "serving_server_conf.prototxt": _CONF.encode(),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{MODEL}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    content = packed.getvalue()
    manifest = {
        "format": 1,
        "release": number,
        "tarball": TARBALL,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    for name, data in ((TARBALL, content), ("donefile", json.dumps(manifest).encode())):
        beside = folder / f".{name}"
        beside.write_bytes(data)
        beside.replace(folder / name)
    return time.monotonic()


def status_of(pid: int) -> tuple[float, int, float]:
    """Memory in MiB, open descriptors, CPU seconds of a process, from /proc."""
    fields = Path(f"/proc/{pid}/status").read_text()
    memory = next(line.split()[1] for line in fields.splitlines() if line.startswith("VmRSS"))
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    cpu = (int(stat[11]) + int(stat[12])) / ticks
    return int(memory) / 1024, len(os.listdir(f"/proc/{pid}/fd")), cpu


def measure(given: argparse.Namespace, base: Path) -> dict[str, str]:
    """Runs the benchmark in ``base``; gives the rows of the table."""
    remote, local = base / "remote", base / "local"
    remote.mkdir()
    local.mkdir()
    port = free_port()
    serve = [sys.executable, "-m", http_server.__name__, f"--folder={remote}", f"--port={port}"]
    live = local / MODEL
    swapped: dict[int, float] = {}

    def look() -> None:
        identity = read_installed(str(live)).identity
        if identity is not None and identity.release is not None:
            swapped.setdefault(identity.release, time.monotonic())

    looker = Repeater(look, 0.002, "looker")
    looker.start()
    argv = [
        sys.executable, "-m", "monitor", f"--general_host=http://127.0.0.1:{port}",
        "--remote_path=/", f"--remote_model_name={TARBALL}", "--remote_donefile_name=donefile",
        f"--local_path={local}", f"--local_model_name={MODEL}", f"--interval={given.interval}",
    ]  # fmt: skip
    published = {0: publish(remote, 0, given.size, given.seed)}
    with (
        Process("remote", serve, log=base / "remote.log") as served,
        contextlib.ExitStack() as stack,
    ):
        wait_for(lambda: is_listening(port), "the HTTP server", 30, alive=served.check)
        monitor = stack.enter_context(Process("monitor", argv, log=base / "monitor.log"))
        wait_for(lambda: 0 in swapped, "the first release", 60, alive=monitor.check)
        before = status_of(monitor.pids[0])
        begun = time.monotonic()
        for number in range(1, given.releases + 1):
            published[number] = publish(remote, number, given.size, given.seed)
            time.sleep(given.every)
        last = given.releases
        wait_for(lambda: last in swapped, "the last release", 60, alive=monitor.check)
        after = status_of(monitor.pids[0])
        took = time.monotonic() - begun
    looker.stop()
    times = sorted(when - published[n] for n, when in swapped.items() if n)
    return {
        "releases published": str(given.releases),
        "swapped in": str(len(times)),
        "superseded before that": str(given.releases - len(times)),
        "published to swapped, p50": f"{statistics.median(times):.3f} s",
        "p90": f"{times[int(0.9 * (len(times) - 1))]:.3f} s",
        "worst": f"{times[-1]:.3f} s",
        "monitor's CPU": f"{100 * (after[2] - before[2]) / took:.1f} % of one core",
        "memory, first to last release": f"{before[0]:.1f} to {after[0]:.1f} MiB",
        "descriptors, first to last": f"{before[1]} to {after[1]}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--releases", type=int, default=100, help="how many (100)")
    parser.add_argument("--interval", type=float, default=0.5, help="poll, seconds (0.5)")
    parser.add_argument("--every", type=float, default=0.3, help="seconds between two (0.3)")
    parser.add_argument("--size", type=int, default=1 << 20, help="bytes of parameters (1 MiB)")
    parser.add_argument("--seed", type=int, default=1, help="of the parameters (1)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="monitor-publish-") as folder:
        rows = measure(given, Path(folder))
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
