"""``POST /-/poll`` and SIGHUP: a look at once, however long the interval is."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

from harness.support.ports import free_port
from harness.support.waits import wait_for
from monitor import metrics

from .fixtures import MODEL, TARBALL, Site
from .processes import Here, Running, Start, general
from .stepping import live, release_in

TOKEN = "s3cret-t0ken"
HEAD = "POST /-/poll HTTP/1.1\r\nContent-Length: {}\r\n"
SIGNED = f"{HEAD}Authorization: Bearer {TOKEN}\r\n\r\n"


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


def ask(port: int, path: str, token: Optional[str] = None, method: str = "POST") -> tuple[int, str]:
    """The status and the body of an answer."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", method=method, headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def polls(port: int, what: str = "polls") -> int:
    found = re.search(rf"{what}_total\{{.*\}} (\d+)", ask(port, "/metrics", method="GET")[1])
    assert found is not None
    return int(found[1])


def asleep(start: Start, site: Site, tmp_path: Path, *words: str) -> tuple[Running, int]:
    """A monitor that has installed release 1 and would sleep for long, and its metrics port."""
    port = free_port()
    site.publish(1)
    more = [f"--metrics_port={port}", "--interval=1000", *words]
    one = start(*general(site, tmp_path), *more)
    one.saw("sleep 1000s.")
    return one, port


def serves(tmp_path: Path, number: int, one: Running) -> None:
    folder = live(tmp_path)
    wait_for(
        lambda: release_in(folder) == number,
        f"release {number} in the live directory",
        30,
        last_seen=lambda: one.text[-2000:],
    )


def test_a_request_with_the_token_looks_at_once(start: Start, site: Site, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    one, port = asleep(start, site, tmp_path, f"--poll_token_file={token}")
    site.publish(2)
    for wrong in (None, "", "s3cret", TOKEN + "x", "ü"):
        assert ask(port, "/-/poll", wrong)[0] == 401, wrong
    for unknown in ("another", ""):
        assert ask(port, f"/-/poll?model={unknown}", TOKEN)[0] == 404, unknown
    assert ask(port, "/-/poll", TOKEN, method="GET")[0] == 404
    assert (polls(port), release_in(live(tmp_path))) == (1, 1)
    assert polls(port, "pokes_refused") == 5
    assert ask(port, f"/-/poll?model={MODEL}", TOKEN) == (202, "looking\n")
    serves(tmp_path, 2, one)
    # A rotated token needs no restart.
    token.write_text("another-token")
    site.publish(3)
    assert ask(port, "/-/poll", TOKEN)[0] == 401
    assert ask(port, "/-/poll", "another-token")[0] == 202
    serves(tmp_path, 3, one)
    token.unlink()
    code, said = ask(port, "/-/poll", "another-token")
    assert (code, "its log says why" in said) == (403, True)
    one.saw(f"cannot read --poll_token_file {token}: No such file or directory")
    assert TOKEN not in one.text


def test_without_a_token_file_a_request_is_refused_with_the_reason(
    start: Start, site: Site, tmp_path: Path
) -> None:
    _, port = asleep(start, site, tmp_path)
    code, said = ask(port, "/-/poll", TOKEN)
    assert (code, "--poll_token_file" in said) == (403, True)
    assert polls(port) == 1


def test_sighup_looks_at_once_and_ends_nothing(start: Start, site: Site, tmp_path: Path) -> None:
    one, _ = asleep(start, site, tmp_path)
    site.publish(2)
    os.kill(one.process.pid, signal.SIGHUP)
    serves(tmp_path, 2, one)
    one.saw("sleep 1000s.", times=2)
    one.process.send_signal(signal.SIGTERM)
    assert one.end() == 0


def test_pokes_during_a_pull_cause_exactly_one_more_look(
    start: Start, site: Site, tmp_path: Path
) -> None:
    one, port = asleep(start, site, tmp_path)
    site.publish(2, size=1_000_000)
    seen = []

    def poke_often() -> None:
        for _ in range(5):
            os.kill(one.process.pid, signal.SIGHUP)
            seen.append(polls(port))

    site.during_get = poke_often
    os.kill(one.process.pid, signal.SIGHUP)
    one.saw("sleep 1000s.", times=3)
    assert seen == [2] * 5, TARBALL
    assert one.text.count("poked: looking at once.") == 2
    assert (polls(port), polls(port, "pokes")) == (3, 2)


def test_wrong_options_end_the_start_with_one_sentence(
    here: Here, site: Site, tmp_path: Path
) -> None:
    words = [*general(site, tmp_path), f"--poll_token_file={tmp_path}/none"]
    code, _, err = here(*words)
    assert (code, "/-/poll needs --metrics_port" in err) == (2, True)
    code, _, err = here(*words, f"--metrics_port={free_port()}")
    assert (code, "cannot read --poll_token_file" in err) == (2, True)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of an endpoint in this process, which watches no model."""
    pytest.importorskip("prometheus_client")
    (tmp_path / "token").write_text(TOKEN)
    endpoint = metrics.Endpoint([], "127.0.0.1", 0, str(tmp_path / "token"))
    yield endpoint.port
    endpoint.close()


def answer_to(port: int, sent: str) -> str:
    """What comes until the endpoint closes the connection."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent.encode())
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(4096):
                found += part
    return found.decode()


def test_a_body_is_read_only_with_the_token_and_up_to_a_limit(port: int) -> None:
    # The body does not come, so an endpoint that reads it would not answer.
    assert answer_to(port, HEAD.format(100) + "\r\n").startswith("HTTP/1.0 401 ")
    assert answer_to(port, SIGNED.format(3_000_000)).startswith("HTTP/1.0 413 ")
    most = 64 * 1024
    assert "no model of that name" in answer_to(port, SIGNED.format(most) + "x" * most)


def test_a_slow_request_ends_after_one_limit_for_all_of_it(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "SLOWEST_S", 0.5)
    with socket.create_connection(("127.0.0.1", port), timeout=0.1) as connection:
        connection.sendall(SIGNED.format(1000).encode())

        def closed() -> bool:
            try:
                connection.sendall(b"x")
                return connection.recv(1) == b""
            except socket.timeout:
                return False
            except OSError:
                return True

        wait_for(closed, "the endpoint to close the connection", 20)


def test_a_client_that_goes_away_leaves_no_traceback(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    before = threading.active_count()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(SIGNED.format(1000).encode())
        wait_for(lambda: threading.active_count() > before, "a thread for the connection", 20)
        # Closes with a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_for(lambda: threading.active_count() == before, "the thread to end", 20)
    assert capfd.readouterr().err == ""
