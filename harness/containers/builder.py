"""Runs ``docker build`` with the builder that this machine has, and passes what it needs.

BuildKit takes certificate authorities as a secret. A client of 23 or newer without buildx uses the
old builder, which knows no secrets. It gets the authorities only if ``DOCKER_BUILD_CA`` asks for
it. They then stay in a layer (certificates are public).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from . import authorities, engine

_DEADLINE_S = 900.0
#: Each of our Dockerfiles has this in the RUN step of apt. The target is a file in memory.
SECRET = "--mount=type=secret,id=ca,target=/run/build-ca.crt,mode=0444"
#: Builders know these without an ARG and keep them out of an image's history.
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")


@dataclass(frozen=True)
class Builder:
    """How this machine builds images."""

    # The words after ``docker``.
    words: tuple[str, ...]
    # Further environment variables.
    environment: tuple[tuple[str, str], ...]
    # Whether it is BuildKit.
    is_buildkit: bool


def find() -> Builder:
    """Return buildx, the BuildKit of an older client, or the old builder."""
    if engine.docker("buildx", "version", check=False).startswith("github.com/docker/buildx"):
        # The builder inside the engine, named after docker's context. A selected builder (`buildx
        # create --use`, BUILDX_BUILDER) may live in a container, without the engine's images.
        inside = engine.docker("context", "inspect", "--format", "{{.Name}}")
        return Builder(("buildx", "build", "--builder", inside, "--load"), (), True)
    version = re.match(r"\d+", engine.docker("version", "--format", "{{.Client.Version}}"))
    if version is not None and int(version.group()) < 23:
        return Builder(("build",), (("DOCKER_BUILDKIT", "1"),), True)
    # Without --force-rm it leaves the container of a step that failed.
    return Builder(("build", "--force-rm"), (("DOCKER_BUILDKIT", "0"),), False)


def build(context: Path, tag: str, options: Sequence[str] = ()) -> None:
    """Builds the Dockerfile in ``context`` as ``tag``. Raises ``Failed`` with the builder's words.

    For the old builder, ``context`` gets another Dockerfile and the bundle.
    """
    builder = find()
    words = [*builder.words, "--quiet", "--tag", tag, *options, *_proxies()]
    with tempfile.TemporaryDirectory(prefix="hot-loading-ca-") as lent:
        if builder.is_buildkit:
            secret = Path(lent) / "bundle.crt"
            secret.write_text(authorities.bundle())
            words += ["--secret", f"id=ca,src={secret}"]
        else:
            _for_the_old_builder(context)
        engine.docker(
            *words, str(context), deadline_s=_DEADLINE_S, environment=dict(builder.environment)
        )


def _for_the_old_builder(context: Path) -> None:
    """Write a Dockerfile that copies the bundle in place of the secret; empty if none is named."""
    given = authorities.named()
    (context / "build-ca.crt").write_text(authorities.bundle() if given else "")
    dockerfile = context / "Dockerfile"
    text = dockerfile.read_text()
    dockerfile.write_text(text.replace(f"RUN {SECRET}", "COPY build-ca.crt /run/\nRUN"))


def _proxies() -> list[str]:
    """Return the options for the proxies, by name, so that no command line shows a value."""
    words = []
    on_this_host = False
    for name in _PROXIES:
        for variable in (name, name.upper()):
            value = os.environ.get(variable)
            if value:
                words += ["--build-arg", variable]
                if name != "no_proxy":
                    host = urlsplit(value if "://" in value else f"//{value}").hostname or ""
                    on_this_host |= host == "localhost" or host.startswith("127.")
    # Only the host's own network reaches a proxy on the host.
    return [*words, "--network", "host"] if on_this_host else words
