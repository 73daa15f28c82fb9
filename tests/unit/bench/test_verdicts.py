"""What the benchmarks and the likeness program judge by: values in, verdicts out."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, Optional

import pytest

from bench.engine.__main__ import Figures, measure, p999_ratio, reloading
from bench.engine_reloads import Resources, comparable, kept
from bench.likeness import server as likeness_server
from bench.likeness.__main__ import judge
from bench.likeness.check_log import lines_exactly
from bench.likeness.checks import Check, Differs, Missing
from bench.likeness.steady_clients import Asked, Period, steps_back
from harness import waits
from harness.errors import BadInput, Failed

FIRST = Resources(100_000, 50, 20, 4)


@pytest.mark.parametrize(
    ("last", "sentences"),
    [
        (FIRST, []),
        (FIRST._replace(memory_kib=104_096, descriptors=54, threads=19), []),
        (FIRST._replace(memory_kib=104_097), ["memory grew by 4097 KiB"]),
        (FIRST._replace(descriptors=55), ["descriptors went from 50 to 55"]),
        (FIRST._replace(threads=21), ["threads went from 20 to 21"]),
        (FIRST._replace(processes=5), ["there are 5 processes"]),
    ],
)
def test_what_a_server_keeps_over_reloads_is_named(last: Resources, sentences: list[str]) -> None:
    assert kept(FIRST, last) == sentences


def test_looks_with_one_process_less_are_compared_with_no_other() -> None:
    fewer = FIRST._replace(processes=3, threads=18, memory_kib=90_000)
    last = FIRST._replace(memory_kib=100_500)
    assert comparable([fewer, FIRST, last]) == (FIRST, last)
    assert comparable([FIRST, last, fewer]) == (FIRST, last)


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
    assert judge(Check("group", "fact", look, "", False), subject)[0] == verdict


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
def test_a_check_after_which_the_server_is_gone_holds_only_where_the_real_one_dies(
    better: Optional[bool], wanted: str, verdict: tuple[str, str]
) -> None:
    def look(one: Any) -> Optional[bool]:
        one.ended = True
        return better

    subject: Any = Standing()
    assert judge(Check("group", "fact", look, wanted, False), subject) == verdict


def test_a_server_that_ended_in_an_earlier_check_is_not_held_against_a_later_one() -> None:
    subject: Any = Standing(ended=True)
    assert judge(Check("group", "fact", lambda _: None, "", False), subject) == ("same", "")


class Server:
    """Stands for a launched one: counts as many reloads as it was given models."""

    def __init__(self, folder: Path, most: int = 1000) -> None:
        self.folder = folder
        self._count = folder / "count"
        self._count.touch()
        self._most = most

    def install(self, _: Path, *, place: object) -> None:
        with self._count.open("a") as count:
            count.write(".")

    def reloads(self) -> int:
        return min(self._most, self._count.stat().st_size)


class Broken(Server):
    def install(self, _: Path, *, place: object) -> None:
        os._exit(3)


@pytest.fixture(autouse=True)
def _empty_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    models = tmp_path / "models"
    for name in ("uci", "uci_2"):
        (models / name).mkdir(parents=True)
    monkeypatch.setattr(likeness_server, "models", lambda: models)


def under(server: Any, at_least: int, size: int) -> int:
    """Waits inside the block until ``size`` models were installed."""
    with reloading(server, 0.001, at_least) as count:
        waits.wait_for(
            lambda: server._count.stat().st_size >= size, f"{size} models to be installed", 20
        )
    return count[0]


def test_reloads_to_measure_under_are_counted(tmp_path: Path) -> None:
    assert under(Server(tmp_path), 2, 3) >= 3


def test_a_measurement_under_too_few_reloads_is_none(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="1 reloads, and at least 2 were to be measured under"):
        under(Server(tmp_path, most=1), 2, 3)


def test_a_measurement_without_its_installer_is_none(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="ended with exit code 3"):
        under(Broken(tmp_path), 0, 0)


def test_the_ratio_under_reloads_is_the_median_of_the_rounds() -> None:
    quiet = [Figures(1.0, 1.0, 1.0, p999, 0) for p999 in (1.0, 2.0, 1.0)]
    busy = [Figures(1.0, 1.0, 1.0, p999, 0) for p999 in (1.5, 2.2, 9.0)]
    assert p999_ratio(quiet, busy) == 1.5


def test_reloads_are_counted_once_whatever_becomes_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    server = likeness_server.Launched(Path("none"), tmp_path / "model", folder=tmp_path / "run")
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


@pytest.mark.parametrize(("port", "no_reloads"), [(1, False), (None, True)])
def test_rows_under_reloads_need_a_server_of_the_benchs_own(
    port: Optional[int], no_reloads: bool
) -> None:
    options = argparse.Namespace(
        only="reloads, 4", port=port, no_reloads=no_reloads, short=True, seconds=1.0, rounds=1
    )
    with pytest.raises(BadInput, match="leave --port and --no_reloads out"):
        measure(options)
