"""FTP and FTP over TLS (``--type ftp``): one control connection, opened again by itself.

RFC 3659 gives what is needed: MLST and MDTM (times), SIZE, REST STREAM (resume). Servers without
it are looked at through the listing of the folder.
"""

from __future__ import annotations

import contextlib
import ftplib
import re
import socket as sockets
import ssl
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Optional, Union
from urllib.parse import unquote, urlsplit

from .._secrets import Secret
from ..errors import RemoteError
from .base import CHUNK, DONEFILE_LIMIT, Download, Entry, Remote, Sighting, Stop, join, too_many

if TYPE_CHECKING:
    from .._options import Options

_ABSENT = re.compile(r"no such|not found|does not exist|not exist", re.IGNORECASE)


class _TlsSocket(ssl.SSLSocket):
    """Many servers close a data connection without TLS's goodbye; 226 says whether all came."""

    def unwrap(self) -> sockets.socket:
        with contextlib.suppress(OSError):
            return super().unwrap()
        return self


class _FtpTls(ftplib.FTP_TLS):
    """Goes on with the control connection's TLS session, which most servers ask of their data
    connections, so that nobody else can take one; ftplib begins another one."""

    def ntransfercmd(
        self, cmd: str, rest: Union[int, str, None] = None
    ) -> tuple[sockets.socket, Optional[int]]:
        conn, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        session = self.sock.session
        return self.context.wrap_socket(conn, server_hostname=self.host, session=session), size


class FtpRemote(Remote):
    """One FTP server. A failed command lets go of the connection; the next one opens another."""

    def __init__(
        self,
        options: Options,
        stop: Stop,
        *,
        host: str,
        port: int,
        user: str,
        password: Secret,
        tls: bool,
        base: str,
        lines: list[tuple[str, str]],
    ) -> None:
        self._options = options
        self._stop = stop
        self._host = host
        self._port = port
        self._user = user
        self._password = password
        self._tls = tls
        self._base = base
        self._lines = lines
        self._ftp: Optional[ftplib.FTP] = None
        self._mlst = True

    @classmethod
    def from_options(cls, options: Options, stop: Stop) -> FtpRemote:
        """The server of ``--ftp_host`` and the other ``--ftp_…`` options."""
        lines = [
            ("_ftp_host", options.ftp_host),
            ("_ftp_port", str(options.ftp_port)),
            ("_ftp_username", options.ftp_username),
            ("_ftp_password", str(options.ftp_password)),
        ]
        return cls(
            options,
            stop,
            host=options.ftp_host.strip("[]"),
            port=options.ftp_port,
            user=options.ftp_username,
            password=options.ftp_password,
            tls=options.ftp_tls,
            base=options.remote_path,
            lines=lines,
        )

    @classmethod
    def from_url(cls, options: Options, stop: Stop) -> FtpRemote:
        """The server of an ``ftp://`` or ``ftps://`` address in ``--general_host``."""
        parts = urlsplit(options.general_host.reveal())
        return cls(
            options,
            stop,
            host=parts.hostname or "",
            port=parts.port or 21,
            user=unquote(parts.username or ""),
            password=Secret(unquote(parts.password or "")),
            tls=parts.scheme.lower() == "ftps",
            base=join(unquote(parts.path), options.remote_path),
            lines=[("_general_host", str(options.general_host))],
        )

    def describe(self) -> list[tuple[str, str]]:
        return self._lines

    def look(self, name: str) -> Optional[Sighting]:
        path = join(self._base, name)
        with self._guard("read", path):
            ftp = self._connected()
            mark = self._facts(ftp, path)
            try:
                content = self._small(ftp, path)
            except ftplib.error_perm as error:
                if not self._absent(ftp, path, error):
                    raise
                return None
            return Sighting(content, mark)

    def open(self, name: str, offset: int = 0, mark: str = "") -> Download:
        path = join(self._base, name)
        with self._guard("pull", path):
            ftp = self._connected()
            facts = self._facts(ftp, path)
            size = self._size(ftp, path)
            start = offset if offset and mark and facts == mark else 0
            # ftplib's listings leave the connection in ASCII mode, which would change the bytes.
            ftp.voidcmd("TYPE I")
            try:
                socket, _ = ftp.ntransfercmd(f"RETR {path}", rest=start or None)
            except ftplib.error_perm as error:
                if not self._absent(ftp, path, error):
                    raise
                raise RemoteError(
                    "pull",
                    self._where(path),
                    "the server has no such file",
                    "check --remote_path and --remote_model_name",
                ) from None
        # Without a time, a file of the same length may be another one.
        sure = facts if self._dated(facts) else ""

        def release() -> None:
            if socket.fileno() != -1:
                # Never begun: an answer to RETR is under way, which is none to the next command.
                socket.close()
                self.close()

        return Download(start, size, sure, self._body(ftp, socket, path), release)

    def tree(self, name: str, most: int) -> list[Entry]:
        top = join(self._base, name)
        found: list[Entry] = []
        todo = [""]
        seen = 0
        with self._guard("list", top):
            ftp = self._connected()
            while todo:
                folder = todo.pop()
                for entry, is_folder, size in self._listing(ftp, join(top, folder)):
                    path = f"{folder}/{entry}" if folder else entry
                    if is_folder:
                        todo.append(path)
                    else:
                        found.append(Entry(path, size))
                    seen += 1
                    if seen > most:
                        raise too_many(name, most)
        return found

    def close(self) -> None:
        ftp, self._ftp = self._ftp, None
        if ftp is not None:
            with contextlib.suppress(OSError, EOFError, ftplib.Error):
                if ftp.sock is not None:
                    # A dead server must not delay the end: say goodbye, wait for no answer.
                    ftp.sock.settimeout(0.2)
                    ftp.putcmd("QUIT")
            ftp.close()

    def _where(self, path: str) -> str:
        scheme = "ftps" if self._tls else "ftp"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}/{path.lstrip('/')}"

    @contextlib.contextmanager
    def _guard(self, operation: str, path: str) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, ftplib.Error, ValueError) as error:
            self.close()
            text = str(error)
            hint = "check --ftp_host and --ftp_port and that the server is up"
            if text.startswith(("530", "331", "332")):
                hint = "check --ftp_username and --ftp_password_file"
            elif text.startswith("5"):
                hint = "check --remote_path and its permissions"
            cause: object = error
            if isinstance(error, EOFError):
                cause = "the server closed the connection"
            elif isinstance(error, TimeoutError) or text == "timed out":
                cause = "nothing came within the time-out"
            raise RemoteError(operation, self._where(path), cause, hint) from error
        except BaseException:
            # An answer may be under way: this connection cannot be used for another command.
            self.close()
            raise

    def _connected(self) -> ftplib.FTP:
        self._stop.check()
        if self._ftp is not None:
            try:
                self._ftp.voidcmd("NOOP")
                return self._ftp
            except (OSError, EOFError, ftplib.Error):
                # The server ended it while it was idle.
                self.close()
        timeout = self._options.timeout
        ftp: ftplib.FTP
        if self._tls:
            context = ssl.create_default_context(cafile=self._options.ca_file or None)
            context.sslsocket_class = _TlsSocket
            ftp = _FtpTls(context=context, timeout=timeout)
        else:
            ftp = ftplib.FTP(timeout=timeout)
        # Names are what the producer wrote; ftplib's default before 3.9 was latin-1.
        ftp.encoding = "utf-8"
        try:
            ftp.connect(self._host, self._port)
            ftp.login(self._user, self._password.reveal())
            if isinstance(ftp, ftplib.FTP_TLS):
                ftp.prot_p()
            ftp.voidcmd("TYPE I")
        except BaseException:
            ftp.close()
            raise
        self._ftp = ftp
        return ftp

    def _facts(self, ftp: ftplib.FTP, path: str) -> str:
        """Time and length as finely as the server gives them; "" when it gives neither."""
        if self._mlst:
            try:
                lines = ftp.sendcmd(f"MLST {path}").splitlines()
                if len(lines) > 1:
                    facts = lines[1].strip().partition(" ")[0].lower().split(";")
                    wanted = ("modify=", "size=", "unique=")
                    return ";".join(sorted(f for f in facts if f.startswith(wanted)))
            except ftplib.error_perm as error:
                if str(error).startswith(("500", "501", "502", "504")):
                    self._mlst = False
        parts = []
        for command in ("MDTM", "SIZE"):
            with contextlib.suppress(ftplib.error_perm):
                parts.append(command + ftp.sendcmd(f"{command} {path}")[3:].strip())
        if not parts:
            # Only minutes, but better than nothing (RFC 959 has no more).
            with contextlib.suppress(ftplib.error_perm, ftplib.error_temp):
                ftp.retrlines(f"LIST {path}", parts.append)
        return ";".join(parts)

    @staticmethod
    def _dated(facts: str) -> bool:
        return "modify=" in facts or "MDTM" in facts

    @staticmethod
    def _size(ftp: ftplib.FTP, path: str) -> Optional[int]:
        with contextlib.suppress(ftplib.error_perm):
            return ftp.size(path)
        return None

    def _absent(self, ftp: ftplib.FTP, path: str, error: ftplib.error_perm) -> bool:
        """Whether a 550 means "no such file" and not "you may not"."""
        text = str(error)
        if not text.startswith("550"):
            return False
        if _ABSENT.search(text):
            return True
        folder, _, name = path.rpartition("/")
        try:
            names = ftp.nlst(folder or ("/" if path.startswith("/") else "."))
        except ftplib.error_perm:
            return False
        return name not in [entry.rpartition("/")[2] for entry in names]

    def _small(self, ftp: ftplib.FTP, path: str) -> bytes:
        content = bytearray()

        def keep(chunk: bytes) -> None:
            self._stop.check()
            content.extend(chunk[: DONEFILE_LIMIT - len(content)])

        ftp.retrbinary(f"RETR {path}", keep)
        return bytes(content)

    def _body(
        self, ftp: ftplib.FTP, socket: sockets.socket, path: str
    ) -> Generator[bytes, None, None]:
        with self._guard("pull", path), socket:
            while True:
                self._stop.check()
                chunk = socket.recv(CHUNK)
                if not chunk:
                    break
                yield chunk
            if isinstance(socket, ssl.SSLSocket):
                socket.unwrap()
            # 226: only this says that the server has sent all it had.
            socket.close()
            ftp.voidresp()

    def _listing(self, ftp: ftplib.FTP, path: str) -> list[tuple[str, bool, Optional[int]]]:
        try:
            rows = list(ftp.mlsd(path))
        except ftplib.error_perm as error:
            if not str(error).startswith(("500", "501", "502", "504")):
                raise
            return self._plain_listing(ftp, path)
        found = []
        for name, facts in rows:
            kind = facts.get("type", "").lower()
            if kind in ("dir", "file"):
                size = facts.get("size", "")
                found.append((name, kind == "dir", int(size) if size.isdigit() else None))
        return found

    @staticmethod
    def _plain_listing(ftp: ftplib.FTP, path: str) -> list[tuple[str, bool, Optional[int]]]:
        lines: list[str] = []
        ftp.dir(path, lines.append)
        found: list[tuple[str, bool, Optional[int]]] = []
        for line in lines:
            fields = line.split(None, 8)
            if len(fields) == 9 and fields[8] not in (".", "..") and fields[0][0] in "-d":
                found.append((fields[8], fields[0][0] == "d", None))
        return found
