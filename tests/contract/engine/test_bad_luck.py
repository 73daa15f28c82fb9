"""Requests and surroundings that go wrong: the clients beside them must not notice."""

from __future__ import annotations

import json
import os
import re
import resource
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


@pytest.mark.parametrize("shape", [[1, 7], [7], [1, 1, 7]])
def test_a_lod_for_a_dense_feed_does_not_switch_its_check_off(
    subject: Subject, shape: list[int]
) -> None:
    body = feed(shape=shape, float_data=[1] * 7, lod=[0, shape[0]])
    answer = http(subject.port, body, headers=JSON)
    assert f"feed x has the shape {shape}, the model takes [-1, 13]" in answer.body.decode()
