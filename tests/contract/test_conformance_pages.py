"""The pages of a conformance run: the matrix, and a page for each cell.

The pictures stay in ``runs/conformance-pages`` of the checkout, for people to look at.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from harness.checker.outcome import Claim, Outcome
from harness.conformance import html
from harness.conformance.monitor.report import SUITE
from harness.conformance.results import CaseResult, Column, Run, as_json, from_json
from harness.conformance.serving.promises import PROMISES
from harness.conformance.serving.promises import page as promises
from harness.support.paths import repository_root
from tests.chromium import Chromium, program

OURS = ("--monitor", "harness/conformance/monitor/monitors/ours.json")
SECRET = "--http_token=zx81-secret"
WHY = "ended with release 0, not with release 3 <b>"


def _conformance(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", "conformance", *words],
        cwd=repository_root(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _run(logs: Path) -> Run:
    """A run of two monitors: one passes, the other fails as expected, fails, and is unknown."""
    (logs / "1").mkdir(parents=True)
    (logs / "1" / "monitor-1.log").write_text(f"started {SECRET}\n" + "a line\n" * 5000)
    valid = Claim("", "no_traceback", Outcome.VALID)
    broken = Claim("", "ends_with", Outcome.INVALID, WHY)
    names = ("http/happy-path", "ftp/happy-path", "http/corrupt-tarball")
    passed = [CaseResult(name, "passed", Outcome.VALID, claims=(valid,)) for name in names]
    failed = CaseResult(
        *(names[0], "failed", Outcome.INVALID, (WHY,)),
        claims=(valid, broken),
        command="mine",
        folder="1",
    )
    others = [
        failed,
        replace(
            failed, id=names[1], word="failed as expected", outcome=Outcome.VALID, known="Old."
        ),
        CaseResult(names[2], "unknown", Outcome.UNKNOWN, ("no answer " + "x" * 200,)),
    ]
    columns = [
        Column({"name": name, "command": f"mine {SECRET}"}, results)
        for name, results in (("a/b c", passed), ("a/b c", others))
    ]
    return Run({"date": "2026-01-02", "seconds": 61, "seed": 1, "part": ""}, columns)


def _texts(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): unescape(re.sub(r"<[^>]+>", "", file.read_text()))
        for file in folder.rglob("*.html")
    }


def test_a_real_run_has_a_page_for_each_cell_with_command_claims_and_log(tmp_path: Path) -> None:
    folder, run = tmp_path / "pages", tmp_path / "run"
    only = ("--remotes", "http", "--only", "http/happy-path")
    done = _conformance(*OURS, *only, "--run", str(run), "--html", str(folder))
    assert done.returncode == 0, done.stderr
    assert f"pages: {folder}/index.html" in done.stdout
    texts = _texts(folder)
    cells = {"1-ours/http-happy-path.html", "1-ours/http-whole-throughout.html"}
    assert set(texts) == {"index.html", *cells}
    cell = texts["1-ours/http-happy-path.html"]
    for part in (
        "New models do not arrive at all.",
        f"python -m harness conformance {' '.join((*OURS, *only))}",
        "-m monitor --type=general",
        "The monitor never ended by itself",
        "monitor started",
        "live: release 3",
    ):
        assert part in cell, (part, cell)
    again = tmp_path / "again"
    done = _conformance("--results", str(run / "conformance.json"), "--html", str(again))
    assert done.returncode == 0, done.stderr
    assert _texts(again) == texts
    done = _conformance(*OURS, *only, "--run", str(run))
    assert done.returncode == 2
    assert done.stderr == (
        f"conformance: --run {run} holds an earlier run; name another folder, or remove that one\n"
    )


def test_each_cell_says_what_was_seen_and_no_page_shows_a_secret(tmp_path: Path) -> None:
    run = from_json(as_json(_run(tmp_path / "run"), SUITE), SUITE)
    html.write(tmp_path / "pages", run, SUITE, tmp_path / "run")
    texts = _texts(tmp_path / "pages")
    assert len(texts) == 7
    assert not [name for name, text in texts.items() if "zx81" in text]
    failed = texts["2-a-b-c/http-happy-path.html"]
    assert WHY in failed
    assert "The live directory holds the expected release at the end." in failed
    assert "a/b c: passed" in failed, "the same case of the other monitor"
    assert "4701 more lines are in the log" in failed
    assert "Old." in texts["2-a-b-c/ftp-happy-path.html"]
    index = (tmp_path / "pages" / "index.html").read_text()
    for outcome in ("valid", "invalid", "known", "unknown"):
        assert f'class="outcome {outcome}"' in index
    assert all(
        (tmp_path / "pages" / link).is_file() for link in re.findall(r'href="(\d[^"]+)', index)
    )


def test_the_pages_of_servers_show_the_promises_that_were_recorded(tmp_path: Path) -> None:
    result = CaseResult("rule/newer-second", "kept", Outcome.VALID)
    run = Run(
        {"date": "2026-01-02", "seconds": 61, "part": ""},
        [Column({"name": "mine", "binary": "/opt/serving"}, [result])],
    )
    html.write(tmp_path, run, promises.SUITE, tmp_path)
    texts = _texts(tmp_path)
    assert len(texts) == 1 + 1 + len(PROMISES)
    assert (
        "--serving-bin /opt/serving --only rule/newer-second"
        in texts["2-mine/rule-newer-second.html"]
    )


@pytest.mark.parametrize("suite", [OURS, ("serving",)])
def test_a_folder_that_cannot_be_written_is_refused_at_once(
    suite: Sequence[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    done = _conformance(*suite, "--html", str(tmp_path / "file"), "--run", str(tmp_path / "run"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"conformance: --html {tmp_path}/file: no page can be written")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(program() is None, reason="no chromium is installed here")
def test_the_pages_fit_a_screen_and_a_phone_and_the_browser_has_no_complaint(
    tmp_path: Path,
) -> None:
    pictures = repository_root() / "runs" / "conformance-pages"
    pictures.mkdir(parents=True, exist_ok=True)
    html.write(tmp_path / "pages", _run(tmp_path / "run"), SUITE, tmp_path / "run")
    pages = {"matrix": "index.html", "cell": "2-a-b-c/http-happy-path.html"}
    browser = Chromium(tmp_path / "profile")
    try:
        for name, file in pages.items():
            for width, dark in ((1280, False), (390, True)):
                browser.open(tmp_path / "pages" / file, width, dark=dark)
                browser.screenshot(pictures / f"{name}-{width}.png")
                root = "document.documentElement"
                wide = browser.value(f"{root}.scrollWidth - {root}.clientWidth")
                assert wide <= 0, (name, width)
                assert (
                    browser.value("getComputedStyle(document.querySelector('h1')).fontWeight")
                    == "600"
                )
        assert browser.complaints == []
        assert all(url.startswith(("file://", "data:")) for url in browser.requested)
    finally:
        browser.close()
