"""The promises of servers: the engine keeps them, and what breaks one is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.conformance.results import CaseResult
from harness.conformance.serving import judging
from harness.conformance.serving.checks import Subject
from harness.conformance.serving.promises import PROMISES
from harness.conformance.serving.promises.page import recorded
from harness.conformance.serving.server import binary


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
        ("", "rule/older-second", "kept", ""),
        ("", "log/failed-load", "kept", ""),
        ("--strict-compat", "bad/no-graph", "BROKEN", "a request failed"),
        ("--strict-compat", "bad/truncated-parameters", "BROKEN", "the answer"),
        ("-reload_interval_s=100000", "rule/newer-second", "BROKEN", "waiting for the release"),
    ],
)
def test_a_promise(tmp_path: Path, options: str, promise: str, word: str, seen: str) -> None:
    result = judged(tmp_path, options, promise)
    assert (result.word, seen in result.evidence) == (word, True), result


def test_what_was_recorded_names_each_promise() -> None:
    for one in recorded():
        assert list(one["promises"]) == [promise.id for promise in PROMISES], one["name"]
