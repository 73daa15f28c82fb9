"""``--on_swap``, ``--on_served``, ``--webhook``: told until they take it, in order."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from harness.support.ports import free_port
from harness.support.waits import wait_for
from monitor.decisions.machine import Event, State
from monitor.decisions.notices import MOST, Notice, Queue, Told
from monitor.live.state import read_installed, read_queue, write_queue
from monitor.options.secrets import endpoint
from monitor.watch.watch import Watch
from tests.http_server import HttpServer, Request

from .fixtures import MODEL, Site
from .processes import Here, Start, general
from .stepping import MakeWatch, live, poll
from .test_monitor_kill import killed_before

SECRET = "/services/T00/k3y-of-the-web-hook"


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


class Receiver:
    """A web hook: what it got, and what it answers."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.accounts: list[Optional[str]] = []
        self.status = 200
        self._server = HttpServer(self._answer)
        self.port, self.url = self._server.port, self._server.url + SECRET
        self.close = self._server.close

    def _answer(self, request: Request) -> None:
        self.got.append({"path": request.path, **json.loads(request.body)})
        self.accounts.append(request.headers["Authorization"])
        request.send_response(self.status)
        request.send_header("Location", "/elsewhere")
        request.send_header("Content-Length", "0")
        request.end_headers()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


def program(folder: Path, *, name: str = "program") -> tuple[Path, Path]:
    """A program that fails while the file ``down`` exists, and what it appends its notices to."""
    out, script = folder / f"{name}.out", folder / name
    script.write_text(
        f"#!/bin/sh\n[ ! -e {folder}/down ] || {{ echo it is down; exit 3; }}\n"
        f'echo "$SERVING_MONITOR_NOTICE" >> {out}\n'
    )
    script.chmod(0o755)
    out.touch()
    return script, out


def told(out: Path) -> list[tuple[str, int]]:
    found = [json.loads(line) for line in out.read_text().splitlines()]
    return [(one["event"], one["release"]) for one in found]


def queue(one: Watch) -> Queue:
    found = read_queue(one.layout.notices)
    assert found is not None
    return found


def drained(one: Watch) -> None:
    wait_for(lambda: not queue(one).pending, "no pending notice", 30, last_seen=lambda: queue(one))


def test_a_program_that_fails_is_tried_again_and_delays_no_swap(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    script, out = program(tmp_path)
    down = tmp_path / "down"
    down.touch()
    one = watch(on_swap=str(script))
    for number in (1, 2, 3):
        site.publish(number)
        assert poll(one) is Event.SWAPPED
    wait_for(lambda: queue(one).failing, "a failed try", 30)
    assert [notice.release for notice in queue(one).pending] == [1, 2, 3]
    figures = one.reporter.figures
    assert (figures.hooks_pending, figures.hooks_lost) == (3, 0)
    assert figures.hook_failures >= 1
    assert out.read_text() == ""
    down.unlink()
    drained(one)
    assert told(out) == [("swapped", 1), ("swapped", 2), ("swapped", 3)]
    assert figures.hooks_pending == 0
    said = "ERROR --on_swap failed: exit code 3 (it is down); it is tried again"
    assert lines.count(said) == 1


def test_what_is_pending_is_told_after_a_restart_and_status_shows_it(
    watch: MakeWatch, site: Site, here: Here, tmp_path: Path
) -> None:
    script, out = program(tmp_path)
    (tmp_path / "down").touch()
    for number in (1, 2):
        site.publish(number)
        one = watch(on_swap=str(script))
        assert poll(one) is Event.SWAPPED
        wait_for(lambda one=one: queue(one).failing, "a failed try", 30)  # type: ignore[misc]
        one.end()
    _, said, _ = here("status", *general(site, tmp_path))
    assert "hooks: --on_swap: 2 pending after " in said
    assert " failed tries (exit code 3 (it is down))\n" in said
    (tmp_path / "down").unlink()
    drained(watch(on_swap=str(script)))
    assert told(out) == [("swapped", 1), ("swapped", 2)]
    assert "hooks: none pending\n" in here("status", *general(site, tmp_path))[1]


def test_a_kill_at_any_change_of_a_file_loses_no_notice(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    script, out = program(tmp_path)
    given = {"on_swap": str(script)}
    local = tmp_path / "local"
    site.publish(1)
    one = watch(**given)
    poll(one)
    drained(one)
    one.end()
    # The first 26 changes of a file are those of the pull and the unpacking.
    release, number = 2, 26
    swapped = set()
    site.publish(release)
    while True:
        number += 1
        before = len(told(out))
        killed = killed_before(number, local, site.url, **given)
        installed = read_installed(str(live(tmp_path))).identity
        swapped.add((killed, installed is not None and installed.release == release))
        one = watch(**given)
        while poll(one) not in (Event.SWAPPED, Event.INSTALLED):
            pass
        drained(one)
        one.end()
        new = told(out)[before:]
        assert new, f"release {release} is not told after a kill before change {number}"
        assert set(new) == {("swapped", release)}, number
        if not killed:
            break
        release += 1
        site.publish(release)
    assert swapped == {(True, False), (True, True), (False, True)}


def test_the_web_hook_gets_json_in_order_and_no_log_shows_its_address(
    start: Start, site: Site, receiver: Receiver, tmp_path: Path
) -> None:
    path = str(tmp_path / "local" / f".{MODEL}.monitor" / "notices.json")
    digests = [hashlib.sha256(site.publish(1)).hexdigest()]
    # A redirect is no success: the POST would become a GET.
    receiver.status = 302
    file = tmp_path / "webhook"
    file.write_text(receiver.url)
    words = [*general(site, tmp_path), "--interval=0.1", "--debug", f"--webhook_file={file}"]
    one = start(*words)
    one.saw(f"--webhook failed: http://127.0.0.1:{receiver.port}/*** answered 302")
    digests.append(hashlib.sha256(site.publish(2)).hexdigest())
    one.saw("update local model", times=2)
    one.process.send_signal(signal.SIGTERM)
    assert one.end() == 0
    receiver.status = 204
    again = start(*words)

    def delivered() -> bool:
        found = read_queue(path)
        return found is not None and not found.pending

    wait_for(delivered, "no pending notice", 30, last_seen=lambda: again.text[-2000:])
    first, second = [one for one in receiver.got if one["release"] == 1][-1], receiver.got[-1]
    assert receiver.got.index(second) > receiver.got.index(first)
    assert {one["id"] for one in receiver.got} == {first["id"], second["id"]}
    times = second.pop("times")
    assert 0 <= time.time() - times["swapped"] < 300
    assert times["served"] is None
    assert second == {
        "path": SECRET,
        "schema": 1,
        "id": "/".join([socket.gethostname(), MODEL, *second["id"].split("/")[2:4], "swapped"]),
        "event": "swapped",
        "host": socket.gethostname(),
        "model": MODEL,
        "live": os.path.realpath(live(tmp_path)),
        "release": 2,
        "digest": digests[1],
        "previous": 1,
    }
    assert (first["digest"], first["previous"]) == (digests[0], None)
    for text in (one.text, again.text, Path(path).read_text()):
        assert SECRET not in text
    assert "Traceback" not in one.text + again.text


def test_the_web_hook_gets_no_account_but_that_of_its_address(
    watch: MakeWatch, site: Site, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.root.joinpath("netrc").write_text("default login of-netrc password pa55\n")
    monkeypatch.setenv("NETRC", str(site.root / "netrc"))
    for number, account in enumerate(("", "u:p%40ss@"), 1):
        site.publish(number)
        one = watch(webhook=receiver.url.replace("//", f"//{account}"))
        poll(one)
        drained(one)
        one.end()
    assert receiver.accounts == [None, "Basic " + b64encode(b"u:p@ss").decode()]


def test_a_server_that_is_gone_is_named_without_the_key(
    watch: MakeWatch, site: Site, lines: list[str]
) -> None:
    port = free_port()
    site.publish(1)
    one = watch(webhook=f"http://user:pa55w0rd@127.0.0.1:{port}{SECRET}")
    poll(one)
    wait_for(lambda: queue(one).failing, "a failed try", 30)
    said = f"no answer from http://127.0.0.1:{port}/***: Connection refused"
    assert f"ERROR --webhook failed: {said}; it is tried again" in lines
    assert queue(one).failing["webhook"].why == said


def test_a_web_hook_that_is_stuck_does_not_get_the_time_of_a_program(
    watch: MakeWatch, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.watch.notices._LONGEST_POST_S", 0.2)
    site.publish(1)
    with socket.create_server(("127.0.0.1", 0)) as stuck:
        port = stuck.getsockname()[1]
        one = watch(webhook=f"http://127.0.0.1:{port}{SECRET}", on_swap_timeout="3600")
        poll(one)
        wait_for(lambda: queue(one).failing, "a failed try", 10)
        said = f"no answer from http://127.0.0.1:{port}/***: nothing came within the time-out"
        assert queue(one).failing["webhook"].why == said


def test_with_once_each_hook_is_tried_once_and_the_rest_waits(
    here: Here, site: Site, tmp_path: Path
) -> None:
    script, out = program(tmp_path)
    words = [*general(site, tmp_path), "--once", f"--on_swap={script}"]
    (tmp_path / "down").touch()
    site.publish(1)
    code, _, err = here(*words)
    assert (code, err.count("--on_swap failed")) == (0, 1)
    (tmp_path / "down").unlink()
    site.publish(2)
    assert here(*words)[0] == 0
    assert told(out) == [("swapped", 1), ("swapped", 2)]


def test_a_rollback_is_told_and_so_is_one_while_no_monitor_ran(
    watch: MakeWatch, site: Site, here: Here, tmp_path: Path
) -> None:
    script, out = program(tmp_path)
    one = watch(on_swap=str(script), keep="3")
    for number in (1, 2):
        site.publish(number)
        poll(one)
    words = general(site, tmp_path)
    assert here("rollback", *words)[0] == 0
    poll(one)
    drained(one)
    one.end()
    assert here("pin", "2", *words)[0] == 0
    one = watch(on_swap=str(script), keep="3")
    poll(one)
    drained(one)
    assert told(out) == [("swapped", 1), ("swapped", 2), ("rolled_back", 1), ("rolled_back", 2)]


def test_a_rollback_during_a_pull_is_told_before_the_swap_that_follows(
    watch: MakeWatch, site: Site, here: Here, tmp_path: Path
) -> None:
    script, out = program(tmp_path)
    one = watch(on_swap=str(script), keep="3")
    for number in (1, 2):
        site.publish(number)
        poll(one)
    site.publish(3)
    while one.machine.state is not State.SWAP:
        one.step()
    words = general(site, tmp_path)
    assert here("pin", "1", *words)[0] == 0
    assert here("unpin", *words)[0] == 0
    assert one.step().event is Event.SWAPPED
    drained(one)
    assert told(out)[2:] == [("rolled_back", 1), ("swapped", 3)]
    assert json.loads(out.read_text().splitlines()[-1])["previous"] == 1


def test_what_a_run_without_hooks_installed_is_not_told(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    script, out = program(tmp_path)
    site.publish(1)
    one = watch()
    poll(one)
    assert not os.path.lexists(one.layout.notices), "without hooks nothing is written"
    one = watch(on_swap=str(script))
    assert poll(one) is Event.INSTALLED
    assert queue(one) == Queue(queue(one).told)
    site.publish(2)
    poll(one)
    drained(one)
    assert told(out) == [("swapped", 2)]


def test_notices_of_a_hook_that_is_no_longer_given_are_dropped(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    script, _ = program(tmp_path)
    (tmp_path / "down").touch()
    site.publish(1)
    one = watch(on_swap=str(script), webhook=f"http://127.0.0.1:{free_port()}/")
    poll(one)
    assert len(queue(one).pending) == 2
    one = watch(on_swap=str(script))
    assert [notice.hook for notice in queue(one).pending] == ["on_swap"]
    assert "WARNING dropped 1 notices of hooks that are no longer given" in lines
    one = watch()
    assert not os.path.lexists(one.layout.notices)


@pytest.mark.parametrize("method", ["look", "served"])
def test_a_monitor_that_has_ended_writes_no_notices(
    watch: MakeWatch, site: Site, tmp_path: Path, method: str
) -> None:
    script, _ = program(tmp_path)
    one = watch(on_swap=str(script))
    one.end()
    newer = watch(on_swap=str(script))
    site.publish(1)
    poll(newer)
    drained(newer)
    installed = read_installed(newer.layout.live)
    if method == "look":
        one.notices.look()
    else:
        assert one.notices.served(installed) is False
    assert queue(newer).pending == []


def test_the_newest_notices_of_each_hook_stay(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    script, _ = program(tmp_path)
    (tmp_path / "down").touch()
    site.publish(1)
    one = watch(on_swap=str(script))
    poll(one)
    one.end()
    full = queue(one)
    (first,) = full.pending
    full.add(replace(first, second=number) for number in range(MOST - 1))
    write_queue(one.layout.notices, full)
    site.publish(2)
    one = watch(on_swap=str(script))
    poll(one)
    assert len(queue(one).pending) == MOST
    assert queue(one).pending[-1].release == 2
    assert first not in queue(one).pending
    assert (queue(one).lost, one.reporter.figures.hooks_lost) == (1, 1)
    said = "WARNING --on_swap is not told of swapped 1: too many newer notices wait"
    assert said in lines
    assert str(queue(one)).endswith("; 1 lost")


def test_each_hook_has_its_own_order_and_bound() -> None:
    def notice(hook: str, second: int) -> Notice:
        return Notice(hook, "swapped", second, None, None, second, 0.0)

    one = Queue()
    assert one.add(notice("on_swap", n) for n in range(MOST)) == []
    assert one.add([notice("webhook", 0), notice("webhook", 0)]) == []
    assert one.add([notice("on_swap", MOST)]) == [notice("on_swap", 0)]
    assert one.first("on_swap") == notice("on_swap", 1)
    assert one.first("webhook") == notice("webhook", 0)
    assert one.failed(notice("webhook", 0), "no") is True
    assert one.failed(notice("webhook", 0), "no") is False
    assert one.failed(notice("webhook", 0), "down") is True
    assert Queue.from_json(json.loads(json.dumps(one.to_json()))) == one
    one.took(notice("webhook", 0))
    assert (one.first("webhook"), one.failing) == (None, {})


def test_live_directories_of_one_name_have_their_own_ids(
    watch: MakeWatch, site: Site, receiver: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "local")
    (tmp_path / "other").mkdir()
    for number, parent in enumerate(("local", "link", "other"), 1):
        site.publish(number)
        one = watch(local_path=str(tmp_path / parent), webhook=receiver.url)
        poll(one)
        drained(one)
        one.end()
    first, by_link, other = (found["id"].split("/")[2] for found in receiver.got)
    assert first == by_link != other, receiver.got


@pytest.mark.parametrize("content", ["[]", "{}", '{"told": 3}', '{"told": {}, "pending": [{}]}'])
def test_a_damaged_file_reads_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notices.json"
    path.write_text(content)
    assert read_queue(str(path)) is None


def test_a_damaged_file_is_named_and_so_is_its_loss(
    watch: MakeWatch, lines: list[str], tmp_path: Path
) -> None:
    script, _ = program(tmp_path)
    one = watch(on_swap=str(script))
    said = f"WARNING {one.layout.notices} is damaged; the notices in it are lost"
    one.end()
    again = watch(on_swap=str(script))
    again.end()
    assert said not in lines
    Path(one.layout.notices).write_text("{")
    watch(on_swap=str(script))
    assert lines.count(said) == 1


def test_a_disk_that_takes_no_note_of_a_notice_does_not_stop_it(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    script, out = program(tmp_path)
    one = watch(on_swap=str(script))
    os.mkdir(f"{one.layout.notices}.new")
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    wait_for(lambda: told(out) == [("swapped", 1)], "the notice", 30)
    assert len([line for line in lines if "a restart may lose notices" in line]) == 1
    assert queue(one).told == Told()
    assert read_installed(str(live(tmp_path))).identity is not None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://hooks.example/services/T0/k3y", "https://hooks.example/***"),
        ("http://u:pa55w0rd@h:8080/a?key=pa55w0rd", "http://h:8080/***"),
        ("https://h", "https://h/"),
    ],
)
def test_an_address_is_shown_without_its_path(text: str, shown: str) -> None:
    assert str(endpoint(text)) == shown
    assert endpoint(text).reveal() == text


def test_wrong_options_end_the_start_with_one_sentence(
    here: Here, site: Site, tmp_path: Path
) -> None:
    for word, said in (
        ("--webhook=ftp://h/x", "--webhook is wrong: it is no address; give https://HOST/PATH"),
        ("--on_served=true", "--on_served needs --server or --server_log"),
        ("--on_swap='", "--on_swap"),
    ):
        code, _, err = here(*general(site, tmp_path), word)
        assert (code, said in err) == (2, True), err
