"""Picks the class for a remote's scheme."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import Optional

from ..errors import BadInput
from .address import Address
from .base import Publisher


@dataclass(frozen=True)
class Access:
    """How to reach a remote beside its address; what a remote has no use for is ignored."""

    # The hadoop command.
    hadoop_bin: Optional[str] = None
    # hadoop.job.ugi, "user,password".
    fs_ugi: Optional[str] = field(default=None, repr=False)
    # The HDFS user; None: the one in the URL, else the one logged in.
    hdfs_user: Optional[str] = None
    # The FTP password, unless the URL has one.
    ftp_password: Optional[str] = field(default=None, repr=False)
    # The encoding of names at an FTP server.
    ftp_encoding: str = "utf-8"
    # The authorities to trust for FTP with TLS.
    ca_file: Optional[str] = None


def connect(address: Address, access: Access) -> Publisher:
    """Return the publisher for ``address``; it talks to the remote only when it is used.

    Raises ``BadInput`` when something is missing (``--hadoop_bin``).
    """
    if address.scheme == "webhdfs":
        from .webhdfs import WebHdfs

        return WebHdfs(address, user=access.hdfs_user or address.user)
    if address.scheme in ("hdfs", "afs"):
        from .hadoop import HadoopCommand

        return HadoopCommand(
            address,
            hadoop_bin=_executable(access.hadoop_bin, address.scheme),
            ugi=access.fs_ugi,
            user=access.hdfs_user or address.user,
        )
    if address.scheme in ("ftp", "ftps", "ftps-implicit"):
        from .ftp import Ftp

        return Ftp(
            address,
            password=address.password or access.ftp_password,
            encoding=access.ftp_encoding,
            ca_file=access.ca_file,
        )
    from .folder import Folder

    return Folder(address)


def _executable(command: Optional[str], scheme: str) -> str:
    if not command:
        raise BadInput(
            f"--remote {scheme}://… is reached through Hadoop; give --hadoop_bin as well"
        )
    found = shutil.which(command)
    if found is None:
        raise BadInput(f"--hadoop_bin {command} is not an executable file; give the path of hadoop")
    return os.path.abspath(found)
