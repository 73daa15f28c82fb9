"""A wait says what it waited for, how long, and what it saw last."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.support.errors import Failed
from harness.support.waits import wait_for


def test_the_first_true_value_is_given() -> None:
    values = iter([0, "", "there"])
    assert wait_for(lambda: next(values), "a value", 5) == "there"


def test_a_timeout_quotes_what_was_seen_last_the_log_and_the_hint(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\ntwo\n")
    with pytest.raises(Failed) as caught:
        wait_for(lambda: 0, "the tide", 0.05, last_seen=lambda: "ebb", log=log, hint="look up")
    text = str(caught.value)
    assert "waited 0.05 s for the tide; last seen: ebb; look up" in text
    assert text.endswith("one\ntwo")


def test_an_error_that_counts_as_not_yet_is_quoted() -> None:
    def refuse() -> bool:
        raise ConnectionRefusedError("no")

    with pytest.raises(Failed, match="last seen: ConnectionRefusedError: no"):
        wait_for(refuse, "an answer", 0.05, retry_on=(OSError,))


def test_another_error_is_not_swallowed() -> None:
    def crash() -> bool:
        raise KeyError("x")

    with pytest.raises(KeyError):
        wait_for(crash, "an answer", 5, retry_on=(OSError,))


def test_what_ended_may_have_done_its_work_just_before() -> None:
    done = False

    def gone() -> None:
        nonlocal done
        done = True  # it writes its last line and ends between two looks
        raise Failed("the producer ended")

    assert wait_for(lambda: done, "its last line", 5, alive=gone)


def test_it_fails_at_once_when_waiting_on_is_pointless() -> None:
    def gone() -> None:
        raise Failed("the server ended with exit code 3")

    with pytest.raises(Failed, match="exit code 3"):
        wait_for(lambda: False, "an answer", 3600, alive=gone)
