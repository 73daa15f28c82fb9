"""Reads from a remote as a client of its protocol would, with a short patience."""

from __future__ import annotations

import ftplib
import io
from pathlib import Path
from typing import Optional

import requests

from harness.faults.gate import OUTSIDE
from harness.remotes.ftp.local import LocalFtp
from harness.remotes.ftp.remote import USER
from harness.remotes.hdfs.local import LocalHdfs
from harness.remotes.http.local import LocalHttp
from harness.remotes.services import LocalRemote
from producer.publish import Access, Publisher, connect, parse

# What a broken remote makes a client raise (requests' errors are OSErrors).
BROKEN = (OSError, EOFError, ftplib.Error)


class Client:
    """One client with a connection that it keeps, as monitors do."""

    def __init__(self, remote: LocalRemote, timeout_s: float = 20.0) -> None:
        self._remote = remote
        self._timeout_s = timeout_s
        self._http = requests.Session()
        self._ftp: Optional[ftplib.FTP] = None

    def read(self, name: str) -> Optional[bytes]:
        """A file's bytes, None when it is not there. Raises one of ``BROKEN``."""
        path = f"{self._remote.path.rstrip('/')}/{name}"
        if isinstance(self._remote, LocalFtp):
            return self._read_ftp(self._remote, path)
        if isinstance(self._remote, LocalHdfs):
            url = f"{self._remote.web_url}/webhdfs/v1{path}?op=OPEN"
        else:
            assert isinstance(self._remote, LocalHttp)
            url = self._remote.host + path
        answer = self._http.get(url, timeout=self._timeout_s)
        if answer.status_code == requests.codes.not_found:
            return None
        answer.raise_for_status()
        return answer.content

    def close(self) -> None:
        self._http.close()
        if self._ftp is not None:
            self._ftp.close()

    def _read_ftp(self, remote: LocalFtp, path: str) -> Optional[bytes]:
        if self._ftp is None:
            self._ftp = ftplib.FTP(timeout=self._timeout_s)
            self._ftp.connect(OUTSIDE, remote.port)
            self._ftp.login(USER, remote.password)
        content = io.BytesIO()
        try:
            self._ftp.retrbinary(f"RETR {path}", content.write)
        except ftplib.error_perm:
            return None
        return content.getvalue()


def publisher(remote: LocalRemote) -> Publisher:
    """The producer's own way to this remote, by what the remote says about itself."""
    options = remote.producer_options
    access = Access(
        hdfs_user=options[1] if options else None,
        ftp_password=remote.producer_environment.get("PRODUCER_FTP_PASSWORD"),
    )
    made = connect(parse(remote.url), access)
    made.prepare()
    return made


def put(remote: LocalRemote, folder: Path, name: str, content: bytes) -> None:
    """Uploads ``content`` as ``name``, by way of a file in ``folder``."""
    local = folder / name
    local.write_bytes(content)
    publisher(remote).put(local, name)
