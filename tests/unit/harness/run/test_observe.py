"""The observer: a swap is what the live directory holds, whichever monitor put it there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness.checker import history as histories
from harness.checker.history import History
from harness.run.observe import GAP_LOOKS, Observer, Tail
from harness.support.live_directory import TIME_FILE, look_once
from harness.support.waits import wait_for


def make_release(folder: Path, weights: bytes, second: int) -> Path:
    folder.mkdir()
    (folder / "model.pdmodel").write_bytes(b"graph")
    (folder / "params.pdiparams").write_bytes(weights)
    (folder / TIME_FILE).touch()
    os.utime(folder / TIME_FILE, (second, second))
    return folder


def digest_of(folder: Path) -> str:
    content = look_once(folder)
    assert content is not None
    return content.digest


def events(path: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in histories.read(path) if event["event"] == kind]


def observer(tmp_path: Path) -> Observer:
    return Observer(
        History(tmp_path / "history.jsonl"),
        "ftp",
        live_dir=tmp_path / "live",
        monitor_log=tmp_path / "monitor.log",
        monitor_events=tmp_path / "monitor-events.jsonl",
        server_log=tmp_path / "serving.INFO",
    )


def test_swaps_are_told_apart_by_the_models_bytes(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    watching = observer(tmp_path)
    watching.start()
    make_release(tmp_path / "live", b"one", 1000)
    wait_for(lambda: len(events(path, "swapped")) == 1, "the first swap", 10)
    make_release(tmp_path / "new", b"two", 1001)
    (tmp_path / "live").rename(tmp_path / "old")
    (tmp_path / "new").rename(tmp_path / "live")
    wait_for(lambda: len(events(path, "swapped")) == 2, "the second swap", 10)
    watching.stop()
    first, second = events(path, "swapped")
    assert (first["second"], second["second"]) == (1000, 1001)
    assert first["digest"] == digest_of(tmp_path / "old")
    assert second["digest"] == digest_of(tmp_path / "live")
    assert first["digest"] != second["digest"]


def test_the_digest_leaves_out_what_says_which_release_it_is(tmp_path: Path) -> None:
    one = make_release(tmp_path / "one", b"same", 1)
    two = make_release(tmp_path / "two", b"same", 2)
    (two / ".monitor-state.json").write_text("{}")
    assert digest_of(one) == digest_of(two)
    (two / "extra").write_bytes(b"")
    assert digest_of(one) != digest_of(two)


def test_a_model_that_is_written_over_in_place_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    live = make_release(tmp_path / "live", b"one", 1000)
    watching = observer(tmp_path)
    watching.start()
    wait_for(lambda: len(events(path, "swapped")) == 1, "the first state", 10)
    (live / "params.pdiparams").write_bytes(b"two")
    wait_for(lambda: len(events(path, "swapped")) == 2, "the second state", 10)
    watching.stop()


def test_a_live_directory_that_cannot_be_read_is_a_state_and_no_end(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    watching = observer(tmp_path)
    watching.start()
    (tmp_path / "live").symlink_to("live")
    wait_for(lambda: len(events(path, "swapped")) == 1, "the loop of links", 10)
    make_release(tmp_path / "new", b"one", 1000)
    os.mkfifo(tmp_path / "new" / "fifo")
    (tmp_path / "new").rename(tmp_path / "other")
    (tmp_path / "live").unlink()
    (tmp_path / "other").rename(tmp_path / "live")
    wait_for(lambda: len(events(path, "swapped")) == 2, "the release", 10)
    watching.stop()
    loop, _ = events(path, "swapped")
    assert loop["digest"] == "unreadable: Too many levels of symbolic links"


def test_a_live_directory_that_stays_away_or_half_there_is_a_state(tmp_path: Path) -> None:
    watching = observer(tmp_path)
    live = make_release(tmp_path / "live", b"one", 1000)
    whole = digest_of(live)
    watching.look()
    live.rename(tmp_path / "old")
    for _ in range(GAP_LOOKS):
        watching.look()
    live.mkdir()
    (live / "model.pdmodel").write_bytes(b"graph")
    half = digest_of(live)
    watching.look()
    (live / "params.pdiparams").write_bytes(b"one")
    (live / TIME_FILE).touch()
    os.utime(live / TIME_FILE, (1001, 1001))
    watching.look()
    found = events(tmp_path / "history.jsonl", "swapped")
    assert [(event["digest"], event["second"]) for event in found] == [
        (whole, 1000),
        ("absent", 0),
        (half, 0),
        (whole, 1001),
    ]


def test_a_swap_by_two_renames_has_no_state_between(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    watching = observer(tmp_path)
    live = make_release(tmp_path / "live", b"one", 1000)
    watching.look()
    live.rename(tmp_path / "old")
    watching.look()
    make_release(tmp_path / "new", b"two", 1001).rename(live)
    watching.look()
    assert [event["second"] for event in events(path, "swapped")] == [1000, 1001]


def test_before_the_first_release_the_live_directory_may_be_absent(tmp_path: Path) -> None:
    watching = observer(tmp_path)
    for _ in range(2 * GAP_LOOKS):
        watching.look()
    assert events(tmp_path / "history.jsonl", "swapped") == []


def test_of_the_servers_log_only_reloads_and_errors_are_kept(tmp_path: Path) -> None:
    (tmp_path / "serving.INFO").write_text(
        "I… Begin reload framework...\nW… Succ reload version engine: 1\nI… Finish reload 1\n"
        "W… begin reload model[m].\nW… switching to current_idx[1]\nI… Finish reload 1\n"
        "I… service_name=[G]\nE1… Failed stat config file\n"
    )
    watching = observer(tmp_path)
    watching.start()
    watching.stop()
    lines = [event["line"] for event in events(tmp_path / "history.jsonl", "server_log")]
    assert lines == [
        "W… begin reload model[m].",
        "W… switching to current_idx[1]",
        "I… Finish reload 1",
        "E1… Failed stat config file",
    ]


def test_the_monitors_events_keep_their_own_times(tmp_path: Path) -> None:
    seen = {"schema": 1, "time": 1e9, "monotonic": 12.5, "model": "m", "event": "seen"}
    (tmp_path / "monitor-events.jsonl").write_text(
        json.dumps({**seen, "release": 2, "sha256": "ab"})
        + '\n{"schema":1,"mono\nnull\n'
        + json.dumps({**seen, "event": "failed", "release": None, "why": "reset"})
        + "\n"
    )
    watching = observer(tmp_path)
    watching.start()
    watching.stop()
    found = events(tmp_path / "history.jsonl", "monitor_event")
    common = {"event": "monitor_event", "t": 12.5, "remote": "ftp"}
    assert found == [
        {**common, "what": "seen", "release": 2, "sha256": "ab"},
        {**common, "what": "failed", "why": "reset"},
    ]


def test_half_a_line_is_kept_back_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = Tail(path)
    assert list(tail.new_lines()) == []
    path.write_text("one\ntw")
    assert list(tail.new_lines()) == ["one"]
    with path.open("a") as file:
        file.write("o\n")
    assert list(tail.new_lines()) == ["two"]


def test_a_log_that_is_another_file_now_is_read_from_its_start(tmp_path: Path) -> None:
    for name, text in (("first", "a long line\n"), ("second", "new\n")):
        (tmp_path / name).write_text(text)
    link = tmp_path / "serving.INFO"
    link.symlink_to("first")
    tail = Tail(link)
    assert list(tail.new_lines()) == ["a long line"]
    link.unlink()
    link.symlink_to("second")
    assert list(tail.new_lines()) == ["new"]


def test_a_history_cut_in_the_middle_of_a_line_says_so(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"event":"a","t":1}\n{"event":"b"')
    assert [event["event"] for event in histories.read(path)] == ["a", "damaged"]


def test_what_a_running_server_has_logged_before_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "serving.INFO"
    log.write_text("old\n")
    tail = Tail(log, from_end=True)
    with log.open("a") as file:
        file.write("new\n")
    assert list(tail.new_lines()) == ["new"]
