"""Connections on which nothing moves are closed after ``-idle_timeout_s``, and no others."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.conformance.serving.check_http import JSON, price
from harness.conformance.serving.checks import JSON_BODY, PRICE, Subject
from harness.conformance.serving.server import Launched
from harness.conformance.serving.wire import Wire, http
from harness.support import waits

IDLE_S = 3
REQUEST = b"POST /GeneralModelService/inference HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(
    JSON_BODY
)


@pytest.fixture(scope="module")
def server(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    script = tmp_path_factory.mktemp("bin") / "serving"
    script.write_text(f'#!/bin/sh\nexec "{subject.binary}" "$@" -idle_timeout_s {IDLE_S}\n')
    script.chmod(0o755)
    with Subject(Path(script)).launch() as launched:
        yield launched


@pytest.mark.parametrize(
    "sent", [b"", REQUEST, REQUEST + JSON_BODY[:20], b"PRPC\0\0", b"PRI * HTTP/2.0\r\n\r\nSM"]
)
def test_who_sends_nothing_more_is_closed(server: Launched, sent: bytes) -> None:
    with Wire(server.port) as one:
        one.send(sent)
        began = time.monotonic()
        # HTTP/2 begins with the server's own settings.
        while one.socket.recv(65536):
            pass
        # Looks come once a second.
        assert time.monotonic() - began > IDLE_S - 1.5


def test_who_sends_a_byte_now_and_then_is_served(server: Launched) -> None:
    with Wire(server.port) as one:
        one.send(REQUEST)
        size = len(JSON_BODY) // 5 + 1
        for at in range(0, len(JSON_BODY), size):
            # The pace is what is tested: longer in all than the timeout, shorter each time.
            time.sleep(IDLE_S / 4)
            one.send(JSON_BODY[at : at + size])
        assert price(one.http_answer()) == PRICE


def send_for_ever(one: Wire) -> None:
    for _ in range(400):
        one.send(b"GET /flags HTTP/1.1\r\n\r\n" * 1500)


def test_who_never_reads_is_given_up(server: Launched) -> None:
    def descriptors() -> int:
        return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))

    before = descriptors()
    with Wire(server.port) as one:
        one.socket.settimeout(1.0)
        with pytest.raises(socket.timeout):
            send_for_ever(one)
        waits.wait_for(lambda: descriptors() <= before, "the connection to be given up", 20)
    assert price(http(server.port, JSON_BODY, headers=JSON)) == PRICE
