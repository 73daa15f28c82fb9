"""The folders that set-up and runs fill: path, variable and size.

Standard library only, Python 3.6 or newer: the set-up and ``make doctor`` use it before there is
an environment.
"""

import os
import shutil
from typing import List, NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
#: The end of a message about something that is missing.
DOCTOR = "`make doctor` lists all that is missing"
CACHE = os.environ.get("HARNESS_CACHE") or os.path.join(ROOT, ".cache")


class Place(NamedTuple):
    """One folder. ``variable`` moves it; ``needs`` is the bytes that a first set-up writes."""

    name: str
    folder: str
    variable: str
    needs: int


def _existing(folder: str) -> str:
    """Return ``folder``, or its nearest existing parent."""
    folder = os.path.abspath(folder)
    while not os.path.lexists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return folder


def writable(folder: str) -> bool:
    """Return whether this user can write ``folder``, or make it."""
    found = _existing(folder)
    return os.path.isdir(found) and os.access(found, os.W_OK | os.X_OK)


def _in_home(variable: str, parts: str, instead: str) -> str:
    """Return a folder in the home folder; if it cannot be written, ``instead`` in the cache."""
    given = os.environ.get(variable)
    if given:
        return given
    folder = os.path.expanduser(os.path.join("~", parts))
    if os.path.isabs(folder) and writable(folder):
        return folder
    return os.path.join(CACHE, instead)


def uv_cache() -> str:
    """Return uv's cache: UV_CACHE_DIR, or uv's default folder if it can be written."""
    cache = os.environ.get("XDG_CACHE_HOME")
    if cache and not os.environ.get("UV_CACHE_DIR") and writable(cache):
        return os.path.join(cache, "uv")
    return _in_home("UV_CACHE_DIR", ".cache/uv", "uv-packages")


def maven_repository() -> str:
    """Return Maven's local repository: M2_REPO, or ~/.m2/repository if it can be written."""
    return _in_home("M2_REPO", ".m2/repository", "m2")


def has_jars() -> bool:
    """Return whether Hadoop's jars are in Maven's local repository."""
    return _has(maven_repository(), "org/apache/hadoop/hadoop-client-minicluster")


def wants_local_hdfs() -> bool:
    """Return whether the variables REMOTES and ON ask for HDFS on this machine."""
    remotes = os.environ.get("REMOTES") or "hdfs"
    return "hdfs" in remotes.split(",") and os.environ.get("ON") != "docker"


def places(environment: str = ".venv") -> List[Place]:
    """Return all folders. A folder that is already filled needs no more."""
    venv = os.path.join(ROOT, environment)
    ready = _has(venv, "lock.sha256")
    maven = maven_repository()
    jars = has_jars()
    return [
        Place("environment", venv, "", 0 if ready else 1_200_000_000),
        Place("cache", CACHE, "HARNESS_CACHE", 0 if _has(CACHE, "client") else 700_000_000),
        Place("uv's cache", uv_cache(), "UV_CACHE_DIR", 0 if ready else 1_100_000_000),
        Place("Maven's repository", maven, "M2_REPO", 0 if jars else 120_000_000),
    ]


def _has(folder: str, name: str) -> bool:
    return os.path.exists(os.path.join(folder, name))


def free_bytes(folder: str) -> int:
    """Return the free bytes where ``folder`` is or will be made."""
    return shutil.disk_usage(_existing(folder)).free


def device(folder: str) -> int:
    """Return the number of the file system of ``folder``, which may not exist yet."""
    return os.stat(_existing(folder)).st_dev


def size(count: int) -> str:
    """Return ``count`` bytes as text: ``1.2 GB`` or ``35 MB``."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def named(place: Place) -> str:
    """Return a phrase with the place's folder, free bytes and variable."""
    how = f"; {place.variable} names another folder" if place.variable else ""
    free = size(free_bytes(place.folder))
    return f"{place.name} in {place.folder} ({free} free{how})"


def too_small(environment: str = ".venv") -> List[str]:
    """Return one sentence for each file system with too little space for the set-up."""
    filling = [place for place in places(environment) if place.needs]
    sentences = []
    for number in sorted({device(place.folder) for place in filling}):
        here = [place for place in filling if device(place.folder) == number]
        # If both are on one file system, uv links packages from its cache.
        total = sum(place.needs for place in here)
        if {"environment", "uv's cache"} <= {place.name for place in here}:
            total -= next(place.needs for place in here if place.name == "uv's cache")
        if total > free_bytes(here[0].folder):
            sentences.append(
                "{} are needed for {}".format(size(total), ", and ".join(map(named, here)))
            )
    return sentences


def unwritable(environment: str = ".venv") -> List[Place]:
    """Return the places that this user cannot write."""
    return [place for place in places(environment) if not writable(place.folder)]
