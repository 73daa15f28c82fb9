"""The certificate authorities that a build gets, for an apt mirror behind https.

The host knows a company's own authority; a container does not. This module collects what the host
trusts from the usual places into one bundle. A build gets the bundle as a secret: it is there while
apt runs, and in no layer of the image.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

from harness.support.errors import BadInput

VARIABLE = "DOCKER_BUILD_CA"
#: Where programs on the host are told of a bundle: OpenSSL, requests, pip, curl, Node.
_ELSEWHERE = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)
#: The system's own: Debian's, Fedora's.
_SYSTEM = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
)
#: Where Debian's administrator puts further ones, one a file.
_LOCAL = Path("/usr/local/share/ca-certificates")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


def named() -> Optional[Path]:
    """The bundle that ``DOCKER_BUILD_CA`` names, None without one. Raises ``BadInput``."""
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    path = Path(given)
    if not path.is_file():
        raise BadInput(f"{VARIABLE}={given} is not a file; name a PEM bundle or unset it")
    if not certificates([path]):
        raise BadInput(f"{VARIABLE}={given} holds no certificate in PEM; name a bundle that does")
    return path


def bundle() -> str:
    """All that the host trusts, in PEM, each certificate once; empty where nothing was found.

    ``DOCKER_BUILD_CA`` names a bundle to take instead. Raises ``BadInput`` when it is no bundle.
    """
    given = named()
    found = [given] if given else [*_from_environment(), *_SYSTEM, *sorted(_LOCAL.rglob("*.crt"))]
    return "".join(f"{one}\n" for one in certificates(found))


def _from_environment() -> Iterable[Path]:
    for variable in _ELSEWHERE:
        value = os.environ.get(variable)
        if value:
            yield Path(value)


def certificates(files: Iterable[Path]) -> list[str]:
    """The certificates in PEM files, each once, in their order; what cannot be read has none.

    A key in the same file is left out.
    """
    found: dict[str, None] = {}
    for file in files:
        try:
            text = file.read_text(errors="replace")
        except OSError:
            continue
        found.update(dict.fromkeys(_CERTIFICATE.findall(text)))
    return list(found)
