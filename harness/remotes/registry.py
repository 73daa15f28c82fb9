"""The one list of remotes: a new remote is a folder beside this file and a line here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from harness.support.errors import BadInput

from .base import Remote
from .container import ContainerRemote
from .ftp.container import ContainerFtp
from .ftp.local import LocalFtp
from .hdfs.container import ContainerHdfs
from .hdfs.local import LocalHdfs
from .http.container import ContainerHttp
from .http.local import LocalHttp


@dataclass(frozen=True)
class RemoteType:
    """A remote that a run can use, in each place where it runs."""

    # As local processes.
    local: type[Remote]
    # In containers; None if it does not run there.
    container: Optional[type[ContainerRemote]] = None

    @property
    def name(self) -> str:
        """What ``REMOTES=`` calls it."""
        return self.local.name


REMOTES = (
    RemoteType(LocalHdfs, ContainerHdfs),
    RemoteType(LocalFtp, ContainerFtp),
    RemoteType(LocalHttp, ContainerHttp),
)
NAMES = tuple(remote.name for remote in REMOTES)


def named(name: str) -> RemoteType:
    """Return the remote of that name. Raises ``BadInput`` if there is none."""
    for remote in REMOTES:
        if remote.name == name:
            return remote
    raise BadInput(f"REMOTES names {name!r}; known are {', '.join(NAMES)}")


def chosen(names: Sequence[str]) -> tuple[RemoteType, ...]:
    """Return the remotes of a run, in the order of ``names``.

    Raises:
        BadInput: A name is not known or stands twice, or there is none.
    """
    found = tuple(map(named, names))
    if not found:
        raise BadInput(f"REMOTES is empty; name one or more of {', '.join(NAMES)}")
    if len(set(names)) < len(names):
        raise BadInput("REMOTES names a remote twice; name each once")
    return found
