"""The FTP remote's server: the commands that monitors and producers rely on, through the gate."""

from __future__ import annotations

import ftplib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.faults.gate import OUTSIDE
from harness.remotes.ftp.local import LocalFtp
from harness.remotes.ftp.remote import USER


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFtp]:
    with LocalFtp(tmp_path_factory.mktemp("ftp")) as made:
        made.ready(30)
        yield made


@pytest.fixture
def ftp(server: LocalFtp) -> Iterator[ftplib.FTP]:
    with ftplib.FTP(timeout=20) as made:
        made.connect(OUTSIDE, server.port)
        made.login(USER, server.password)
        yield made


def store(ftp: ftplib.FTP, name: str, content: bytes) -> None:
    ftp.storbinary(f"STOR {name}", io.BytesIO(content))


def test_it_tells_time_and_size_of_a_file(server: LocalFtp, ftp: ftplib.FTP) -> None:
    store(ftp, "donefile", b"42")
    os.utime(server.folder / "data" / "donefile", (1_700_000_000, 1_700_000_000))
    assert ftp.voidcmd("MDTM donefile") == "213 20231114221320"
    assert ftp.size("donefile") == 2
    facts = ftp.sendcmd("MLST donefile").splitlines()[1]
    assert "modify=20231114221320;" in facts
    assert "size=2;" in facts


def test_a_transfer_goes_on_where_it_broke(ftp: ftplib.FTP) -> None:
    store(ftp, "model", bytes(range(100)))
    rest = io.BytesIO()
    ftp.retrbinary("RETR model", rest.write, rest=60)
    assert rest.getvalue() == bytes(range(60, 100))


def test_a_rename_replaces_the_file_that_is_there(ftp: ftplib.FTP) -> None:
    store(ftp, "old", b"old")
    store(ftp, "new", b"new")
    ftp.rename("new", "old")
    seen = io.BytesIO()
    ftp.retrbinary("RETR old", seen.write)
    assert seen.getvalue() == b"new"


@pytest.mark.parametrize("command", ["PASV", "EPSV"])
def test_data_connections_lead_through_the_gate(
    server: LocalFtp, ftp: ftplib.FTP, command: str
) -> None:
    reply = ftp.sendcmd(command)
    if command == "PASV":
        host, port = ftplib.parse227(reply)
        assert host == OUTSIDE
    else:
        assert ftp.sock is not None
        _, port = ftplib.parse229(reply, ftp.sock.getpeername())
    assert port in server.gate().ports


def test_a_wrong_password_is_refused(server: LocalFtp) -> None:
    with ftplib.FTP(timeout=20) as stranger:
        stranger.connect(OUTSIDE, server.port)
        with pytest.raises(ftplib.error_perm, match="530"):
            stranger.login(USER, "guess")


def test_the_password_stands_in_no_process_list_and_no_log(server: LocalFtp) -> None:
    for pid in server.pids:
        assert server.password not in Path(f"/proc/{pid}/cmdline").read_text()
    assert server.password not in server.logs[0].read_text()
    assert server.password not in server.url
