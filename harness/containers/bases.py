"""The Debian base images: from the engine, from a registry, or made by docker/bootstrap.

The first of these is taken:

1. What ``BASE_IMAGE_<SUITE>`` names.
2. The official image in the engine.
3. The image that debootstrap made here earlier.
4. The official image from a registry.
5. With ``ALLOW_INSTALL=1`` as root, a new one, made by debootstrap from this machine's apt mirror.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from typing import Optional

from harness.support.errors import BadInput, Failed
from harness.support.paths import cache_dir

from . import bootstrap, engine

#: Suite to the registry's name. Debian 11 is there for its CPython 3.9 and glibc 2.31.
OFFICIAL = {"bookworm": "debian:bookworm-slim", "bullseye": "debian:bullseye-slim"}
_PULL_DEADLINE_S = 300.0


def made_here(suite: str) -> str:
    """Return the name of the base that debootstrap makes; the official image has another name."""
    return f"hot-loading/base:{suite}"


@contextlib.contextmanager
def locked(suite: str) -> Iterator[None]:
    """Hold the lock of a suite, so that two runs at once do not both get its base."""
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
    """Pull the wanted image. Return None, or the registry's refusal in one line.

    Raises ``BadInput`` instead if the user has named the image, because no other may replace it.
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


def ensure(suite: str, say: Callable[[str], None], allow_install: bool) -> str:
    """Return the base image's name; pull or make the image if the engine does not have it.

    Raises:
        BadInput: No registry answers and nothing may be installed; the text says what to type.
    """
    # Two runs at once must not get the same image twice.
    with locked(suite):
        found = find(suite)
        if found is not None:
            return found
        say(f"pulling {wanted(suite)}")
        refusal = pull(suite)
    if refusal is None:
        return wanted(suite)
    if allow_install:
        # The program takes the lock itself.
        bootstrap.run([suite], say)
        return find(suite) or made_here(suite)
    raise BadInput(
        f"the base image {OFFICIAL[suite]} is not here and no registry gave it ({refusal}); "
        "as root on Debian, `make docker-ready ALLOW_INSTALL=1` makes one with debootstrap; "
        f"or name one of yours in {_variable(suite)}"
    )


def installing_allowed() -> bool:
    """Return whether ``ALLOW_INSTALL=1`` is set."""
    return os.environ.get("ALLOW_INSTALL") == "1"
