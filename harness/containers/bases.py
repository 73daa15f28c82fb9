"""The Debian base images: from the engine, from a registry, or made by debootstrap.

Order: what ``BASE_IMAGE_<SUITE>`` names; the official image if the engine has it; the one made
here earlier; the official image from a registry; and, with ``ALLOW_INSTALL=1`` as root, one made
by debootstrap from this machine's own apt mirror.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from harness.support.errors import BadInput, Failed
from harness.support.paths import cache_dir, repository_root

from . import engine

#: Suite to the registry's name. Debian 11 is there for its CPython 3.9 and glibc 2.31.
OFFICIAL = {"bookworm": "debian:bookworm-slim", "bullseye": "debian:bullseye-slim"}
_PULL_DEADLINE_S = 300.0
_APT = Path("/etc/apt")


@dataclass(frozen=True)
class Mirrors:
    """Where a suite's packages come from: the archive, and security updates if there are any."""

    archive: str
    security: Optional[str]


def made_here(suite: str) -> str:
    """The name of the base that debootstrap makes: not the official one's, which it is not."""
    return f"hot-loading/base:{suite}"


def parse_sources(texts: Iterable[str]) -> Mirrors:
    """The first Debian archive and security mirror in apt sources of either format.

    Raises ``BadInput`` when there is none, and for one with a password in its address: it would
    stand in the image.
    """
    archive: Optional[str] = None
    security: Optional[str] = None
    for text in texts:
        for line in text.splitlines():
            found = re.match(r"\s*(?:deb\s+(?:\[[^]]*\]\s+)?|URIs:\s*)([a-z+]+://\S+)", line)
            if found is None:
                continue
            address = found.group(1).rstrip("/")
            if "security" in address:
                security = security or address
            elif address.endswith("/debian"):
                archive = archive or address
    if archive is None:
        raise BadInput(
            "no Debian mirror stands in /etc/apt, so debootstrap has nothing to work from; "
            "name base images in BASE_IMAGE_BOOKWORM and BASE_IMAGE_BULLSEYE"
        )
    for address in filter(None, (archive, security)):
        if "@" in urlsplit(address).netloc:
            raise BadInput(
                f"the address of the mirror {urlsplit(address).hostname} in /etc/apt holds a user "
                "or a password, which everybody who has the image would read; move them to "
                "/etc/apt/auth.conf.d, or name base images in BASE_IMAGE_BOOKWORM and "
                "BASE_IMAGE_BULLSEYE"
            )
    return Mirrors(archive, security)


def machine_mirrors() -> Mirrors:
    """``parse_sources`` on this machine's own sources."""
    files = [_APT / "sources.list", *sorted((_APT / "sources.list.d").glob("*.list"))]
    files += sorted((_APT / "sources.list.d").glob("*.sources"))
    return parse_sources(file.read_text(errors="replace") for file in files if file.is_file())


@contextlib.contextmanager
def locked(suite: str) -> Iterator[None]:
    """Holds what two runs at once must not do twice: getting the base of a suite."""
    with (cache_dir("docker") / f"{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def wanted(suite: str) -> str:
    """What a registry is asked for: what ``BASE_IMAGE_<SUITE>`` names, or the official image."""
    return os.environ.get(_variable(suite)) or OFFICIAL[suite]


def _variable(suite: str) -> str:
    return f"BASE_IMAGE_{suite.upper()}"


def is_named(suite: str) -> bool:
    """Whether the user has named an image, so that no other will do."""
    return bool(os.environ.get(_variable(suite)))


def find(suite: str) -> Optional[str]:
    """The base that the engine has, without asking any registry; None when there is none."""
    names = (wanted(suite),) if is_named(suite) else (OFFICIAL[suite], made_here(suite))
    for name in names:
        if engine.image_id(name) is not None:
            return name
    return None


def pull(suite: str) -> Optional[str]:
    """None when a registry gave the image that is wanted, else its refusal in one line.

    Raises ``BadInput`` when that is one the user has named: nothing else could take its place.
    """
    try:
        engine.docker("pull", "--quiet", wanted(suite), deadline_s=_PULL_DEADLINE_S)
    except Failed as error:
        refusal = str(error).splitlines()[-1]
        if is_named(suite):
            raise BadInput(
                f"{_variable(suite)}={wanted(suite)} is not in the engine and no registry gave it "
                f"({refusal}); mend the name, or unset the variable"
            ) from None
        return refusal
    return None


def make(suite: str, say: Callable[[str], None]) -> str:
    """Makes the base with debootstrap (as root; about 40 s). Raises ``BadInput`` or ``Failed``."""
    if shutil.which("debootstrap") is None:
        raise BadInput("debootstrap is missing; as root: `apt-get install -y debootstrap`")
    if os.geteuid() != 0:
        raise BadInput(f"only root can make the base image {made_here(suite)} with debootstrap")
    mirrors = machine_mirrors()
    say(f"making the base image {made_here(suite)} with debootstrap from this machine's mirror")
    script = repository_root() / "docker" / "base" / "make-base.sh"
    arguments = [suite, mirrors.archive, made_here(suite)]
    arguments += [mirrors.security] if mirrors.security else []
    engine.command(["sh", str(script), *arguments], deadline_s=900)
    return made_here(suite)


def ensure(suite: str, say: Callable[[str], None], allow_install: bool) -> str:
    """The base image's name; pulled or made when it is not there.

    Raises ``BadInput`` with what to type when no registry answers and nothing may be installed.
    """
    found = find(suite)
    if found is not None:
        return found
    say(f"pulling {wanted(suite)}")
    refusal = pull(suite)
    if refusal is None:
        return wanted(suite)
    if allow_install:
        return make(suite, say)
    raise BadInput(
        f"the base image {OFFICIAL[suite]} is not here and no registry gave it ({refusal}); "
        "as root on Debian, `make docker-ready ALLOW_INSTALL=1` makes one with debootstrap; "
        f"or name one of yours in {_variable(suite)}"
    )


def installing_allowed() -> bool:
    """Whether ``ALLOW_INSTALL=1`` was said."""
    return os.environ.get("ALLOW_INSTALL") == "1"
