"""WebHDFS: what an unexpected answer means, against a server that gives it."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.support.ports import free_port
from monitor.errors import RemoteError
from monitor.remotes.base import Remote

from .answers import Answer, Answers
from .fixtures import closing_all
from .kinds import make

pytestmark = pytest.mark.usefixtures("quiet")

DONEFILE = "/webhdfs/v1/donefile"


@pytest.fixture
def server() -> Iterator[Answers]:
    server = Answers()
    with closing_all(server):
        yield server


@pytest.fixture
def remote(server: Answers, tmp_path: Path) -> Iterator[Remote]:
    with make(tmp_path / "local", type="webhdfs", webhdfs_url=server.url) as made:
        yield made


def refusal(code: int, exception: str, message: str) -> Answer:
    """As HDFS says no."""
    told = {"exception": exception, "javaClassName": f"java.{exception}", "message": message}
    body = json.dumps({"RemoteException": told}).encode()
    return Answer(code, body, {"Content-Type": "application/json"})


def page(code: int, title: str) -> Answer:
    """As a web server, or Jetty in front of HDFS, says no."""
    body = f"<html><head><title>{title}</title></head><body><h2>{title}</h2></body></html>"
    return Answer(code, body.encode(), {"Content-Type": "text/html"})


def status(length: int, modified: int = 1) -> Answer:
    told = {"type": "FILE", "fileId": 7, "modificationTime": modified, "length": length}
    return Answer(200, json.dumps({"FileStatus": told}).encode())


def holds(server: Answers, content: bytes, modified: int = 1) -> None:
    server.by_path[DONEFILE] = status(len(content), modified)
    server.by_path[f"{DONEFILE}?OPEN"] = Answer(200, content)


def test_only_hdfs_s_own_word_makes_a_file_absent(server: Answers, remote: Remote) -> None:
    server.otherwise = refusal(404, "FileNotFoundException", "File does not exist: /donefile")
    assert remote.look("donefile") is None
    with pytest.raises(RemoteError, match="no such file"):
        remote.open("donefile")


def test_repeated_polls_read_what_a_proxy_compressed(server: Answers, remote: Remote) -> None:
    content = b"x" * 9
    holds(server, content)
    body = server.by_path[DONEFILE].body
    gzipped = Answer(200, gzip.compress(body), {"Content-Encoding": "gzip"})
    server.by_path[DONEFILE] = gzipped
    for _ in range(3):
        seen = remote.look("donefile")
        assert seen is not None
        assert seen.content == content


DENIED = "Permission denied: user=me, access=EXECUTE, inode=/base"


@pytest.mark.parametrize(
    ("answer", "cause", "hint"),
    [
        (refusal(403, "AccessControlException", DENIED), "user=me, access=EXECUTE", "--hdfs_user"),
        (refusal(500, "IOException", "trouble"), "trouble", ""),
        (refusal(503, "ServerTooBusyException", "come later"), "come later", ""),
        (page(403, "Forbidden"), "the server answered 403", ""),
        (page(404, "Not Found"), "the server answered 404", "--webhdfs_url"),
        (page(500, "Oops"), "the server answered 500", ""),
        (page(503, "Busy"), "the server answered 503", ""),
        (Answer(502), "the server answered 502", ""),
        (Answer(404, b'{"error": "no route"}'), "the server answered 404", "--webhdfs_url"),
        (Answer(500, b'{"RemoteException": null}'), "the server answered 500", ""),
        (Answer(500, b"[]"), "the server answered 500", ""),
    ],
    ids=lambda value: None if isinstance(value, Answer) else value[:24].replace(" ", "-"),
)
def test_what_webhdfs_refuses_is_no_absent_file(
    server: Answers, remote: Remote, answer: Answer, cause: str, hint: str
) -> None:
    server.otherwise = answer
    for attempt in (remote.look, remote.open, lambda name: remote.tree(name, 9)):
        with pytest.raises(RemoteError) as caught:
            attempt("donefile")
        assert cause in caught.value.cause
        assert "no such file" not in str(caught.value)
        assert hint in caught.value.hint


def test_a_refusal_to_hand_out_the_bytes_is_said_in_hdfs_s_words(
    server: Answers, remote: Remote
) -> None:
    holds(server, b"content")
    server.by_path[f"{DONEFILE}?OPEN"] = refusal(403, "AccessControlException", DENIED)
    with pytest.raises(RemoteError, match="user=me"):
        remote.look("donefile")
    server.by_path[f"{DONEFILE}?OPEN"] = Answer(502)
    with pytest.raises(RemoteError, match="the server answered 502"):
        b"".join(remote.open("donefile").chunks)


def test_kerberos_is_named_with_the_way_that_speaks_it(server: Answers, remote: Remote) -> None:
    server.otherwise = page(401, "Authentication required")
    server.otherwise.headers["WWW-Authenticate"] = "Negotiate"
    with pytest.raises(RemoteError, match=r"401.*for Kerberos use --type hdfs"):
        remote.look("donefile")


def test_a_donefile_of_which_less_or_more_comes_than_hdfs_says_is_not_believed(
    server: Answers, remote: Remote
) -> None:
    """While a file is being written, HDFS gives a wrong length or a part, without an error."""
    holds(server, b"whole")
    for came in (b"wh", b"", b"whole and more"):
        server.by_path[f"{DONEFILE}?OPEN"] = Answer(200, came)
        with pytest.raises(RemoteError, match=f"{len(came)} bytes came, HDFS says 5"):
            remote.look("donefile")
    holds(server, b"whole")
    seen = remote.look("donefile")
    assert seen is not None
    assert seen.content == b"whole"


def sends_to(server: Answers, address: str) -> None:
    """The file is there; its bytes are to be had from the DataNode at ``address``."""
    server.by_path[DONEFILE] = status(7)
    told = {"Location": f"{address}{DONEFILE}?op=OPEN&delegation=t0ken"}
    server.by_path[f"{DONEFILE}?OPEN"] = Answer(307, headers=told)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("http://datanode-7.invalid:9864", "not known|name resolution"),
        ("http://127.0.0.1:{port}", "Connection refused"),
    ],
)
def test_an_unreachable_datanode_is_named_with_the_settings_of_its_address(
    server: Answers, remote: Remote, name: str, why: str
) -> None:
    address = name.format(port=free_port())
    sends_to(server, address)
    attempts = (remote.look, lambda name: b"".join(remote.open(name).chunks))
    for attempt in attempts:
        with pytest.raises(RemoteError) as caught:
            attempt("donefile")
        assert f"the NameNode sent this to {address}, and that failed: " in caught.value.cause
        assert re.search(why, caught.value.cause)
        assert "dfs.datanode.hostname" in caught.value.hint
        assert "dfs.datanode.http.address" in caught.value.hint
        assert "t0ken" not in str(caught.value)
    holds(server, b"content")
    assert remote.look("donefile") is not None


def test_an_address_that_another_server_answers_is_named_too(
    server: Answers, remote: Remote
) -> None:
    other = Answers()
    with closing_all(other):
        sends_to(server, other.url)
        with pytest.raises(RemoteError, match=f"sent this to {other.url}.* answered 404"):
            remote.look("donefile")


def test_a_standby_namenodes_refusal_hides_no_unreachable_datanode(
    server: Answers, tmp_path: Path
) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    sends_to(server, address)
    standby = Answers()
    standby.otherwise = refusal(403, "StandbyException", "READ is not supported in state standby")
    both = f"{server.url};{standby.url}"
    remote = make(tmp_path / "ha", type="webhdfs", webhdfs_url=both)
    with closing_all(standby, remote), pytest.raises(RemoteError, match=f"sent this to {address}"):
        remote.look("donefile")


@pytest.mark.parametrize("code", [404, 500, 502, 503])
def test_the_next_namenode_is_asked_if_a_web_page_answers_for_the_first(
    server: Answers, tmp_path: Path, code: int
) -> None:
    first = Answers()
    first.otherwise = page(code, "no NameNode here")
    holds(server, b"content")
    both = f"{first.url};{server.url}"
    remote = make(tmp_path / "ha", type="webhdfs", webhdfs_url=both)
    with closing_all(first, remote):
        seen = remote.look("donefile")
        assert seen is not None
        assert seen.content == b"content"
        server.otherwise = page(code, "none here either")
        server.by_path.clear()
        with pytest.raises(RemoteError, match=f"the server answered {code}.*check --webhdfs_url"):
            remote.look("donefile")


@pytest.mark.parametrize("code", [401, 403])
def test_a_refusal_of_the_first_namenode_is_not_hidden_by_the_next(
    server: Answers, tmp_path: Path, code: int
) -> None:
    first = Answers()
    first.otherwise = page(code, "not for you")
    holds(server, b"content")
    both = f"{first.url};{server.url}"
    remote = make(tmp_path / "ha", type="webhdfs", webhdfs_url=both)
    with closing_all(first, remote), pytest.raises(RemoteError, match=f"answered {code}"):
        remote.look("donefile")


def test_a_namenode_that_is_given_twice_fails_like_one(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with make(tmp_path / "local", type="webhdfs", webhdfs_url=f"{url};{url}") as remote:
        outcome: list[str] = []

        def look() -> None:
            with pytest.raises(RemoteError) as caught:
                remote.look("donefile")
            outcome.append(caught.value.cause)

        # A thread, because the library's loop over the addresses has no end of its own.
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        thread.join(20)
        assert outcome
        assert "Connection refused" in outcome[0]


def test_a_namenode_that_cannot_be_reached_is_blamed_itself(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(RemoteError, match="check --webhdfs_url"):
        make(tmp_path / "local", type="webhdfs", webhdfs_url=url).look("donefile")


def test_one_connection_serves_all_polls(server: Answers, remote: Remote) -> None:
    for turn in range(3):
        holds(server, b"release %d" % turn, turn)
        seen = remote.look("donefile")
        assert seen is not None
        assert seen.content == b"release %d" % turn
        assert b"".join(remote.open("donefile").chunks) == seen.content
    assert server.connections == 1
