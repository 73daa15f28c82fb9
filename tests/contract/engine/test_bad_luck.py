"""Requests and surroundings that go wrong: the clients beside them must not notice."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import pytest

from harness.conformance.serving.check_http import JSON, price
from harness.conformance.serving.checks import JSON_BODY, PRICE, Subject
from harness.conformance.serving.wire import Wire, http
from harness.support import waits
from tests.contract.engine.conftest import more_model

pytestmark = pytest.mark.xdist_group("shared server")


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

    with subject.launch(more_model("words")) as server:

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
        # With a wrong rank Paddle would read past the elements.
        assert b"[3], the model takes [-1, 1]" in ask(words([1, 2, 3], shape=[3], lod=[0, 3]))[1]
        assert ask(words([1, 2, 3])) == fresh


def test_without_its_log_folder_the_engine_answers_and_reloads(subject: Subject) -> None:
    with subject.launch() as server:
        shutil.rmtree(server.folder / "log")
        with Wire(server.port) as one:
            # For the refused request the engine wants an ERROR file, which it cannot make.
            one.send(pipelined(feed(name="y"), JSON_BODY))
            assert one.http_answer().status == 500
            assert price(one.http_answer()) == PRICE
        server.install(subject.models / "uci_2")

        def new() -> bool:
            return bool(price(http(server.port, JSON_BODY, headers=JSON)) == 2 * PRICE)

        waits.wait_for(new, "the new model", 15)


def test_a_lod_for_a_dense_feed_does_not_switch_its_check_off(subject: Subject) -> None:
    body = feed(shape=[1, 7], float_data=[1] * 7, lod=[0, 1])
    answer = http(subject.port, body, headers=JSON)
    assert "feed x has the shape [1, 7], the model takes [-1, 13]" in answer.body.decode()
