"""Publishing to FTP servers that are more particular than the one the harness starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import FTPHandler

from harness.remotes.ftp import habits as ftp_habits
from producer.errors import RemoteError
from producer.publish import Access, Publisher, connect, parse
from tests.ftp_server import FtpServer


class NoReplacing(AbstractedFS):  # type: ignore[misc]  # pyftpdlib is not typed
    """A filesystem that does not rename onto a file, as IIS has it."""

    def rename(self, source: str, target: str) -> None:
        if os.path.exists(target):
            raise FileExistsError(17, "File exists", target)
        os.rename(source, target)


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[Publisher]:
    """A publisher to a server with these handler settings, serving ``folder``."""
    folder.mkdir(exist_ok=True)
    rights = settings.pop("rights", "elradfmw")
    base = settings.pop("habit", None)
    scheme = settings.pop("scheme", "ftp")
    path = settings.pop("path", "/models")
    access = Access(ftp_password="s3cret", **settings.pop("access", {}))
    server = FtpServer(folder, "user", "s3cret", rights=rights, handler=base, **settings)
    try:
        yield connect(parse(f"{scheme}://user@127.0.0.1:{server.port}{path}"), access)
    finally:
        server.close()


def put(remote: Publisher, folder: Path, content: bytes) -> None:
    local = folder / "model"
    local.write_bytes(content)
    remote.prepare()
    remote.put(local, "model")


def test_a_server_that_does_not_rename_onto_a_file_is_published_to_all_the_same(
    tmp_path: Path,
) -> None:
    with served(tmp_path / "ftp", abstracted_fs=NoReplacing) as remote:
        put(remote, tmp_path, b"old")
        put(remote, tmp_path, b"new")
        assert remote.read("model") == b"new"
    assert os.listdir(tmp_path / "ftp" / "models") == ["model"]


def test_a_server_without_the_size_command_is_published_to_all_the_same(tmp_path: Path) -> None:
    known = {name: what for name, what in FTPHandler.proto_cmds.items() if name != "SIZE"}
    with served(tmp_path / "ftp", proto_cmds=known) as remote:
        put(remote, tmp_path, b"content")
        assert remote.read("model") == b"content"


def test_a_folder_that_the_user_may_not_write_is_named(tmp_path: Path) -> None:
    (tmp_path / "ftp" / "models").mkdir(parents=True)
    with served(tmp_path / "ftp", rights="elr") as remote:
        assert remote.read("nothing") is None
        with pytest.raises(RemoteError, match=r"cannot upload ftp://user@.*/models/model: 550"):
            put(remote, tmp_path, b"content")


def test_a_file_that_the_user_may_not_read_is_not_taken_for_absent(tmp_path: Path) -> None:
    (tmp_path / "ftp" / "models").mkdir(parents=True)
    (tmp_path / "ftp" / "models" / "model").write_text("there")
    with served(tmp_path / "ftp", rights="el") as remote, pytest.raises(RemoteError) as caught:
        remote.read("model")
    assert "cannot read" in str(caught.value)


def test_a_wrong_password_says_where_the_right_one_goes(tmp_path: Path) -> None:
    with served(tmp_path / "ftp", auth_failed_timeout=0) as remote:
        wrong = connect(remote.address, Access(ftp_password="guess"))
        with pytest.raises(RemoteError, match="the password in PRODUCER_FTP_PASSWORD") as caught:
            wrong.prepare()
    assert "guess" not in str(caught.value)


# --- servers with habits of their own ---------------------------------------------------------


@pytest.mark.parametrize(
    ("habit", "encoding", "path"),
    [
        (ftp_habits.Chinese, "gbk", "/模型"),
        (ftp_habits.French, "latin-1", "/modèle"),
        (ftp_habits.Chinese, "utf-8", "/models"),
        (ftp_habits.WithoutMlsd, "utf-8", "/models"),
        (ftp_habits.WithoutEpsv, "utf-8", "/models"),
        (ftp_habits.NlstRefused, "utf-8", "/models"),
        (ftp_habits.Dos, "utf-8", "/models"),
        (ftp_habits.DotFilesHidden, "utf-8", "/models"),
        (ftp_habits.DotFilesRefused, "utf-8", "/models"),
        (ftp_habits.Foreign, "gbk", "/模型"),
    ],
)
def test_a_server_with_a_habit_of_its_own_is_published_to_all_the_same(
    tmp_path: Path, habit: Any, encoding: str, path: str
) -> None:
    given = {"habit": habit, "path": path, "access": {"ftp_encoding": encoding}}
    with served(tmp_path / "ftp", **given) as remote:
        remote.prepare()
        assert remote.read("model") is None
        put(remote, tmp_path, b"old")
        put(remote, tmp_path, b"new")
        assert remote.read("model") == b"new"
        assert remote.read("other") is None
        (tmp_path / "ftp" / path[1:] / "folder").mkdir()
        with pytest.raises(RemoteError, match="cannot read"):
            remote.read("folder")
    assert sorted(os.listdir(tmp_path / "ftp" / path[1:])) == ["folder", "model"]


def test_an_upload_that_is_refused_takes_nothing_away(tmp_path: Path) -> None:
    """A server that does not know the new file must not lose the old one."""
    with served(tmp_path / "ftp") as remote:
        put(remote, tmp_path, b"old")

    class NothingRenamed(ftp_habits.DotFilesHidden):
        def ftp_RNFR(self, path: str) -> None:
            self.respond("550 No such file or directory.")

    with served(tmp_path / "ftp", habit=NothingRenamed) as remote:
        with pytest.raises(RemoteError, match="cannot upload"):
            put(remote, tmp_path, b"new")
        assert remote.read("model") == b"old"
    assert os.listdir(tmp_path / "ftp" / "models") == ["model"]


def test_an_error_is_told_in_the_server_s_words(tmp_path: Path) -> None:
    given = {"habit": ftp_habits.Chinese, "rights": "elr", "access": {"ftp_encoding": "gbk"}}
    (tmp_path / "ftp" / "models").mkdir(parents=True)
    refused = pytest.raises(RemoteError, match="550 找不到文件")
    with served(tmp_path / "ftp", **given) as remote, refused:
        put(remote, tmp_path, b"content")


@pytest.mark.parametrize("scheme", ["ftps", "ftps-implicit"])
def test_tls_encrypts_both_connections_and_checks_the_certificate(
    tmp_path: Path, scheme: str, certificate: Path
) -> None:
    pytest.importorskip("OpenSSL", reason="pyftpdlib needs pyOpenSSL for TLS")
    from pyftpdlib.handlers import TLS_FTPHandler

    given = {
        "habit": ftp_habits.implicit_tls() if scheme == "ftps-implicit" else TLS_FTPHandler,
        "scheme": scheme,
        "certfile": str(certificate),
        "tls_control_required": True,
        "tls_data_required": True,
        "access": {"ca_file": str(certificate)},
    }
    with served(tmp_path / "ftp", **given) as remote:
        put(remote, tmp_path, os.urandom(700_000))
        assert remote.read("model") == (tmp_path / "model").read_bytes()
        assert remote.read("other") is None
        untrusting = connect(remote.address, Access(ftp_password="s3cret"))
        with pytest.raises(RemoteError, match=r"CERTIFICATE_VERIFY_FAILED.*--ca_file") as caught:
            untrusting.prepare()
    assert "s3cret" not in f"{caught.value} {remote.where('model')}"
