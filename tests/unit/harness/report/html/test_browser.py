"""The page in a real browser: no complaint, no network, nothing wider than a phone.

The pictures stay in ``runs/report-pages`` of the checkout, for people to look at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.report.html import page
from harness.support.paths import repository_root
from tests.chromium import Chromium, program

from .runs import reported, whole_story

pytestmark = pytest.mark.skipif(program() is None, reason="no chromium is installed here")

CHARTS = 4
# How many captions of tables leave the window on the right.
CUT = """Array.from(document.querySelectorAll('caption')).filter(
  caption => caption.getBoundingClientRect().right > document.documentElement.clientWidth).length"""
# Hatched bars without a colour between the lines, where black text is unreadable on a dark page.
HOLLOW = """[...document.querySelectorAll(".main-svg pattern")]
  .filter(one => !one.querySelector("rect")).length"""
# What a page is wider than the window by.
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    one = Chromium(tmp_path / "profile")
    yield one
    one.close()


@pytest.fixture
def pictures() -> Path:
    folder = repository_root() / "runs" / "report-pages"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _broken_page() -> str:
    events = whole_story()
    for request in (event for event in events if "value" in event and 4.5 < event["t"] < 5.5):
        del request["value"]
        request["error"] = "the client gave None; what it printed is in its log " + "x" * 200
    outage = {"event": "outage", "t": 7.0, "remote": "ftp", "why": "remote stopped " + "y" * 90}
    events.append({**outage, "since": 6.0, "until": 7.0, "requests": False})
    return page.html(reported(events))


def test_the_page_is_right_in_every_form(tmp_path: Path, browser: Chromium, pictures: Path) -> None:
    pages = {"valid": page.html(reported(whole_story())), "broken": _broken_page()}
    forms = [("valid", 1280, False), ("valid", 390, True), ("broken", 1280, True)]
    for name, width, dark in [*forms, ("broken", 390, False)]:
        file = tmp_path / f"{name}.html"
        file.write_text(pages[name], encoding="utf-8")
        browser.open(file, width, dark=dark)
        form = f"{name}-{width}-{'dark' if dark else 'light'}"
        browser.screenshot(pictures / f"{form}.png")
        assert browser.value("document.documentElement.dataset.drawn") == str(CHARTS), form
        assert browser.value("document.querySelectorAll('.main-svg').length") >= CHARTS
        assert browser.value(OVERFLOW) <= 0, form
        assert browser.value(CUT) == 0, f"{form}: a caption is cut"
        assert browser.value("document.querySelectorAll('.main-svg pattern').length") > 0
        assert browser.value(HOLLOW) == 0, f"{form}: text on hatched bars is unreadable"
    browser.pdf(pictures / "broken.pdf")
    assert browser.complaints == []
    assert all(url.startswith(("file://", "data:", "blob:")) for url in browser.requested)


def test_the_policy_of_the_page_stops_a_script_that_is_not_its_own(
    tmp_path: Path, browser: Chromium
) -> None:
    text = page.html(reported(whole_story()))
    foreign = "<script>document.title = 'taken'; fetch('http://127.0.0.1:9/')</script></body>"
    file = tmp_path / "page.html"
    file.write_text(text.replace("</body>", foreign), encoding="utf-8")
    browser.open(file, 1280)
    assert browser.value("document.title") == "✔ Hot loading: a run"
    assert any("Content Security Policy" in one for one in browser.complaints)
