"""The live screen at 80 columns and 24 rows, over the files of a run."""

from __future__ import annotations

import asyncio
import html
import json
import re
import threading
from pathlib import Path

import pytest

from harness.by_hand.desk import Desk
from harness.by_hand.place import Place
from harness.by_hand.recording import Recording
from harness.by_hand.screen import LiveScreen
from harness.checker.history import History

NOW = 100.0
SNAPSHOT = Path(__file__).with_name("screen.txt")
_TEXT = re.compile(r'<text [^>]*x="([0-9.]+)" y="([0-9.]+)"[^>]*>(.*?)</text>')
# The size of a cell in the picture that Rich makes.
_CELL = (12.2, 24.4)
_COLOUR = re.compile(r"fill: #([0-9a-f]{6})")


class Files(Desk):
    """A desk over files alone. The supervisor's state is given, and nothing ends."""

    def ask_state(self) -> None:
        """Keep the state."""

    @property
    def due(self) -> bool:
        """Return that the main job publishes nothing by itself."""
        return False

    def say(self, text: str) -> None:
        """Add a line without its time, which differs from test to test."""
        self.happened.append(text)
        self.count += 1


@pytest.fixture
def desk(tmp_path: Path) -> Files:
    """A run with three releases: two good ones, then a bad one. The remote is broken."""
    place = Place(tmp_path)
    place.folder.mkdir(parents=True)
    history = History(place.history)
    for release, value, t in ((1, 6.6668, 60.0), (2, 10.3565, 80.0)):
        digest = f"digest {release}"
        common = {"remote": "ftp", "release": release, "t": t, "t_end": t}
        history.record("published", digest=digest, expected=[value], **common)
        history.record("swapped", digest=digest, second=1, t=t + 1)
        for number in range(15):
            for client in ("brpc", "http", "grpc"):
                answered = t + 2 + number
                common = {"client": client, "t": answered, "answered": answered}
                history.record("prediction", value=[value], **common)
    bad = {"release": 3, "digest": "", "expected": [], "bad": "corrupt", "t": 97.0, "t_end": 97.0}
    history.record("published", **bad)
    failed = {"client": "grpc", "t": 98.5, "answered": 98.5, "error": "gone"}
    history.record("prediction", **failed)
    line = "2026-11-29 15:38 {:8} [watch.py:1] {}"
    history.record("monitor_log", t=97.5, line=line.format("INFO", "pull remote model(m.tar.gz)."))
    why = "release 3 is quarantined until the donefile changes: it is damaged"
    history.record("monitor_log", t=98.0, line=line.format("ERROR", why))
    history.record("monitor_log", t=99.8, line=line.format("INFO", "sleep 1s."))
    history.close()
    place.log.write_text("[  3.9 s] ftp: release 3 (corrupt) published (0.9 s)\n")
    desk = Files(place, releases=4, every_s=1000.0)
    desk.state = {
        "ready": True,
        "url": "ftp://demo@127.0.0.1:21000/",
        "announces": "release 3",
        "broken": [{"fault": "refuse of remote", "since": 95.0}],
        "parts": dict.fromkeys(("remote", "producer", "monitor", "server"), "runs"),
        "queued": False,
    }
    return desk


def shown(desk: Desk, *keys: str) -> str:
    """The screen as a picture, after some keys were pressed."""

    async def run() -> str:
        screen = LiveScreen(desk, clock=lambda: NOW)
        async with screen.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            screen.show()
            await pilot.press(*keys)
            await pilot.pause()
            asking = [one for one in screen.workers if one.group == "keys"]
            if asking:
                await screen.workers.wait_for_complete(asking)
            return screen.export_screenshot()

    return asyncio.run(run())


def rows_of(picture: str) -> str:
    """The text of a picture, as a person reads the screen."""
    rows = [[" "] * 80 for _ in range(24)]
    for x, y, content in _TEXT.findall(picture):
        row = round((float(y) - 18.5) / _CELL[1])
        if 0 <= row < 24:
            column = round(float(x) / _CELL[0])
            text = html.unescape(content).replace("\xa0", " ")
            rows[row][column : column + len(text)] = text
    return "\n".join("".join(row).rstrip() for row in rows) + "\n"


def test_the_screen_is_as_it_was(desk: Files) -> None:
    """After a change that is meant: remove the file, run the test twice, look at the new file."""
    seen = rows_of(shown(desk))
    if not SNAPSHOT.exists():
        SNAPSHOT.write_text(seen)
        pytest.fail(f"{SNAPSHOT} is new; look at it")
    assert seen == SNAPSHOT.read_text()


def test_without_colour_the_screen_says_the_same(
    desk: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    picture = shown(desk)

    # Rich's default for text, which no panel chooses.
    colours = set(_COLOUR.findall(picture)) - {"c5c8c6"}
    assert {one for one in colours if len(set(re.findall("..", one))) > 1} == set()
    assert rows_of(picture) == SNAPSHOT.read_text()


def test_each_key_asks_the_supervisor(desk: Files, tmp_path: Path) -> None:
    requests = {
        "p": {"do": "publish", "bad": ""},
        "b": {"do": "publish", "bad": "corrupt"},
        "x": {"do": "break", "fault": "refuse", "parameters": {}},
        "m": {"do": "mend"},
        "k": {"do": "restart", "part": "monitor"},
        "r": {"do": "rollback"},
    }
    asked: list[dict[str, object]] = []

    def refuse() -> None:
        for _ in requests:
            one, _ = listening.accept()
            with one, one.makefile("rwb") as file:
                asked.append(json.loads(file.readline()))
                file.write(b'{"error": "not now", "exit": 2}\n')

    with Place(tmp_path).listening() as listening:
        thread = threading.Thread(target=refuse)
        thread.start()
        shown(desk, *requests)
        thread.join()

    # Each request has a thread of its own.
    assert sorted(map(str, asked)) == sorted(map(str, requests.values()))
    assert list(desk.happened)[-len(requests) :] == ["not now"] * len(requests)


def test_the_screen_ends_if_the_supervisor_failed(desk: Files, tmp_path: Path) -> None:
    Place(tmp_path).log.write_text("harness: port 9292 on 127.0.0.1 is in use\n")
    screen = LiveScreen(desk)

    asyncio.run(screen.run_async(headless=True))

    assert desk.error == "port 9292 on 127.0.0.1 is in use"


def test_a_recording_has_each_picture_once(desk: Files, tmp_path: Path) -> None:
    recording = Recording(tmp_path / "new" / "screen.svg")
    first = shown(desk)
    desk.say("something new")
    for picture in (first, first, shown(desk)):
        recording.add(picture)
    recording.write()

    text = (tmp_path / "new" / "screen.svg").read_text()
    assert text.count('<g class="frame"') == 2
    assert "something" in text
    assert "url(http" not in text
