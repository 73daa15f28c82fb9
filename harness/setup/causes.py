"""Finds the cause and the remedy of a failed download or write in a program's output.

Standard library only, Python 3.6 or newer: the set-up uses it before there is an environment.
"""

import os
import re
from typing import Optional

from harness.support import places

_DOCS = "docs/setup.md"
_FULL = r"No space left on device|Disk quota exceeded|[eE]rrno 28\b|os error 28\b|os error 122\b"
_UNWRITABLE = (
    r"Permission denied|Read-only file system|os error 13\b|os error 30\b|"
    r"[Ff]ailed to (?:initialize cache|create directory)"
)
_CERTIFICATE = (
    r"UnknownIssuer|CERTIFICATE_VERIFY_FAILED|certificate verify failed|invalid peer certificate|"
    r"self[- ]signed certificate|CaUsedAsEndEntity|unable to get local issuer"
)
_NO_BUNDLE = r"Could not find a suitable TLS CA certificate bundle"
_PROXY = r"ProxyError|[Pp]roxy (?:server|connection|authentication)|tunnel|407 Proxy"
_NAME = (
    r"dns error|failed to lookup address|Name or service not known|No address associated|"
    r"[Tt]emporary failure in name resolution|NameResolutionError|getaddrinfo failed"
)
_HASH = r"[Hh]ash(?:es)? mismatch|DO NOT MATCH THE HASHES|its SHA-256 is"
_REFUSED = r"\b401\b|\b403\b|Unauthorized|Forbidden"
_ABSENT = (
    r"\b404\b|not found in remote repositories|was not found in the package registry|"
    r"No matching distribution|there (?:is|are) no version"
)
_UNREACHABLE = (
    r"Connection refused|Network is unreachable|No route to host|timed out|[Tt]imeout|"
    r"Connection reset|error sending request|Max retries exceeded|tcp connect error"
)


def _proxies() -> str:
    names = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
    return ", ".join(name for name in names if os.environ.get(name))


def remedy(printed: str, otherwise: str, *, environment: str = ".venv") -> str:
    """Return cause and remedy as half a sentence, or ``otherwise`` if ``printed`` shows none."""
    return known_cause(printed, environment=environment) or otherwise


def known_cause(printed: str, *, environment: str = ".venv") -> Optional[str]:
    """Return cause and remedy as half a sentence, or None if ``printed`` shows none."""
    proxies = _proxies()
    if re.search(_FULL, printed):
        least = min(places.places(environment), key=lambda place: places.free_bytes(place.folder))
        return "the disk is full: make room for " + places.named(least)
    if re.search(_NO_BUNDLE, printed):
        return "SSL_CERT_FILE, REQUESTS_CA_BUNDLE or PIP_CERT names a file that is not there"
    if re.search(_CERTIFICATE, printed):
        return (
            "the other side's certificate is signed by an authority that is not known here: give "
            "the bundle that your company's authority is in, as SSL_CERT_FILE=/path/to/bundle.pem, "
            f"or add it to the system's ({_DOCS}, company certificates)"
        )
    if re.search(_UNWRITABLE, printed):
        closed = places.unwritable(environment)
        which = ", ".join(places.named(place) for place in closed) or "the folder named above"
        return "a folder cannot be written: " + which
    # With a proxy, this machine resolves only the proxy's name.
    if re.search(_PROXY, printed) or (proxies and re.search(f"{_UNREACHABLE}|{_NAME}", printed)):
        names = proxies or "pip's setting `proxy`"
        return f"the proxy does not let this through or does not answer: correct {names} ({_DOCS})"
    if re.search(_NAME, printed):
        return (
            "the host's name is not resolved: this machine has no network or no DNS here; go "
            f"online, or name a mirror or a proxy ({_DOCS})"
        )
    if re.search(_HASH, printed):
        return (
            "a file is not the one in the lock: the mirror serves another one under its name, or a "
            f"download was damaged; try again, or use another mirror ({_DOCS})"
        )
    if re.search(_REFUSED, printed):
        return "the other side wants a login, or forbids this: see mirrors in " + _DOCS
    if re.search(_ABSENT, printed):
        return "the mirror or index does not have it: see mirrors in " + _DOCS
    if re.search(_UNREACHABLE, printed):
        return f"the other side does not answer: go online, or name a mirror or proxy ({_DOCS})"
    return None
