"""FTP servers that behave like other software: each changes one habit of pyftpdlib's handler.

Every class is a handler (or a part of one) for ``FTPServer``; several combine by inheritance,
the one named first wins. ``python -m harness.remotes.ftp.server --like NAME`` serves with one.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import FTPHandler


class Chinese(FTPHandler):  # type: ignore[misc]  # pyftpdlib is not typed
    """Banner, names and errors in GBK; a 550 does not say in English why."""

    encoding = "gbk"
    banner = "欢迎使用文件服务器"
    refusal = "找不到文件，或没有权限"

    def respond(self, resp: str, *given: Any, **named: Any) -> None:
        """Answers, with a refusal in the server's language."""
        text = f"550 {self.refusal}" if resp.startswith("550") else resp
        super().respond(text, *given, **named)


class French(Chinese):
    """The same in Latin-1."""

    encoding = "latin-1"
    banner = "Bienvenue à la forêt"
    refusal = "Accès refusé, ou fichier introuvable"


class WithoutMlsd(FTPHandler):  # type: ignore[misc]
    """Knows no MLST and no MLSD: only LIST and NLST tell what is in a folder."""

    proto_cmds: ClassVar[dict[str, Any]] = {
        k: v for k, v in FTPHandler.proto_cmds.items() if k not in ("MLST", "MLSD")
    }


class WithoutEpsv(FTPHandler):  # type: ignore[misc]
    """Knows neither EPSV nor EPRT."""

    proto_cmds: ClassVar[dict[str, Any]] = {
        k: v for k, v in FTPHandler.proto_cmds.items() if k not in ("EPSV", "EPRT")
    }


class NlstRefused(WithoutMlsd):
    """Answers 450 to NLST, and to LIST of an empty folder."""

    def ftp_NLST(self, path: str) -> None:
        """Refuses."""
        self.respond("450 Requested file action not taken.")

    def ftp_LIST(self, path: str) -> Any:
        """Lists what is not empty."""
        if self.fs.isdir(path) and not self.fs.listdir(path):
            return self.respond("450 No files found.")
        return super().ftp_LIST(path)


class _DosLines(AbstractedFS):  # type: ignore[misc]
    def format_list(
        self, basedir: str, listing: Iterable[str], ignore_err: bool = True
    ) -> Iterator[bytes]:
        for name in listing:
            seen = os.stat(os.path.join(basedir, name))
            when = time.strftime("%m-%d-%y  %I:%M%p", time.gmtime(seen.st_mtime))
            what = "<DIR>         " if stat.S_ISDIR(seen.st_mode) else f"{seen.st_size:14d}"
            line = f"{when}       {what} {name}\r\n"
            yield line.encode(self.cmd_channel.encoding, "replace")


class Dos(WithoutMlsd):
    """Lists as MS-DOS does; Microsoft's server has it so by default."""

    abstracted_fs = _DosLines


class _NoDotFiles(AbstractedFS):  # type: ignore[misc]
    def listdir(self, path: str) -> list[str]:
        return [name for name in os.listdir(path) if not name.startswith(".")]


class DotFilesHidden(FTPHandler):  # type: ignore[misc]
    """Accepts files whose name begins with a dot, but neither lists nor renames them."""

    abstracted_fs = _NoDotFiles

    def ftp_RNFR(self, path: str) -> None:
        """Knows nothing of files with a dot."""
        if os.path.basename(path).startswith("."):
            self.respond("550 No such file or directory.")
        else:
            super().ftp_RNFR(path)


class DotFilesRefused(DotFilesHidden):
    """Takes no file whose name begins with a dot either."""

    def ftp_STOR(self, file: str, mode: str = "w") -> Any:
        """Refuses such a name."""
        if os.path.basename(file).startswith("."):
            return self.respond("553 Prohibited file name.")
        return super().ftp_STOR(file, mode)


class _DosWithoutDotFiles(_NoDotFiles, _DosLines):
    pass


class Foreign(Chinese, DotFilesHidden, NlstRefused):
    """All of it at once: an old server on a Chinese Windows."""

    proto_cmds: ClassVar[dict[str, Any]] = {
        k: v for k, v in WithoutMlsd.proto_cmds.items() if k in WithoutEpsv.proto_cmds
    }
    abstracted_fs = _DosWithoutDotFiles


def implicit_tls() -> Any:
    """A handler that speaks TLS from the first byte on; needs pyOpenSSL, and a ``certfile``."""
    from pyftpdlib.handlers import TLS_FTPHandler

    class ImplicitTls(TLS_FTPHandler):  # type: ignore[misc]
        tls_data_required = True

        def handle(self) -> None:
            """Begins with the handshake; the banner comes after it."""
            self.secure_connection(self.ssl_context)

        def handle_ssl_established(self) -> None:
            """Says the banner."""
            super().handle_ssl_established()
            super().handle()

    return ImplicitTls
