"""The folder of a run by hand: one supervisor at a time, and nothing left of a killed one."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.__main__ import main
from harness.by_hand.place import NothingUp, Place
from harness.support.errors import BadInput
from harness.support.process import marked, new_mark

# A test that hangs would wait for a reply for ever.
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def same_signals() -> Iterator[None]:
    """The handlers of ``main`` end with the test."""
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.mark.parametrize(
    "words", [["publish"], ["predict"], ["break", "refuse"], ["mend"], ["rollback"], ["status"]]
)
def test_a_command_says_that_nothing_is_up(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, f"--runs={tmp_path}"]) == 2

    said = capsys.readouterr().err
    assert said.startswith(f"harness: nothing is up in {tmp_path}/by-hand; start")
    assert said.count("\n") == 1


def test_down_succeeds_if_nothing_is_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down", f"--runs={tmp_path}"]) == 0
    assert capsys.readouterr().out == f"nothing is up in {tmp_path}/by-hand\n"


def test_a_folder_has_one_supervisor(tmp_path: Path) -> None:
    first, second = Place(tmp_path), Place(tmp_path)
    with (
        first.taken(new_mark()),
        pytest.raises(BadInput, match=r"are up in .* already"),
        second.taken(new_mark()),
    ):
        raise AssertionError("two supervisors have one folder")

    mark = new_mark()
    with Place(tmp_path).taken(mark):
        assert (tmp_path / "by-hand" / "mark").read_text() == mark


def test_the_files_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.taken(new_mark()):
        (place.folder / "ftp" / "remote").mkdir(parents=True)
        place.history.write_text("old")

    with place.taken(new_mark()):
        assert sorted(path.name for path in place.folder.iterdir()) == ["lock", "mark"]


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_wrong_setting_leaves_the_history_of_an_earlier_run(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path)
    place.folder.mkdir()
    place.history.write_text("old")

    assert main([command, f"--runs={tmp_path}", "--port=99999"]) == 2

    assert "--port 99999 is no TCP port" in capsys.readouterr().err
    assert place.history.read_text() == "old"


def test_down_ends_what_a_killed_supervisor_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = new_mark()
    place = Place(tmp_path)
    place.folder.mkdir()
    (place.folder / "mark").write_text(mark)
    # No guard ends this process.
    monkeypatch.setattr("harness.by_hand.place._GUARDS_S", 0.1)
    environment = {**os.environ, "HARNESS_LEG": mark}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, env=environment) as left:
        assert main(["status", f"--runs={tmp_path}"]) == 2
        assert "was killed, and all parts ended with it" in capsys.readouterr().err
        assert main(["down", f"--runs={tmp_path}"]) == 0
        assert left.wait(10) == -9
    assert "was killed before; nothing is left running" in capsys.readouterr().out
    assert not marked(mark)


def test_a_reply_comes_back_from_a_deep_folder(tmp_path: Path) -> None:
    # The path of a socket has at most 107 bytes.
    place = Place(tmp_path / ("d" * 100) / ("e" * 100))
    place.folder.mkdir(parents=True)

    def reply() -> None:
        one, _ = listening.accept()
        with one, one.makefile("rwb") as file:
            file.write(json.dumps({"asked": json.loads(file.readline())}).encode() + b"\n")

    with place.listening() as listening:
        assert stat.S_IMODE((place.folder / "socket").stat().st_mode) == 0o600
        thread = threading.Thread(target=reply)
        thread.start()
        assert place.ask("break", fault="refuse") == {"asked": {"do": "break", "fault": "refuse"}}
        thread.join()
    with pytest.raises(NothingUp):
        place.ask("status")
