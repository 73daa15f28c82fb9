"""The official serving binary, from the cache or from the vendor's host.

The launcher would download the binary itself, into its own package folder, without a check of the
certificate. This module downloads it once, checks it, unpacks it into ``.cache/serving/`` and
patches it for a current glibc. The compiled client gets the same patch, because both come from one
build. The launcher gets the binary in ``SERVING_BIN``.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import shutil
import tarfile
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any, Optional

from harness.setup.sources import masked
from harness.support.errors import BadInput
from harness.support.paths import cache_dir

from . import proof
from .download import Limits, Offer, Say, ask, fetch, require_space
from .turn import one_at_a_time

VERSION = "0.9.0"
# Where `paddle_serving_server` 0.9.0 itself looks; SERVING_DOWNLOAD_URL names a mirror.
DOWNLOAD_URL = "https://paddle-serving.bj.bcebos.com/test-dev/bin"
# The GPU wheel of requirements/gpu.in is .post112: CUDA 11.2.
_GPU_BUILD = "gpu-112"
# An estimate before the download: the archive, and four times as much unpacked.
_TIMES_UNPACKED = 5
# OpenSSL and the wrapper.
_BESIDE = 16 << 20


def build_name(device: str) -> str:
    """The name the launcher would pick for this machine: ``cpu-avx-mkl``, ``gpu-112`` and so on."""
    if device == "gpu":
        return _GPU_BUILD
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "cpu-avx-mkl" if " avx" in flags else "cpu-noavx-openblas"


def _folder(device: str) -> Path:
    return cache_dir("serving") / f"serving-{build_name(device)}-{VERSION}"


def cached(device: str) -> Optional[Path]:
    """The program in the cache, ready to be SERVING_BIN, or None."""
    program = _folder(device) / "serving-patched"
    return program if program.exists() else None


def download_url(device: str) -> str:
    """Return the address of the archive with the official binary."""
    base = os.environ.get("SERVING_DOWNLOAD_URL", DOWNLOAD_URL).rstrip("/")
    return f"{base}/serving-{build_name(device)}-{VERSION}.tar.gz"


def obtain(device: str, say: Say, limits: Limits, *, again: bool = False) -> tuple[Path, str]:
    """Return the program for SERVING_BIN, and a phrase that says where it comes from.

    Args:
        device: ``cpu`` or ``gpu``.
        say: Called with a line before each long step.
        limits: The download's time-outs.
        again: Download an archive that was refused before, even if the host has no other.

    Raises:
        BadInput: The download failed, or the archive is wrong.
    """
    ready = cached(device)
    if ready is not None:
        return ready, "found in the cache"
    folder = _folder(device)

    def tell(text: str) -> None:
        say(masked(text))

    try:
        with one_at_a_time(folder.parent / "lock", "a download", say):
            ready = cached(device)
            if ready is not None:
                return ready, "found in the cache"
            return _download(folder, download_url(device), tell, limits, again)
    except OSError as error:
        raise BadInput(
            f"the official serving binary cannot be kept in {folder.parent} "
            f"({error.strerror or error}: {error.filename or folder}); mend that, or name another "
            "cache in HARNESS_CACHE"
        ) from error
    except BadInput as error:
        sentence = f"the official serving binary cannot be had: {error}"
        raise BadInput(masked(sentence)) from error


def _download(folder: Path, url: str, say: Say, limits: Limits, again: bool) -> tuple[Path, str]:
    # Left by a run that was killed.
    for left in folder.parent.glob(".new-*"):
        shutil.rmtree(left, ignore_errors=True)
    offer = ask(url, limits)
    archives = Archives(folder.parent / proof.ARCHIVES)
    name = f"{folder.name}.tar.gz"
    refused = archives.refused(name, offer)
    if refused is not None and not again:
        raise BadInput(refused)
    if offer.size is not None:
        require_space(folder.parent, _TIMES_UNPACKED * offer.size, f"{name} with its contents")
    size = "unknown size" if offer.size is None else f"{offer.size / 1e6:.1f} MB"
    say(f"downloading {url} ({size}; Ctrl-C ends it, SERVING=embedded needs no download)")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as new:
        archive = Path(new) / "serving.tar.gz"
        sha256 = fetch(offer, archive, say, limits)
        how = f"downloaded, sha256 {sha256}"
        say(f"{name}: sha256 {sha256}")
        before = archives.sha256(name)
        if before not in (None, sha256):
            how += f" (CHANGED: it was {before})"
            say(f"WARNING: {name} has CHANGED: its sha256 was {before} and is now {sha256}")
        try:
            _unpack(archive, Path(new), folder.name)
            _patch(Path(new) / folder.name)
        except _Refused as error:
            archives.note(name, offer, sha256, refused=str(error))
            raise
        (Path(new) / folder.name).chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        (Path(new) / folder.name).rename(folder)
        archives.note(name, offer, sha256)
    return folder / "serving-patched", how


class _Refused(BadInput):
    """The archive is wrong, and another download would bring the same archive."""


class Archives:
    """Remembers downloaded archives in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        known = proof.read(str(path)) or {}
        self._known: dict[str, dict[str, Any]] = {
            name: entry for name, entry in known.items() if isinstance(entry, dict)
        }

    def sha256(self, name: str) -> Optional[str]:
        """Return the digest of an archive's last download, or None."""
        return self._known.get(name, {}).get("sha256")

    def refused(self, name: str, offer: Offer) -> Optional[str]:
        """Return why this same archive was refused before, or None."""
        known = self._known.get(name, {})
        same = (known.get("url"), known.get("size"), known.get("validator"))
        if offer.validator is None or same != (masked(offer.url), offer.size, offer.validator):
            return None
        reason = known.get("refused")
        when = known.get("utc")
        return f"{reason} (downloaded {when}, and the host has no other)" if reason else None

    def note(self, name: str, offer: Offer, sha256: str, refused: Optional[str] = None) -> None:
        """Remember one archive."""
        utc = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        entry = {"sha256": sha256, "size": offer.size, "url": masked(offer.url), "utc": utc}
        self._known[name] = {**entry, "validator": offer.validator, "refused": refused}
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps(self._known, indent=1) + "\n")
        beside.replace(self._path)


def _unpack(archive: Path, into: Path, folder: str) -> None:
    name = f"{folder}.tar.gz"
    try:
        with tarfile.open(archive) as tar:
            members = tar.getmembers()
            for member in members:
                inside = (into / member.name).resolve().is_relative_to((into / folder).resolve())
                if not inside or not (member.isfile() or member.isdir() or member.issym()):
                    raise _Refused(f"{name}: {member.name} does not belong in {folder}/")
                if member.issym() and "/" in member.linkname:
                    raise _Refused(f"{name}: {member.name} links to {member.linkname}")
            sizes = [member.size for member in members]
            # The largest counts twice: patching writes a new copy.
            require_space(into, sum(sizes) + max(sizes, default=0) + _BESIDE, f"unpacking {name}")
            tar.extractall(into)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _Refused(f"{name} from the vendor's host is damaged: {error}") from error
    if not (into / folder / "serving").is_file():
        raise _Refused(f"{name} from the vendor's host holds no {folder}/serving")


def needs_patch() -> bool:
    """Return whether this glibc has no ``_dl_sym`` (2.34 and newer)."""
    _, version = platform.libc_ver()
    return tuple(int(part) for part in version.split(".")[:2]) >= (2, 34)


def _patch(folder: Path) -> None:
    """Write a wrapper script; on a current glibc rename ``_dl_sym`` and add OpenSSL 1.0.2."""
    program = folder / "serving"
    program.chmod(0o755)
    libraries = folder
    if needs_patch():
        from harness.load.patched_client import copy_openssl, rename_dl_sym

        try:
            rename_dl_sym(program)
        except BadInput as error:
            _, failed, reason = str(error).rpartition("failed: ")
            if not failed:  # patchelf itself is missing
                raise
            raise _Refused(
                f"{folder.name} cannot be patched for this C library: {reason}"
            ) from None
        libraries = folder / "openssl"
        libraries.mkdir(exist_ok=True)
        copy_openssl(libraries)
    wrapper = folder / "serving-patched"
    wrapper.write_text(
        "#!/bin/sh\n"
        "# Its shared libraries lie beside it; OpenSSL 1.0.2 only where the system has none.\n"
        'here=$(dirname "$(readlink -f "$0")")\n'
        f'export LD_LIBRARY_PATH="$here:$here/{libraries.name if libraries != folder else ""}'
        '${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\n'
        'exec "$here/serving" "$@"\n'
    )
    wrapper.chmod(0o755)
