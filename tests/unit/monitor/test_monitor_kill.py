"""SIGKILL before every call that changes a file, from the first byte pulled to the end of a swap.

A child process carries out one release and kills itself before its Nth change; N counts up until
the release goes through. After every kill the live directory is one whole release, a new start
converges, and nothing is left. (The conformance suite does the same to any monitor from outside.)
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor import log, remotes
from monitor.decisions.identity import Identity
from monitor.decisions.machine import Event, State
from monitor.live import exchange
from monitor.live.layout import Layout
from monitor.live.ownership import Ownership
from monitor.live.state import read_installed
from monitor.stop import Stop
from monitor.watch.install import Install
from monitor.watch.watch import Watch

from .fixtures import MODEL, Site, model_files, options_for, tarball

_CHANGES = {
    "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.chown", "os.utime",
    "os.truncate", "os.link", "os.symlink", "os.setxattr", "shutil.rmtree",
}  # fmt: skip


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    log.set_up(debug=False, as_json=False, stream=io.StringIO())
    yield
    log.logger.handlers.clear()


def one_poll(local: Path, url: str, **given: object) -> Event:
    stop = Stop()
    options = options_for(local, general_host=url, **given)
    watch = Watch(options, remotes.create(options, stop), stop)
    watch.begin()
    try:
        while True:
            row = watch.step()
            if row.then is State.IDLE:
                return row.event
    finally:
        watch.end()


class _Killer:
    """Kills this process before its ``number``th change of a file."""

    def __init__(self, number: int) -> None:
        self.left = number

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event in _CHANGES:
            self.count()
        elif event == "open":
            # Path, mode as text (or None from os.open), flags.
            flags = args[2] if isinstance(args[2], int) else 0
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
                self.count()

    def arm(self) -> None:
        sys.addaudithook(self.hook)
        # The exchange goes through ctypes, which tells no audit hook.
        renameat2 = exchange._renameat2

        def counted(source: str, target: str, flags: int) -> None:
            self.count()
            renameat2(source, target, flags)
            self.count()

        exchange._renameat2 = counted


def _child(number: int, local: Path, url: str, given: dict[str, object]) -> None:
    log.set_up(debug=False, as_json=False, stream=io.StringIO())
    _Killer(number).arm()
    os._exit(0 if one_poll(local, url, **given) is Event.SWAPPED else 4)


# Forks from a process without threads, with everything imported: 20 ms a child.
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([__name__, "requests"])


def killed_before(number: int, local: Path, url: str, **given: object) -> bool:
    """Whether a child was killed before its ``number``th change (else it came to the end)."""
    child = _forks.Process(target=_child, args=(number, local, url, given))
    child.start()
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL), f"the child ended with {child.exitcode}"
    return child.exitcode != 0


def install(local: Path, *numbers: int) -> None:
    """Installs releases one after the other, as a monitor that keeps two would."""
    options = options_for(local, general_host="http://127.0.0.1:1", keep="2")
    layout = Layout(options.live)
    ownership = Ownership(layout)
    install = Install(options, layout, ownership, Stop(), lambda: None)
    ownership.prepare()
    for number in numbers:
        part = local / "part"
        part.write_bytes(tarball(model_files(number)))
        identity = Identity(str(number), number)
        install.verify(str(part), "", None, proven=True)
        install.stage(identity, None, b"", str(part))
        install.swap(identity, None, time.time())
        part.unlink()


def whole_release(live: Path) -> int:
    """The number of the release in the live directory, which all of its files agree on."""
    names = sorted(path.name for path in live.iterdir())
    assert names == [
        ".monitor-state.json", "fluid_time_file", "model.pdmodel", "params.pdiparams",
        "serving_server_conf.prototxt", "serving_server_conf.stream.prototxt",
    ]  # fmt: skip
    state = read_installed(str(live))
    assert state.identity is not None
    number = int((live / "params.pdiparams").read_bytes()[:9])
    assert state.identity.release == number
    assert int((live / "fluid_time_file").stat().st_mtime) == state.second
    return number


@pytest.mark.parametrize(
    ("first", "keep", "stride"),
    [
        pytest.param(False, "2", 9, id="a later release, old ones kept, every ninth change"),
        pytest.param(True, "0", 5, id="the first release, every fifth change"),
        pytest.param(False, "0", 1, id="a later release", marks=pytest.mark.proof),
        pytest.param(False, "2", 1, id="a later release, old ones kept", marks=pytest.mark.proof),
        pytest.param(True, "0", 1, id="the first release", marks=pytest.mark.proof),
        pytest.param(True, "2", 1, id="the first release, old kept", marks=pytest.mark.proof),
    ],
)
def test_a_kill_at_any_point_leaves_one_whole_release_and_a_restart_converges(
    tmp_path: Path, site: Site, *, first: bool, keep: str, stride: int
) -> None:
    local = tmp_path / "local"
    live = local / MODEL
    release = 1
    if not first:
        site.publish(release)
        one_poll(local, site.url, keep=keep)
    seconds = [0]
    number, went_through = 0, False
    while not went_through:
        number += stride
        release += 1
        if first and live.exists():
            site.publish(release)
            for path in sorted(live.rglob("*"), reverse=True):
                path.unlink()
            live.rmdir()
        site.publish(release)
        went_through = not killed_before(number, local, site.url, keep=keep)
        where = f"killed before change {number}"
        if live.exists() or not first:
            assert whole_release(live) in (release - 1, release), where
        assert one_poll(local, site.url, keep=keep) in (Event.SWAPPED, Event.INSTALLED), where
        assert whole_release(live) == release, where
        second = read_installed(str(live)).second
        assert second is not None
        if not first:
            assert second > seconds[-1], where
        seconds.append(second)
        left = {str(path.relative_to(local)) for path in local.glob("*")}
        left |= {str(path.relative_to(local)) for path in local.glob("_serving_monitor_tmp/*")}
        assert left - {"_serving_monitor_tmp"} == {MODEL, f".{MODEL}.monitor"}, where
    assert number > 20
