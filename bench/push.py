"""Measures the time from published to swapped or served: push, polls and the stock monitor.

    python -m bench.push --remotes webhdfs,ftp,http,hadoop --releases 50
    python -m bench.push --remotes webhdfs,ftp,http --releases 50 --served

The real producer publishes releases of uci_housing at random moments. A release counts as published
when the donefile is in place. Without ``--served`` one monitor polls every 60 s, and the producer
tells it of each release (``--notify``). With ``--served`` three monitors follow the same remote:
ours with push, ours with polls of 0.1 s, and the stock monitor at 1 s. Each has a server with a
tick of 1 s. A release counts as served at the first answer with its prediction. Each server is
asked every 10 ms.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from harness.conformance.serving.server import MODEL_NAME, Launched, binary
from harness.remotes.base import Remote
from harness.remotes.registry import named
from harness.support.errors import Failed
from harness.support.live_directory import TIME_FILE
from harness.support.ports import free_port
from harness.support.process import Process
from harness.support.waits import wait_for
from monitor.decisions.probe import parts, request
from monitor.decisions.serving import Kind
from monitor.release.model import CONF
from monitor.served.ask import ask

_TARBALL = "uci_housing.tar.gz"
# For each name in ``--remotes``: the remote, ``--type``, and the title in the table.
WAYS = {
    "webhdfs": ("hdfs", "webhdfs", "WebHDFS"),
    "ftp": ("ftp", "ftp", "FTP"),
    "http": ("http", "general", "HTTP"),
    "hadoop": ("hdfs", "hdfs", "`hadoop fs`"),
}
# The moments between published and served, and the part of the time that ends with each.
_PARTS = (
    ("detect", "seen"), ("pull", "pulled"), ("verify", "verified"), ("stage", "staged"),
    ("swap", "swapped"), ("tick", "reload"), ("load", "answered"),
)  # fmt: skip
# A server that gives no answer of the release in this time has missed the release.
_LATEST_S = 10.0


@dataclass
class Arm:
    """One monitor, its server if there is one, and the moments of each release."""

    # What the table calls it.
    name: str
    # The monitor's live directory is in here.
    folder: Path
    # The monitor's command line, without the remote's options.
    command: list[str]
    # None if the arm has no server.
    server: Optional[Launched] = None
    # The monitor's event file; None before the monitor starts.
    events: Optional[Path] = None
    # For each release, the time of each moment (CLOCK_MONOTONIC, in seconds).
    moments: dict[int, dict[str, float]] = field(default_factory=dict)

    def read_events(self) -> dict[int, dict[str, float]]:
        """Return the moments in the event file, by release."""
        found: dict[int, dict[str, float]] = {}
        if self.events is not None and self.events.exists():
            for line in self.events.read_text().splitlines():
                one = json.loads(line)
                if one["release"] is not None:
                    found.setdefault(one["release"], {}).setdefault(one["event"], one["monotonic"])
        return found

    def look(self, number: int, manifest: dict[str, Any]) -> None:
        """Ask the server until it answers as the release, and note when that was."""
        assert self.server is not None
        query = request(manifest["probe"], (self.server.live / CONF).read_text())
        expected = parts(manifest["probe"])[1]
        url = f"http://127.0.0.1:{self.server.port}"
        end = time.monotonic() + _LATEST_S
        while time.monotonic() < end:
            if ask(url, query, expected).kind is Kind.OURS:
                self.moments.setdefault(number, {})["answered"] = time.monotonic()
                return
            time.sleep(0.01)


def train(folder: Path, count: int) -> list[Path]:
    """Return the folders of ``count`` releases, made by the producer."""
    command = [sys.executable, "-m", "producer", "--remote", f"file://{folder}/www"]
    command += ["--passes", str(count), "--interval", "0", "--work", str(folder / "work")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return [folder / "work" / "releases" / str(number) for number in range(1, count + 1)]


def arms(way: str, remote: Remote, base: Path, given: argparse.Namespace, model: Path) -> list[Arm]:
    """Return the monitors that follow ``remote``, not started."""
    kind = WAYS[way][1]
    token = base / "token"
    token.write_text("bench-token\n")
    found = []
    kinds = ["push", "polls of 0.1 s", "stock, 1 s"] if given.served else ["push"]
    for number, name in enumerate(kinds):
        folder = base / f"arm-{number}"
        folder.mkdir()
        stock = name.startswith("stock")
        # The stock monitor knows no WebHDFS.
        options = remote.monitor_options(None if stock else kind)
        options += ["--remote_model_name", _TARBALL, "--remote_donefile_name", "donefile"]
        options += ["--local_path", ".", "--local_model_name", MODEL_NAME]
        options += ["--local_timestamp_file", TIME_FILE, "--local_tmp_path", "_tmp"]
        options += ["--unpacked_filename", MODEL_NAME]
        module = "paddle_serving_server.monitor" if stock else "monitor"
        arm = Arm(name, folder, [sys.executable, "-m", module, *options])
        if not stock:
            arm.events = folder / "events.jsonl"
            arm.command += ["--event_file", str(arm.events)]
        if name == "push":
            arm.command += ["--interval", "60", "--metrics_port", str(free_port())]
            arm.command += ["--poll_token_file", str(token)]
        else:
            arm.command += ["--interval", "1" if stock else "0.1"]
        if stock:
            # The stock monitor ends at its first failure (over HTTP at its first poll): restart it.
            arm.command = ["sh", "-c", 'while :; do "$@"; sleep 0.2; done', "sh", *arm.command]
        if given.served:
            arm.server = Launched(binary(given.serving_bin), model, folder=folder, tick_s=1)
        found.append(arm)
    return found


@contextlib.contextmanager
def running(way: str, remote: Remote, all_arms: list[Arm], base: Path) -> Iterator[Process]:
    """Start servers, monitors and the producer; give the producer."""
    with contextlib.ExitStack() as stack:
        for arm in all_arms:
            if arm.server is not None:
                stack.enter_context(arm.server)
        (port,) = [
            arm.command[arm.command.index("--metrics_port") + 1]
            for arm in all_arms
            if "--metrics_port" in arm.command
        ]
        command = [sys.executable, "-m", "producer", "--remote", remote.url, "--step"]
        command += [*remote.producer_options, "--passes", "1000000"]
        command += ["--work", str(base / "producer"), "--events", str(base / "published.jsonl")]
        command += ["--notify", f"http://127.0.0.1:{port}/-/poll"]
        command += ["--notify_token_file", str(base / "token")]
        producer = Process(
            "producer", command, log=base / "producer.log", stdin=subprocess.PIPE,
            env={**os.environ, **remote.producer_environment},
        )  # fmt: skip
        stack.enter_context(producer)
        yield producer


def publish(producer: Process, folder: Path, base: Path, count: int) -> float:
    """Publish the release in ``folder``, the ``count``th; return when its donefile was there."""
    events = base / "published.jsonl"
    producer.stdin.write(f"{folder}\n".encode())
    producer.stdin.flush()

    def lines() -> list[str]:
        return events.read_text().splitlines() if events.exists() else []

    wait_for(
        lambda: len(lines()) >= count, f"release {count}", 60, alive=producer.check,
        log=producer.log,
    )  # fmt: skip
    return float(json.loads(lines()[count - 1])["t_end"])


def measure(way: str, ready: list[Path], base: Path, given: argparse.Namespace) -> list[Arm]:
    """Publish all releases but the first, and return the arms with what they saw."""
    remote = named(WAYS[way][0]).local(base / "remote", path=f"/{way}" if way != "http" else "/")
    chance = random.Random(given.seed)
    with contextlib.ExitStack() as stack:
        remote.start()
        stack.callback(remote.stop)
        remote.ready()
        found = arms(way, remote, base, given, ready[0] / MODEL_NAME)
        with running(way, remote, found, base) as producer:
            publish(producer, ready[0], base, 1)
            monitors = [
                stack.enter_context(
                    Process(arm.name, arm.command, log=arm.folder / "monitor.log", cwd=arm.folder)
                )
                for arm in found
            ]
            for arm, monitor in zip(found, monitors):
                wait_for(
                    lambda arm=arm: "update model timestamp"  # type: ignore[misc]
                    in (arm.folder / "monitor.log").read_text(),
                    f"release 1 of {arm.name}", 60, alive=monitor.check, log=monitor.log,
                )  # fmt: skip
            for number, folder in enumerate(ready[1:], 2):
                time.sleep((2.0 if given.served else 0.1) + chance.random())
                manifest = json.loads((folder / "donefile").read_text())
                lookers = [
                    threading.Thread(target=arm.look, args=(number, manifest))
                    for arm in found
                    if arm.server is not None
                ]
                published = publish(producer, folder, base, number)
                for looker in lookers:
                    looker.start()
                for looker in lookers:
                    looker.join()
                for arm, monitor in zip(found, monitors):
                    arm.moments.setdefault(number, {})["published"] = published
                    if arm.events is not None:
                        wait_for(
                            lambda arm=arm, number=number: "swapped"  # type: ignore[misc]
                            in arm.read_events().get(number, {}),
                            f"release {number} of {arm.name}", 60, alive=monitor.check,
                            log=monitor.log,
                        )  # fmt: skip
        for arm in found:
            for number, moments in arm.read_events().items():
                if number in arm.moments:
                    arm.moments[number].update(moments)
            _add_reloads(arm)
    return found


def _add_reloads(arm: Arm) -> None:
    """Add when the server began to load each release: the last reload before its first answer."""
    if arm.server is None:
        return
    offset = time.time() - time.monotonic()
    begins = [span.begin - offset for span in arm.server.reload_spans()]
    for moments in arm.moments.values():
        before = [one for one in begins if one <= moments.get("answered", 0.0)]
        if before:
            moments["reload"] = before[-1]


def between(arm: Arm, first: str, last: str) -> list[float]:
    """Return the seconds between two moments, for each release that has both, sorted."""
    return sorted(
        one[last] - one[first] for one in arm.moments.values() if first in one and last in one
    )


def _figures(values: list[float]) -> str:
    if not values:
        return "– | – | –"
    return (
        f"{statistics.median(values):.3f} | {values[int(0.9 * (len(values) - 1))]:.3f} | "
        f"{values[-1]:.3f}"
    )


def table(remote: str, found: list[Arm], *, served: bool) -> str:
    """Return the result for one remote in Markdown; times are in seconds."""
    last = "answered" if served else "swapped"
    names = [name for name, moment in _PARTS if served or moment not in ("reload", "answered")]
    what = "served" if served else "swapped"
    head = f"| {remote} | releases | published to {what}, p50 | p90 | worst | {' | '.join(names)} |"
    lines = [head, "| --- " * (len(names) + 5) + "|"]
    for arm in found:
        values = between(arm, "published", last)
        cells, before = [], "published"
        for name, moment in _PARTS:
            if name in names:
                took = between(arm, before, moment)
                cells.append(f"{statistics.median(took):.3f}" if took else "–")
                before = moment
        count = f"{len(values)} of {len(arm.moments)}"
        lines.append(f"| {arm.name} | {count} | {_figures(values)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--remotes", default="webhdfs,ftp,http", help=f"of {','.join(WAYS)}")
    parser.add_argument("--releases", type=int, default=50, help="how many (50)")
    parser.add_argument("--served", action="store_true", help="three monitors with servers")
    parser.add_argument("--serving_bin", help="the serving binary (the embedded engine)")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments (1)")
    given = parser.parse_args()
    ways = given.remotes.split(",")
    unknown = [way for way in ways if way not in WAYS]
    if unknown:
        parser.error(f"--remotes names {unknown[0]}; known are {', '.join(WAYS)}")
    failed = False
    with tempfile.TemporaryDirectory(prefix="bench-push-") as folder:
        ready = train(Path(folder), given.releases + 1)
        for way in ways:
            base = Path(folder, way)
            base.mkdir()
            try:
                found = measure(way, ready, base, given)
            except Failed as error:
                print(f"bench: {way}: {error}", file=sys.stderr)
                failed = True
                continue
            print(table(WAYS[way][2], found, served=given.served))
            print(
                f"load average: {', '.join(f'{one:.0f}' for one in os.getloadavg())}\n", flush=True
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
