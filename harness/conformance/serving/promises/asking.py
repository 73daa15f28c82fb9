"""Asks a server with the uci model until it answers with a price, or for some seconds."""

from __future__ import annotations

import time
from collections.abc import Set as AbstractSet

from harness.conformance.serving.check_http import predicted
from harness.conformance.serving.checks import Differs, holds
from harness.conformance.serving.server import Launched
from harness.support.errors import Failed
from harness.support.waits import wait_for

# A tick, the load, and a machine with other work.
SERVED_S = 15.0


def wait_served(server: Launched, price: float, what: str, *, within_s: float = SERVED_S) -> None:
    """Wait until a server answers with a price.

    Raises:
        Differs: The server does not do so within ``within_s`` seconds.
    """
    try:
        wait_for(lambda: predicted(server) == price, what, within_s, alive=server.process.check)
    except (Failed, Differs) as error:
        raise Differs(f"waiting for {what}: {_first_line(error)}{_ended(server)}") from None


def asked_for(server: Launched, seconds: float, allowed: AbstractSet[float]) -> None:
    """Ask for so many seconds, which spans several ticks.

    Raises:
        Differs: A request fails, or an answer is not allowed.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            price = predicted(server)
        except Differs as error:
            raise Differs(f"a request failed: {_first_line(error)}{_ended(server)}") from None
        holds(price in allowed, f"the answer {price}, which is none of {sorted(allowed)}")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _ended(server: Launched) -> str:
    return "" if server.process.running else "; the server has ended"
