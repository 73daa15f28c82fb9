"""A small monitor for HTTP that keeps the promises its scenarios ask about, but for one.

    python tiny_monitor.py --base URL --model NAME --donefile NAME --into FOLDER --live NAME
        --time-file NAME --tmp NAME --top NAME --every SECONDS [--broken PROMISE]

It is what the conformance suite is tried on: whole, it passes; with ``--broken`` it breaks one
promise, as monitors do that claim to keep it, and has to be caught. ``BROKEN`` lists them.
Standard library only, options of its own.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import ctypes
import gzip
import hashlib
import json
import os
import shutil
import signal
import sys
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NoReturn, Optional
from urllib.parse import urlsplit

BROKEN = {
    "copies-into-place": "copies the files of a release into the live directory one by one",
    "renames-twice": "moves the old release away, then the new one into its place",
    "remembers-too-early": "remembers a donefile before the release it announces is installed",
    "goes-back": "gives the time file the clock's time, whatever it had before",
    "keeps-the-second": "leaves the time file's second as it was",
    "sleeps-by-the-clock": "waits for its next poll by the wall clock",
    "unpacks-anywhere": "unpacks members wherever their names lead",
    "leaves-tarballs": "keeps what it has pulled",
    "leaks-descriptors": "leaves a file open for every release",
    "sees-times-only": "takes a donefile with the same time for the same",
    "sees-touches": "takes a donefile with another time for another",
    "says-the-password": "logs where it pulls from, the password in it",
    "trusts-any-bytes": "installs what it got without looking at the manifest",
    "trusts-the-size": "compares the manifest's size with what it got, and not its digest",
    "ends-at-a-broken-pull": "ends when a pull breaks",
    "waits-for-ever": "reads without a time-out",
    "deaf-in-a-pull": "hears SIGTERM only between two polls",
    "keeps-old-files": "builds a release on top of a copy of the one before",
    "sleeps-after-a-swap": "does nothing for a long time after a release",
}
_EXCHANGE, _HERE = 2, -100
_LONG_S = 60.0


class Tiny:
    """One monitor; ``broken`` names the promise that it does not keep."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.broken: Optional[str] = options.broken
        self.donefile_name: str = options.donefile
        self.model: str = options.model
        self.time_file: str = options.time_file
        self.top: str = options.top
        self.into = Path(options.into)
        self.live = self.into / options.live
        self.tarball = self.into / options.tmp / options.model
        self.staging = self.into / f".{options.live}.new"
        self.installed: Optional[bytes] = None
        self.left_open: list[object] = []
        address = urlsplit(options.base)
        self.headers = {}
        if address.username:
            pair = f"{address.username}:{address.password}".encode()
            self.headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        self.base = f"{address.scheme}://{address.hostname}:{address.port}{address.path}"
        if self.broken == "says-the-password":
            self.say(f"watching {options.base}")

    @staticmethod
    def say(text: str) -> None:
        print(text, flush=True)

    def read(self, name: str) -> tuple[bytes, str]:
        """The bytes of a remote file, and its time."""
        request = urllib.request.Request(f"{self.base}/{name}", headers=self.headers)
        timeout = None if self.broken == "waits-for-ever" else 2.0
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read(), answer.headers.get("Last-Modified", "")

    def poll(self) -> None:
        donefile, modified = self.read(self.donefile_name)
        announced = donefile
        if self.broken == "sees-times-only":
            announced = modified.encode()
        elif self.broken == "sees-touches":
            announced += modified.encode()
        if announced == self.installed:
            return
        if self.broken == "remembers-too-early":
            self.installed = announced
        packed, _ = self.read(self.model)
        self.tarball.parent.mkdir(exist_ok=True)
        self.tarball.write_bytes(packed)
        self.check(donefile, packed)
        self.stage()
        self.swap()
        self.installed = announced
        self.say("installed a release")
        if self.broken == "leaves-tarballs":
            self.tarball.rename(self.tarball.with_name(f"{time.monotonic_ns()}"))
        else:
            self.tarball.unlink()
        if self.broken == "leaks-descriptors":
            self.left_open.append((self.live / self.time_file).open())
        if self.broken == "sleeps-after-a-swap":
            time.sleep(_LONG_S)

    def check(self, donefile: bytes, packed: bytes) -> None:
        """Raises ``ValueError`` for bytes that are not what the manifest says."""
        if self.broken == "trusts-any-bytes":
            return
        with contextlib.suppress(ValueError, TypeError, KeyError):
            manifest = json.loads(donefile)
            right = manifest["size"] == len(packed)
            if self.broken != "trusts-the-size":
                right = right and manifest["sha256"] == hashlib.sha256(packed).hexdigest()
            if not right:
                raise OSError("the bytes are not what the manifest says")

    def stage(self) -> None:
        """Builds the release beside the live directory, time file included."""
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir()
        unpacked = self.staging / "unpacked"
        unpacked.mkdir()
        with gzip.open(self.tarball) as stream:
            while stream.read(1 << 20):
                pass  # to its trailer: a stream that is cut is no release
        with tarfile.open(self.tarball) as archive:
            if self.broken == "unpacks-anywhere":
                trusted = {"filter": "fully_trusted"} if hasattr(tarfile, "data_filter") else {}
                archive.extractall(unpacked, **trusted)
            else:
                for member in archive:
                    parts = member.name.split("/")
                    plain = member.isreg() or member.isdir()
                    if parts[0] != self.top or ".." in parts or not plain:
                        raise OSError(f"{member.name} has no place in a release")
                    archive.extract(member, unpacked)
        if self.broken == "keeps-old-files":
            shutil.copytree(self.live, self.staging / "both")
            shutil.copytree(unpacked / self.top, self.staging / "both", dirs_exist_ok=True)
            shutil.rmtree(unpacked / self.top)
            (self.staging / "both").rename(unpacked / self.top)

    def swap(self) -> None:
        new = self.staging / "unpacked" / self.top
        second = self.next_second()
        if self.broken == "copies-into-place":
            shutil.copytree(new, self.live, dirs_exist_ok=True)
            os.utime(self.live / self.time_file, (second, second))
        else:
            (new / self.time_file).touch()
            os.utime(new / self.time_file, (second, second))
            if not self.live.exists():
                new.rename(self.live)
            elif self.broken == "renames-twice":
                self.live.rename(self.staging / "old")
                new.rename(self.live)
            else:
                exchange(new, self.live)
        shutil.rmtree(self.staging)

    def next_second(self) -> int:
        now = int(time.time())
        if self.broken == "goes-back" or not self.live.exists():
            return now
        last = int((self.live / self.time_file).stat().st_mtime)
        return last if self.broken == "keeps-the-second" else max(now, last + 1)

    def wait(self, seconds: float) -> None:
        if self.broken == "sleeps-by-the-clock":
            until = time.time() + seconds
            while time.time() < until:
                time.sleep(0.01)
        else:
            time.sleep(seconds)


def exchange(one: Path, other: Path) -> None:
    """renameat2(2): both names change places in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))


def main() -> NoReturn:
    parser = argparse.ArgumentParser()
    for name in ("base", "model", "donefile", "into", "live", "time-file", "tmp", "top"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--every", type=float, required=True)
    parser.add_argument("--broken", choices=BROKEN)
    options = parser.parse_args()
    asked: list[int] = []
    if options.broken == "deaf-in-a-pull":
        signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    tiny = Tiny(options)
    shutil.rmtree(tiny.staging, ignore_errors=True)
    while not asked:
        try:
            tiny.poll()
        except (OSError, EOFError, tarfile.TarError, ValueError) as error:
            tiny.say(f"{type(error).__name__}: {error}")
            absent = isinstance(error, urllib.error.HTTPError)
            if options.broken == "ends-at-a-broken-pull" and not absent:
                raise
        tiny.wait(options.every)
    sys.exit(0)


if __name__ == "__main__":
    main()
