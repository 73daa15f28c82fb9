"""Why an HTTP request failed, in words for people.

``requests`` and ``urllib3`` wrap an error several times. The innermost one says in the fewest words
what happened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Optional

import requests
import urllib3

from ..errors import RemoteError, reason

# How many wrapped errors are looked into. An error may lead back to itself.
_MAX_DEPTH = 12


@contextlib.contextmanager
def as_remote_error(operation: str, url: str) -> Iterator[None]:
    """Turn what requests and urllib3 raise in this block into a ``RemoteError``.

    Args:
        operation: What is done, as a verb that goes with ``url`` ("read").
        url: The address.
    """
    try:
        yield
    except (
        requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError
    ) as error:  # fmt: skip
        raise RemoteError(
            operation, url, cause(error), "check the address and that it is up"
        ) from error


def cause(error: BaseException) -> str:
    """Return the innermost error of the system in words, else the error's own text."""
    seen: Optional[BaseException] = error
    for _ in range(_MAX_DEPTH):
        if seen is None:
            break
        system = isinstance(seen, OSError) and not isinstance(seen, requests.RequestException)
        if system and getattr(seen, "errno", None):
            return reason(seen)
        inner = seen.args[0] if seen.args and isinstance(seen.args[0], BaseException) else None
        why = getattr(seen, "reason", None)
        seen = (
            inner
            or (why if isinstance(why, BaseException) else None)
            or seen.__cause__
            or seen.__context__
        )
    last = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else error
    late = isinstance(last, (requests.Timeout, urllib3.exceptions.TimeoutError))
    if late and not isinstance(last, urllib3.exceptions.NewConnectionError):
        return "nothing came within the time-out"
    return " ".join(str(error).split()) or type(error).__name__


def unexpected_status(operation: str, url: str, answer: urllib3.HTTPResponse) -> RemoteError:
    """Return the error for an answer whose status code was not expected."""
    code = answer.status
    hint = "look in the server's log"
    if code in (401, 403, 407):
        hint = "check the user, --http_token_file, --http_header or --http_query_file"
    return RemoteError(operation, url, f"the server answered {code} {answer.reason}", hint)
