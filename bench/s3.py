"""Measures the cost of a poll and the time of a release, with S3 and with HTTP.

    python -m bench.s3 --interval 0.1 --releases 30 --every 1

Starts moto's S3 server and the HTTP remote's own server, and a monitor for each. Both monitors run
in the Python environment ``.venv-s3``. Publishes each release for HTTP first and then to S3, and
times each side from its own publish. Prints one table.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

from harness.remotes.http import server as http_server
from harness.support.ports import free_port, is_listening
from harness.support.process import Process
from harness.support.waits import wait_for
from monitor.live.state import read_installed
from tests.s3_server import PYTHON, S3, set_up

from .monitor_publish import MODEL, TARBALL, publish, status_of


class Side:
    """A monitor on one remote, and the time of each swap."""

    def __init__(self, name: str, base: Path, words: list[str], interval: float) -> None:
        local = base / f"local-{name}"
        local.mkdir()
        self.live = local / MODEL
        self.published: dict[int, float] = {}
        self.swapped: dict[int, float] = {}

        self.argv = [
            str(PYTHON), "-m", "monitor", *words, f"--remote_model_name={TARBALL}",
            "--remote_donefile_name=donefile", f"--local_path={local}",
            f"--local_model_name={MODEL}", f"--interval={interval}",
        ]  # fmt: skip

    def waited(self, number: int) -> float:
        """Return the seconds from published to swapped."""
        return self.swapped[number] - self.published[number]

    def look(self) -> dict[int, float]:
        """Note the release that is live now. Return the time of the swap of each release."""
        identity = read_installed(str(self.live)).identity
        if identity is not None and identity.release is not None:
            self.swapped.setdefault(identity.release, time.monotonic())
        return self.swapped


def measure(given: argparse.Namespace, base: Path) -> list[tuple[str, str, str]]:
    """Run the benchmark in ``base``, and return the rows of the table."""
    folder, port = base / "remote", free_port()
    folder.mkdir()
    serve = [sys.executable, "-m", http_server.__name__, f"--folder={folder}", f"--port={port}"]
    with contextlib.ExitStack() as stack:
        s3 = stack.enter_context(S3(base / "s3.log"))
        served = stack.enter_context(Process("remote", serve, log=base / "remote.log"))
        wait_for(lambda: is_listening(port), "the HTTP server", 30, alive=served.check)
        general = ["--type=general", f"--general_host=http://127.0.0.1:{port}", "--remote_path=/"]
        sides = [
            Side("s3", base, ["--type=fsspec", f"--remote_url={s3.remote_url}"], given.interval),
            Side("http", base, general, given.interval),
        ]
        monitors = [
            stack.enter_context(
                Process("monitor", side.argv, log=side.live.with_suffix(".log"),
                        env=s3.environment())
            )
            for side in sides
        ]  # fmt: skip

        def release(number: int, size: int) -> None:
            sides[1].published[number] = publish(folder, number, size, given.seed)
            for name in (TARBALL, "donefile"):
                s3.put(name, (folder / name).read_bytes())
            sides[0].published[number] = time.monotonic()
            what = f"release {number}"
            wait_for(lambda: missing(number) == 0, what, 120, every_s=0.002)

        def missing(number: int) -> int:
            return len([side for side in sides if number not in side.look()])

        release(0, given.size)
        before = [status_of(monitor.pids[0])[2] for monitor in monitors]
        begun = time.monotonic()
        time.sleep(given.idle)
        idle = time.monotonic() - begun
        after = [status_of(monitor.pids[0])[2] for monitor in monitors]
        for number in range(1, given.releases + 1):
            time.sleep(given.every)
            release(number, given.size)
        memory = [status_of(monitor.pids[0])[0] for monitor in monitors]
        large = given.releases + 1
        release(large, given.large)
    waits = [sorted(side.waited(n) for n in range(1, large)) for side in sides]
    cpu = [(b - a) / idle for a, b in zip(before, after)]

    def row(name: str, values: list[float], form: str) -> tuple[str, str, str]:
        one, other = (form.format(value) for value in values)
        return name, one, other

    return [
        ("", "S3", "HTTP"),
        row("CPU of idle polls, % of a core", [100 * one for one in cpu], "{:.2f}"),
        row("CPU a poll, ms", [1000 * one * given.interval for one in cpu], "{:.2f}"),
        row("published to swapped, p50, s", [statistics.median(w) for w in waits], "{:.3f}"),
        row("… p90", [w[int(0.9 * (len(w) - 1))] for w in waits], "{:.3f}"),
        row("… worst", [w[-1] for w in waits], "{:.3f}"),
        row("memory, MiB", memory, "{:.1f}"),
        row(
            f"{given.large >> 20} MiB published to swapped, s",
            [side.waited(large) for side in sides],
            "{:.2f}",
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--releases", type=int, default=30, help="how many (30)")
    parser.add_argument("--interval", type=float, default=0.1, help="poll, seconds (0.1)")
    parser.add_argument("--every", type=float, default=0.37, help="seconds between two (0.37)")
    parser.add_argument("--idle", type=float, default=20, help="seconds of idle polls (20)")
    parser.add_argument("--size", type=int, default=1 << 16, help="bytes of parameters (64 KiB)")
    parser.add_argument("--large", type=int, default=1 << 25, help="of one more release (32 MiB)")
    parser.add_argument("--seed", type=int, default=1, help="of the parameters (1)")
    given = parser.parse_args()
    set_up()
    with tempfile.TemporaryDirectory(prefix="s3-") as folder:
        rows = measure(given, Path(folder))
    width = max(len(name) for name, _, _ in rows)
    for name, one, other in rows:
        print(f"{name:<{width}}  {one:>8}  {other:>8}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
