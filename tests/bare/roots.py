"""Minimal roots of Debian and Ubuntu, made by debootstrap and cached as tar files."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from docker.bootstrap.mirrors import machine_mirrors
from harness.support.errors import BadInput, Failed
from harness.support.paths import cache_dir

from .workplace import Workplace

#: Suite to the system's name. Debian 11 has CPython 3.9.2 of its own.
SYSTEMS = {
    "bullseye": "Debian 11",
    "bookworm": "Debian 12",
    "trixie": "Debian 13",
    "jammy": "Ubuntu 22.04",
}
UBUNTU = ("jammy",)
# The packages that the README names.
PACKAGES = ("make", "python3", "python3-venv", "git", "ca-certificates")
# Part of the cache's key; raise it when the recipe below changes.
_RECIPE = "1"
_DEADLINE_S = 900


class NotHere(Exception):
    """This machine cannot make a root or a machine; the text says why."""


def mirror_of(suite: str) -> str:
    """Return the address of the archive of ``suite``. Raises ``NotHere``."""
    if suite in UBUNTU:
        named = os.environ.get("UBUNTU_MIRROR")
        if named is None:
            raise NotHere("no Ubuntu archive is known here; name one in UBUNTU_MIRROR")
        return named
    named = os.environ.get("DEBIAN_MIRROR")
    try:
        return named or machine_mirrors().archive
    except BadInput as error:
        raise NotHere(
            f"no Debian archive is known here ({str(error).partition(';')[0]}); "
            "name one in DEBIAN_MIRROR"
        ) from None


def tarball(suite: str, say: Callable[[str], None]) -> Path:
    """Return the root of ``suite`` as a tar file; make it if the cache has none (a minute).

    Raises:
        NotHere: The archive is not available.
        Failed: debootstrap failed for another reason.
    """
    mirror = mirror_of(suite)
    recipe = "\n".join((_RECIPE, suite, mirror, *PACKAGES))
    cached = cache_dir("bare") / f"{suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"
    if cached.exists():
        return cached
    say(f"making the root of {SYSTEMS[suite]} with debootstrap")
    with Workplace(f"{suite}-root") as place:
        root, part = place / "root", place / "root.tar"
        words, environment = _debootstrap(place)
        words += ["--variant=minbase", f"--include={','.join(PACKAGES)}", suite, str(root), mirror]
        # In a mount namespace: debootstrap mounts /proc in the root and may be killed.
        _run(["unshare", "--mount", *words], f"debootstrap of {suite}", environment)
        tar = ["tar", "--one-file-system", "--numeric-owner", "-C", str(root), "-cf", str(part)]
        _run([*tar, "--exclude=./var/cache/apt/archives/*.deb", "."], f"tar of {suite}")
        os.replace(part, cached)
    for older in cached.parent.glob(f"{suite}-*.tar"):
        if older != cached:
            older.unlink()
    return cached


def _debootstrap(place: Path) -> tuple[list[str], dict[str, str]]:
    """Return debootstrap's command and environment; fetch it into ``place`` if it is missing."""
    found = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is not None:
        return [found], {}
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise NotHere("debootstrap is not installed, and without apt it cannot be fetched")
    # debootstrap is a shell script with data, so unpacking is enough.
    fetch = ["apt-get", "download", "-qq", "debootstrap"]
    for attempt in (fetch, ["apt-get", "update", "-qq"], fetch):
        subprocess.run(attempt, cwd=place, capture_output=True, check=False, timeout=_DEADLINE_S)
        packages = list(place.glob("debootstrap_*.deb"))
        if packages:
            _run(["dpkg", "-x", str(packages[0]), str(place / "tool")], "unpacking debootstrap")
            tool = place / "tool" / "usr"
            data = {"DEBOOTSTRAP_DIR": str(tool / "share" / "debootstrap")}
            return [str(tool / "sbin" / "debootstrap")], data
    raise NotHere("debootstrap is not installed and apt cannot fetch it (apt-get update fails?)")


def _run(words: list[str], what: str, environment: Optional[dict[str, str]] = None) -> None:
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **(environment or {})},
        check=False,
        timeout=_DEADLINE_S,
    )
    if done.returncode != 0:
        last = "\n".join(done.stdout.splitlines()[-5:])
        if "Failed getting release file" in last or "Couldn't download" in last:
            raise NotHere(f"the archive does not give the suite: {last}")
        raise Failed(f"{what} ended with {done.returncode}:\n{last}")
