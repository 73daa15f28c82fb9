"""``-max_concurrency``: more requests at once than it allows are refused, in each protocol."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import _baidu_std, _grpc
from engine import _http2_frames as frames
from harness.conformance.serving import wire
from harness.conformance.serving.check_http2 import SERVICE
from harness.conformance.serving.checks import JSON_BODY, Subject
from harness.conformance.serving.server import Launched
from harness.conformance.serving.wire import Wire

LIMIT = 2
SENT = 5
TEXT = f"[E2004]Reached server's max_concurrency={LIMIT}"


@pytest.fixture(scope="module")
def server(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    # The launcher has no option for it; its last value counts.
    script = tmp_path_factory.mktemp("bin") / "serving"
    script.write_text(f'#!/bin/sh\nexec "{subject.binary}" "$@" -max_concurrency {LIMIT}\n')
    script.chmod(0o755)
    with Subject(Path(script)).launch() as launched:
        yield launched


def test_over_baidu_std(server: Launched) -> None:
    payload = wire.request_message().SerializeToString()
    with Wire(server.port) as one:
        one.send(
            b"".join(
                _baidu_std.request(SERVICE, "inference", payload, number) for number in range(SENT)
            )
        )
        answers = [one.baidu_answer() for _ in range(SENT)]
        codes = {answer.correlation_id: answer.code for answer in answers}
        assert codes == {0: 0, 1: 0, 2: 2004, 3: 2004, 4: 2004}
        assert all(TEXT in answer.text for answer in answers if answer.code)
        # One after the other is not at once.
        for number in range(SENT):
            one.send(_baidu_std.request(SERVICE, "inference", payload, number))
            assert one.baidu_answer().code == 0


def test_over_http_1(server: Launched) -> None:
    head = b"POST /GeneralModelService/inference HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
    with Wire(server.port) as one:
        one.send((head % len(JSON_BODY) + JSON_BODY) * SENT)
        answers = [one.http_answer() for _ in range(SENT)]
    assert [answer.status for answer in answers] == [200, 200, 503, 503, 503]
    refused = answers[-1]
    assert refused.status_line == "HTTP/1.1 503 Service Unavailable"
    assert refused.header("x-bd-error-code") == "2004"
    assert refused.body.decode().endswith(TEXT)
    # Pages are not counted.
    assert wire.http(server.port, method="GET", path="/health").status == 200


def test_over_grpc(server: Launched) -> None:
    block = frames.header_block(
        (
            (":method", "POST"),
            (":path", f"/{SERVICE}/inference"),
            ("content-type", "application/grpc"),
        )
    )
    body = _grpc.wrap(wire.request_message().SerializeToString())
    sent = frames.PREFACE + frames.settings({})
    for number in range(1, 2 * SENT, 2):
        sent += frames.frame(frames.HEADERS, frames.END_HEADERS, number, block)
        sent += frames.frame(frames.DATA, frames.END_STREAM, number, body)
    with Wire(server.port) as one:
        # A frame that breaks the connection makes the server close it behind its answers.
        one.send(sent + frames.frame(frames.PING, 0, 0, b"short"))
        got = b""
        while part := one.socket.recv(65536):
            got += part
    assert got.count(b"grpc-status\x018") == SENT - LIMIT, got
    assert got.count(b"grpc-status\x010") == LIMIT
    assert TEXT.encode() in got
