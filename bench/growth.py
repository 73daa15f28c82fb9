"""Measures the monitor with more models, larger models, more releases and more servers.

    python -m bench.growth --out bench/growth.json

Each series runs real monitors (``python -m monitor``) on the harness's own HTTP server.
``docs/plots.py`` draws the series for ``docs/explanation/growth.md``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import platform
import random
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from bench import monitor_publish
from harness.remotes.http import server as http_server
from harness.support.ports import free_port, is_listening
from harness.support.process import Process
from harness.support.waits import wait_for
from monitor.live.state import read_installed

_MODEL, _TARBALL = "bench_model", "bench_model.tar"
_MIB = 1 << 20
_LONGEST_S = 300


class _Repeated(io.RawIOBase):
    """A file of ``size`` bytes that repeats one random block, so that no disk is read."""

    def __init__(self, size: int, seed: int) -> None:
        super().__init__()
        self._left = size
        self._block = random.Random(seed).randbytes(_MIB)

    def read(self, size: int = -1) -> bytes:
        found = self._block[: min(size, self._left, _MIB)]
        self._left -= len(found)
        return found


def publish(folder: Path, number: int, size: int) -> float:
    """Publish a plain tar with ``size`` bytes of parameters. Return when it was announced."""
    beside = folder / ".tar"
    small = {"model.pdmodel": b"graph", "serving_server_conf.prototxt": _CONF.encode()}
    with tarfile.open(beside, "w") as tar:
        for name, content in small.items():
            info = tarfile.TarInfo(f"{_MODEL}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo(f"{_MODEL}/params.pdiparams")
        info.size = size
        # tarfile copies in blocks of 16 KiB and asks for no more than the size.
        tar.addfile(info, _Repeated(size, number))
    digest = hashlib.sha256()
    with open(beside, "rb") as file:
        while block := file.read(_MIB):
            digest.update(block)
    manifest = {
        "format": 1,
        "release": number,
        "tarball": _TARBALL,
        "size": beside.stat().st_size,
        "sha256": digest.hexdigest(),
    }
    beside.replace(folder / _TARBALL)
    (folder / ".donefile").write_text(json.dumps(manifest))
    (folder / ".donefile").replace(folder / "donefile")
    return time.monotonic()


_CONF = (
    'feed_var {\n  name: "x"\n  alias_name: "x"\n}\n'
    'fetch_var {\n  name: "y"\n  alias_name: "price"\n}\n'
)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process."""
    return monitor_publish.status_of(pid)[2]


@contextlib.contextmanager
def served(base: Path) -> Iterator[tuple[Path, list[str], int]]:
    """Serve a folder. Give it, the monitor's options for it, and the server's pid."""
    folder = base / "remote"
    folder.mkdir()
    port = free_port()
    argv = [sys.executable, "-m", http_server.__name__, f"--folder={folder}", f"--port={port}"]
    options = [
        f"--general_host=http://127.0.0.1:{port}", "--remote_path=/",
        f"--remote_model_name={_TARBALL}", "--remote_donefile_name=donefile",
        f"--local_model_name={_MODEL}",
    ]  # fmt: skip
    with Process("remote", argv, log=base / "remote.log") as process:
        wait_for(lambda: is_listening(port), "the HTTP server", 30, alive=process.check)
        yield folder, options, process.pids[0]


def release_of(live: Path) -> Optional[int]:
    """Return the number of the installed release."""
    identity = read_installed(str(live)).identity
    return identity.release if identity else None


def wait_installed(lives: list[Path], number: int, process: Process) -> None:
    """Wait until all live directories have a release."""
    for live in lives:
        wait_for(
            lambda live=live: release_of(live) == number,  # type: ignore[misc]
            f"release {number} in {live}",
            _LONGEST_S,
            alive=process.check,
            every_s=0.005,
        )


def models(counts: list[int], seconds: float) -> Iterator[dict[str, Any]]:
    """Measure many models in one process, each polled every 10 s."""
    for count in counts:
        with tempfile.TemporaryDirectory() as name, served(Path(name)) as (folder, options, _):
            base = Path(name)
            publish(folder, 1, 1024)
            paths = [base / f"local/{number}" for number in range(count)]
            for path in paths:
                path.mkdir(parents=True)
            config = base / "many.toml"
            tables = [f'[[model]]\nlocal_path = "{path}"\n' for path in paths]
            config.write_text("\n".join(tables))
            argv = [sys.executable, "-m", "monitor", f"--config={config}", "--interval=10"]
            with Process("monitor", [*argv, *options], log=base / "monitor.log") as monitor:
                wait_installed([path / _MODEL for path in paths], 1, monitor)
                pid = monitor.pids[0]
                before, begun = cpu_s(pid), time.monotonic()
                time.sleep(seconds)
                share = (cpu_s(pid) - before) / (time.monotonic() - begun)
                memory = monitor_publish.status_of(pid)[0]
        yield {"models": count, "core %": round(100 * share, 2), "memory, MiB": round(memory)}


def sizes(mebibytes: list[int]) -> Iterator[dict[str, Any]]:
    """Measure the time from published to swapped for models of several sizes; poll every 0.1 s."""
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as (folder, options, _):
        base = Path(name)
        publish(folder, 1, 1024)
        argv = [sys.executable, "-m", "monitor", *options, f"--local_path={base}", "--interval=0.1"]
        with Process("monitor", argv, log=base / "monitor.log") as monitor:
            live = base / _MODEL
            wait_installed([live], 1, monitor)
            for number, size in enumerate(mebibytes, 2):
                begun = publish(folder, number, size * _MIB)
                wait_installed([live], number, monitor)
                took = time.monotonic() - begun
                yield {"MiB": size, "published to swapped, s": round(took, 2)}


def rates(pauses_s: list[float], seconds: float) -> Iterator[dict[str, Any]]:
    """Measure how many releases are swapped in, and how soon, at a poll of 0.1 s."""
    for pause in pauses_s:
        count = max(5, round(seconds / pause))
        given = argparse.Namespace(
            releases=count, interval=0.1, every=pause, size=64 * 1024, seed=1
        )
        with tempfile.TemporaryDirectory() as name:
            found = monitor_publish.measure(given, Path(name))
        yield {
            "releases an hour": round(3600 / pause),
            "swapped in, %": round(100 * int(found["swapped in"]) / count),
            "published to swapped, p50, s": float(found["published to swapped, p50"].split()[0]),
        }


def servers(counts: list[int], seconds: float) -> Iterator[dict[str, Any]]:
    """Measure many monitors on one remote, each polling every second."""
    for count in counts:
        with (
            tempfile.TemporaryDirectory() as name,
            served(Path(name)) as (folder, options, pid),
            contextlib.ExitStack() as stack,
        ):
            base = Path(name)
            publish(folder, 1, 1024)
            lives = []
            for number in range(count):
                local = base / f"local-{number}"
                local.mkdir()
                argv = [sys.executable, "-m", "monitor", *options, f"--local_path={local}"]
                log = base / f"monitor-{number}.log"
                argv.append("--interval=1")
                last = stack.enter_context(Process(f"monitor {number}", argv, log=log))
                lives.append(local / _MODEL)
            wait_installed(lives, 1, last)
            before, begun = cpu_s(pid), time.monotonic()
            time.sleep(seconds)
            share = (cpu_s(pid) - before) / (time.monotonic() - begun)
            begun = publish(folder, 2, _MIB)
            wait_installed(lives, 2, last)
            took = time.monotonic() - begun
        yield {
            "servers": count,
            "remote's core %": round(100 * share, 2),
            "published to all swapped, s": round(took, 2),
        }


def main() -> int:
    """Measure all series, print them, and write them to ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, help="the JSON file to write (none)")
    parser.add_argument("--seconds", type=float, default=10, help="of each point (%(default)s)")
    parser.add_argument("--small", action="store_true", help="two small points of each series")
    given = parser.parse_args()
    end = 2 if given.small else None
    series = {
        "models": models([1, 10, 100, 300, 1000][:end], 2 * given.seconds),
        "sizes": sizes([1, 10, 100, 1000, 4000][:end]),
        "rates": rates([10, 1, 0.3, 0.1, 0.03][:end], given.seconds),
        "servers": servers([1, 4, 16, 48][:end], given.seconds),
    }
    found: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "load average": round(os.getloadavg()[0], 1),
    }
    for name, points in series.items():
        found[name] = []
        for point in points:
            found[name].append(point)
            print(f"{name}: " + ", ".join(f"{k} {v}" for k, v in point.items()), flush=True)
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
