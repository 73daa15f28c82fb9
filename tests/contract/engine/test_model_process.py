"""The model runs in a process that a fork server makes: what if one of the two ends or hangs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from harness.conformance.serving.check_http import JSON, price
from harness.conformance.serving.checks import JSON_BODY, PRICE, Subject
from harness.conformance.serving.server import Launched
from harness.conformance.serving.wire import http
from harness.support import guard, waits
from tests.contract.engine.damage import damage_so_that_loading_crashes, truncate

# Longer than a packet between the two processes, both ways.
MANY_ROWS = 20_000
ONE_SERVER = pytest.mark.xdist_group("model process")


def fork_server(server: Launched) -> int:
    """Return the process that forks the model's: the engine's only child with a child."""
    (found,) = [pid for pid in children(server.pid) if children(pid)]
    return found


def children(pid: int) -> list[int]:
    found = []
    for one in guard.descendants(pid):
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            if int(stat[1]) == pid:
                found.append(one)
    return found


def model_process(server: Launched) -> int:
    (found,) = children(fork_server(server))
    return found


def state(pid: int) -> str:
    """Return the state's letter (proc(5)); empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def ended(pid: int) -> None:
    waits.wait_for(lambda: state(pid) in ("", "Z"), f"process {pid} to end", 10)


def ask(server: Launched) -> float:
    return float(price(http(server.port, JSON_BODY, headers=JSON)))


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    # Until every thread has seen the signal, the process may answer.
    waits.wait_for(
        lambda: all(state(int(one)) == "T" for one in os.listdir(tasks)),
        f"the threads of process {pid} to stand still",
        10,
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def shared(subject: Subject) -> Iterator[Launched]:
    with subject.launch() as server:
        yield server


@pytest.fixture(scope="module")
def unhurried(subject: Subject) -> Iterator[Launched]:
    """A server that does not look at its time file within a test."""
    with subject.launch(tick_s=600) as server:
        yield server


@pytest.fixture
def server(shared: Launched, subject: Subject) -> Launched:
    """The server that all tests with ``ONE_SERVER`` share, with the first model."""
    shared.reload(subject.models / "uci")
    # The process of the previous model ends only after the log's last line.
    waits.wait_for(lambda: len(guard.descendants(shared.pid)) == 2, "one model process", 10)
    return shared


@ONE_SERVER
def test_a_model_whose_process_is_killed_is_loaded_anew_before_anybody_asks(
    unhurried: Launched,
) -> None:
    before = model_process(unhurried)
    start = len(unhurried.log())
    os.kill(before, signal.SIGKILL)
    unhurried.wait_for_log("Succ load engine, path:", start=start)
    text = unhurried.log()[start:]
    assert "The process in which the model ran has ended; loading the model again" in text
    assert ask(unhurried) == PRICE
    assert model_process(unhurried) != before
    assert state(before) == "", "the killed process is still there as a zombie"


@ONE_SERVER
def test_a_query_that_meets_a_dying_model_is_refused_with_the_reason(unhurried: Launched) -> None:
    # The fork server stands still, so that no new model can come before the query.
    with stopped(fork_server(unhurried)):
        start = len(unhurried.log())
        os.kill(model_process(unhurried), signal.SIGKILL)
        unhurried.wait_for_log("The process in which the model ran has ended", start=start)
        answer = http(unhurried.port, JSON_BODY, headers=JSON)
        assert answer.status == 500
        assert b"[E-5100]" in answer.body
        assert b"the process in which the model ran has ended" in answer.body
    unhurried.wait_for_log("Succ load engine, path:", start=start)
    assert ask(unhurried) == PRICE


@ONE_SERVER
def test_a_model_that_is_gone_and_damaged_is_tried_until_it_is_there(server: Launched) -> None:
    params = server.live / "params.pdiparams"
    whole = params.read_bytes()
    params.write_bytes(whole[:-2])
    start = len(server.log())
    os.kill(model_process(server), signal.SIGKILL)
    waits.wait_for(
        lambda: server.log()[start:].count("Failed reload resource!") >= 2,
        "the load to fail twice",
        15,
        log=server.log_file(),
    )
    params.write_bytes(whole)
    # Without a new time file.
    server.wait_for_log("Succ load engine, path:", start=start)
    assert ask(server) == PRICE


def test_without_its_fork_server_the_engine_serves_and_another_takes_its_place(
    subject: Subject,
) -> None:
    with subject.launch() as server:
        for model, before, after in (("uci_2", PRICE, 2 * PRICE), ("uci", 2 * PRICE, PRICE)):
            one = fork_server(server)
            os.kill(one, signal.SIGKILL)
            ended(one)
            assert ask(server) == before
            start = len(server.log())
            server.install(subject.models / model)
            text = server.wait_for_log("Succ load engine", start=start, deadline_s=60)
            assert "the process for it is gone" in text
            assert ask(server) == after
        everybody = guard.descendants(server.pid)
        os.kill(server.pid, signal.SIGKILL)
        for pid in everybody:
            ended(pid)


@ONE_SERVER
def test_a_load_that_takes_long_holds_up_nobody(server: Launched, subject: Subject) -> None:
    with stopped(fork_server(server)):
        start = len(server.log())
        server.install(subject.models / "uci_2")
        server.wait_for_log("begin reload model", start=start)
        for _ in range(20):
            assert ask(server) == PRICE
    server.wait_for_log("Succ load engine, path:", start=start)
    assert ask(server) == 2 * PRICE


@ONE_SERVER
def test_each_reload_gets_a_new_process_and_ends_the_one_before(
    server: Launched, subject: Subject
) -> None:
    for number in range(4):
        before = model_process(server)
        server.reload(subject.models / ("uci_2", "uci")[number % 2])
        ended(before)
        assert model_process(server) != before
        assert ask(server) == (2 * PRICE, PRICE)[number % 2]


@ONE_SERVER
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_so_that_loading_crashes, "loading it ended a process: the program is damaged"),
        (truncate, "Failed reload resource!"),
    ],
    ids=["crashes Paddle", "refused"],
)
def test_a_model_that_is_refused_leaves_no_process_behind(
    server: Launched, subject: Subject, damage: Callable[[Path], None], reason: str
) -> None:
    server.reload(subject.models / "uci_2")
    damage(server.live)
    start = len(server.log())
    server.touch()
    text = server.wait_for_log("Failed reload resource!", start=start)
    assert reason in text
    assert ask(server) == 2 * PRICE
    waits.wait_for(lambda: len(children(fork_server(server))) == 1, "one model process", 10)
    server.reload(subject.models / "uci")
    assert ask(server) == PRICE


@pytest.mark.parametrize("reloads", [pytest.param(0, marks=pytest.mark.proof), 1])
def test_every_process_ends_with_a_killed_engine(subject: Subject, reloads: int) -> None:
    with subject.launch() as server:
        for _ in range(reloads):
            server.reload(subject.models / "uci_2")
        # The process of the previous model ends only after the log's last line.
        waits.wait_for(
            lambda: len(guard.descendants(server.pid)) == 2, "a fork server and one model", 10
        )
        everybody = guard.descendants(server.pid)
        os.kill(server.pid, signal.SIGKILL)
        for pid in everybody:
            ended(pid)


@ONE_SERVER
def test_a_model_process_that_does_not_end_holds_up_no_reload(
    server: Launched, subject: Subject
) -> None:
    before = model_process(server)
    with stopped(before):
        for number in range(2):
            server.reload(subject.models / ("uci_2", "uci")[number])
            assert ask(server) == (2 * PRICE, PRICE)[number]
    ended(before)


@ONE_SERVER
def test_feeds_and_answers_of_any_length_pass_between_the_processes(server: Launched) -> None:
    body = json.loads(JSON_BODY)
    (tensor,) = body["tensor"]
    row = tensor["float_data"]
    numbers = [float(number % 7) for number in range(MANY_ROWS)]
    tensor["float_data"] = [number * value for number in numbers for value in row]
    tensor["shape"] = [MANY_ROWS, len(row)]
    answer = json.loads(http(server.port, json.dumps(body).encode(), headers=JSON).body)
    prices = answer["outputs"][0]["tensor"][0]["float_data"]
    single = ask(server)
    body["tensor"][0]["float_data"] = [0.0] * len(row)
    body["tensor"][0]["shape"] = [1, len(row)]
    bias = price(http(server.port, json.dumps(body).encode(), headers=JSON))
    assert prices == [bias + number * (single - bias) for number in numbers]
