"""The promises of servers: the engine keeps them, and what breaks one is found."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.checker.outcome import Outcome
from harness.conformance.results import CaseResult
from harness.conformance.serving import check_reload_load, judging
from harness.conformance.serving.checks import Differs, Subject
from harness.conformance.serving.promises import PROMISES, Promise, answers
from harness.conformance.serving.promises.page import recorded
from harness.conformance.serving.server import Launched, binary, models
from harness.conformance.serving.steady_clients import SteadyClients
from tests.broken import parts
from tests.contract.engine.unlike import ANSWERS, script


def judged(folder: Path, options: str, wanted: str) -> CaseResult:
    """Judge one promise of the engine with more options."""
    program = folder / "serving"
    program.write_text(f'#!/bin/sh\nexec {binary()} "$@" {options}\n')
    program.chmod(0o755)
    subject = Subject(program)
    try:
        (promise,) = [one for one in PROMISES if one.id == wanted]
        return judging.promise(promise, subject)
    finally:
        subject.close()


@pytest.mark.parametrize(
    ("options", "promise", "word", "seen"),
    [
        # `make proof-short` judges this promise as well.
        pytest.param("", "rule/older-second", "kept", "", marks=pytest.mark.proof),
        ("", "log/failed-load", "kept", ""),
        ("--strict-compat", "bad/no-graph", "BROKEN", "a request failed"),
        pytest.param(
            *("--strict-compat", "bad/truncated-parameters", "BROKEN", "the answer"),
            marks=pytest.mark.proof,
        ),
        ("-reload_interval_s=100000", "rule/newer-second", "BROKEN", "waiting for the release"),
    ],
)
def test_a_promise(tmp_path: Path, options: str, promise: str, word: str, seen: str) -> None:
    result = judged(tmp_path, options, promise)
    assert (result.word, seen in result.evidence) == (word, True), result


@pytest.mark.proof
def test_a_server_that_stops_while_it_loads_breaks_a_promise(tmp_path: Path) -> None:
    program = parts.named("server", "stops-while-loading").build(tmp_path)
    (promise,) = [one for one in PROMISES if one.id == "answers/while-loading"]
    result = judged_by(promise.check, program)
    assert result.word == "BROKEN", result
    assert result.evidence.startswith("no answer for 11.")
    assert judged_by(promise.check, binary()).word == "kept"


@pytest.mark.proof
@pytest.mark.parametrize("check", [answers.no_step_back, check_reload_load.one_step])
def test_a_server_whose_workers_switch_seconds_apart_steps_back(
    check: Callable[[Subject], object], tmp_path: Path
) -> None:
    program = parts.named("server", "swaps-its-workers-seconds-apart").build(tmp_path)
    with (
        contextlib.closing(Subject(program)) as subject,
        pytest.raises(Differs, match=r"^an old answer [1-9]"),
    ):
        check(subject)


def judged_by(check: Callable[[Subject], None], program: Path) -> CaseResult:
    """Judge a promise that this check judges."""
    with contextlib.closing(Subject(program)) as subject:
        return judging.promise(Promise("rule/one", check, ""), subject)


def test_an_error_of_the_suite_breaks_no_promise(tmp_path: Path) -> None:
    def moves_what_is_not_there(_: Subject) -> None:
        (tmp_path / "no model").rename(tmp_path / "model")

    result = judged_by(moves_what_is_not_there, binary())
    assert (result.word, result.outcome) == ("unknown", Outcome.UNKNOWN)
    assert result.evidence.startswith("the suite itself failed: FileNotFoundError: ")


def test_a_client_of_the_suite_that_fails_by_itself_is_no_failed_request(tmp_path: Path) -> None:
    no_server = Launched(binary(), models() / "uci", folder=tmp_path, port=-1)
    with pytest.raises(socket.gaierror), SteadyClients(no_server, 1):
        pass


def test_an_answer_that_cannot_be_read_breaks_a_promise(subject: Subject, tmp_path: Path) -> None:
    program = script(subject.binary, tmp_path, ANSWERS, replaced=[(b'"outputs"', b'"outputz"')])
    (promise,) = [one for one in PROMISES if one.id == "rule/newer-second"]
    result = judged_by(promise.check, program)
    assert (result.word, result.evidence) == ("BROKEN", "KeyError: 'outputs'")


def test_what_was_recorded_names_each_promise() -> None:
    for one in recorded():
        assert list(one["promises"]) == [promise.id for promise in PROMISES], one["name"]
