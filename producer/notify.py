"""Tells monitors of a published release, so that they poll at once.

A failure is only a warning, because the monitors find the release at their next poll.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Optional
from urllib.parse import urlsplit

from .errors import BadInput

if TYPE_CHECKING:
    from requests import PreparedRequest

# The limit for a connection and for an answer. A monitor answers before it polls.
_TIMEOUT_S = 5.0
_AT_ONCE = 32


class Monitors:
    """The addresses that are told of each release."""

    def __init__(self, urls: Sequence[str], token_file: Optional[Path]) -> None:
        """``token_file`` has the token in its first line. Raises ``BadInput`` without one."""
        self._urls = urls
        if urls:
            # Imported here, so that the first notice does not wait for the import.
            import requests  # noqa: F401
        self._token_file = token_file
        if token_file is not None:
            _token(token_file)

    def tell(self) -> list[str]:
        """Post to all addresses. Return a sentence for each failure."""
        if not self._urls:
            return []
        try:
            # Read again, because the token may be rotated.
            token = _token(self._token_file) if self._token_file is not None else ""
        except BadInput as error:
            return [str(error)]
        with ThreadPoolExecutor(min(_AT_ONCE, len(self._urls))) as pool:
            said = pool.map(lambda url: _post(url, token), self._urls)
        return [one for one in said if one]


def _token(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadInput(
            f"cannot read --notify_token_file {path}: {why}; give a readable file"
        ) from None
    if not lines or not lines[0]:
        raise BadInput(
            f"the first line of --notify_token_file {path} is empty; put the token there"
        )
    return lines[0]


def _post(url: str, token: str) -> str:
    """Return why the monitor was not told; empty if it was."""
    import requests

    def sign(request: PreparedRequest) -> PreparedRequest:
        # Passed as ``auth``, because requests would otherwise send an account of .netrc.
        if token:
            # requests sends text as Latin-1, and the monitor expects UTF-8.
            header = f"Bearer {token}".encode().decode("latin-1")
            request.headers["Authorization"] = header
        return request

    where = shown(url)
    try:
        # No redirect: the token is only for this address.
        answer = requests.post(url, auth=sign, timeout=_TIMEOUT_S, allow_redirects=False)
    except (requests.RequestException, ValueError) as error:
        # The text of requests repeats the address, which may hold a password.
        cause: object = error
        while isinstance(cause, BaseException) and (cause.__cause__ or cause.__context__):
            cause = cause.__cause__ or cause.__context__
        why = getattr(cause, "strerror", None) or type(error).__name__
        return f"cannot notify {where}: {why}"
    if answer.status_code // 100 == 2:
        return ""
    said = " ".join(answer.text[:200].split())
    return f"cannot notify {where}: it answered {answer.status_code} ({said})"


def shown(url: str) -> str:
    """Return an address without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
