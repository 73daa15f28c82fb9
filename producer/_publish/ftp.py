"""FTP, with ftplib. One connection a call: servers drop idle ones, releases are minutes apart."""

from __future__ import annotations

import contextlib
import ftplib
import io
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from .._errors import RemoteError
from .address import Address
from .base import Publisher, uploading

_TIMEOUT_S = 20.0


class Ftp(Publisher):
    """``ftp://user@host:port/path``, anonymous without a user."""

    def __init__(self, address: Address, *, password: Optional[str]) -> None:
        super().__init__(address)
        self._password = password

    def prepare(self) -> None:
        with self._session("reach", str(self.address)) as ftp:
            here = ""
            for part in self.address.path.strip("/").split("/"):
                here += "/" + part
                # Exists already, mostly; when it could not be made, the next line says so.
                with contextlib.suppress(ftplib.error_perm):
                    ftp.mkd(here)
            ftp.cwd(self.address.path)

    def read(self, name: str) -> Optional[bytes]:
        content = io.BytesIO()
        with self._session("read", self.where(name)) as ftp:
            ftp.cwd(self.address.path)
            try:
                ftp.retrbinary(f"RETR {name}", content.write)
            except ftplib.error_perm as error:
                # 550 is "not there" as well as "not allowed": a listing tells the two apart.
                if not str(error).startswith("550") or self._is_listed(ftp, name):
                    raise
                return None
        return content.getvalue()

    def put(self, local: Path, name: str) -> None:
        part = uploading(name)
        with self._session("upload", self.where(name)) as ftp:
            ftp.cwd(self.address.path)
            with local.open("rb") as source:
                ftp.storbinary(f"STOR {part}", source)
            self._check_size(ftp, part, local.stat().st_size, name)
            try:
                ftp.rename(part, name)
            except ftplib.error_perm:
                # Some servers do not rename onto an existing file: then there is a moment
                # without one, which a monitor takes for "not there yet".
                ftp.delete(name)
                ftp.rename(part, name)

    def _check_size(self, ftp: ftplib.FTP, part: str, size: int, name: str) -> None:
        try:
            arrived = ftp.size(part)
        except ftplib.error_perm:
            return  # no SIZE command (it is an extension, RFC 3659)
        if arrived is not None and arrived != size:
            raise RemoteError(
                "upload", self.where(name), f"{arrived} of {size} bytes arrived, and no error"
            )

    @staticmethod
    def _is_listed(ftp: ftplib.FTP, name: str) -> bool:
        try:
            return name in (posixpath.basename(entry) for entry in ftp.nlst())
        except ftplib.error_perm:
            return False  # many servers answer 550 for an empty folder

    @contextlib.contextmanager
    def _session(self, operation: str, where: str) -> Iterator[ftplib.FTP]:
        ftp = ftplib.FTP(timeout=_TIMEOUT_S)
        try:
            ftp.connect(self.address.host, self.address.port)
            ftp.login(self.address.user or "", self._password or "")
            yield ftp
            ftp.quit()
        except ftplib.error_perm as error:
            hint = ""
            if str(error).startswith("530"):
                hint = "the user stands in the URL, the password in PRODUCER_FTP_PASSWORD"
            raise RemoteError(operation, where, str(error), hint) from None
        except ftplib.Error as error:
            raise RemoteError(operation, where, str(error)) from None
        except (OSError, EOFError) as error:
            cause = getattr(error, "strerror", None) or str(error) or "connection closed"
            raise RemoteError(
                operation, where, cause, "is the server up, the port right?"
            ) from None
        finally:
            ftp.close()
