"""FTP and FTP over TLS (``--type ftp``): one control connection, opened again by itself.

RFC 3659 gives what is needed: MLST and MDTM (times), SIZE, REST STREAM (resume). For a server
without it, the monitor reads the listing of the folder.

ftplib is set to Latin-1, which keeps any bytes, so a banner may have any encoding. ``_wire`` and
``_text`` convert names to and from ``--ftp_encoding``.
"""

from __future__ import annotations

import contextlib
import ftplib
import re
import select
import socket as sockets
import ssl
import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Callable, Optional, Union
from urllib.parse import unquote, urlsplit

from ..errors import RemoteError
from ..options.secrets import Secret
from ..stop import Stop
from .base import CHUNK, DONEFILE_LIMIT, Download, Entry, Remote, Sighting, join, too_many

if TYPE_CHECKING:
    from ..options.fields import Options

_ABSENT = re.compile(r"no such|not found|does not exist|not exist", re.IGNORECASE)
# Some servers answer with such a message instead of an empty listing.
_EMPTY = re.compile(r"no files|empty", re.IGNORECASE)
# LIST as Unix servers give it (``ls -l``), and as those on Windows do (``dir``).
_UNIX_LINE = re.compile(
    r"(?P<kind>[-dl])\S{9,10}[ \t]+(?:\S+[ \t]+){2,5}\d+[ \t]+"
    r"(?:\d{4}-\d\d-\d\d|\S+[ \t]+\d{1,2}|\d{1,2}[ \t]+\S+)[ \t]+[\d:]{4,8}[ \t]+(?P<name>\S.*)"
)
_DOS_LINE = re.compile(
    r"\d{2,4}[-/.]\d\d[-/.]\d{2,4}[ \t]+\d\d:\d\d[ \t]*(?:[AP]M)?[ \t]+"
    r"(?:(?P<kind><DIR>)|[\d.,]+)[ \t]+(?P<name>\S.*)",
    re.IGNORECASE,
)
# Ports and TLS by the scheme of an address.
FTP, EXPLICIT, IMPLICIT = "ftp", "ftps", "ftps-implicit"
PORTS = {FTP: 21, EXPLICIT: 21, IMPLICIT: 990}
# A connection that was used in these last seconds needs no NOOP, unless the server sent
# something.
_IDLE_S = 1.0
# Name, whether it is a folder (None: a link), size if known.
_Row = tuple[str, Optional[bool], Optional[int]]


class _TlsSocket(ssl.SSLSocket):
    """Accepts a data connection that ends without close_notify: 226 says that all bytes came."""

    def unwrap(self) -> sockets.socket:
        with contextlib.suppress(OSError):
            return super().unwrap()
        return self


class _Passive(ftplib.FTP):
    """Stays in binary mode, and says more when the server refuses EPSV.

    EPSV is the only command for IPv6 (RFC 2428).
    """

    def retrlines(self, cmd: str, callback: Optional[Callable[[str], object]] = None) -> str:
        # ftplib lists in ASCII mode. In this mode the bytes of a file change, and many servers
        # give no size.
        try:
            answer = super().retrlines(cmd, callback)
        except ftplib.Error:
            # The server refused the listing. After any other error the connection is closed.
            self.voidcmd("TYPE I")
            raise
        self.voidcmd("TYPE I")
        return answer

    def makepasv(self) -> tuple[str, int]:
        try:
            return super().makepasv()
        except ftplib.error_perm as error:
            if self.af != sockets.AF_INET6:
                raise
            raise ftplib.error_perm(f"{error} (EPSV: give the server's IPv4 address)") from None


class _FtpTls(_Passive, ftplib.FTP_TLS):
    """Resumes the control connection's TLS session for data connections.

    Most servers ask for this, because a stranger could take a data connection. ftplib begins a new
    session.
    """

    def ntransfercmd(
        self, cmd: str, rest: Union[int, str, None] = None
    ) -> tuple[sockets.socket, Optional[int]]:
        conn, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        session = self.sock.session
        return self.context.wrap_socket(conn, server_hostname=self.host, session=session), size


class _FtpImplicitTls(_FtpTls):
    """Implicit TLS: wraps the control connection before it reads the banner."""

    _wrapped: Optional[sockets.socket] = None

    @property
    def sock(self) -> Optional[sockets.socket]:
        return self._wrapped

    @sock.setter
    def sock(self, plain: Optional[sockets.socket]) -> None:
        if plain is not None and not isinstance(plain, ssl.SSLSocket):
            plain = self.context.wrap_socket(plain, server_hostname=self.host)
        self._wrapped = plain


class FtpRemote(Remote):
    """One FTP server. A failed command closes the connection; the next command opens another."""

    def __init__(
        self,
        options: Options,
        stop: Stop,
        *,
        host: str,
        port: int,
        user: str,
        password: Secret,
        scheme: str,
        base: str,
        lines: list[tuple[str, str]],
    ) -> None:
        self._options = options
        self._stop = stop
        self._host = host
        self._port = port
        self._user = user
        self._password = password
        self._scheme = scheme
        self._base = base
        self._lines = lines
        self._ftp: Optional[ftplib.FTP] = None
        # When the connection was last taken for a command (time.monotonic).
        self._taken = 0.0
        self._mlst = True

    @classmethod
    def from_options(cls, options: Options, stop: Stop) -> FtpRemote:
        """Return the server of ``--ftp_host`` and the other ``--ftp_…`` options."""
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
            scheme=IMPLICIT if options.ftp_implicit_tls else EXPLICIT if options.ftp_tls else FTP,
            base=options.remote_path,
            lines=lines,
        )

    @classmethod
    def from_url(cls, options: Options, stop: Stop) -> FtpRemote:
        """Return the server of an FTP address in ``--general_host``.

        Percent-encoded bytes in the address have ``--ftp_encoding``. The slash after the host is no
        part of the path (RFC 1738, 3.2.2): a path begins at the login folder, as with wget.
        """
        parts = urlsplit(options.general_host.reveal())
        scheme = parts.scheme.lower()

        def plain(text: Optional[str]) -> str:
            return unquote(text or "", options.ftp_encoding, "surrogateescape")

        return cls(
            options,
            stop,
            host=parts.hostname or "",
            port=parts.port or PORTS[scheme],
            user=plain(parts.username),
            password=Secret(plain(parts.password)),
            scheme=scheme,
            base=f"{plain(parts.path if parts.path != '/' else '')}/{options.remote_path}"[1:],
            lines=[("_general_host", str(options.general_host))],
        )

    def describe(self) -> list[tuple[str, str]]:
        return self._lines

    def look(self, name: str) -> Optional[Sighting]:
        path = join(self._base, name)
        with self._guard("read", path):
            ftp = self._connected()
            wire = self._wire(path)
            mark = self._facts(ftp, wire)
            try:
                content = self._small(ftp, path)
            except ftplib.error_perm as error:
                if not self._absent(ftp, wire, error):
                    raise
                return None
            return Sighting(content, mark)

    def open(self, name: str, offset: int = 0, mark: str = "") -> Download:
        path = join(self._base, name)
        with self._guard("pull", path):
            ftp = self._connected()
            wire = self._wire(path)
            facts = self._facts(ftp, wire)
            size = self._size(ftp, wire)
            start = offset if offset and mark and facts == mark else 0
            try:
                socket, _ = ftp.ntransfercmd(f"RETR {wire}", rest=start or None)
            except ftplib.error_perm as error:
                if not self._absent(ftp, wire, error):
                    raise
                raise RemoteError(
                    "pull",
                    self._where(path),
                    "the server has no such file",
                    "check --remote_path and --remote_model_name",
                ) from None
        # Without a time, a file of the same length may be another one.
        sure = facts if self._dated(facts.split(";")) else ""

        def release() -> None:
            if socket.fileno() != -1:
                # No byte was read. The next command would take the answer to RETR for its own.
                socket.close()
                self.close()

        return Download(start, size, sure, self._body("pull", ftp, socket, path), release)

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
                    elif is_folder is False or self._leads_to_file(ftp, join(top, path)):
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
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{host}:{self._port}/{path.lstrip('/')}"

    @contextlib.contextmanager
    def _guard(self, operation: str, path: str) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, ftplib.Error, ValueError) as error:
            self.close()
            text = self._said(error)
            hint = "check --ftp_host and --ftp_port and that the server is up"
            if text.startswith(("530", "331", "332")):
                hint = "check --ftp_username and --ftp_password_file"
            elif text.startswith("5"):
                hint = "check --remote_path and its permissions"
                if not path.isascii():
                    hint += ", and --ftp_encoding"
            elif self._port == PORTS[IMPLICIT] and self._scheme != IMPLICIT:
                hint = "port 990 is for implicit TLS: give --ftp_implicit_tls"
            cause: object = text if isinstance(error, ftplib.Error) else error
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
        idle, self._taken = time.monotonic() - self._taken, time.monotonic()
        if self._ftp is not None:
            try:
                if idle > _IDLE_S or self._has_input(self._ftp):
                    self._ftp.voidcmd("NOOP")
                return self._ftp
            except (OSError, EOFError, ftplib.Error):
                # The server ended it while it was idle.
                self.close()
        timeout = self._options.timeout
        ftp: ftplib.FTP
        if self._scheme == FTP:
            ftp = _Passive(timeout=timeout)
        else:
            context = ssl.create_default_context(cafile=self._options.ca_file or None)
            context.sslsocket_class = _TlsSocket
            kind = _FtpImplicitTls if self._scheme == IMPLICIT else _FtpTls
            ftp = kind(context=context, timeout=timeout)
        ftp.encoding = "latin-1"
        try:
            ftp.connect(self._host, self._port)
            ftp.login(self._wire(self._user), self._wire(self._password.reveal()))
            if isinstance(ftp, ftplib.FTP_TLS):
                ftp.prot_p()
            ftp.voidcmd("TYPE I")
        except BaseException:
            ftp.close()
            raise
        self._ftp = ftp
        return ftp

    @staticmethod
    def _has_input(ftp: ftplib.FTP) -> bool:
        """Return whether the server ended the connection, or said something without a command."""
        assert ftp.sock is not None
        waiting = select.poll()
        waiting.register(ftp.sock, select.POLLIN)
        return bool(waiting.poll(0))

    def _facts(self, ftp: ftplib.FTP, path: str) -> str:
        """Time and length as finely as the server gives them; "" when it gives neither."""
        parts: list[str] = []
        if self._mlst:
            try:
                lines = ftp.sendcmd(f"MLST {path}").split("\n")
                if len(lines) > 1:
                    facts = lines[1].strip().partition(" ")[0].lower().split(";")
                    wanted = ("modify=", "size=", "unique=")
                    parts = sorted(f for f in facts if f.startswith(wanted))
            except ftplib.error_perm as error:
                if str(error).startswith(("500", "501", "502", "504")):
                    self._mlst = False
        if self._dated(parts):
            return ";".join(parts)
        for command in ("MDTM", "SIZE"):
            with contextlib.suppress(ftplib.error_perm):
                parts.append(command + ftp.sendcmd(f"{command} {path}")[3:].strip())
        if not self._dated(parts):
            # Only minutes, but better than nothing (RFC 959 has no more).
            try:
                ftp.retrlines(f"LIST {path}", lambda line: parts.append(self._text(line)))
            except ftplib.error_perm:
                pass
            except ftplib.error_temp as error:
                # 450 says that the file is absent. Other codes say nothing about the file.
                if not self._said(error).startswith("450"):
                    raise
        return ";".join(parts)

    @staticmethod
    def _dated(parts: list[str]) -> bool:
        return any(part.startswith(("modify=", "MDTM")) for part in parts)

    @staticmethod
    def _size(ftp: ftplib.FTP, path: str) -> Optional[int]:
        # Not from MLST, where some servers give the length of a link itself.
        with contextlib.suppress(ftplib.error_perm):
            return ftp.size(path)
        return None

    def _absent(self, ftp: ftplib.FTP, path: str, error: ftplib.error_perm) -> bool:
        """Return whether a 550 means "no such file" and not "you may not"."""
        text = self._said(error)
        if not text.startswith("550"):
            return False
        if _ABSENT.search(text):
            return True
        folder, _, name = path.rpartition("/")
        names = self._names(ftp, folder or ("/" if path.startswith("/") else "."))
        return names is not None and self._text(name) not in names

    def _names(self, ftp: ftplib.FTP, path: str) -> Optional[list[str]]:
        """Return the names in a folder; None when the server does not list it."""
        try:
            return [self._text(entry).rpartition("/")[2] for entry in ftp.nlst(path)]
        except (ftplib.error_perm, ftplib.error_temp):
            pass
        try:
            lines = self._listed(ftp, path)
        except (ftplib.error_perm, ftplib.error_temp) as error:
            return [] if _EMPTY.search(self._said(error)) else None
        rows = rows_of(lines)
        return None if rows is None else [name for name, _, _ in rows]

    def _small(self, ftp: ftplib.FTP, path: str) -> bytes:
        content = bytearray()
        socket = ftp.transfercmd(f"RETR {self._wire(path)}")
        # Leaving the body early closes the connection, because the server still answers to RETR.
        with contextlib.closing(self._body("read", ftp, socket, path)) as body:
            for chunk in body:
                content.extend(chunk[: DONEFILE_LIMIT - len(content)])
                if len(content) == DONEFILE_LIMIT:
                    break
        return bytes(content)

    def _body(
        self, operation: str, ftp: ftplib.FTP, socket: sockets.socket, path: str
    ) -> Generator[bytes, None, None]:
        with self._guard(operation, path), socket:
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

    def _listing(self, ftp: ftplib.FTP, path: str) -> list[_Row]:
        wire = self._wire(path)
        try:
            rows = list(ftp.mlsd(wire))
        except ftplib.error_perm as error:
            if not str(error).startswith(("500", "501", "502", "504")):
                raise
            lines = self._listed(ftp, wire)
            plain = rows_of(lines)
            if plain is None:
                raise RemoteError(
                    "list",
                    self._where(path),
                    f"the server's listing has an unknown form: {lines[-1]!r}",
                    "publish a tarball, or let the server list in the form of Unix or MS-DOS",
                ) from None
        else:
            plain = []
            for name, facts in rows:
                kind = facts.get("type", "").lower()
                if kind in ("dir", "file"):
                    size = facts.get("size", "")
                    known = int(size) if size.isdigit() else None
                    plain.append((self._text(name), kind == "dir", known))
                elif kind.startswith(("os.unix=slink", "os.unix=symlink")):
                    plain.append((self._text(name), None, None))
        for name, _, _ in plain:
            if not name.isprintable() and any("\udc80" <= letter <= "\udcff" for letter in name):
                raise RemoteError(
                    "list",
                    self._where(path),
                    f"the name {name!a} is not in {self._options.ftp_encoding}",
                    "give the encoding of the server's names as --ftp_encoding, such as gbk",
                )
        return plain

    def _leads_to_file(self, ftp: ftplib.FTP, path: str) -> bool:
        """Return whether a link leads to a file: the server gives a size only for a file.

        Without SIZE the answer is True, and the pull shows whether there is a file.
        """
        try:
            ftp.size(self._wire(path))
        except ftplib.error_perm as error:
            return not str(error).startswith("550")
        return True

    def _listed(self, ftp: ftplib.FTP, path: str) -> list[str]:
        lines: list[str] = []
        ftp.dir(path, lambda line: lines.append(self._text(line)))
        return lines

    def _wire(self, text: str) -> str:
        """Return ``text`` in the form that makes ftplib send the bytes of ``--ftp_encoding``."""
        encoding = self._options.ftp_encoding
        try:
            return text.encode(encoding, "surrogateescape").decode("latin-1")
        except UnicodeEncodeError:
            raise RemoteError(
                "reach",
                self._where(""),
                f"a name, the user or the password cannot be written in {encoding}",
                "check --ftp_encoding",
            ) from None

    def _text(self, wire: str) -> str:
        """Decode what the server sent. Bytes of another encoding become surrogates."""
        return wire.encode("latin-1").decode(self._options.ftp_encoding, "surrogateescape")

    def _said(self, error: BaseException) -> str:
        """Return an error's text for people. It may have any encoding."""
        if not isinstance(error, ftplib.Error):
            return str(error)
        return str(error).encode("latin-1", "replace").decode(self._options.ftp_encoding, "replace")


def rows_of(lines: list[str]) -> Optional[list[_Row]]:
    """Return name and kind of each file and folder in LIST's lines; None for an unknown form."""
    found: list[_Row] = []
    known = True
    for line in lines:
        match = _UNIX_LINE.fullmatch(line) or _DOS_LINE.fullmatch(line)
        if match is None:
            # Devices, "total 12" and empty lines are skipped.
            known = known and re.match(r"[bcps][-r]|total\b|\s*$", line) is not None
        elif match["kind"] == "l":
            found.append((match["name"].partition(" -> ")[0], None, None))
        elif match["name"] not in (".", ".."):
            found.append((match["name"], match["kind"] in ("d", "<DIR>"), None))
    return found if found or known else None
