"""Remotes: where releases are published, and how to break them on purpose.

``base.Remote`` is what every remote can do; ``local`` gives the ones that run on this machine.
"""

from __future__ import annotations

from pathlib import Path

from harness.support.errors import BadInput

from .base import Remote

REMOTES = ("hdfs", "ftp", "http")


def local(name: str, folder: Path) -> Remote:
    """The remote ``name`` (one of ``REMOTES``) on this machine, not started yet.

    ``folder`` takes its data and logs. Raises ``BadInput`` for an unknown name.
    """
    if name == "hdfs":
        from .hdfs.local import LocalHdfs

        return LocalHdfs(folder)
    if name == "ftp":
        from .ftp.local import LocalFtp

        return LocalFtp(folder)
    if name == "http":
        from .http.local import LocalHttp

        return LocalHttp(folder)
    raise BadInput(f"there is no remote {name!r}: one of {', '.join(REMOTES)}")
