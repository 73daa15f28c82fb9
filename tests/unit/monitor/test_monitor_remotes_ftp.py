"""FTP and FTP over TLS as servers in the world have it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor import _log
from monitor._machine import Identity
from monitor._pull import Puller
from monitor._remotes.base import Stop
from monitor.errors import Mismatch
from monitor.manifest import Manifest

from .fixtures import TARBALL, FtpSite
from .kinds import ftp_options, make


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    _log.set_up(debug=True, as_json=False, stream=io.StringIO())
    yield
    _log.logger.handlers.clear()


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
