"""One contract for every remote that can be had in a test, against real servers; and the pull."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.support.waits import wait_for
from monitor.decisions.identity import Identity
from monitor.errors import BadOption, RemoteError
from monitor.remotes.base import DONEFILE_LIMIT, Remote, join

from .fixtures import MODEL, TARBALL, FtpSite, Site, closing_all
from .kinds import Kind, ftp_options, make
from .processes import ROOT, ftp, general

pytestmark = pytest.mark.usefixtures("quiet")

ONE = Identity("1-a", 1)
BIG = random.Random(5).randbytes(700_000)


def open_files() -> set[str]:
    """What this process has open: paths, and sockets by their numbers."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own is closed by now
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
    return found


class TestARemote:
    """What every kind does."""

    def test_sees_a_donefile_come_change_and_go(self, kind: Kind, remote: Remote) -> None:
        assert remote.look("donefile") is None
        kind.place.put("donefile", b"one")
        first = remote.look("donefile")
        assert first is not None
        assert first.content == b"one"
        assert remote.look("donefile") == first
        kind.place.put("donefile", b"two")
        second = remote.look("donefile")
        assert second is not None
        assert second.content == b"two"
        (kind.place.root / "donefile").unlink()
        assert remote.look("donefile") is None

    def test_sees_a_touch(self, kind: Kind, remote: Remote) -> None:
        # A server that has only listings tells minutes.
        later = 60 if kind.name == "ftp-old" else 1
        now = int(time.time()) - 7200
        kind.place.put("donefile", b"")
        os.utime(kind.place.root / "donefile", (now, now))
        first = remote.look("donefile")
        os.utime(kind.place.root / "donefile", (now + later, now + later))
        second = remote.look("donefile")
        assert first is not None
        assert second is not None
        assert first.mark != second.mark

    def test_reads_no_more_of_a_donefile_than_can_matter(self, kind: Kind, remote: Remote) -> None:
        kind.place.put("donefile", bytes(300_000))
        seen = remote.look("donefile")
        assert seen is not None
        assert len(seen.content) == DONEFILE_LIMIT
        kind.place.put("other", b"the connection is still usable")
        other = remote.look("other")
        assert other is not None
        assert other.content == b"the connection is still usable"

    def test_pulls_a_file_whole(self, kind: Kind, remote: Remote) -> None:
        kind.place.put(TARBALL, BIG)
        download = remote.open(TARBALL)
        assert download.offset == 0
        assert download.size == (None if kind.name == "ftp-old" else len(BIG))
        assert b"".join(download.chunks) == BIG

    def test_resumes_only_what_is_still_the_same(self, kind: Kind, remote: Remote) -> None:
        kind.place.put(TARBALL, BIG)
        os.utime(kind.place.root / TARBALL, (1_700_000_000, 1_700_000_000))
        download = remote.open(TARBALL)
        b"".join(download.chunks)
        again = remote.open(TARBALL, 400_000, download.mark)
        rest = b"".join(again.chunks)
        if kind.name == "ftp-old":
            assert download.mark == ""
            assert (again.offset, rest) == (0, BIG)
            return
        assert (again.offset, rest) == (400_000, BIG[400_000:])
        os.utime(kind.place.root / TARBALL, (1_700_000_009, 1_700_000_009))
        other = remote.open(TARBALL, 400_000, download.mark)
        assert other.offset == 0
        assert b"".join(other.chunks) == BIG

    def test_says_that_a_file_is_not_there(self, kind: Kind, remote: Remote) -> None:
        with pytest.raises(RemoteError, match="no such file"):
            b"".join(remote.open(TARBALL).chunks)

    def test_lists_a_folder_with_all_below_it(self, kind: Kind, remote: Remote) -> None:
        for name in ("m/a", "m/sub/b", "m/sub/deep/c d"):
            kind.place.put(name, b"1\n2\r\n3")
        found = remote.tree("m", 100)
        assert sorted(entry.path for entry in found) == ["a", "sub/b", "sub/deep/c d"]
        assert b"".join(remote.open("m/sub/deep/c d").chunks) == b"1\n2\r\n3"

    def test_is_usable_after_a_transfer_that_was_given_up(self, kind: Kind, remote: Remote) -> None:
        kind.place.put(TARBALL, BIG)
        with contextlib.closing(remote.open(TARBALL)) as download:
            next(download.chunks)
        assert b"".join(remote.open(TARBALL).chunks) == BIG

    def test_is_usable_after_a_transfer_that_was_never_begun(
        self, kind: Kind, remote: Remote
    ) -> None:
        kind.place.put(TARBALL, BIG)
        kind.place.put("donefile", b"x")
        for _ in range(2):
            remote.open(TARBALL).close()
            seen = remote.look("donefile")
            assert seen is not None
            assert seen.content == b"x"

    def test_holds_nothing_of_a_transfer_that_was_never_begun(
        self, kind: Kind, remote: Remote
    ) -> None:
        kind.place.put(TARBALL, BIG)
        before = open_files()
        download = remote.open(TARBALL)
        # Not a count: other files of this process are closed at any time.
        opened = open_files() - before
        assert opened
        download.close()
        download.close()
        remote.close()
        wait_for(lambda: not opened & open_files(), "the end of the transfer", 20)

    def test_is_usable_after_it_was_closed(self, kind: Kind, remote: Remote) -> None:
        kind.place.put("donefile", b"x")
        assert remote.look("donefile") is not None
        remote.close()
        remote.close()
        assert remote.look("donefile") is not None

    def test_tells_its_options_for_the_log_without_a_secret(
        self, kind: Kind, remote: Remote
    ) -> None:
        assert FtpSite.PASSWORD not in str(remote.describe())
        assert remote.describe()[0][0] in ("_general_host", "_ftp_host", "_remote_url")


# --- single kinds ----------------------------------------------------------------------------


def test_an_ftp_connection_that_the_server_ended_is_opened_again(
    ftp_site: FtpSite, tmp_path: Path
) -> None:
    ftp_site.put("donefile", b"x")
    with make(tmp_path / "local", **ftp_options(ftp_site)) as remote:
        assert remote.look("donefile") is not None
        assert remote.look("donefile") is not None
        assert ftp_site.commands.count("PASS") == 1
        ftp_site.drop_connections()
        assert remote.look("donefile") is not None
        assert ftp_site.commands.count("PASS") == 2


def test_a_donefile_that_may_not_be_read_is_not_an_absent_one(
    ftp_site: FtpSite, tmp_path: Path
) -> None:
    if os.geteuid() == 0:
        # As root no file is unreadable; a folder of that name cannot be read by anybody.
        (ftp_site.root / "donefile").mkdir()
    else:
        ftp_site.put("donefile", b"x")
        (ftp_site.root / "donefile").chmod(0)
    with make(tmp_path / "local", **ftp_options(ftp_site)) as remote:  # noqa: SIM117
        with pytest.raises(RemoteError, match="550"):
            remote.look("donefile")


def test_wrong_credentials_are_named_as_such(ftp_site: FtpSite, tmp_path: Path) -> None:
    options = {**ftp_options(ftp_site), "ftp_password": "another-one"}
    with pytest.raises(RemoteError, match=r"530.*check --ftp_username") as caught:
        make(tmp_path / "local", **options).look("donefile")
    assert "another-one" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_a_server_that_says_nothing_fails_after_the_time_out(scheme: str, tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        host = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        remote = make(tmp_path / "local", general_host=host, timeout="0.2")
        begun = time.monotonic()
        with pytest.raises(RemoteError, match="nothing came within the time-out"):
            remote.look("donefile")
        assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "http_token_file"), (403, "http_token_file"), (500, "")]
)
def test_what_an_http_server_refuses_is_no_absent_donefile(
    site: Site, tmp_path: Path, status: int, hint: str
) -> None:
    site.status = status
    with pytest.raises(RemoteError, match=str(status)) as caught:
        make(tmp_path / "local", general_host=site.url).look("donefile")
    assert hint in caught.value.hint


def test_gone_is_absent(site: Site, tmp_path: Path) -> None:
    site.status = 410
    assert make(tmp_path / "local", general_host=site.url).look("donefile") is None


def test_headers_and_token_go_with_every_request_and_nothing_is_decoded(
    site: Site, tmp_path: Path
) -> None:
    site.put("donefile", b"x")
    token = tmp_path / "token"
    token.write_text("t0ken-value\n")
    options = {"http_header": ["X-One: 1", "X-Two:2"], "http_token_file": str(token)}
    make(tmp_path / "local", general_host=site.url, **options).look("donefile")
    headers = site.seen[-1][1]
    assert (headers["X-One"], headers["X-Two"]) == ("1", "2")
    assert headers["Authorization"] == "Bearer t0ken-value"
    assert headers["Accept-Encoding"] == "identity"


def test_a_host_without_a_scheme_and_with_a_path_is_what_wget_takes(
    site: Site, tmp_path: Path
) -> None:
    site.put("base/models/donefile", b"x")
    host = site.url.partition("//")[2] + "/base/"
    remote = make(tmp_path / "local", general_host=host, remote_path="/models/")
    assert remote.look("donefile") is not None
    assert site.seen[-1][0] == "/base/models/donefile"


def test_without_validators_content_is_all_there_is(site: Site, tmp_path: Path) -> None:
    site.validators = set()
    site.put("donefile", b"12")
    remote = make(tmp_path / "local", general_host=site.url)
    first = remote.look("donefile")
    assert remote.look("donefile") == first
    site.put("donefile", b"34")
    assert remote.look("donefile") != first
    site.put(TARBALL, BIG)
    assert remote.open(TARBALL).mark == ""


def test_a_young_file_s_validator_is_not_trusted_for_a_resume(site: Site, tmp_path: Path) -> None:
    site.put(TARBALL, BIG)
    assert make(tmp_path / "local", general_host=site.url).open(TARBALL).mark == ""


def test_a_proxy_from_the_environment_is_used(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.put("http:/far.away.invalid/donefile", b"through the proxy")
    monkeypatch.setenv("http_proxy", site.url)
    remote = make(tmp_path / "local", general_host="http://far.away.invalid")
    remote.look("donefile")
    assert site.seen[-1][0] == "http://far.away.invalid/donefile"


def ipv6_or_skip() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


def test_a_release_is_installed_from_an_http_server_on_ipv6(tmp_path: Path) -> None:
    ipv6_or_skip()
    site = Site(tmp_path / "remote", "::1")
    with closing_all(site):
        site.publish(1)
        words = [sys.executable, "-m", "monitor", *general(site, tmp_path), "--once"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "http://[::1]:" in done.stderr
    assert (tmp_path / "local" / MODEL / "model.pdmodel").exists()


@pytest.mark.parametrize("brackets", [False, True])
def test_a_release_is_installed_from_an_ftp_server_on_ipv6(tmp_path: Path, brackets: bool) -> None:
    ipv6_or_skip()
    site = FtpSite(tmp_path / "remote", "::1")
    with closing_all(site):
        site.publish(1)
        words = [sys.executable, "-m", "monitor", *ftp(site, tmp_path), "--once"]
        if brackets:
            words.append("--ftp_host=[::1]")
        given = {**os.environ, "SERVING_MONITOR_FTP_PASSWORD": site.PASSWORD}
        done = subprocess.run(
            words, cwd=ROOT, env=given, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        # RFC 2428: PASV has no form for such an address.
        assert "EPSV" in site.commands
        assert "PASV" not in site.commands
    assert (tmp_path / "local" / MODEL / "model.pdmodel").exists()


def test_the_certificate_of_an_https_server_is_checked(site: Site, tmp_path: Path) -> None:
    host = site.url.replace("http", "https")
    with pytest.raises(RemoteError, match=r"(?i)ssl"):
        make(tmp_path / "local", general_host=host).look("donefile")


def test_an_https_server_is_trusted_by_its_ca_file_and_only_by_it(
    site: Site, tmp_path: Path, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate))
    site.serve_tls(context)
    site.put("donefile", b"x")
    trusting = {"general_host": site.url, "ca_file": str(certificate)}
    assert make(tmp_path / "local", **trusting).look("donefile") is not None
    with pytest.raises(RemoteError, match="CERTIFICATE_VERIFY_FAILED"):
        make(tmp_path / "local", general_host=site.url).look("donefile")


def test_ftp_over_tls_encrypts_both_connections_and_checks_the_certificate(
    tmp_path: Path, certificate: Path
) -> None:
    pytest.importorskip("OpenSSL", reason="pyftpdlib needs pyOpenSSL for TLS")
    from pyftpdlib.handlers import TLS_FTPHandler

    site = FtpSite(
        tmp_path / "remote", handler=TLS_FTPHandler, certfile=str(certificate),
        tls_control_required=True, tls_data_required=True,
    )  # fmt: skip
    with closing_all(site):
        site.put(TARBALL, BIG)
        options = {**ftp_options(site), "ftp_tls": True}
        with make(tmp_path / "local", **options, ca_file=str(certificate)) as remote:
            assert b"".join(remote.open(TARBALL).chunks) == BIG
            assert remote.look("donefile") is None
        with make(tmp_path / "local", **options) as remote:  # noqa: SIM117
            with pytest.raises(RemoteError, match="CERTIFICATE_VERIFY_FAILED"):
                remote.look("donefile")


def test_fsspec_without_the_package_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(BadOption, match="needs fsspec"):
        make(tmp_path / "local", type="fsspec", remote_url="file:///tmp")


@pytest.mark.parametrize(
    ("base", "name", "path"),
    [("/", "a", "/a"), ("", "a", "a"), ("/x//y/", "a", "/x/y/a"), ("x", "a/b", "x/a/b")],
)
def test_paths_are_joined_without_doubled_slashes(base: str, name: str, path: str) -> None:
    assert join(base, name) == path
