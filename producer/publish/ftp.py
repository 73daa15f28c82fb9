"""FTP, with ftplib. One connection a call: servers drop idle ones, releases are minutes apart.

ftplib is set to Latin-1, which keeps any bytes, so a banner may have any encoding. ``_wire``
converts names to ``--ftp_encoding``.
"""

from __future__ import annotations

import contextlib
import ftplib
import io
import posixpath
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from ..errors import BadInput, RemoteError
from .address import Address
from .base import Publisher, uploading

_TIMEOUT_S = 20.0
_PUT_HINT = "may the user write there, and is there space?"


class _TlsSocket(ssl.SSLSocket):
    """Accepts a data connection that ends without close_notify: 226 says that all bytes came."""

    def unwrap(self) -> socket.socket:
        with contextlib.suppress(OSError):
            return super().unwrap()
        return self


class _Tls(ftplib.FTP_TLS):
    """Reuses the control connection's TLS session, which most servers require."""

    def ntransfercmd(
        self, cmd: str, rest: Optional[object] = None
    ) -> tuple[socket.socket, Optional[int]]:
        plain, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # type: ignore[arg-type]
        assert isinstance(self.sock, ssl.SSLSocket)
        session = self.sock.session
        return self.context.wrap_socket(plain, server_hostname=self.host, session=session), size


class _ImplicitTls(_Tls):
    """Implicit TLS: wraps the control connection before it reads the banner."""

    _wrapped: Optional[socket.socket] = None

    @property
    def sock(self) -> Optional[socket.socket]:
        return self._wrapped

    @sock.setter
    def sock(self, plain: Optional[socket.socket]) -> None:
        if plain is not None and not isinstance(plain, ssl.SSLSocket):
            plain = self.context.wrap_socket(plain, server_hostname=self.host)
        self._wrapped = plain


class Ftp(Publisher):
    """``ftp://user@host:port/path``, anonymous without a user.

    ``ftps://`` has explicit TLS, ``ftps-implicit://`` has TLS from the first byte on.
    """

    def __init__(
        self,
        address: Address,
        *,
        password: Optional[str],
        encoding: str = "utf-8",
        ca_file: Optional[str] = None,
    ) -> None:
        super().__init__(address)
        self._password = password
        self._encoding = encoding
        self._ca_file = ca_file
        self._path = self._wire(address.path)
        # "" after a server refused a file whose name begins with a dot, or refused to rename it.
        self._dot = "."

    def prepare(self) -> None:
        with self._session("reach", str(self.address)) as ftp:
            here = ""
            for part in self._path.strip("/").split("/"):
                here += "/" + part
                # Usually the folder exists. If it could not be made, the next command fails.
                with contextlib.suppress(ftplib.error_perm):
                    ftp.mkd(here)
            ftp.cwd(self._path)

    def read(self, name: str) -> Optional[bytes]:
        content = io.BytesIO()
        with self._session("read", self.where(name)) as ftp:
            ftp.cwd(self._path)
            try:
                ftp.retrbinary(f"RETR {name}", content.write)
            except ftplib.error_perm as error:
                # 550 is "not there" as well as "not allowed": a listing tells the two apart.
                if not str(error).startswith("550") or self._is_listed(ftp, name):
                    raise
                return None
        return content.getvalue()

    def put(self, local: Path, name: str) -> None:
        with self._session("upload", self.where(name)) as ftp:
            ftp.cwd(self._path)
            try:
                part = self._upload(ftp, local, name)
            except ftplib.error_perm as error:
                if not self._dot or not str(error).startswith(("550", "553")):
                    raise
                self._dot = ""
                part = self._upload(ftp, local, name)
            try:
                ftp.voidcmd(f"RNTO {name}")
            except ftplib.error_perm:
                # Some servers do not rename onto an existing file. For a moment there is no
                # file, which a monitor takes for "not there yet".
                ftp.delete(name)
                ftp.rename(part, name)

    def _upload(self, ftp: ftplib.FTP, local: Path, name: str) -> str:
        """Upload ``local`` and send RNFR, so that only RNTO is missing."""
        part = self._dot + uploading(name)[1:]
        with local.open("rb") as source:
            ftp.storbinary(f"STOR {part}", source)
        self._check_size(ftp, part, local.stat().st_size, name)
        try:
            ftp.sendcmd(f"RNFR {part}")
        except ftplib.error_perm:
            with contextlib.suppress(ftplib.error_perm):
                ftp.delete(part)
            raise
        return part

    def _check_size(self, ftp: ftplib.FTP, part: str, size: int, name: str) -> None:
        try:
            arrived = ftp.size(part)
        except ftplib.error_perm:
            return  # no SIZE command (it is an extension, RFC 3659)
        if arrived is not None and arrived != size:
            raise RemoteError(
                "upload",
                self.where(name),
                f"{arrived} of {size} bytes arrived, and no error",
                _PUT_HINT,
            )

    @staticmethod
    def _is_listed(ftp: ftplib.FTP, name: str) -> bool:
        try:
            return name in (posixpath.basename(entry) for entry in ftp.nlst())
        except (ftplib.error_perm, ftplib.error_temp):
            pass  # many servers answer 550 or 450 for an empty folder, some 450 for any
        try:
            lines: list[str] = []
            ftp.dir(lines.append)
        except (ftplib.error_perm, ftplib.error_temp):
            return False
        return any(line.endswith(f" {name}") for line in lines)

    def _wire(self, text: str) -> str:
        """Return ``text`` in the form that makes ftplib send the bytes of ``--ftp_encoding``."""
        try:
            return text.encode(self._encoding, "surrogateescape").decode("latin-1")
        except UnicodeEncodeError:
            raise BadInput(
                f"--remote has a letter that --ftp_encoding {self._encoding} does not have; "
                "give the encoding of the server's names"
            ) from None

    def _said(self, error: ftplib.Error) -> str:
        return str(error).encode("latin-1", "replace").decode(self._encoding, "replace")

    def _connection(self) -> ftplib.FTP:
        if self.address.scheme == "ftp":
            return ftplib.FTP(timeout=_TIMEOUT_S)
        kind = _ImplicitTls if self.address.scheme == "ftps-implicit" else _Tls
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
        except ssl.SSLError:
            raise BadInput(
                f"--ca_file {self._ca_file} has no certificate in it; give a PEM file"
            ) from None
        context.sslsocket_class = _TlsSocket
        return kind(context=context, timeout=_TIMEOUT_S)

    @contextlib.contextmanager
    def _session(self, operation: str, where: str) -> Iterator[ftplib.FTP]:
        ftp = self._connection()
        ftp.encoding = "latin-1"
        try:
            ftp.connect(self.address.host, self.address.port)
            ftp.login(self._wire(self.address.user or ""), self._wire(self._password or ""))
            if isinstance(ftp, ftplib.FTP_TLS):
                ftp.prot_p()
            yield ftp
            ftp.quit()
        except ftplib.error_perm as error:
            hint = _PUT_HINT
            if str(error).startswith("530"):
                hint = "put the user in the URL, and the password in PRODUCER_FTP_PASSWORD"
            raise RemoteError(operation, where, self._said(error), hint) from None
        except ftplib.Error as error:
            raise RemoteError(
                operation, where, self._said(error), "read the server's log"
            ) from None
        except ssl.SSLError as error:
            raise RemoteError(
                operation,
                where,
                str(error),
                "ftps:// is explicit TLS, ftps-implicit:// is implicit TLS; "
                "--ca_file names the authorities to trust",
            ) from None
        except (OSError, EOFError) as error:
            cause = getattr(error, "strerror", None) or str(error) or "connection closed"
            raise RemoteError(
                operation, where, cause, "is the server up, the port right?"
            ) from None
        finally:
            ftp.close()
