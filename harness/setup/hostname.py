"""Checks that this machine's own name resolves, which Hadoop's daemons need to start.

Standard library only, Python 3.6 or newer: ``make doctor`` uses it before there is an environment.
"""

import socket
from typing import Optional


def unresolved() -> Optional[str]:
    """Return a sentence with the remedy if this machine's own name does not resolve, else None."""
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return (
            f"this machine's name {name!r} does not resolve ({why}), and HDFS needs it to: add the "
            f"line `127.0.1.1 {name}` to /etc/hosts as root, or do without HDFS (REMOTES=ftp,http)"
        )
    return None
