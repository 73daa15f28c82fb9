"""How the suite asks a monitor for something while the monitor runs.

A control has a name and one or more ways. A way is one of these:

    SIGHUP                                   a signal, sent to the monitor
    http://127.0.0.1:{metrics_port}/-/poll   an address, which gets a POST with a bearer token;
                                             for ``ready`` a GET
    python -m monitor hold --local_path=…    a command

An address and a command may have names in braces, like ``--monitor-cmd``. Each name is an option
that the suite gives the monitor, or ``release``.
"""

from __future__ import annotations

import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from harness.support.errors import BadInput, Failed
from harness.support.ports import is_listening
from harness.support.waits import tail, wait_for

from .command import OPTIONS, filled, resolved, words_of

# What each control makes a monitor do.
NAMES: Mapping[str, str] = {
    "look": "reads the donefile at once",
    "hold": "installs nothing from now on",
    "resume": "ends a hold",
    "pin": "installs nothing but {release} from now on",
    "unpin": "ends a pin",
    "ready": "says whether the server serves the installed release",
}
_OPTION = "--control"
_PLACES = (*OPTIONS, "release")
_LONGEST_S = 60.0
_PORT = re.compile(r"https?://[^/?#]+:(\d+|\{\w+\})([/?#]|$)")


def is_address(way: str) -> bool:
    """Return whether the way is an address."""
    return way.startswith(("http://", "https://"))


def is_signal(way: str) -> bool:
    """Return whether the way is a signal."""
    return way in signal.Signals.__members__


def read(controls: Mapping[str, Sequence[str]], folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the controls. Relative paths in their commands start at ``folder``.

    Raises:
        BadInput: A name is not that of a control, or a way cannot be read.
    """
    return {name: tuple(_read(name, way, folder) for way in controls[name]) for name in controls}


def _read(name: str, way: str, folder: Path) -> str:
    if name not in NAMES:
        raise BadInput(f"{_OPTION} {name} is not known; use one of {', '.join(NAMES)}")
    if not way.strip():
        raise BadInput(f"{_OPTION} {name} is empty; give a signal, an address or a command")
    words_of(way, option=_OPTION, known=_PLACES)
    if name == "ready" and not is_address(way):
        raise BadInput(f"{_OPTION} ready is {way!r}; give an address that answers 200 or 503")
    if is_address(way) and not _PORT.match(way):
        raise BadInput(f"{_OPTION} {name} is {way!r}; give the address with its port")
    if is_address(way) or is_signal(way):
        return way
    return resolved(way, folder, option=_OPTION, known=_PLACES)


def request(method: str, way: str, options: Mapping[str, str], token: str) -> int:
    """Send a request to an address. Return the status of the answer.

    Raises:
        Failed: No answer came.
    """
    (address,) = filled(way, options, option=_OPTION, known=_PLACES)
    port = urlsplit(address).port or 0
    wait_for(lambda: is_listening(port), f"a listener for {way}", 20)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    asked = urllib.request.Request(address, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=_LONGEST_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError as error:
        raise Failed(f"no answer from {way}: {error}") from None


def run(way: str, options: Mapping[str, str], environment: Mapping[str, str], log: Path) -> None:
    """Run a command to its end. Its output goes to ``log``.

    Raises:
        Failed: The command cannot be started, takes too long, or its exit code is not 0.
    """
    argv = filled(way, options, option=_OPTION, known=_PLACES)
    try:
        with log.open("ab") as output:
            done = subprocess.run(
                argv, env=dict(environment), cwd=log.parent, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, timeout=_LONGEST_S, check=False,
            )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"`{way}` cannot be run to its end: {error}") from None
    if done.returncode:
        raise Failed(f"`{way}` ended with exit code {done.returncode}: {tail(log, 1)}")
