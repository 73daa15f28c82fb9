"""FTP and FTP over TLS as servers in the world have it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from monitor.decisions.identity import Identity
from monitor.errors import Mismatch
from monitor.manifest import Manifest
from monitor.remotes.base import Remote
from monitor.stop import Stop
from monitor.watch.pull import Puller

from .fixtures import TARBALL, FtpSite, closing_all
from .kinds import ftp_options, make

pytestmark = pytest.mark.usefixtures("quiet")

BIG = random.Random(5).randbytes(700_000)


def test_a_pull_that_is_refused_before_its_first_byte_leaves_the_server_usable(
    ftp_site: FtpSite, tmp_path: Path
) -> None:
    ftp_site.put(TARBALL, b"three")
    ftp_site.put("donefile", b"x")
    with make(tmp_path / "local", **ftp_options(ftp_site)) as remote:
        puller = Puller(remote, str(tmp_path / "tmp" / "part"), 0, Stop())
        for _ in range(2):
            with pytest.raises(Mismatch, match="the remote has 5 bytes"):
                puller.pull_file(TARBALL, Identity("1-a", 1), Manifest(1, TARBALL, 9, "", {}))
            seen = remote.look("donefile")
            assert seen is not None
            assert seen.content == b"x"


class Tls:
    """FTP servers with TLS in which the data connections have habits of their own."""

    def __init__(self, folder: Path, certificate: Path) -> None:
        pytest.importorskip("OpenSSL", reason="pyftpdlib needs pyOpenSSL for TLS")
        self._folder = folder
        self._certificate = certificate

    def site(self, data: Any = None, **settings: Any) -> FtpSite:
        from pyftpdlib.handlers import TLS_FTPHandler

        if data is not None:
            settings["dtp_handler"] = data
        site = FtpSite(
            self._folder / "remote", handler=TLS_FTPHandler, certfile=str(self._certificate),
            tls_control_required=True, tls_data_required=True, **settings,
        )  # fmt: skip
        site.put(TARBALL, BIG)
        site.put("donefile", b"x")
        site.put("folder/a", b"1")
        return site

    def remote(self, site: FtpSite) -> Remote:
        options = {**ftp_options(site), "ftp_tls": True, "ca_file": str(self._certificate)}
        return make(self._folder / "local", **options)


@pytest.fixture
def tls(tmp_path: Path, certificate: Path) -> Tls:
    return Tls(tmp_path, certificate)


def reads_all(remote: Remote) -> None:
    for _ in range(2):
        seen = remote.look("donefile")
        assert seen is not None
        assert seen.content == b"x"
        assert [entry.path for entry in remote.tree("folder", 9)] == ["a"]
        assert b"".join(remote.open(TARBALL).chunks) == BIG


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_data_connections_go_on_with_the_tls_session_as_most_servers_require(
    tls: Tls, version: str
) -> None:
    """vsftpd's require_ssl_reuse, and the like of ProFTPD and FileZilla, are on by default."""
    from OpenSSL import SSL
    from OpenSSL._util import lib
    from pyftpdlib.handlers import TLS_DTPHandler

    class Strict(TLS_DTPHandler):  # type: ignore[misc]
        def handle_ssl_established(self) -> None:
            if not lib.SSL_session_reused(self.socket._ssl):
                self.cmd_channel.respond("522 SSL connection failed: session reuse required")
                self.close()

    other = SSL.OP_NO_TLSv1_3 if version == "TLSv1.2" else SSL.OP_NO_TLSv1_2
    site = tls.site(Strict, ssl_options=other)
    with closing_all(site), tls.remote(site) as remote:
        reads_all(remote)
        assert site.commands.count("PASS") == 1


def test_data_connections_may_end_without_tls_s_goodbye(tls: Tls) -> None:
    """Many servers just close them; 226 says whether the server sent all bytes."""
    from pyftpdlib.handlers import DTPHandler, TLS_DTPHandler

    class Blunt(TLS_DTPHandler):  # type: ignore[misc]
        def close(self) -> None:
            DTPHandler.close(self)

    site = tls.site(Blunt)
    with closing_all(site), tls.remote(site) as remote:
        reads_all(remote)
        assert site.commands.count("PASS") == 1
