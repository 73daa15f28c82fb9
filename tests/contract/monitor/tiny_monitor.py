"""A small HTTP and WebHDFS monitor that keeps the promises its scenarios ask about, but for one.

    python tiny_monitor.py --base URL --model NAME --donefile NAME --into FOLDER --live NAME
        --time-file NAME --tmp NAME --top NAME --every SECONDS [--query TEXT] [--token TEXT]
        [--broken PROMISE]

The tests of the conformance suite judge it. Without ``--broken`` it passes. With ``--broken`` it
breaks one promise, and the suite has to catch it. ``BROKEN`` lists the promises. It has only the
standard library, and options of its own.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import ctypes
import errno
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
    "remembers-too-late": "remembers the donefile as it is after the pull",
    "goes-back": "gives the time file the clock's time, whatever it had before",
    "keeps-the-second": "leaves the time file's second as it was",
    "sleeps-by-the-clock": "waits for its next poll by the wall clock",
    "unpacks-anywhere": "unpacks members wherever their names lead",
    "follows-links": "copies what links in a release lead to",
    "leaves-tarballs": "keeps what it has pulled",
    "leaks-descriptors": "leaves a file open for every release",
    "sees-times-only": "compares only the time of a donefile",
    "sees-touches": "takes a donefile that was only touched for a new one",
    "says-the-password": "logs where it pulls from, and with which password or token",
    "trusts-any-bytes": "installs what it got without looking at the manifest",
    "trusts-the-size": "compares the manifest's size with what it got, and not its digest",
    "ends-at-a-broken-pull": "ends when a pull breaks",
    "waits-for-ever": "reads without a time-out",
    "deaf-in-a-pull": "hears SIGTERM only between two polls",
    "keeps-old-files": "builds a release on top of a copy of the one before",
    "sleeps-after-a-swap": "does nothing for a long time after a release",
    "ends-when-refused": "ends when the remote refuses",
    "hides-refusals": "takes a refusal for a donefile that is not there",
    "ends-without-a-donefile": "ends when the donefile is gone",
    "only-goes-up": "installs no release with a lower number",
    "resumes-blindly": "continues a cut pull, even in another file",
    "installs-what-macos-adds": "unpacks the files that macOS adds as well",
    "knows-one-packer": "takes the archives of one producer only",
    "unpacks-any-size": "unpacks without a bound",
    "installs-what-fits": "installs what it could unpack before the disk was full",
    "stages-where-it-pulls": "builds a release in the folder for temporary files",
    "forgets-rights": "gives the live directory the rights of what it has unpacked",
    "refuses-links": "does not swap a live directory that is a link",
    "knows-no-layers": "swaps only by an exchange, which a container image's layer refuses",
    "moves-the-time-file-early": "moves the time file before the files when it copies into a mount",
    "reads-plain-manifests": "reads no manifest that is compressed or not in plain UTF-8",
    "loads-any-graph": "installs a model in which two files may be the graph",
    "loads-any-graph-late": "installs such a model, and moves the time file later than the files",
    "ends-when-it-cannot-swap": "ends when the live directory cannot be replaced",
    "deaf-to-requests": "looks no sooner when it is asked to look",
    "forgets-a-hold": "ends a hold at its start",
    "ends-after-a-kill": "ends after a swap if a killed run left a staging folder",
}
# The signal that asks for a look at the donefile.
LOOK = signal.SIGUSR1
_EXCHANGE, _HERE = 2, -100
_LARGEST = 32 << 20
_LONG_S = 60.0


class Refused(OSError):
    """A release that is not tried again."""


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
        if self.broken == "stages-where-it-pulls":
            self.staging = self.tarball.with_name("new")
        self.found_leftovers = self.staging.exists()
        # While this file exists, the monitor installs nothing.
        self.held = self.into / "held"
        self.installed: Optional[bytes] = None
        self.number = 0
        self.came = bytearray()
        self.left_open: list[object] = []
        address = urlsplit(options.base)
        self.headers = {}
        if address.username:
            pair = f"{address.username}:{address.password}".encode()
            self.headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        if options.token:
            self.headers["Authorization"] = f"Bearer {options.token}"
        self.query: str = options.query
        self.base = f"{address.scheme}://{address.hostname}:{address.port}{address.path}"
        if self.broken == "says-the-password":
            self.say(f"watching {options.base} {options.token}")

    @staticmethod
    def say(text: str) -> None:
        print(text, flush=True)

    def read(self, name: str, offset: int = 0) -> tuple[bytes, str]:
        """Return the bytes of a remote file, and its time. ``came`` has what a broken pull got."""
        headers = {**self.headers, "Range": f"bytes={offset}-"} if offset else self.headers
        request = urllib.request.Request(f"{self.base}/{name}{self.query}", headers=headers)
        timeout = None if self.broken == "waits-for-ever" else 2.0
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            del self.came[offset:]
            while chunk := answer.read1():
                self.came += chunk
            if len(self.came) - offset < int(answer.headers.get("Content-Length", 0)):
                raise ConnectionResetError("a file came in part")
            return bytes(self.came), answer.headers.get("Last-Modified", "")

    def poll(self) -> None:
        donefile, modified = self.read(self.donefile_name)
        announced = donefile
        if self.broken == "sees-times-only":
            announced = modified.encode()
        elif self.broken == "sees-touches":
            announced += modified.encode()
        if announced == self.installed or self.held.exists():
            return
        if self.broken == "remembers-too-early":
            self.installed = announced
        release = self.release(donefile)
        if self.broken == "only-goes-up" and release < self.number:
            return
        packed = self.pull()
        after = self.read(self.donefile_name)[0] if self.broken == "remembers-too-late" else b""
        self.tarball.parent.mkdir(exist_ok=True)
        self.tarball.write_bytes(packed)
        self.check(donefile, packed)
        try:
            self.stage()
        except Refused:
            self.installed = announced
            raise
        self.swap()
        self.installed, self.number = announced, release
        if self.broken == "remembers-too-late":
            self.installed = after
        self.say("installed a release")
        if self.broken == "leaves-tarballs":
            self.tarball.rename(self.tarball.with_name(f"{time.monotonic_ns()}"))
        else:
            self.tarball.unlink()
        if self.broken == "leaks-descriptors":
            self.left_open.append((self.live / self.time_file).open())
        if self.broken == "sleeps-after-a-swap":
            time.sleep(_LONG_S)

    def pull(self) -> bytes:
        """The tarball's bytes."""
        offset = 0
        while True:
            try:
                return self.read(self.model, offset)[0]
            except ConnectionResetError:
                if self.broken != "resumes-blindly":
                    raise
                offset = len(self.came)

    def release(self, donefile: bytes) -> int:
        """The number in the manifest; 0 without one."""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return int(json.loads(self.decoded(donefile))["release"])
        return 0

    def decoded(self, donefile: bytes) -> str:
        """The text of the donefile. Raises ``ValueError``."""
        if self.broken == "reads-plain-manifests":
            return donefile.decode("utf-8")
        if donefile[:2] == b"\x1f\x8b":
            donefile = gzip.decompress(donefile)
        return donefile.decode(json.detect_encoding(donefile))

    def check(self, donefile: bytes, packed: bytes) -> None:
        """Raise ``OSError`` if the bytes are not what the manifest says."""
        if self.broken == "trusts-any-bytes":
            return
        with contextlib.suppress(ValueError, TypeError, KeyError):
            manifest = json.loads(self.decoded(donefile))
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
        with tarfile.open(self.tarball) as archive:
            size = 0
            for member in archive:
                size += member.size
                if size > _LARGEST and self.broken != "unpacks-any-size":
                    raise Refused("the archive unpacks to more than a model has")
        packed = self.tarball.read_bytes()[:2] == b"\x1f\x8b"
        with gzip.open(self.tarball) if packed else self.tarball.open("rb") as stream:
            while stream.read(1 << 20):
                pass  # to its trailer: a stream that is cut is no release
        with tarfile.open(self.tarball) as archive:
            if self.broken in ("unpacks-anywhere", "follows-links"):
                if hasattr(tarfile, "data_filter"):
                    archive.extractall(unpacked, filter="fully_trusted")
                else:
                    archive.extractall(unpacked)
            elif self.broken == "installs-what-fits":
                (unpacked / self.top).mkdir()
                (unpacked / self.top / self.time_file).touch()
                with contextlib.suppress(OSError):
                    self.unpack(archive, unpacked)
            else:
                self.unpack(archive, unpacked)
        if self.broken == "keeps-old-files":
            shutil.copytree(self.live, self.staging / "both")
            shutil.copytree(unpacked / self.top, self.staging / "both", dirs_exist_ok=True)
            shutil.rmtree(unpacked / self.top)
            (self.staging / "both").rename(unpacked / self.top)

    def unpack(self, archive: tarfile.TarFile, unpacked: Path) -> None:
        seen = set()
        for member in archive:
            name = member.name
            if name.startswith("./") and self.broken != "knows-one-packer":
                name = name[2:]
            parts = name.split("/")
            plain = member.isreg() or member.isdir() or (member.islnk() and member.linkname in seen)
            label = member.type == b"V"
            if parts[0] in ("", ".", "..") or ".." in parts or not (plain or label):
                raise OSError(f"{member.name} has no place in a release")
            macos = any(part.startswith("._") or part == ".DS_Store" for part in parts)
            if macos and self.broken == "installs-what-macos-adds":
                macos = False
            if parts[0] == self.top and not macos and not label:
                seen.add(member.name)
                archive.extract(member, unpacked)
        names = [path.name for path in (unpacked / self.top).iterdir() if path.name[:2] != "._"]
        graphs = [name for name in names if name.endswith("model")]
        if len(graphs) > 1 and self.broken not in ("loads-any-graph", "loads-any-graph-late"):
            raise Refused("two files may be the graph")

    def swap(self) -> None:
        new = self.staging / "unpacked" / self.top
        second = self.next_second()
        if self.broken in ("copies-into-place", "follows-links"):
            # Relative paths, because a copy within a copy can have a path too long for open(2).
            os.chdir(self.live.parent)
            shutil.copytree(os.path.relpath(new), self.live.name, dirs_exist_ok=True)
            os.utime(self.live / self.time_file, (second, second))
        else:
            (new / self.time_file).touch()
            os.utime(new / self.time_file, (second, second))
            late = self.broken == "loads-any-graph-late" and self.live.exists()
            if late:
                shutil.copystat(self.live / self.time_file, new / self.time_file)
            if not self.live.exists():
                new.rename(self.live)
                self.done()
                return
            if self.broken != "forgets-rights":
                dress(new, self.live)
            if self.broken == "refuses-links" and self.live.is_symlink():
                raise OSError(f"{self.live} is a link")
            if self.broken == "renames-twice":
                self.live.rename(self.staging / "old")
                new.rename(self.live)
            else:
                self.exchange(new)
            if late:
                time.sleep(0.3)
                os.utime(self.live / self.time_file, (second, second))
        self.done()

    def done(self) -> None:
        if self.broken == "ends-after-a-kill" and self.found_leftovers:
            sys.exit("a killed run left a staging folder")
        shutil.rmtree(self.staging)

    def exchange(self, new: Path) -> None:
        try:
            exchange(new, self.live)
        except OSError as error:
            if error.errno == errno.EBUSY:
                self.into_mount(new)
                return
            here = new.stat().st_dev == self.live.stat().st_dev
            if error.errno != errno.EXDEV or not here or self.broken == "knows-no-layers":
                raise
            # A folder from a lower layer of an overlay can be hidden, but not moved.
            shutil.rmtree(self.live)
            new.rename(self.live)

    def into_mount(self, new: Path) -> None:
        """File by file, the time file last: a mount point cannot be exchanged."""
        names = {str(path.relative_to(new)) for path in new.rglob("*") if path.is_file()}
        if self.broken == "moves-the-time-file-early":
            shutil.copystat(new / self.time_file, self.live / self.time_file)
            time.sleep(0.2)  # time for a server to see it, and load the old release
        for name in sorted(names - {self.time_file}):
            (self.live / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(new / name, self.live / name)
        for path in self.live.rglob("*"):
            if path.is_file() and str(path.relative_to(self.live)) not in names:
                path.unlink()
        shutil.copystat(new / self.time_file, self.live / self.time_file)

    def next_second(self) -> int:
        now = int(time.time())
        if self.broken == "goes-back" or not self.live.exists():
            return now
        last = int((self.live / self.time_file).stat().st_mtime)
        return last if self.broken == "keeps-the-second" else max(now, last + 1)

    def ends_at(self, error: Exception) -> bool:
        """Return whether the broken promise is to go on after this error."""
        status = error.code if isinstance(error, urllib.error.HTTPError) else None
        number = error.errno if isinstance(error, OSError) else None
        return {
            "ends-at-a-broken-pull": status is None,
            "ends-when-refused": status in (401, 403, 503),
            "ends-without-a-donefile": status == 404 and self.installed is not None,
            "ends-when-it-cannot-swap": number in (errno.EBUSY, errno.EROFS),
        }.get(self.broken or "", False)

    def wait(self, seconds: float) -> None:
        if self.broken == "sleeps-by-the-clock":
            until = time.time() + seconds
            while time.time() < until:
                time.sleep(0.01)
        elif self.broken == "deaf-to-requests":
            time.sleep(seconds)
        else:
            signal.sigtimedwait({LOOK}, seconds)


def dress(new: Path, live: Path) -> None:
    """Give ``new`` the owner and the mode of ``live``."""
    status = live.stat()
    if os.geteuid() == 0:
        os.chown(new, status.st_uid, status.st_gid)
    new.chmod(status.st_mode & 0o7777)


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
    parser.add_argument("--query", default="", help="follows the name in every address")
    parser.add_argument("--token")
    parser.add_argument("--broken", choices=BROKEN)
    options = parser.parse_args()
    asked: list[int] = []
    if options.broken == "deaf-in-a-pull":
        signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    # A request during a poll waits for the end of the poll.
    signal.pthread_sigmask(signal.SIG_BLOCK, {LOOK})
    tiny = Tiny(options)
    if options.broken == "forgets-a-hold":
        tiny.held.unlink(missing_ok=True)
    shutil.rmtree(tiny.staging, ignore_errors=True)
    while not asked:
        try:
            tiny.poll()
        except (OSError, EOFError, tarfile.TarError, ValueError) as error:
            if tiny.ends_at(error):
                raise
            hidden = options.broken == "hides-refusals" and isinstance(
                error, urllib.error.HTTPError
            )
            tiny.say("no donefile" if hidden else f"{type(error).__name__}: {error}")
        tiny.wait(options.every)
    sys.exit(0)


if __name__ == "__main__":
    main()
