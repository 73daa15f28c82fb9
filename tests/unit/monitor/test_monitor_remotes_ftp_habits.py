"""FTP servers whose answers, listings and commands are not those of the usual ones."""

from __future__ import annotations

import os
import socket
import time
from functools import partial
from operator import eq
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.remotes.ftp import habits as ftp_habits
from harness.support.waits import wait_for
from monitor.errors import BadOption, RemoteError
from monitor.options.fields import from_mapping
from monitor.remotes.base import DONEFILE_LIMIT
from monitor.remotes.ftp import rows_of
from monitor.stop import Stop
from monitor.watch.pull import Puller

from .fixtures import TARBALL, FtpSite, Place, closing_all
from .kinds import ftp_options, make

pytestmark = pytest.mark.usefixtures("quiet")

CHINESE, FRENCH = "模型", "modèle"


def served(root: Path, habit: Any, **settings: Any) -> FtpSite:
    return FtpSite(root, handler=habit, **settings)


@pytest.mark.parametrize(
    ("habit", "encoding", "name"),
    [
        (ftp_habits.Chinese, "gbk", CHINESE),
        (ftp_habits.French, "latin-1", FRENCH),
    ],
)
def test_names_banner_and_errors_may_be_in_another_encoding(
    tmp_path: Path, habit: Any, encoding: str, name: str
) -> None:
    site = served(tmp_path / "remote", habit)
    options = {**ftp_options(site), "ftp_encoding": encoding, "remote_path": f"/{name}"}
    with closing_all(site), make(tmp_path / "local", **options) as remote:
        (site.root / name).mkdir()
        assert remote.look("donefile") is None
        site.put(f"{name}/donefile", b"x")
        seen = remote.look("donefile")
        assert seen is not None
        assert seen == remote.look("donefile")
        site.put(f"{name}/{name}/{name}.bin", b"123")
        assert [entry.path for entry in remote.tree(name, 9)] == [f"{name}.bin"]
        assert b"".join(remote.open(f"{name}/{name}.bin").chunks) == b"123"
        with pytest.raises(RemoteError, match="no such file"):
            remote.open(TARBALL)


def test_of_a_huge_file_that_is_taken_for_the_donefile_only_the_beginning_comes(
    tmp_path: Path,
) -> None:
    sent: list[str] = []
    site = FtpSite(
        tmp_path / "remote",
        on_file_sent=lambda handler, file: sent.append("all"),
        on_incomplete_file_sent=lambda handler, file: sent.append("a part"),
    )
    with closing_all(site), make(tmp_path / "local", **ftp_options(site)) as remote:
        site.put("donefile", b"")
        os.truncate(site.root / "donefile", 256 * 1024 * 1024)
        for turn in (1, 2):
            seen = remote.look("donefile")
            assert seen is not None
            assert seen.content == bytes(DONEFILE_LIMIT)
            wait_for(partial(eq, sent, ["a part"] * turn), "the server's end of the transfer", 10)
    assert sent == ["a part"] * 2


def test_a_refusal_is_told_in_the_server_s_words(tmp_path: Path) -> None:
    site = served(tmp_path / "remote", ftp_habits.Chinese)
    # A folder cannot be read by anybody.
    (site.root / "donefile").mkdir()
    with closing_all(site):
        for encoding, words in (("gbk", "没有权限"), ("utf-8", "550")):
            options = {**ftp_options(site), "ftp_encoding": encoding}
            remote = make(tmp_path / "local", **options)
            with closing_all(remote), pytest.raises(RemoteError, match=words):
                remote.look("donefile")


@pytest.mark.parametrize("habit", [ftp_habits.Chinese, ftp_habits.French])
def test_a_banner_in_an_unknown_encoding_is_no_error(tmp_path: Path, habit: Any) -> None:
    site = served(tmp_path / "remote", habit)
    with closing_all(site), make(tmp_path / "local", **ftp_options(site)) as remote:
        assert remote.look("donefile") is None
        site.put("donefile", b"x")
        assert remote.look("donefile") is not None


def test_a_name_in_an_unknown_encoding_is_said_with_the_option_for_it(tmp_path: Path) -> None:
    site = served(tmp_path / "remote", ftp_habits.Chinese)
    site.put(f"folder/{CHINESE}", b"x")
    remote = make(tmp_path / "local", **ftp_options(site))
    said = r"is not in utf-8; .* --ftp_encoding, such as gbk"
    with closing_all(site, remote), pytest.raises(RemoteError, match=said):
        remote.tree("folder", 9)


def test_a_name_that_the_encoding_does_not_have_is_said(tmp_path: Path) -> None:
    site = served(tmp_path / "remote", ftp_habits.French)
    options = {**ftp_options(site), "ftp_encoding": "latin-1", "remote_path": f"/{CHINESE}"}
    remote = make(tmp_path / "local", **options)
    said = "cannot be written in latin-1; check --ftp_encoding"
    with closing_all(site, remote), pytest.raises(RemoteError, match=said):
        remote.look("donefile")


def test_a_path_in_the_wrong_encoding_is_refused_with_a_hint_at_the_option(tmp_path: Path) -> None:
    site = served(tmp_path / "remote", ftp_habits.Chinese)
    site.put(f"{CHINESE}/donefile", b"x")
    remote = make(tmp_path / "local", **ftp_options(site), remote_path=f"/{CHINESE}")
    with closing_all(site, remote), pytest.raises(RemoteError, match="and --ftp_encoding"):
        remote.look("donefile")


@pytest.mark.parametrize("path", [CHINESE, "%C4%A3%D0%CD"])
def test_an_address_may_have_the_name_or_the_bytes_of_its_encoding(
    tmp_path: Path, path: str
) -> None:
    site = served(tmp_path / "remote", ftp_habits.Chinese)
    site.put(f"{CHINESE}/donefile", b"x")
    login = f"{site.USER}:{site.PASSWORD}@127.0.0.1:{site.port}"
    options = {"general_host": f"ftp://{login}/{path}", "ftp_encoding": "gbk"}
    with closing_all(site), make(tmp_path / "local", **options) as remote:
        assert remote.look("donefile") is not None


@pytest.mark.parametrize(
    ("path", "options"),
    [
        # As wget and curl read it: an address begins at the login folder (RFC 1738, 3.2.2).
        ("home/models", {"general_host": "{site}/models"}),
        ("home/models", {"general_host": "{site}/models/", "remote_path": "/"}),
        ("home/models/m", {"general_host": "{site}/models", "remote_path": "/m"}),
        ("home/models", {"general_host": "{site}", "remote_path": "models"}),
        ("home/models", {"general_host": "{site}/", "remote_path": "models"}),
        ("models", {"general_host": "{site}/{root}/models"}),
        ("models", {"general_host": "{site}/%2F{root}/models"}),
        ("models", {"general_host": "{site}", "remote_path": "{root}/models"}),
        ("models", {"general_host": "{site}/", "remote_path": "{root}/models"}),
        # ftplib sends the path as it is.
        ("models", {"remote_path": "{root}/models"}),
        ("home/models", {"remote_path": "models"}),
    ],
)
def test_the_path_of_an_address_begins_at_the_login_folder(
    tmp_path: Path, path: str, options: dict[str, str]
) -> None:
    from pyftpdlib.filesystems import UnixFilesystem

    root = tmp_path / "remote"
    site = FtpSite(root / "home", abstracted_fs=UnixFilesystem)
    address = f"ftp://{site.USER}:{site.PASSWORD}@127.0.0.1:{site.port}"
    given = {name: text.format(site=address, root=root) for name, text in options.items()}
    if "general_host" not in given:
        given = {**ftp_options(site), **given}
    with closing_all(site), make(tmp_path / "local", **given) as remote:
        assert remote.look("donefile") is None
        for name in ("donefile", "folder/file", "folder/sub/file"):
            Place(root / path).put(name, b"content")
        seen = remote.look("donefile")
        assert seen is not None
        assert seen.content == b"content"
        assert sorted(entry.path for entry in remote.tree("folder", 9)) == ["file", "sub/file"]
        assert b"".join(remote.open("folder/sub/file").chunks) == b"content"


@pytest.mark.parametrize("name", ["utf-16", "no-such", "hex", "utf-8-sig", ""])
def test_an_encoding_that_cannot_be_one_of_names_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadOption, match=r"--ftp_encoding is wrong: .*; see --help"):
        make(tmp_path / "local", type="ftp", ftp_host="h", ftp_encoding=name)


@pytest.mark.parametrize(
    "habit",
    [
        ftp_habits.WithoutMlsd,
        ftp_habits.WithoutEpsv,
        ftp_habits.NlstRefused,
        ftp_habits.Dos,
        ftp_habits.DotFilesHidden,
        ftp_habits.Foreign,
    ],
    ids=lambda habit: str(habit.__name__),
)
def test_releases_arrive_from_a_server_with_a_habit_of_its_own(tmp_path: Path, habit: Any) -> None:
    site = served(tmp_path / "remote", habit)
    options = {**ftp_options(site), "ftp_encoding": habit.encoding}
    with closing_all(site), make(tmp_path / "local", **options) as remote:
        assert remote.look("donefile") is None
        site.put(".hidden", b"so that the folder is not empty")
        assert remote.look("donefile") is None
        site.put("other", b"so that something is seen in it")
        assert remote.look("donefile") is None
        site.put("donefile", b"")
        first = remote.look("donefile")
        assert first is not None
        assert remote.look("donefile") == first
        site.put(TARBALL, b"1\n2\r\n3")
        download = remote.open(TARBALL)
        assert download.size == 6
        assert b"".join(download.chunks) == b"1\n2\r\n3"
        for name in ("m/a", "m/sub/b", "m/sub/deep/c d"):
            site.put(name, b"1\n2\r\n3")
        puller = Puller(remote, str(tmp_path / "tmp" / "part"), 0, Stop())
        puller.pull_tree("m", 100, 10**6)
        pulled = [path for path in Path(puller.tree_part).rglob("*") if path.is_file()]
        assert {path.read_bytes() for path in pulled} == {b"1\n2\r\n3"}
        relative = sorted(str(path.relative_to(puller.tree_part)) for path in pulled)
        assert relative == ["a", "sub/b", "sub/deep/c d"]


@pytest.mark.parametrize("kind", ["no MDTM", "no modify in MLST", "neither"])
def test_a_touch_is_seen_where_only_some_commands_give_times(tmp_path: Path, kind: str) -> None:
    from pyftpdlib.handlers import FTPHandler

    class Undated(FTPHandler):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._current_facts = ["type", "size", "perm"]

    base = ftp_habits.WithoutMlsd if kind == "no MDTM" else Undated
    known = {k: v for k, v in base.proto_cmds.items() if k != "MDTM" or "MLST" in kind}
    site = served(tmp_path / "remote", type("Handler", (base,), {"proto_cmds": known}))
    with closing_all(site), make(tmp_path / "local", **ftp_options(site)) as remote:
        site.put("donefile", b"")
        first = remote.look("donefile")
        assert remote.look("donefile") == first
        os.utime(site.root / "donefile", (1_700_000_000, 1_700_000_000))
        assert remote.look("donefile") != first
        # A listing tells only minutes, which is too little to resume a pull.
        download = remote.open("donefile")
        with closing_all(download):
            assert bool(download.mark) is (kind == "no modify in MLST")


def test_a_listing_that_fails_for_a_moment_changes_no_mark(tmp_path: Path) -> None:
    class Busy(ftp_habits.WithoutMlsd):
        proto_cmds: ClassVar[dict[str, Any]] = {
            k: v for k, v in ftp_habits.WithoutMlsd.proto_cmds.items() if k != "MDTM"
        }
        is_busy = False

        def ftp_LIST(self, path: str) -> Any:
            if Busy.is_busy:
                self.respond("425 Cannot open a data connection now.")
                return None
            return super().ftp_LIST(path)

    site = served(tmp_path / "remote", Busy)
    with closing_all(site), make(tmp_path / "local", **ftp_options(site)) as remote:
        site.put("donefile", b"")
        first = remote.look("donefile")
        Busy.is_busy = True
        with pytest.raises(RemoteError, match="425"):
            remote.look("donefile")
        Busy.is_busy = False
        assert remote.look("donefile") == first


def test_a_file_that_may_not_be_read_is_not_absent_where_only_list_tells(tmp_path: Path) -> None:
    site = served(tmp_path / "remote", ftp_habits.Foreign)
    (site.root / "donefile").mkdir()
    remote = make(tmp_path / "local", **ftp_options(site))
    with closing_all(site, remote), pytest.raises(RemoteError, match="550"):
        remote.look("donefile")


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("-rw-r--r--   1 me       us             40 Nov 23 20:15 a b", ("a b", False, None)),
        ("drwxr-xr-x+  2 1000     1000         4096 Nov 23  2024 sub", ("sub", True, None)),
        ("-rw-r--r--   1 me             40 Nov 23 20:15 two words", ("two words", False, None)),
        ("-rw-r--r--   1 me us 40 2026-11-23 20:15 two words", ("two words", False, None)),
        ("-rw-r--r--   1 me domain users 40 23 Nov 20:15 x", ("x", False, None)),
        ("-rw-r--r--   1 me us 40 11月 23 20:15 x", ("x", False, None)),
        ("11-23-26  08:15PM       <DIR>          two words", ("two words", True, None)),
        ("11-23-2026  08:15AM            12,345 a b", ("a b", False, None)),
        ("2026-11-23  20:15                12 a", ("a", False, None)),
    ],
)
def test_a_line_of_a_listing_is_read_by_its_form(line: str, row: Any) -> None:
    assert rows_of(["total 4", line]) == [row]


def test_a_listing_of_another_form_is_not_taken_for_an_empty_folder(tmp_path: Path) -> None:
    assert rows_of([]) == []
    link = "lrwxrwxrwx 1 me us 4 Nov 23 20:15 a link -> there"
    assert rows_of(["total 0", link]) == [("a link", None, None)]
    assert rows_of(["Volume 0, 3 entries", "a;1  12 blocks"]) is None


# --- implicit TLS -----------------------------------------------------------------------------


def test_implicit_tls_encrypts_from_the_first_byte_and_checks_the_certificate(
    tmp_path: Path, certificate: Path
) -> None:
    pytest.importorskip("OpenSSL", reason="pyftpdlib needs pyOpenSSL for TLS")
    site = served(tmp_path / "remote", ftp_habits.implicit_tls(), certfile=str(certificate))
    login = f"{site.USER}:{site.PASSWORD}@127.0.0.1:{site.port}"
    by_option = {**ftp_options(site), "ftp_implicit_tls": True}
    by_address = {"general_host": f"ftps-implicit://{login}"}
    with closing_all(site):
        site.put(TARBALL, os.urandom(700_000))
        site.put("folder/a", b"1")
        for options in (by_option, by_address):
            with make(tmp_path / "local", **options, ca_file=str(certificate)) as remote:
                assert remote.look("donefile") is None
                whole = b"".join(remote.open(TARBALL).chunks)
                assert whole == (site.root / TARBALL).read_bytes()
                assert [entry.path for entry in remote.tree("folder", 9)] == ["a"]
                assert site.PASSWORD not in str(remote.describe())
        with make(tmp_path / "local", **by_option) as remote:  # noqa: SIM117
            with pytest.raises(RemoteError, match=r"ftps-implicit://.*CERTIFICATE_VERIFY_FAILED"):
                remote.look("donefile")


def test_a_server_without_tls_is_a_remote_error(ftp_site: FtpSite, tmp_path: Path) -> None:
    options = {**ftp_options(ftp_site), "ftp_implicit_tls": True, "timeout": "5"}
    with pytest.raises(RemoteError, match=r"(?i)ssl"):
        make(tmp_path / "local", **options).look("donefile")


def test_implicit_tls_has_a_port_of_its_own_unless_one_is_given() -> None:
    needed = {
        "type": "ftp", "ftp_host": "h", "remote_path": "/", "remote_model_name": "m",
        "remote_donefile_name": "d", "local_path": ".", "local_model_name": "m",
    }  # fmt: skip
    assert from_mapping(needed).ftp_port == 21
    assert from_mapping({**needed, "ftp_implicit_tls": True}).ftp_port == 990
    assert from_mapping({**needed, "ftp_implicit_tls": True, "ftp_port": "2990"}).ftp_port == 2990
    with pytest.raises(BadOption, match="exclude each other"):
        from_mapping({**needed, "ftp_implicit_tls": True, "ftp_tls": True})


def test_epsv_that_an_ipv6_server_lacks_is_said_with_what_to_do(tmp_path: Path) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    site = FtpSite(tmp_path / "remote", "::1", handler=ftp_habits.WithoutEpsv)
    options = {**ftp_options(site), "ftp_host": "::1"}
    with closing_all(site), pytest.raises(RemoteError, match="give the server's IPv4 address"):
        make(tmp_path / "local", **options).look("donefile")


def _with_links_in_mlsd() -> Any:
    """A server that says of a link in MLSD that it is one, as ProFTPD does."""
    from pyftpdlib.filesystems import AbstractedFS
    from pyftpdlib.handlers import FTPHandler

    class Links(AbstractedFS):  # type: ignore[misc]
        def format_mlsx(self, basedir: str, listing: list[str], *rest: Any, **more: Any) -> Any:
            links = [name for name in listing if os.path.islink(os.path.join(basedir, name))]
            others = [name for name in listing if name not in links]
            yield from super().format_mlsx(basedir, others, *rest, **more)
            for name in links:
                yield f"type=OS.unix=slink:/there; {name}\r\n".encode()

    class Handler(FTPHandler):  # type: ignore[misc]
        abstracted_fs = Links

    return Handler


@pytest.mark.parametrize("habit", ["LIST", "MLSD", "without SIZE"])
def test_a_link_to_a_file_is_a_file_of_the_folder(tmp_path: Path, habit: str) -> None:
    handler = _with_links_in_mlsd() if habit == "MLSD" else ftp_habits.WithoutMlsd
    if habit == "without SIZE":
        known = {k: v for k, v in handler.proto_cmds.items() if k != "SIZE"}
        handler = type("WithoutSize", (handler,), {"proto_cmds": known})
    site = served(tmp_path / "remote", handler)
    site.put("folder/whole", b"123")
    (site.root / "folder" / "a link").symlink_to("whole")
    if habit != "without SIZE":
        (site.root / "folder" / "to a folder").symlink_to(".")
        (site.root / "folder" / "to nothing").symlink_to("nothing")
        (site.root / "folder" / "out").symlink_to("/etc/passwd")
    with closing_all(site), make(tmp_path / "local", **ftp_options(site)) as remote:
        found = sorted(entry.path for entry in remote.tree("folder", 9))
        assert found == ["a link", "whole"]
        assert b"".join(remote.open("folder/a link").chunks) == b"123"


def test_a_server_that_falls_silent_in_a_listing_costs_one_time_out(tmp_path: Path) -> None:
    from pyftpdlib.handlers import FTPHandler

    class Silent(FTPHandler):  # type: ignore[misc]
        silent = False

        def process_command(self, cmd: str, *args: Any, **kwargs: Any) -> None:
            self.silent = self.silent or cmd == "MLSD"
            if not self.silent:
                super().process_command(cmd, *args, **kwargs)

    site = served(tmp_path / "remote", Silent)
    remote = make(tmp_path / "local", **ftp_options(site), timeout="1")
    with closing_all(site, remote):
        begun = time.monotonic()
        with pytest.raises(RemoteError, match="time-out"):
            remote.tree("folder", 9)
        assert time.monotonic() - begun < 1.8


def _with_links_in_mlst() -> Any:
    """A server whose MLST describes a link and not its target, as Pure-FTPd's does."""
    from pyftpdlib.filesystems import AbstractedFS
    from pyftpdlib.handlers import FTPHandler

    class Links(AbstractedFS):  # type: ignore[misc]
        def format_mlsx(self, basedir: str, listing: list[str], *rest: Any, **more: Any) -> Any:
            for name in listing:
                size = os.lstat(os.path.join(basedir, name)).st_size
                yield f"type=OS.unix=slink:there;size={size};modify=20261130; {name}\r\n".encode()

    class Handler(FTPHandler):  # type: ignore[misc]
        abstracted_fs = Links

    return Handler


def test_a_link_to_a_tarball_has_the_length_of_the_tarball(tmp_path: Path) -> None:
    site = served(tmp_path / "remote", _with_links_in_mlst())
    site.put("releases/1", b"1" * 999)
    (site.root / TARBALL).symlink_to("releases/1")
    with closing_all(site), make(tmp_path / "local", **ftp_options(site)) as remote:
        download = remote.open(TARBALL)
        assert download.size == 999
        assert len(b"".join(download.chunks)) == 999


def test_a_repeated_look_costs_three_commands_and_a_listing_leaves_binary_mode(
    tmp_path: Path,
) -> None:
    from pyftpdlib.handlers import FTPHandler

    commands: list[str] = []

    class Handler(FTPHandler):  # type: ignore[misc]
        def process_command(self, cmd: str, *args: Any, **kwargs: Any) -> None:
            commands.append(cmd)
            super().process_command(cmd, *args, **kwargs)

    site = served(tmp_path / "remote", Handler)
    content = b"1\r\n2\n" * 9
    site.put("donefile", content)
    site.put("folder/file", content)
    with closing_all(site), make(tmp_path / "local", **ftp_options(site)) as remote:
        first = remote.look("donefile")
        commands.clear()
        assert remote.look("donefile") == first
        assert [cmd for cmd in commands if cmd not in ("EPSV", "PASV")] == ["MLST", "RETR"]
        assert len(commands) == 3
        assert [entry.path for entry in remote.tree("folder", 9)] == ["file"]
        download = remote.open("folder/file")
        assert download.size == len(content)
        assert b"".join(download.chunks) == content
