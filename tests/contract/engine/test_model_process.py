"""The model runs in a process of its own: what that one, and the one it comes from, may suffer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
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


def nursery(server: Launched) -> int:
    """The process from which the model's are forked: the engine's one child that has a child."""
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
    (found,) = children(nursery(server))
    return found


def state(pid: int) -> str:
    """The letter of proc(5), empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def ended(pid: int) -> None:
    waits.wait_for(lambda: state(pid) in ("", "Z"), f"process {pid} to end", 10)


def ask(server: Launched) -> float:
    return float(price(http(server.port, JSON_BODY, headers=JSON)))


def stop(pid: int) -> None:
    """Returns when it stands still: until every thread has seen the signal, it may answer."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    waits.wait_for(
        lambda: all(state(int(one)) == "T" for one in os.listdir(tasks)),
        f"the threads of process {pid} to stand still",
        10,
    )


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    stop(pid)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core is all there is")
def test_the_thread_that_answers_is_on_one_core_and_the_engine_wherever_it_may_be(
    subject: Subject,
) -> None:
    with subject.launch() as server:
        # A new process, then another, then the first one once more.
        for number in range(4):
            if number:
                server.reload()

            def on_one_core() -> int:
                assert ask(server) == PRICE
                found = 0
                for process in children(nursery(server)):
                    # A thread that drops a model ends soon.
                    with contextlib.suppress(OSError):
                        for thread in os.listdir(f"/proc/{process}/task"):
                            found += len(os.sched_getaffinity(int(thread))) == 1
                return found

            # A run that a busy machine draws out lets go of it.
            what = f"one thread on one core after {number} reloads"
            waits.wait_for(lambda: on_one_core() == 1, what, 10, log=server.log_file())
            assert os.sched_getaffinity(server.pid) == os.sched_getaffinity(0)


def test_a_model_whose_process_is_killed_is_loaded_anew_before_anybody_asks(
    subject: Subject,
) -> None:
    with subject.launch(tick_s=600) as server:
        before = model_process(server)
        start = len(server.log())
        os.kill(before, signal.SIGKILL)
        server.wait_for_log("Succ load engine, path:", start=start)
        text = server.log()[start:]
        assert "The process in which the model ran has ended; loading the model anew" in text
        assert ask(server) == PRICE
        assert model_process(server) != before
        assert state(before) == "", "the killed process is still there as a zombie"


def test_a_query_that_meets_a_dying_model_is_refused_with_the_reason(subject: Subject) -> None:
    with subject.launch(tick_s=600) as server:
        # The nursery stands still, so that no new model can come before the query.
        with stopped(nursery(server)):
            start = len(server.log())
            os.kill(model_process(server), signal.SIGKILL)
            server.wait_for_log("The process in which the model ran has ended", start=start)
            answer = http(server.port, JSON_BODY, headers=JSON)
            assert answer.status == 500
            assert b"[E-5100]" in answer.body
            assert b"the process in which the model ran has ended" in answer.body
        server.wait_for_log("Succ load engine, path:", start=start)
        assert ask(server) == PRICE


def test_a_model_that_stands_still_is_ended_and_loaded_anew(subject: Subject) -> None:
    with subject.launch(tick_s=600, env={"ENGINE_LONGEST_RUN_S": "1"}) as server:
        assert ask(server) == PRICE
        start = len(server.log())
        stop(model_process(server))
        answer = http(server.port, JSON_BODY, headers=JSON)
        assert answer.status == 500
        assert b"[E-5100]" in answer.body
        assert b"the model did not answer within 1 s and was ended" in answer.body
        server.wait_for_log("Succ load engine, path:", start=start)
        assert ask(server) == PRICE


def test_a_model_that_is_gone_and_damaged_is_tried_until_it_is_there(subject: Subject) -> None:
    with subject.launch() as server:
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


def test_without_its_nursery_the_engine_serves_and_another_takes_its_place(
    subject: Subject,
) -> None:
    with subject.launch() as server:
        first = model_process(server)
        others: list[int] = []
        for model, before, after in (("uci_2", PRICE, 2 * PRICE), ("uci", 2 * PRICE, PRICE)):
            one = nursery(server)
            # With a spare process at hand, no nursery would be asked.
            for pid in [one, *others]:
                os.kill(pid, signal.SIGKILL)
                ended(pid)
            assert ask(server) == before
            start = len(server.log())
            server.install(subject.models / model)
            text = server.wait_for_log("Succ load engine", start=start, deadline_s=60)
            assert "the process for it is gone" in text
            assert ask(server) == after
            others = [first]
        everybody = guard.descendants(server.pid)
        os.kill(server.pid, signal.SIGKILL)
        for pid in everybody:
            ended(pid)


def test_a_process_whose_nursery_is_gone_takes_the_next_model_and_ends_with_the_engine(
    subject: Subject,
) -> None:
    with subject.launch() as server:
        server.reload(subject.models / "uci_2")
        both = children(nursery(server))
        assert len(both) == 2, both
        one = nursery(server)
        os.kill(one, signal.SIGKILL)
        ended(one)
        for model, after in (("uci", PRICE), ("uci_2", 2 * PRICE)):
            start = len(server.log())
            server.reload(subject.models / model)
            assert "Failed reload" not in server.log()[start:]
            assert ask(server) == after
        os.kill(server.pid, signal.SIGKILL)
        for pid in both:
            ended(pid)


def test_a_load_that_takes_long_holds_up_nobody(subject: Subject) -> None:
    with subject.launch() as server:
        with stopped(nursery(server)):
            start = len(server.log())
            server.install(subject.models / "uci_2")
            server.wait_for_log("begin reload model", start=start)
            for _ in range(20):
                assert ask(server) == PRICE
        server.wait_for_log("Succ load engine, path:", start=start)
        assert ask(server) == 2 * PRICE


def test_two_processes_take_turns_over_any_number_of_reloads(subject: Subject) -> None:
    with subject.launch() as server:
        first = model_process(server)
        server.reload(subject.models / "uci_2")
        both = children(nursery(server))
        assert len(both) == 2, both
        assert first in both
        for number in range(4):
            server.reload(subject.models / ("uci", "uci_2")[number % 2])
            assert children(nursery(server)) == both
            assert ask(server) == (PRICE, 2 * PRICE)[number % 2]


def test_a_process_that_ended_while_it_held_no_model_is_replaced(subject: Subject) -> None:
    with subject.launch() as server:
        spare = model_process(server)
        server.reload(subject.models / "uci_2")
        os.kill(spare, signal.SIGKILL)
        ended(spare)
        start = len(server.log())
        server.reload(subject.models / "uci")
        text = server.log()[start:]
        assert "Failed reload" not in text
        assert "has ended" not in text
        assert ask(server) == PRICE
        assert state(spare) == "", "the killed process is still there as a zombie"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (
            damage_so_that_loading_crashes,
            "loading it ended a process with SIGSEGV: the program is damaged",
        ),
        (truncate, "Failed reload resource!"),
    ],
    ids=["crashes Paddle", "refused"],
)
def test_a_process_that_held_no_model_takes_no_other_after_a_bad_one(
    subject: Subject, damage: Callable[[Path], None], reason: str
) -> None:
    with subject.launch() as server:
        spare = model_process(server)
        server.reload(subject.models / "uci_2")
        damage(server.live)
        start = len(server.log())
        server.touch()
        text = server.wait_for_log("Failed reload resource!", start=start)
        assert reason in text
        assert ask(server) == 2 * PRICE
        ended(spare)
        server.reload(subject.models / "uci")
        assert ask(server) == PRICE
        waits.wait_for(lambda: len(children(nursery(server))) == 2, "one process for each core", 10)


@pytest.mark.parametrize("reloads", [0, 1])
def test_every_process_ends_with_a_killed_engine(subject: Subject, reloads: int) -> None:
    with subject.launch() as server:
        for _ in range(reloads):
            server.reload(subject.models / "uci_2")
        everybody = guard.descendants(server.pid)
        # From the first reload on there is one that holds no model.
        assert len(everybody) == 2 + reloads, everybody
        os.kill(server.pid, signal.SIGKILL)
        for pid in everybody:
            ended(pid)


def test_a_process_that_does_not_drop_its_model_holds_up_no_reload(subject: Subject) -> None:
    with subject.launch() as server:
        with stopped(model_process(server)):
            start = len(server.log())
            server.reload(subject.models / "uci_2")
            (serving,) = [pid for pid in children(nursery(server)) if state(pid) != "T"]
            begun = time.monotonic()
            os.kill(serving, signal.SIGKILL)
            server.wait_for_log("loading the model anew", start=start)
            waits.wait_for(
                lambda: http(server.port, JSON_BODY, headers=JSON).status == 200,
                "the model to be loaded anew",
                20,
                log=server.log_file(),
            )
            took = time.monotonic() - begun
        assert ask(server) == 2 * PRICE
        assert took < 8, f"nobody was served for {took:.1f} s"


def test_feeds_and_answers_of_any_length_pass_between_the_processes(subject: Subject) -> None:
    with subject.launch() as server:
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
