"""What the suite of facts judges by: values in, verdicts out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Optional

import pytest

from harness.conformance.serving import judging
from harness.conformance.serving.check_log import lines_exactly
from harness.conformance.serving.checks import Differs, Missing
from harness.conformance.serving.facts import Fact
from harness.conformance.serving.server import Launched, written_at
from harness.conformance.serving.steady_clients import Asked, Period, steps_back


def test_an_older_answer_behind_a_newer_one_is_a_step_back() -> None:
    new_old_new = [
        Asked(0.0, 0.1, 92.0),
        Asked(1.0, 1.1, 184.0),
        # Sent before anybody had the new answer.
        Asked(1.05, 1.2, 92.0),
        Asked(1.35, 1.4, 92.0),
        Asked(1.5, 1.6, 184.0),
        # Another release's time.
        Asked(2.5, 2.6, 92.0),
    ]
    periods = [Period(0.0, 2.0, 184.0), Period(2.0, float("inf"), 92.0)]
    assert steps_back(new_old_new, periods) == [pytest.approx(0.25)]
    assert steps_back(new_old_new[:3], periods) == []


def test_a_line_between_or_behind_is_not_exactly_these_lines() -> None:
    wanted = [r"I a\.cpp:1\] one", r"W a\.cpp:2\] two"]
    one, two, more = (
        f"{text[0]}1126 01:02:03.456789  77 {text[2:]}"
        for text in ("I a.cpp:1] one", "W a.cpp:2] two", "I a.cpp:3] more")
    )
    lines_exactly("\n".join([one, two]), wanted)
    for wrong in ([one, more, two], [one, two, more], [one], [one, two.replace("W", "I", 1)]):
        with pytest.raises(Differs):
            lines_exactly("\n".join(wrong), wanted)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (None, "same"),
        (Missing("curl"), "unknown"),
        (Differs("1 instead of 2"), "DIFFERS"),
        (KeyError("outputs"), "DIFFERS"),
    ],
)
def test_whatever_a_check_falls_over_is_a_verdict(error: Optional[Exception], verdict: str) -> None:
    def look(_: object) -> None:
        if error is not None:
            raise error

    subject: Any = Standing()
    assert judging.fact(Fact("group/fact", look), subject).word == verdict


class Standing:
    """Stands for a subject whose shared server may end."""

    def __init__(self, ended: bool = False) -> None:
        self.ended = ended

    def close(self) -> None:
        self.ended = False


@pytest.mark.parametrize(
    ("better", "wanted", "verdict"),
    [
        (None, "", ("DIFFERS", "the server has ended")),
        (True, "stays up", ("DIFFERS", "the server has ended")),
        (False, "stays up", ("same", "")),
    ],
)
def test_a_check_that_ends_the_server_holds_only_where_the_real_one_dies(
    better: Optional[bool], wanted: str, verdict: tuple[str, str]
) -> None:
    def look(one: Any) -> Optional[bool]:
        one.ended = True
        return better

    subject: Any = Standing()
    result = judging.fact(Fact("group/fact", look, better=wanted), subject)
    assert (result.word, result.evidence) == verdict


def test_a_server_that_an_earlier_check_ended_is_not_held_against_a_later() -> None:
    subject: Any = Standing(ended=True)
    assert judging.fact(Fact("group/fact", lambda _: None), subject).word == "same"


def test_a_line_of_a_log_says_when_it_was_written() -> None:
    now = time.time()
    stamp = time.strftime("%m%d %H:%M:%S.250000", time.localtime(now))
    line = f"W{stamp} 123 infer.cpp:134] begin reload model[m].\n".encode()
    assert written_at(line) == pytest.approx(int(now) + 0.25, rel=0, abs=1e-3)
    # A line has no year. A date in the future is last year's.
    ahead = time.localtime(now + 40 * 86400)
    line = f"I{time.strftime('%m%d %H:%M:%S.000000', ahead)} 1 a.cpp:1] a\n".encode()
    assert -330 * 86400 < written_at(line) - now < -320 * 86400


def test_reloads_are_counted_once_whatever_becomes_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    server = Launched(Path("none"), tmp_path / "model", folder=tmp_path / "run")
    assert server.reloads() == 0
    log = server.log_file()
    log.parent.mkdir()
    line = "W1126 08:00:00.000000 1 infer.h:239] Succ load engine, path: here\n"
    seen = []
    # Two; one that is half written; the rest of it, with one more; the log cut short.
    for mode, text in (("a", line * 2), ("a", line[:50]), ("a", line[50:] + line), ("w", line)):
        with log.open(mode) as out:
            out.write(text)
        seen.append(server.reloads())
    assert seen == [2, 2, 4, 1]


def test_a_reload_lasts_from_its_own_begin(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    server = Launched(Path("none"), tmp_path / "model", folder=tmp_path / "run")
    server.log_file().parent.mkdir()
    begin, end = "infer.cpp:134] begin reload model[m].", "infer.h:239] Succ load engine, path: m"
    stamps = (("01", begin), ("02", begin), ("04", end), ("06", begin), ("07", end))
    lines = "".join(f"W1126 08:00:{second}.500000 1 {text}\n" for second, text in stamps)
    server.log_file().write_text(lines)
    # The first one failed.
    assert [one.end - one.begin for one in server.reload_spans()] == [2.0, 1.0]
    assert [one.end - server.reload_spans()[0].begin for one in server.reload_spans()] == [2.0, 5.0]
