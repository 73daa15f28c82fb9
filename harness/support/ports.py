"""Free TCP ports on the loopback address.

They are drawn at random from below the kernel's ephemeral range. So no outgoing connection takes a
port between the draw and the service's own bind. Two runs at once (test workers, a second
``make e2e``) never get the same port. Each port is a byte of a file that all runs of a user share,
and stays locked until the process ends. If another program takes the port, the service reports it.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
from functools import cache
from pathlib import Path
from typing import Optional

from .errors import BadInput

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


@cache
def _registry(_pid: int) -> Optional[int]:
    """Return the shared file's descriptor; None without the file, and ports may then clash.

    The file is not under TMPDIR, which may be a run's own. `make clean` removes it. A forked
    process has none of its parent's locks (fcntl(2)) and opens the file again.
    """
    path = f"/tmp/.hot-loading-ports-{os.getuid()}"
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return None


def _take(port: int) -> bool:
    """Takes a port for this process: false when it, another run or a service has it already."""
    if port in _given:
        return False
    registry = _registry(os.getpid())
    if registry is not None:
        try:
            # One byte, at the port's number; the file stays empty (a lock may lie past its end).
            fcntl.lockf(registry, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            # Every address, because a remote may listen on 127.0.0.2 behind its gate.
            probe.bind(("0.0.0.0", port))
        except OSError:
            _let_go(port)
            return False
    _given.add(port)
    return True


def _let_go(port: int) -> None:
    _given.discard(port)
    registry = _registry(os.getpid())
    if registry is not None:
        fcntl.lockf(registry, fcntl.LOCK_UN, 1, port)


def free_port() -> int:
    """A TCP port, free on every loopback address, that no run of this user was given."""
    return free_range(1)[0]


def free_ports(count: int) -> list[int]:
    """``count`` different free ports."""
    return [free_port() for _ in range(count)]


def free_range(count: int) -> tuple[int, int]:
    """The first and the last of ``count`` consecutive free ports (for FTP's passive ones)."""
    for _ in range(500):
        first = _random.randint(_LOWEST, _highest() - count + 1)
        taken = []
        for port in range(first, first + count):
            if not _take(port):
                break
            taken.append(port)
        if len(taken) == count:
            return first, taken[-1]
        for port in taken:
            _let_go(port)
    raise BadInput(
        f"no {count} free TCP ports in a row on the loopback addresses in 500 tries; end what "
        f"listens on ports {_LOWEST} to {_highest()}, or raise the first number in {_EPHEMERAL}"
    )


def is_listening(port: int, timeout_s: float = 0.5) -> bool:
    """Whether something accepts connections on 127.0.0.1:``port``."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(timeout_s)
        return probe.connect_ex(("127.0.0.1", port)) == 0
