"""HDFS as the monitor sees it: a real NameNode and DataNode, WebHDFS and ``hadoop fs``.

Slow: two JVMs are started, and every poll of ``--type hdfs`` is one more.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from harness.support.errors import HarnessError
from harness.support.waits import wait_for
from monitor import remotes
from monitor.decisions.identity import Identity
from monitor.errors import RemoteError
from monitor.remotes.base import Remote
from monitor.stop import Stop
from monitor.watch.pull import Puller

from .fixtures import TARBALL, closing_all, manifest_of, options_for
from .processes import SOON_S, Start, common

pytestmark = [pytest.mark.proof, pytest.mark.usefixtures("quiet")]
BIG = random.Random(5).randbytes(3_000_000)
ONE = Identity("1-a", 1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from harness.remotes.hdfs.local import LocalHdfs

    hdfs = LocalHdfs(tmp_path_factory.mktemp("hdfs"))
    try:
        hdfs.start()
        hdfs.ready(90)
    except HarnessError as error:
        hdfs.stop()
        pytest.skip(f"no HDFS here: {error}")
    yield hdfs
    hdfs.stop()


@pytest.fixture(scope="module")
def client(cluster: Any) -> Any:
    import hdfs

    given = given_options(cluster, "webhdfs")
    return hdfs.InsecureClient(given["webhdfs_url"], user=given["hdfs_user"])


def given_options(cluster: Any, kind: str) -> dict[str, str]:
    words = cluster.monitor_options(kind)
    return {name.lstrip("-"): value for name, value in zip(words[::2], words[1::2])}


@pytest.fixture(params=["webhdfs", "hdfs"])
def remote(request: pytest.FixtureRequest, cluster: Any, tmp_path: Path) -> Iterator[Remote]:
    options = options_for(tmp_path / "local", **given_options(cluster, request.param))
    with remotes.create(options, Stop()) as made:
        yield made


@pytest.fixture
def base(cluster: Any) -> str:
    return given_options(cluster, "webhdfs").get("remote_path", "/").rstrip("/")


def put(client: Any, path: str, content: bytes) -> None:
    client.write(path, data=content, overwrite=True)


def test_a_donefile_comes_changes_is_touched_and_goes(
    remote: Remote, client: Any, base: str
) -> None:
    client.delete(f"{base}/donefile")
    assert remote.look("donefile") is None
    put(client, f"{base}/donefile", b"")
    first = remote.look("donefile")
    assert first is not None
    assert first.content == b""
    assert remote.look("donefile") == first
    client.set_times(f"{base}/donefile", modification_time=1_700_000_000_001)
    second = remote.look("donefile")
    assert second is not None
    assert second.mark != first.mark
    put(client, f"{base}/donefile", manifest_of(1, b"x"))
    third = remote.look("donefile")
    assert third is not None
    assert json.loads(third.content)["release"] == 1
    put(client, f"{base}/donefile", manifest_of(2, b"y"))
    fourth = remote.look("donefile")
    assert fourth is not None
    assert json.loads(fourth.content)["release"] == 2
    put(client, f"{base}/donefile", b"plain")
    fifth = remote.look("donefile")
    assert fifth is not None
    assert fifth.content == b"plain"
    for content in (b"one", b"two"):
        put(client, f"{base}/donefile", content)
        client.set_times(f"{base}/donefile", modification_time=1_700_000_000_001)
        sixth = remote.look("donefile")
        assert sixth is not None
        assert sixth.content == content
    client.delete(f"{base}/donefile")
    assert remote.look("donefile") is None


def test_a_file_is_pulled_whole_and_an_absent_one_is_said(
    remote: Remote, client: Any, base: str
) -> None:
    put(client, f"{base}/{TARBALL}", BIG)
    assert b"".join(remote.open(TARBALL).chunks) == BIG
    with pytest.raises(RemoteError, match="no such file"):
        b"".join(remote.open("absent").chunks)


def test_a_folder_is_listed_and_pulled_with_all_below_it(
    remote: Remote, client: Any, base: str, tmp_path: Path
) -> None:
    for name in ("a", "sub/b", "sub/deep/c d"):
        put(client, f"{base}/folder/{name}", b"123")
    found = {entry.path: entry.size for entry in remote.tree("folder", 100)}
    assert found == {"a": 3, "sub/b": 3, "sub/deep/c d": 3}
    assert b"".join(remote.open("folder/sub/deep/c d").chunks) == b"123"
    puller = Puller(remote, str(tmp_path / "tmp" / "part"), 0, Stop())
    puller.pull_tree("folder", 100, 10**9)
    pulled = {str(p.relative_to(puller.tree_part)) for p in Path(puller.tree_part).rglob("*")}
    assert pulled == {"a", "sub", "sub/b", "sub/deep", "sub/deep/c d"}


def test_the_remote_path_of_hadoop_may_be_an_address(
    cluster: Any, client: Any, base: str, tmp_path: Path
) -> None:
    for name in ("donefile", "folder/a", "folder/sub/b"):
        put(client, f"{base}/address/{name}", b"123")
    given = given_options(cluster, "hdfs")
    given["remote_path"] = f"{cluster.fs_url}{base}/address"
    options = options_for(tmp_path / "local", **given)
    with remotes.create(options, Stop()) as remote:
        seen = remote.look("donefile")
        assert seen is not None
        assert seen.content == b"123"
        assert {entry.path for entry in remote.tree("folder", 100)} == {"a", "sub/b"}
        assert b"".join(remote.open("folder/sub/b").chunks) == b"123"
        assert remote.look("absent") is None


def test_webhdfs_goes_on_at_an_offset_while_the_file_is_the_same(
    cluster: Any, client: Any, base: str, tmp_path: Path
) -> None:
    put(client, f"{base}/{TARBALL}", BIG)
    options = options_for(tmp_path / "local", **given_options(cluster, "webhdfs"))
    with remotes.create(options, Stop()) as remote:
        mark = remote.open(TARBALL).mark
        again = remote.open(TARBALL, 2_000_000, mark)
        assert again.offset == 2_000_000
        assert b"".join(again.chunks) == BIG[2_000_000:]
        put(client, f"{base}/{TARBALL}", BIG)
        assert remote.open(TARBALL, 2_000_000, mark).offset == 0


def test_a_namenode_that_is_gone_is_a_remote_error_within_the_time_out(
    cluster: Any, client: Any, base: str, tmp_path: Path
) -> None:
    put(client, f"{base}/donefile", b"x")
    options = options_for(tmp_path / "local", timeout="3", **given_options(cluster, "webhdfs"))
    with remotes.create(options, Stop()) as remote:
        assert remote.look("donefile") is not None
        cluster.pause("namenode")
        try:
            begun = time.monotonic()
            with pytest.raises(RemoteError, match="time-out"):
                remote.look("donefile")
            assert time.monotonic() - begun < 30
        finally:
            cluster.resume("namenode")
        cluster.kill("namenode")
        with pytest.raises(RemoteError):
            remote.look("donefile")
        cluster.start("namenode")
        wait_for(lambda: remote.look("donefile"), "the donefile", 60, retry_on=(RemoteError,))


def test_a_datanode_that_dies_breaks_the_pull_and_its_return_mends_it(
    cluster: Any, client: Any, base: str, tmp_path: Path
) -> None:
    put(client, f"{base}/{TARBALL}", BIG)
    options = options_for(tmp_path / "local", timeout="5", **given_options(cluster, "webhdfs"))
    with remotes.create(options, Stop()) as remote:
        puller = Puller(remote, str(tmp_path / "tmp" / "part"), 0, Stop())
        cluster.kill("datanode")
        with pytest.raises(RemoteError):
            puller.pull_file(TARBALL, ONE, None)
        cluster.start("datanode")

        def pulled() -> bool:
            puller.pull_file(TARBALL, ONE, None)
            return True

        wait_for(pulled, "the pull", 60, retry_on=(RemoteError,))
        assert (tmp_path / "tmp" / "part").read_bytes() == BIG


def test_hadoop_is_told_a_password_in_a_file_and_not_in_the_process_list(
    cluster: Any, client: Any, base: str, tmp_path: Path
) -> None:
    put(client, f"{base}/donefile", b"x")
    given = {**given_options(cluster, "hdfs"), "fs_ugi": "demo,pa55-in-ugi"}
    options = options_for(tmp_path / "local", **given)
    with remotes.create(options, Stop()) as remote:
        assert remote.look("donefile") is not None
        assert "pa55-in-ugi" not in " ".join(remote._argv(["-ls"]))  # type: ignore[attr-defined]
        assert "pa55-in-ugi" not in str(remote.describe())
        assert ("_fs_ugi", "demo,***") in remote.describe()


class TlsEnd:
    """A TLS endpoint in front of a plain service, as a gateway stands in front of WebHDFS."""

    def __init__(self, certificate: Path, behind: tuple[str, int]) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(certificate))

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.ExitStack() as both, contextlib.suppress(OSError):
                    front = both.enter_context(context.wrap_socket(self.request, server_side=True))
                    back = both.enter_context(socket.create_connection(behind))
                    to_front = threading.Thread(target=_pump, args=(back, front))
                    to_front.start()
                    _pump(front, back)
                    to_front.join()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                return

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            piece = source.recv(65536)
            if not piece:
                break
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def test_webhdfs_behind_tls_is_trusted_by_its_ca_file_and_only_by_it(
    cluster: Any, client: Any, base: str, tmp_path: Path, certificate: Path
) -> None:
    put(client, f"{base}/donefile", b"behind TLS")
    put(client, f"{base}/{TARBALL}", BIG)
    plain = urlsplit(cluster.web_url)
    assert plain.hostname is not None
    assert plain.port is not None
    end = TlsEnd(certificate, (plain.hostname, plain.port))
    with closing_all(end):
        given = {**given_options(cluster, "webhdfs"), "webhdfs_url": end.url}
        options = options_for(tmp_path / "local", **given, ca_file=str(certificate))
        with remotes.create(options, Stop()) as remote:
            seen = remote.look("donefile")
            assert seen is not None
            assert seen.content == b"behind TLS"
            assert b"".join(remote.open(TARBALL).chunks) == BIG
        options = options_for(tmp_path / "local", **given)
        with remotes.create(options, Stop()) as remote, pytest.raises(RemoteError, match="CERT"):
            remote.look("donefile")


def test_a_signal_in_a_pull_from_a_silent_datanode_ends_it_soon(
    cluster: Any, client: Any, tmp_path: Path, start: Start
) -> None:
    base = given_options(cluster, "webhdfs").get("remote_path", "/").rstrip("/")
    big = random.Random(7).randbytes(150_000_000)
    put(client, f"{base}/{TARBALL}", big)
    put(client, f"{base}/donefile", manifest_of(1, big))
    given = [f"--{name}={value}" for name, value in given_options(cluster, "webhdfs").items()]
    words = [word for word in common(tmp_path) if not word.startswith("--remote_path")]
    one = start(*words, *given)
    wait_for(
        lambda: list((tmp_path / "local").glob(".*.staging-*")), "the transfer", 30, every_s=0.001,
        last_seen=lambda: one.text[-2000:],
    )  # fmt: skip
    cluster.pause("datanode")
    try:
        assert "pull remote model" not in one.text, "it was too fast to be stopped in it"
        one.process.terminate()
        assert one.end(SOON_S) == 0
        assert not list((tmp_path / "local").glob(".*.staging-*"))
    finally:
        cluster.resume("datanode")
