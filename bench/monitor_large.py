"""Compares the time of a large release, from seen to swapped, with ``curl | tar -x; sync``.

    python -m bench.monitor_large --gib 1 --rounds 5 --packing tar,gzip

Serves a tarball with the HTTP remote's own server. In each round ``python -m monitor --once`` and
``curl | tar -x; sync`` take turns on the same disk. Prints medians, the ratio, the monitor's peak
memory, its peak disk space, and the time that SHA-256 of the tarball takes alone.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.remotes.http import server as http_server
from harness.support.ports import free_port, is_listening
from harness.support.process import Process
from harness.support.repeater import Repeater
from harness.support.waits import wait_for

_MODEL, _BLOCK = "bench_model", 16 << 20
_CONF = (
    b'feed_var {\n  name: "x"\n  alias_name: "x"\n}\n'
    b'fetch_var {\n  name: "y"\n  alias_name: "price"\n}\n'
)
_ENDS = {"tar": ".tar", "gzip": ".tar.gz"}


class Ours(NamedTuple):
    """One installation by the monitor."""

    # From ``seen`` in the event file to the swap.
    seconds: float
    # From the start of the process to its end.
    whole_s: float
    memory_mib: float
    disk_mib: float


def pieces_of(size: int, seed: int) -> Iterator[tuple[bytes, bool]]:
    """Yield a tar of ``size`` bytes of weights; the second value marks the block that repeats."""
    weights = np.random.default_rng(seed).normal(0, 0.02, _BLOCK // 4).astype("<f4").tobytes()
    files = {"model.pdmodel": len(b"graph"), "serving_server_conf.prototxt": len(_CONF)}
    for name, content in (("model.pdmodel", b"graph"), ("serving_server_conf.prototxt", _CONF)):
        yield _header(name, files[name]) + content + bytes(-len(content) % 512), False
    yield _header("params.pdiparams", size), False
    for _ in range(size // _BLOCK):
        yield weights, True
    yield bytes(1024), False


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(f"{_MODEL}/{name}")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def publish(folder: Path, packing: str, size: int, seed: int) -> str:
    """Put a tarball and its manifest into ``folder``; return the tarball's name."""
    name = f"{_MODEL}{_ENDS[packing]}"
    digest, length = hashlib.sha256(), 0
    with (folder / name).open("wb") as file:
        for piece in _packed(packing, size, seed):
            file.write(piece)
            digest.update(piece)
            length += len(piece)
    manifest = {
        "format": 1, "release": 1, "tarball": name, "size": length, "sha256": digest.hexdigest()
    }  # fmt: skip
    (folder / f"{packing}.donefile").write_text(json.dumps(manifest))
    return name


def _packed(packing: str, size: int, seed: int) -> Iterator[bytes]:
    if packing == "tar":
        yield from (piece for piece, _ in pieces_of(size, seed))
        return
    # A full flush clears the state of deflate. So a block packs to the same bytes each time.
    crc, length, repeated = 0, 0, b""
    yield b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    for piece, repeats in pieces_of(size, seed):
        crc, length = zlib.crc32(piece, crc), length + len(piece)
        packed = repeated
        if not (repeats and repeated):
            deflate = zlib.compressobj(6, wbits=-15)
            packed = deflate.compress(piece) + deflate.flush(zlib.Z_FULL_FLUSH)
            repeated = packed if repeats else repeated
        yield packed
    yield zlib.compressobj(wbits=-15).flush()
    yield crc.to_bytes(4, "little") + (length & 0xFFFFFFFF).to_bytes(4, "little")


@contextlib.contextmanager
def most_space(folder: Path) -> Iterator[list[float]]:
    """Yield a list with one number: the most MiB that ``folder`` used on the disk."""
    most = [0.0]

    def look() -> None:
        blocks = 0
        for where, _, names in os.walk(folder):
            for name in names:
                with contextlib.suppress(OSError):
                    blocks += os.lstat(os.path.join(where, name)).st_blocks
        most[0] = max(most[0], blocks / 2048)

    looker = Repeater(look, 0.02, "looker")
    looker.start()
    try:
        yield most
    finally:
        looker.stop()


def ours(base: Path, port: int, name: str, packing: str) -> Ours:
    """Install the release with the monitor into an empty folder."""
    local, events = base / "local", base / "events"
    local.mkdir()
    argv = [
        sys.executable, "-m", "monitor", f"--general_host=http://127.0.0.1:{port}", "--once",
        "--remote_path=/", f"--remote_model_name={name}", f"--event_file={events}",
        f"--remote_donefile_name={packing}.donefile", f"--local_path={local}",
        f"--local_model_name={_MODEL}",
    ]  # fmt: skip
    with most_space(local) as most, (base / "monitor.log").open("wb") as log:
        begun = time.monotonic()
        process = subprocess.Popen(argv, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        whole = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"the monitor failed:\n{(base / 'monitor.log').read_text()}")
    at = {one["event"]: one["monotonic"] for one in map(json.loads, events.open())}
    shutil.rmtree(local)
    events.unlink()
    return Ours(at["swapped"] - at["seen"], whole, usage.ru_maxrss / 1024, most[0])


def theirs(base: Path, port: int, name: str, packing: str) -> float:
    """Return the seconds of ``curl | tar -x; sync`` into an empty folder."""
    target = base / "theirs"
    target.mkdir()
    how = "-xzf" if packing == "gzip" else "-xf"
    url = f"http://127.0.0.1:{port}/{name}"
    script = f"curl -sf {shlex.quote(url)} | tar {how} - -C {shlex.quote(str(target))} && sync"
    begun = time.monotonic()
    subprocess.run(["bash", "-o", "pipefail", "-c", script], check=True)
    took = time.monotonic() - begun
    shutil.rmtree(target)
    return took


def hashing(path: Path) -> float:
    """Return the seconds that SHA-256 of a cached file takes."""
    begun, digest = time.monotonic(), hashlib.sha256()
    with path.open("rb") as file:
        while True:
            piece = file.read(256 * 1024)
            if not piece:
                return time.monotonic() - begun
            digest.update(piece)


def measure(given: argparse.Namespace, base: Path, packing: str) -> dict[str, str]:
    """Run the benchmark for one packing; return the rows of the table."""
    remote = base / "remote"
    remote.mkdir(exist_ok=True)
    port, size = free_port(), int(given.gib * (1 << 30)) // _BLOCK * _BLOCK
    name = publish(remote, packing, size, given.seed)
    serve = [sys.executable, "-m", http_server.__name__, f"--folder={remote}", f"--port={port}"]
    mine, other, digests = [], [], []
    with Process("remote", serve, log=base / "remote.log") as served:
        wait_for(lambda: is_listening(port), "the HTTP server", 30, alive=served.check)
        for _ in range(given.rounds):
            os.sync()
            mine.append(ours(base, port, name, packing))
            os.sync()
            other.append(theirs(base, port, name, packing))
            digests.append(hashing(remote / name))
    length = (remote / name).stat().st_size
    (remote / name).unlink()
    ratios = [one.seconds / two for one, two in zip(mine, other)]
    middle = statistics.median(one.seconds for one in mine)
    return {
        "packing": f"{packing}, {size >> 20} MiB of weights, tarball of {length >> 20} MiB",
        "monitor, seen to swapped": f"{middle:.2f} s ({_range([m.seconds for m in mine])})",
        "monitor, whole process": f"{statistics.median(one.whole_s for one in mine):.2f} s",
        "curl | tar -x; sync": f"{statistics.median(other):.2f} s ({_range(other)})",
        "ratio of the medians": f"{middle / statistics.median(other):.2f}",
        "median of the rounds' ratios": f"{statistics.median(ratios):.2f} ({_range(ratios)})",
        "SHA-256 alone": f"{statistics.median(digests):.2f} s",
        "monitor's peak memory": f"{max(one.memory_mib for one in mine):.0f} MiB",
        "monitor's peak disk space": f"{max(one.disk_mib for one in mine):.0f} MiB",
    }


def _range(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def main() -> int:
    """Print one table for each packing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--gib", type=float, default=1, help="GiB of parameters (1)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each (5)")
    parser.add_argument("--packing", default="tar,gzip", help="which (tar,gzip)")
    parser.add_argument("--folder", type=Path, help="on the disk to measure (the temporary folder)")
    parser.add_argument("--seed", type=int, default=1, help="of the parameters (1)")
    given = parser.parse_args()
    for packing in given.packing.split(","):
        with tempfile.TemporaryDirectory(prefix="monitor-large-", dir=given.folder) as folder:
            rows = measure(given, Path(folder), packing)
        width = max(map(len, rows))
        for name, value in rows.items():
            print(f"{name:<{width}}  {value}")
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
