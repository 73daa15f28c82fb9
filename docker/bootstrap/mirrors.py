"""Where this machine's Debian packages come from, as its apt sources say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from harness.support.errors import BadInput

_APT = Path("/etc/apt")


@dataclass(frozen=True)
class Mirrors:
    """Where a suite's packages come from: the archive, and security updates if there are any."""

    archive: str
    security: Optional[str]


def parse_sources(texts: Iterable[str]) -> Mirrors:
    """Return the first Debian archive and security mirror in apt sources of either format.

    Raises ``BadInput`` if there is no archive, or if an address has a password, which the image
    would show.
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
            "/etc/apt names no Debian mirror, so debootstrap has nothing to work from; "
            "name base images in BASE_IMAGE_BOOKWORM and BASE_IMAGE_BULLSEYE"
        )
    for address in filter(None, (archive, security)):
        if "@" in urlsplit(address).netloc:
            raise BadInput(
                f"the address of the mirror {urlsplit(address).hostname} in /etc/apt holds a user "
                "or a password, which the image would show; move them to "
                "/etc/apt/auth.conf.d, or name base images in BASE_IMAGE_BOOKWORM and "
                "BASE_IMAGE_BULLSEYE"
            )
    return Mirrors(archive, security)


def machine_mirrors() -> Mirrors:
    """``parse_sources`` on this machine's own sources."""
    files = [_APT / "sources.list", *sorted((_APT / "sources.list.d").glob("*.list"))]
    files += sorted((_APT / "sources.list.d").glob("*.sources"))
    return parse_sources(file.read_text(errors="replace") for file in files if file.is_file())
