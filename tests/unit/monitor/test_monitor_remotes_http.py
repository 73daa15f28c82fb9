"""HTTP: one connection, and to whom the secrets go."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.support.waits import wait_for
from monitor.errors import RemoteError
from monitor.remotes.base import Remote

from .answers import Answer, Answers
from .fixtures import closing_all
from .kinds import make

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def server() -> Iterator[Answers]:
    server = Answers()
    with closing_all(server):
        server.by_path["/donefile"] = Answer(200, b"x")
        yield server


@pytest.fixture
def elsewhere() -> Iterator[Answers]:
    """A server at another origin: another port is enough."""
    server = Answers()
    with closing_all(server):
        server.by_path["/donefile"] = Answer(200, b"x")
        yield server


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account of this user for 127.0.0.1, which curl and wget would take."""
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login of-netrc password pa55\n")
    monkeypatch.setenv("NETRC", str(file))


def basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


def moved(to: str) -> Answer:
    return Answer(302, b"over there", {"Location": to})


def authorization(server: Answers, folder: Path, host: str = "", **options: object) -> object:
    """What the server was shown in the last request that one look makes."""
    with make(folder / "local", general_host=host or server.url, **options) as remote:
        assert remote.look("donefile") is not None
    shown = {name.lower(): value for name, value in server.seen[-1][1].items()}
    return shown.get("authorization")


def test_one_connection_serves_all_polls_and_pulls(server: Answers, tmp_path: Path) -> None:
    with make(tmp_path / "local", general_host=server.url) as remote:
        assert remote.look("absent") is None
        for turn in range(3):
            server.by_path["/donefile"] = Answer(200, b"%d" % turn)
            seen = remote.look("donefile")
            assert seen is not None
            assert seen.content == b"%d" % turn
            assert b"".join(remote.open("donefile").chunks) == seen.content
    assert server.connections == 1


def test_a_repeated_poll_fails_with_the_words_of_the_first(server: Answers, tmp_path: Path) -> None:
    with make(tmp_path / "a", general_host=server.url) as remote:
        assert remote.look("donefile") is not None
        server.by_path["/donefile"] = Answer(503, b"")
        assert failure(remote) == failure(remote)
        server.by_path["/donefile"] = Answer(200, b"x", {"Connection": "close"})
        assert remote.look("donefile") is not None
        server.close()
        repeated = failure(remote)
    with make(tmp_path / "b", general_host=server.url) as fresh:
        assert failure(fresh) == repeated
    assert "Connection refused" in repeated


def failure(remote: Remote) -> str:
    with pytest.raises(RemoteError) as caught:
        remote.look("donefile")
    return str(caught.value)


def test_a_redirect_that_begins_later_is_followed(
    server: Answers, elsewhere: Answers, tmp_path: Path
) -> None:
    with make(tmp_path / "local", general_host=server.url, http_token="t0k") as remote:
        assert remote.look("donefile") is not None
        server.by_path["/donefile"] = moved(f"{elsewhere.url}/donefile")
        elsewhere.by_path["/donefile"] = Answer(200, b"far")
        for _ in range(2):
            seen = remote.look("donefile")
            assert seen is not None
            assert seen.content == b"far"
    assert not any("Authorization" in headers for _, headers in elsewhere.seen)


def test_a_cookie_goes_back_with_the_next_poll(server: Answers, tmp_path: Path) -> None:
    with make(tmp_path / "local", general_host=server.url) as remote:
        for cookie in ("a=1", "a=2", "a=3"):
            server.by_path["/donefile"] = Answer(200, b"x", {"Set-Cookie": cookie})
            assert remote.look("donefile") is not None
        server.by_path["/donefile"] = Answer(200, b"x")
        for _ in range(2):
            assert remote.look("donefile") is not None
    shown = [headers.get("Cookie") for _, headers in server.seen]
    assert shown == [None, "a=1", "a=2", "a=3", "a=3"]


def test_a_cookie_that_is_too_old_fails_no_poll(server: Answers, tmp_path: Path) -> None:
    with make(tmp_path / "local", general_host=server.url) as remote:
        server.by_path["/donefile"] = Answer(200, b"x", {"Set-Cookie": "a=1; Max-Age=1"})
        assert remote.look("donefile") is not None
        too_old = time.time() + 1.5
        server.by_path["/donefile"] = Answer(200, b"x")
        assert remote.look("donefile") is not None
        wait_for(lambda: time.time() > too_old, "the end of the cookie", 10)
        server.refuses_cookies = True
        assert remote.look("donefile") is not None


def test_a_cookie_of_a_redirect_goes_with_the_next_poll(server: Answers, tmp_path: Path) -> None:
    with make(tmp_path / "local", general_host=server.url) as remote:
        server.by_path["/donefile"] = Answer(200, b"x", {"Set-Cookie": "s=1"})
        assert remote.look("donefile") is not None
        server.by_path["/donefile"] = Answer(200, b"x")
        assert remote.look("donefile") is not None
        to = {"Location": f"{server.url}/there", "Set-Cookie": "s=2; path=/"}
        server.by_path.update({"/model": Answer(302, b"", to), "/there": Answer(200, b"y")})
        assert b"".join(remote.open("model").chunks) == b"y"
        assert remote.look("donefile") is not None
    assert server.seen[-1][1]["Cookie"] == "s=2"


@pytest.mark.parametrize("refusal", [401, 404])
def test_an_account_added_to_netrc_is_used_after_a_refusal(
    server: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    file = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(file))
    with make(tmp_path / "local", general_host=server.url) as remote:
        assert remote.look("donefile") is not None
        server.by_path["/donefile"] = Answer(refusal, b"")
        with contextlib.suppress(RemoteError):
            assert remote.look("donefile") is None
        file.write_text("machine 127.0.0.1 login me password pa55\n")
        server.by_path["/donefile"] = Answer(200, b"x")
        assert remote.look("donefile") is not None
    shown = [headers.get("Authorization") for _, headers in server.seen]
    assert shown == [None, None, basic("me:pa55")]


@pytest.mark.usefixtures("netrc")
def test_a_token_is_not_replaced_by_an_account_of_netrc(server: Answers, tmp_path: Path) -> None:
    assert authorization(server, tmp_path, http_token="t0k") == "Bearer t0k"
    server.by_path["/donefile"] = moved("/real")
    server.by_path["/real"] = Answer(200, b"x")
    assert authorization(server, tmp_path, http_token="t0k") == "Bearer t0k"


@pytest.mark.usefixtures("netrc")
def test_nor_is_a_header_or_what_stands_in_the_address(server: Answers, tmp_path: Path) -> None:
    header = ["authorization: Key 1"]
    assert authorization(server, tmp_path, http_header=header) == "Key 1"
    host = server.url.replace("//", "//me:of-address@")
    assert authorization(server, tmp_path, host) == basic("me:of-address")


@pytest.mark.usefixtures("netrc")
def test_where_nothing_else_is_given_an_account_of_netrc_is_shown(
    server: Answers, elsewhere: Answers, tmp_path: Path
) -> None:
    assert authorization(server, tmp_path) == basic("of-netrc:pa55")
    # After a redirect, the account of the new host counts.
    server.by_path["/donefile"] = moved(f"{elsewhere.url}/donefile")
    assert authorization(elsewhere, tmp_path, server.url) == basic("of-netrc:pa55")


def test_secrets_do_not_follow_to_another_origin(
    server: Answers, elsewhere: Answers, tmp_path: Path
) -> None:
    server.by_path["/donefile"] = moved("/near")
    server.by_path["/near"] = moved(f"{elsewhere.url}/far")
    elsewhere.by_path["/far"] = moved("/donefile")
    secrets = {"http_header": ["X-Api-Key: s3cret", "Private-Token: t0k"], "http_token": "t0k"}
    with make(tmp_path / "local", general_host=server.url, **secrets) as remote:
        assert remote.look("donefile") is not None
        assert remote.look("donefile") is not None
    shown = {"Authorization", "X-Api-Key", "Private-Token"}
    assert [path for path, _ in server.seen] == ["/donefile", "/near"] * 2
    assert all(shown <= headers.keys() for _, headers in server.seen)
    assert [path for path, _ in elsewhere.seen] == ["/far", "/donefile"] * 2
    assert not any(shown & headers.keys() for _, headers in elsewhere.seen)
    # Headers that are no secret still go to the other origin.
    assert all(headers["Accept-Encoding"] == "identity" for _, headers in elsewhere.seen)


def test_an_account_in_the_address_does_not_follow_to_another_origin(
    server: Answers, elsewhere: Answers, tmp_path: Path
) -> None:
    server.by_path["/donefile"] = moved(f"{elsewhere.url}/donefile")
    host = server.url.replace("//", "//me:of-address@")
    assert authorization(elsewhere, tmp_path, host) is None
    assert server.seen[-1][1]["Authorization"] == basic("me:of-address")
