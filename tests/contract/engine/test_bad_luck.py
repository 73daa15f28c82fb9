"""Requests and surroundings that go wrong: the clients beside them must not notice."""

from __future__ import annotations

import gzip
import json
import os
import re
import resource
import shutil
from typing import Any

import pytest

from engine import _http2_frames as frames
from harness.conformance.serving.check_http import JSON, price
from harness.conformance.serving.checks import JSON_BODY, PRICE, Subject
from harness.conformance.serving.wire import Wire, http
from harness.support import waits

pytestmark = pytest.mark.xdist_group("likeness")


def feed(**fields: Any) -> bytes:
    """A request for the price, with fields of its one tensor exchanged."""
    tensor = {"float_data": [1] * 13, "elem_type": 1, "name": "x", "shape": [1, 13], **fields}
    return json.dumps({"tensor": [tensor], "fetch_var_names": ["price"]}).encode()


def pipelined(*bodies: bytes) -> bytes:
    head = b"POST /GeneralModelService/inference HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
    return b"".join(head % len(body) + body for body in bodies)


def test_a_refused_query_with_a_lod_leaves_nothing_behind_for_the_next(subject: Subject) -> None:
    def words(numbers: list[int], **fields: Any) -> bytes:
        tensor = {"int64_data": numbers, "elem_type": 0, "name": "words", **fields}
        return json.dumps({"tensor": [{"shape": [len(numbers), 1], **tensor}]}).encode()

    with subject.launch("words") as server:

        def ask(body: bytes) -> tuple[int, bytes]:
            answer = http(server.port, body, headers=JSON)
            return answer.status, answer.body.partition(b'"profile_time"')[0]

        fresh = ask(words([1, 2, 3]))
        # Rows without elements: Paddle refuses them in the middle of the run.
        status, text = ask(words([], shape=[3, 0], lod=[0, 1, 3]))
        assert status == 500
        assert b"E-5100" in text
        # Paddle's own reason, not only the place of the failure.
        assert re.search(rb"Paddle refuses the feed: \(\w+\) ", text), text
        # Out of rank, Paddle would read past the elements.
        assert b"[3], the model takes [-1, 1]" in ask(words([1, 2, 3], shape=[3], lod=[0, 3]))[1]
        assert ask(words([1, 2, 3])) == fresh


@pytest.mark.parametrize(
    "fields",
    [
        {"shape": [1] * 33, "float_data": [1]},
        {"shape": [0, 2**31 - 1, 2**31 - 1, 2**31 - 1], "float_data": []},
        {"elem_type": 4, "float_data": [], "int_data": [40000] * 13},
    ],
)
def test_what_numpy_refuses_is_answered_and_so_is_the_request_behind_it(
    subject: Subject, fields: dict[str, Any]
) -> None:
    with Wire(subject.port) as one:
        one.send(pipelined(JSON_BODY, feed(**fields), JSON_BODY))
        assert price(one.http_answer()) == PRICE
        refused = one.http_answer()
        assert refused.status == 500
        assert b"E-5100" in refused.body
        assert price(one.http_answer()) == PRICE


def test_without_its_log_folder_the_engine_answers_and_reloads(subject: Subject) -> None:
    with subject.launch() as server:
        shutil.rmtree(server.folder / "log")
        with Wire(server.port) as one:
            # The refused one wants an ERROR file, which cannot be made any more.
            one.send(pipelined(feed(name="y"), JSON_BODY))
            assert one.http_answer().status == 500
            assert price(one.http_answer()) == PRICE
        server.install(subject.models / "uci_2")

        def new() -> bool:
            return bool(price(http(server.port, JSON_BODY, headers=JSON)) == 2 * PRICE)

        waits.wait_for(new, "the new model", 15)


@pytest.mark.parametrize("strict", ["", "1"])
def test_a_reload_that_lacked_descriptors_is_made_up_for(subject: Subject, strict: str) -> None:
    with subject.launch(env={"ENGINE_STRICT_COMPAT": strict}) as server:
        soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        assert soft == hard, "the engine takes as many descriptors as it may"
        start = len(server.log())
        taken = {int(one) for one in os.listdir(f"/proc/{server.pid}/fd")}
        # The lowest free number is out of bounds, so none is left for the reload.
        free = min(set(range(len(taken) + 1)) - taken)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (free, hard))
        server.install(subject.models / "uci_2")
        server.wait_for_log("Too many open files", start=start)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (hard, hard))
        server.wait_for_log("Succ load engine, path:", start=start)
        assert price(http(server.port, JSON_BODY, headers=JSON)) == 2 * PRICE


def test_an_offer_to_change_to_http2_is_answered_in_http1(subject: Subject) -> None:
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAAB"}
    answer = http(subject.port, JSON_BODY, headers={**JSON, **offer})
    assert price(answer) == PRICE
    assert answer.status_line == "HTTP/1.1 200 OK"
    with Wire(subject.port) as one:
        one.send(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
        assert one.closed()


def test_a_query_behind_a_page_leaves_the_page_as_it_is(subject: Subject) -> None:
    def page(path: str) -> bytes:
        return http(subject.port, method="GET", path=path).body

    assert page("/flags?x=1") == page("/flags") != b""
    assert page("/flags/port?x=1") == page("/flags/port")
    assert page("/flags/port").startswith(b"port=")
    assert b"\n" not in page("/flags/port").strip()


def test_a_time_file_that_is_gone_for_a_while_changes_nothing(subject: Subject) -> None:
    server = subject.server
    tag = server.live / "fluid_time_file"
    reloads = server.reloads()
    seen = tag.stat().st_mtime
    tag.unlink()
    start = len(server.log())
    server.wait_for_log("Failed stat config file:uci_housing_model/fluid_time_file", start=start)
    assert price(http(server.port, JSON_BODY, headers=JSON)) == PRICE
    # With its second before it has its name, as a monitor does.
    beside = server.live / "beside"
    beside.touch()
    os.utime(beside, (seen, seen))
    beside.rename(tag)
    for _ in range(3):
        server.wait_for_log("Finish reload 1 workflow(s)", start=len(server.log()))
    assert server.reloads() == reloads


def test_a_whole_request_is_answered_though_garbage_follows_in_the_same_read(
    subject: Subject,
) -> None:
    with Wire(subject.port) as one:
        one.send(pipelined(JSON_BODY) + b"\0garbage\r\n\r\n")
        assert price(one.http_answer()) == PRICE
        assert one.closed()


def test_a_whole_http2_request_is_answered_though_a_broken_frame_follows(subject: Subject) -> None:
    head = (
        (":method", "POST"),
        (":path", "/GeneralModelService/inference"),
        ("content-type", "application/json"),
    )
    sent = frames.PREFACE + frames.settings({})
    sent += frames.frame(frames.HEADERS, frames.END_HEADERS, 1, frames.header_block(head))
    sent += frames.frame(frames.DATA, frames.END_STREAM, 1, JSON_BODY)
    sent += frames.frame(frames.PING, 0, 0, b"short")
    with Wire(subject.port) as one:
        one.send(sent)
        got = b""
        while part := one.socket.recv(65536):
            got += part
    assert b'"float_data":[92.0]' in got
    assert got.endswith(frames.goaway(1, frames.FRAME_SIZE_ERROR))


@pytest.mark.parametrize("shape", [[1, 7], [7], [1, 1, 7]])
def test_a_lod_for_a_dense_feed_does_not_switch_its_check_off(
    subject: Subject, shape: list[int]
) -> None:
    body = feed(shape=shape, float_data=[1] * 7, lod=[0, shape[0]])
    answer = http(subject.port, body, headers=JSON)
    assert f"feed x has the shape {shape}, the model takes [-1, 13]" in answer.body.decode()


def test_an_http2_client_that_takes_no_answers_gets_its_requests_back(subject: Subject) -> None:
    rows = 100_000
    numbers = b",".join([b"1"] * 13 * rows)
    body = b'{"tensor":[{"float_data":[%s],"elem_type":1,"name":"x","shape":[%d,13]}]}'
    packed = gzip.compress(body % (numbers, rows))
    assert len(packed) <= frames.DEFAULT_FRAME_SIZE
    block = frames.header_block(
        (
            (":method", "POST"),
            (":path", "/GeneralModelService/inference"),
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        )
    )
    with Wire(subject.port) as one:
        # Nothing of an answer's body may go out.
        one.send(frames.PREFACE + frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
        # Each answer is half a megabyte.
        last = 2 * 30 + 1
        for number in range(1, last + 1, 2):
            one.send(
                frames.frame(frames.HEADERS, frames.END_HEADERS, number, block)
                + frames.frame(frames.DATA, frames.END_STREAM, number, packed)
            )
        refused = frames.rst_stream(last, frames.REFUSED_STREAM)
        got = b""
        while refused not in got:
            part = one.socket.recv(65536)
            assert part, "the connection ended"
            got += part
        assert frames.rst_stream(1, frames.REFUSED_STREAM) not in got
    assert price(http(subject.port, JSON_BODY, headers=JSON)) == PRICE
