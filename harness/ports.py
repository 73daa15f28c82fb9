"""Free TCP ports on the loopback address.

They are drawn at random from below the kernel's ephemeral range, so that neither an outgoing
connection nor another run (test workers, a second ``make e2e``) is likely to take one between the
draw and the service's own bind. A service that finds its port taken all the same reports it.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

_LOWEST = 15000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given: set[int] = set()
# Not the seeded generator: two runs with the same seed must not draw the same ports.
_random = random.SystemRandom()


def _highest() -> int:
    try:
        first_ephemeral = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first_ephemeral = 32768  # Linux' default, ip(7)
    return first_ephemeral - 1 if first_ephemeral > _LOWEST + 1000 else 60000


def free_port() -> int:
    """A TCP port that is free on every loopback address and that this process has not given yet."""
    highest = _highest()
    for _ in range(500):
        port = _random.randint(_LOWEST, highest)
        if port in _given:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                # Every address, because a remote may listen on 127.0.0.2 behind its gate.
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise RuntimeError("no free TCP port on the loopback addresses after 500 tries")


def free_ports(count: int) -> list[int]:
    """``count`` different free ports."""
    return [free_port() for _ in range(count)]


def is_listening(port: int, timeout_s: float = 0.5) -> bool:
    """Whether something accepts connections on 127.0.0.1:``port``."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(timeout_s)
        return probe.connect_ex(("127.0.0.1", port)) == 0
