"""What the benchmarks and the suite of facts judge by: values in, verdicts out."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any, Optional

import pytest

from bench.engine.__main__ import measure
from bench.engine.reloads import reloading
from harness.conformance.serving import server as likeness_server
from harness.conformance.serving.__main__ import judge
from harness.conformance.serving.check_log import lines_exactly
from harness.conformance.serving.checks import Differs, Missing
from harness.conformance.serving.facts import Fact
from harness.conformance.serving.server import Span, written_at
from harness.conformance.serving.steady_clients import Asked, Period, steps_back
from harness.support import waits
from harness.support.errors import BadInput, Failed


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
    assert judge(Fact("group/fact", look), subject)[0] == verdict


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
    assert judge(Fact("group/fact", look, better=wanted), subject) == verdict


def test_a_server_that_an_earlier_check_ended_is_not_held_against_a_later() -> None:
    subject: Any = Standing(ended=True)
    assert judge(Fact("group/fact", lambda _: None), subject) == ("same", "")


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

    def log_file(self) -> Path:
        return self._count

    def reload_spans(self) -> list[Span]:
        now = time.time()
        return [Span(now, now)] * min(self._most, self._count.stat().st_size)


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
    before = time.time()
    with reloading(server, 0.001, at_least) as (installs, reloads):
        waits.wait_for(
            lambda: server._count.stat().st_size >= size, f"{size} models to be installed", 20
        )
    assert len(installs) == server._count.stat().st_size
    assert all(before <= one.begin <= one.end <= time.time() for one in installs)
    return len(reloads)


def test_reloads_to_measure_under_are_counted(tmp_path: Path) -> None:
    assert under(Server(tmp_path), 2, 3) >= 3


def test_nothing_is_installed_where_nothing_is_to_be(tmp_path: Path) -> None:
    server: Any = Server(tmp_path)
    with reloading(server, None, 0) as (installs, reloads):
        pass
    assert installs == reloads == []
    assert server._count.stat().st_size == 0


def test_a_reload_where_nothing_was_installed_is_no_measurement(tmp_path: Path) -> None:
    server: Any = Server(tmp_path)
    with (
        pytest.raises(Failed, match="1 reloads, though nothing was installed"),
        reloading(server, None, 0),
    ):
        server.install(tmp_path, place=None)


def test_the_last_reload_is_waited_for(tmp_path: Path) -> None:
    class Late(Server):
        looks = 0

        def reload_spans(self) -> list[Span]:
            self.looks += 1
            # Of what was installed last only in the end.
            return [Span(0.0, 1.0)] + [Span(time.time(), time.time())] * (self.looks > 5)

    server: Any = Late(tmp_path)
    with reloading(server, 60.0, 1) as (installs, reloads):
        waits.wait_for(lambda: server._count.stat().st_size > 0, "a model to be installed", 20)
    assert reloads[-1].begin >= installs[-1].begin


def test_a_measurement_under_too_few_reloads_is_none(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="1 reloads, and at least 2 were to be measured under"):
        under(Server(tmp_path, most=1), 2, 3)


def test_a_measurement_without_its_installer_is_none(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="ended with exit code 3"):
        under(Broken(tmp_path), 0, 0)


def test_a_line_of_a_log_says_when_it_was_written() -> None:
    now = time.time()
    stamp = time.strftime("%m%d %H:%M:%S.250000", time.localtime(now))
    line = f"W{stamp} 123 infer.cpp:134] begin reload model[m].\n".encode()
    assert written_at(line) == pytest.approx(int(now) + 0.25, rel=0, abs=1e-3)
    # Of last year, as nothing is written tomorrow.
    ahead = time.localtime(now + 40 * 86400)
    line = f"I{time.strftime('%m%d %H:%M:%S.000000', ahead)} 1 a.cpp:1] a\n".encode()
    assert -330 * 86400 < written_at(line) - now < -320 * 86400


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


def test_a_reload_lasts_from_its_own_begin(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    server = likeness_server.Launched(Path("none"), tmp_path / "model", folder=tmp_path / "run")
    server.log_file().parent.mkdir()
    begin, end = "infer.cpp:134] begin reload model[m].", "infer.h:239] Succ load engine, path: m"
    stamps = (("01", begin), ("02", begin), ("04", end), ("06", begin), ("07", end))
    lines = "".join(f"W1126 08:00:{second}.500000 1 {text}\n" for second, text in stamps)
    server.log_file().write_text(lines)
    # The first one failed.
    assert [one.end - one.begin for one in server.reload_spans()] == [2.0, 1.0]
    assert [one.end - server.reload_spans()[0].begin for one in server.reload_spans()] == [2.0, 5.0]


@pytest.mark.parametrize(("port", "no_reloads"), [(1, False), (None, True)])
def test_rows_under_reloads_need_a_server_of_the_benchs_own(
    port: Optional[int], no_reloads: bool
) -> None:
    options = argparse.Namespace(
        only="reloads, 4",
        port=port,
        against=None,
        no_reloads=no_reloads,
        short=True,
        seconds=1.0,
        rounds=1,
    )
    with pytest.raises(BadInput, match="leave --port, --against and --no_reloads out"):
        measure(options)
