"""A row of free TCP ports, for FTP's passive data connections."""

from __future__ import annotations

import socket

from ..errors import Failed
from ..ports import free_port


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_range(count: int) -> tuple[int, int]:
    """The first and the last of ``count`` consecutive free ports on 127.0.0.1."""
    for _ in range(200):
        first = free_port()
        if first + count < 65536 and all(_is_free(first + n) for n in range(count)):
            return first, first + count - 1
    raise Failed(f"found no {count} free TCP ports in a row on 127.0.0.1")
