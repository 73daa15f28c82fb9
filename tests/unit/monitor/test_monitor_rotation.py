"""Secrets that change while the monitor runs."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from monitor.decisions.machine import Event

from .answers import Answer, Answers
from .fixtures import TARBALL, FtpSite, Site, closing_all
from .kinds import ftp_options, make
from .stepping import MakeWatch, live, poll, release_in


def test_a_password_of_ftp_is_rotated_without_a_restart(
    watch: MakeWatch, tmp_path: Path, lines: list[str]
) -> None:
    ftp = FtpSite(tmp_path / "ftp")
    with closing_all(ftp):
        file = tmp_path / "password"
        file.write_text(f"{ftp.PASSWORD}\n")
        given = {**ftp_options(ftp), "ftp_password": None, "ftp_password_file": str(file)}
        one = watch(general_host=None, **given)
        ftp.publish(1)
        assert poll(one) is Event.SWAPPED
        ftp.change_password("n3w-pa55")
        ftp.publish(2)
        assert poll(one) is Event.REMOTE_FAILED
        file.write_text("n3w-pa55\n")
        assert poll(one) is Event.SWAPPED
        assert release_in(live(tmp_path)) == 2
    assert not [line for line in lines if "pa55" in line]


@pytest.mark.parametrize("wrong", ["", None], ids=["empty", "missing"])
def test_the_last_token_stays_in_use_while_its_file_cannot_be_read(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str], wrong: object
) -> None:
    def warnings() -> int:
        return len([line for line in lines if "WARNING the last secret stays in use" in line])

    file = tmp_path / "token"
    file.write_text("t0ken\n")
    one = watch(http_token_file=str(file))
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    for times in (1, 2):
        file.unlink() if wrong is None else file.write_text("")
        for _ in range(2):
            assert poll(one) is Event.INSTALLED
            assert warnings() == times
        file.write_text("t0ken\n")
        assert poll(one) is Event.INSTALLED
        assert site.seen[-1][1]["Authorization"] == "Bearer t0ken"
    file.write_text("0ther\n")
    assert poll(one) is Event.INSTALLED
    assert site.seen[-1][1]["Authorization"] == "Bearer 0ther"
    assert any(f"--http_token_file {file}" in line for line in lines)


def test_a_wrong_address_in_a_file_leaves_the_last_one_in_use(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    file = tmp_path / "address"
    file.write_text(f"{site.url}\n")
    one = watch(general_host=None, general_host_file=str(file))
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    for wrong in ("http://host:no-port\n", "http://host/?sig=x\n"):
        file.write_text(wrong)
        assert poll(one) is Event.INSTALLED
        assert "WARNING the last secret stays in use" in "".join(lines)


def test_headers_of_a_file_are_replaced_and_those_of_the_option_stay(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("X-Old: 1\n\nX-Both: 1\n")
    origin = Answers()
    with closing_all(origin):
        origin.otherwise = Answer(200, b"x")
        given = {"http_header": ["X-Given: 1"], "http_header_file": str(file)}
        with make(tmp_path / "local", general_host=origin.url, **given) as remote:
            remote.look("donefile")
            file.write_text("X-Both: 2\n")
            remote.look("donefile")
        first, second = (
            {name: value for name, value in headers.items() if name.startswith("X-")}
            for _, headers in origin.seen
        )
    assert first == {"X-Given": "1", "X-Old": "1", "X-Both": "1"}
    assert second == {"X-Given": "1", "X-Both": "2"}


def test_an_account_of_netrc_is_read_again(
    watch: MakeWatch, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(netrc))
    one = watch()
    for password in ("0ne", "tw0"):
        netrc.write_text(f"machine 127.0.0.1 login me password {password}\n")
        poll(one)
        sent = site.seen[-1][1]["Authorization"].partition(" ")[2]
        assert base64.b64decode(sent).decode() == f"me:{password}"


def test_a_pull_goes_on_with_the_secrets_of_its_look(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("0ne\n")
    site.publish(1)
    given = {"general_host": site.url, "http_token_file": str(file)}
    with make(tmp_path / "local", **given) as remote:
        remote.look("donefile")
        file.write_text("tw0\n")
        b"".join(remote.open(TARBALL).chunks)
        assert site.seen[-1][1]["Authorization"] == "Bearer 0ne"
