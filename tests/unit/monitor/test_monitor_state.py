"""What the monitor remembers: what is written is read again, and nonsense reads as nothing."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from monitor.decisions.identity import Identity
from monitor.decisions.notices import Notice, Queue, Told
from monitor.decisions.trust import Trust
from monitor.live import state
from monitor.live.layout import STATE
from monitor.live.state import Hold, Installed, Quarantine, Serving

ONE = Identity("one", 1)
RULES = "rules"


@pytest.mark.parametrize(
    "installed",
    [
        Installed(ONE, 2_000_000_000, 1.5),
        Installed(Identity("k"), 0, 0.0),
        Installed(None, 5, None),
        Installed(ONE, 5, 1.5, "ab12"),
        Installed(ONE, 5, 1.5, "ab12", {"feed": {}}, brought_back=True),
        Installed(),
    ],
)
def test_what_is_installed_is_read_as_it_was_written(tmp_path: Path, installed: Installed) -> None:
    state.write_installed(str(tmp_path), installed)
    assert state.read_installed(str(tmp_path)) == installed
    assert os.listdir(tmp_path) == [".monitor-state.json"]


def test_nothing_is_installed_where_nothing_says_so(tmp_path: Path) -> None:
    assert state.read_installed(str(tmp_path)) == Installed(None, None, None)


GOOD = {"format": 1, "identity": {"key": "one", "release": 1}, "second": 7, "swapped": 8}


@pytest.mark.parametrize(
    ("change", "installed"),
    [
        ({}, Installed(ONE, 7, 8.0)),
        ({"format": 0}, Installed()),
        ({"format": 2}, Installed()),
        ({"format": None}, Installed()),
        ({"identity": "one"}, Installed(None, 7, 8.0)),
        ({"second": "7"}, Installed(ONE, None, 8.0)),
        ({"swapped": "8"}, Installed(ONE, 7, None)),
        ({"swapped": 8.25}, Installed(ONE, 7, 8.25)),
        ({"tarball": "ab12"}, Installed(ONE, 7, 8.0, "ab12")),
        ({"tarball": 12}, Installed(ONE, 7, 8.0, None)),
        ({"brought_back": 1}, Installed(ONE, 7, 8.0)),
    ],
    ids=str,
)
def test_what_is_odd_in_a_state_reads_as_none(
    tmp_path: Path, change: dict[str, Any], installed: Installed
) -> None:
    (tmp_path / STATE).write_text(json.dumps({**GOOD, **change}))
    found = state.read_installed(str(tmp_path))
    assert found == installed
    assert found.swapped is None or isinstance(found.swapped, float)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"3", b"[" * 100_000])
def test_a_damaged_file_reads_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert state.read_json(str(path)) is None
    assert state.read_hold(str(path)) is None
    assert state.read_quarantine(str(path)) is None
    assert state.read_json(str(tmp_path / "absent")) is None
    assert state.read_json(str(tmp_path)) is None


def test_a_file_is_replaced_whole_and_survives_a_name_without_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state.write_json("file", {"a": 1})
    state.write_json("file", {"b": [2]})
    assert json.loads(Path("file").read_text()) == {"b": [2]}
    assert Path("file").read_text() == '{\n "b": [\n  2\n ]\n}\n'
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text('{"old": 1}')
    (tmp_path / "file.new").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        state.write_json(str(path), {})
    assert state.read_json(str(path)) == {"old": 1}


def test_a_file_gets_the_mode_of_the_umask_not_that_of_its_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    before = os.umask(0o022)
    try:
        state.write_json(str(tmp_path / "file"), {})
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "serving",
    [
        Serving(ONE, 5, "SERVED", ""),
        Serving(ONE, None, "LATE", "no server answers", was_served=True, load_s=1.5),
        Serving(ONE, 6, "WAITING", "", last_served=Identity("two", 2)),
    ],
)
def test_whether_the_server_serves_is_read_as_it_was_written(
    tmp_path: Path, serving: Serving
) -> None:
    path = str(tmp_path / "serving.json")
    assert state.read_serving(path) is None
    state.write_serving(path, serving)
    assert state.read_serving(path) == serving


def test_what_is_odd_in_the_serving_file_reads_as_unknown(tmp_path: Path) -> None:
    path = tmp_path / "serving.json"
    path.write_text('{"phase": "SERVED"}')
    assert state.read_serving(str(path)) is None
    odd = {"identity": ONE.to_json(), "second": "5", "was_served": 1, "load_s": "1"}
    path.write_text(json.dumps(odd))
    assert state.read_serving(str(path)) == Serving(ONE, None, "", "")


def test_a_hold_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = str(tmp_path / "hold.json")
    for hold in (Hold(ONE), Hold(ONE, Identity("two")), Hold(ONE, tarball="0" * 64)):
        state.write_hold(path, hold)
        assert state.read_hold(path) == hold


def test_what_is_odd_in_a_hold_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hold.json"
    path.write_text('{"replaced": {"key": "one", "release": 1}}')
    assert state.read_hold(str(path)) is None
    path.write_text('{"identity": {"key": "one", "release": 1}, "replaced": "two", "tarball": 1}')
    assert state.read_hold(str(path)) == Hold(ONE)


def test_what_is_announced_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = str(tmp_path / "announced.json")
    assert state.read_announced(path) is None
    state.write_announced(path, ONE)
    assert state.read_announced(path) == ONE
    assert state.read_trusted(path) == 0


def test_the_highest_trusted_number_stays(tmp_path: Path) -> None:
    path = tmp_path / "announced.json"
    assert state.read_trusted(str(path)) == 0
    for number, highest in ((7, 7), (5, 7), (0, 7), (8, 8)):
        state.write_announced(str(path), ONE, number)
        assert state.read_trusted(str(path)) == highest
    path.write_text('{"trusted": "9"}')
    assert state.read_trusted(str(path)) == 0


def test_the_reason_of_a_refused_donefile_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "untrusted.json"
    assert state.read_untrusted(str(path)) is None
    state.write_untrusted(str(path), "no known key signed it")
    assert state.read_untrusted(str(path)) == "no known key signed it"
    path.write_text('{"why": 5}')
    assert state.read_untrusted(str(path)) is None


def test_a_queue_of_notices_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "notices.json"
    assert state.read_queue(str(path)) is None
    queue = Queue(Told(ONE, 5, 3), lost=2)
    queue.add([Notice("webhook", "swapped", 1, "ab12", None, 5, 1.5)])
    state.write_queue(str(path), queue)
    assert state.read_queue(str(path)) == queue
    path.write_text('{"told": 1}')
    assert state.read_queue(str(path)) is None


def test_what_is_known_of_validators_is_read_for_the_same_remote_only(tmp_path: Path) -> None:
    path, trust = str(tmp_path / "validators.json"), Trust("live", "same", "c", {"ETag": "a"})
    assert state.read_trust(path, "one") == Trust()
    state.write_trust(path, "one", trust)
    assert state.read_trust(path, "one") == trust
    assert state.read_trust(path, "two") == Trust()


@pytest.mark.parametrize("until", [None, 1_800_000_000.0, 1_800_000_000])
def test_a_quarantine_is_read_as_it_was_written(tmp_path: Path, until: Any) -> None:
    path = str(tmp_path / "quarantine.json")
    bad = Quarantine(ONE, "it is bad", until, RULES, "a digest")
    state.write_quarantine(path, bad)
    found = state.read_quarantine(path)
    assert found == bad
    assert found.until is None or isinstance(found.until, float)


@pytest.mark.parametrize(
    ("content", "bad"),
    [
        ({"identity": ONE.to_json()}, Quarantine(ONE, "", None, "")),
        (
            {"identity": ONE.to_json(), "until": "soon", "reason": 3, "rules": 4, "tarball": 5},
            Quarantine(ONE, "3", None, "4"),
        ),
        ({"identity": None, "reason": "x"}, None),
        ({"reason": "x"}, None),
    ],
)
def test_what_is_odd_in_a_quarantine_reads_as_none(
    tmp_path: Path, content: dict[str, Any], bad: object
) -> None:
    path = tmp_path / "quarantine.json"
    path.write_text(json.dumps(content))
    assert state.read_quarantine(str(path)) == bad


@pytest.mark.parametrize(
    ("until", "now", "longest", "covered"),
    [
        (None, 100.0, 10.0, True),
        (101.0, 100.0, 10.0, True),
        (100.0, 100.0, 10.0, False),
        (99.0, 100.0, 10.0, False),
        (110.0, 100.0, 10.0, True),
        # ``until`` is too far ahead, so the clock was set back.
        (110.5, 100.0, 10.0, False),
    ],
)
def test_a_quarantine_covers_its_release_until_it_is_over(
    until: Any, now: float, longest: float, covered: bool
) -> None:
    bad = Quarantine(ONE, "x", until, RULES)
    assert bad.covers(ONE, RULES, now, longest) is covered


def test_a_quarantine_covers_no_other_release_and_no_other_rules() -> None:
    bad = Quarantine(ONE, "x", None, RULES)
    assert bad.covers(Identity("one", 1), RULES, 0.0, 1.0)
    assert not bad.covers(Identity("two", 2), RULES, 0.0, 1.0)
    assert not bad.covers(None, RULES, 0.0, 1.0)
    for other in ("other", "sules", ""):
        assert not bad.covers(ONE, other, 0.0, 1.0)
    assert bad.covers(ONE, "".join(list(RULES)), 0.0, 1.0)


def test_what_is_remembered_are_values_that_nobody_can_change() -> None:
    for value, name in (
        (Installed(), "second"),
        (Quarantine(ONE, "", None, ""), "until"),
        (Hold(ONE), "replaced"),
        (Serving(ONE, 5, "SERVED", ""), "why"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, 1)


def test_a_folder_that_is_none_cannot_be_flushed(tmp_path: Path) -> None:
    state.flush_folder(str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        state.flush_folder(str(tmp_path / "file"))
