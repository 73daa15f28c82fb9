"""SIGTERM at every step of a release's way: the end soon, and one whole release left."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, Optional

import pytest

import monitor
from monitor import log
from monitor.process import Process

from .fixtures import MODEL, Site, options_for
from .processes import SOON_S
from .test_monitor_kill import install, whole_release
from .test_monitor_signals import nothing_left


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


# The monitor's own files.
_OURS = os.path.dirname(monitor.__file__) + os.sep


class _Signaller:
    """Sends SIGTERM to this process at the ``number``th call of a function of the monitor's."""

    def __init__(self, number: int, told: Any) -> None:
        self._left = number
        self._told = told
        self._lock = threading.Lock()

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(_OURS):
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            # The monitor has no handler yet. It has nothing to clean up, and the system ends it.
            return
        with self._lock:
            self._left -= 1
            if self._left != 0:
                return
        self._told.send(
            f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
        )
        os.kill(os.getpid(), signal.SIGTERM)


class _Log(io.StringIO):
    """Sends None when the monitor goes to sleep."""

    def __init__(self, told: Any) -> None:
        super().__init__()
        self._told = told

    def write(self, text: str) -> int:
        if "sleep 100s." in text:
            self._told.send(None)
        return super().write(text)


def _child(number: int, local: Path, url: str, told: Any) -> None:
    log.set_up(debug=False, as_json=False, stream=_Log(told))
    options = options_for(
        local, general_host=url, keep="1", check_command="true", on_swap="true", interval="100"
    )
    process = Process([options])
    signaller = _Signaller(number, told)
    threading.setprofile(signaller)
    sys.setprofile(signaller)
    process.run()
    os._exit(99)


_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([__name__, "requests"])


def signalled_at(number: int, local: Path, url: str) -> Optional[str]:
    """Where the monitor was when the signal came. None if it slept before ``number`` calls."""
    ours, theirs = _forks.Pipe()
    child = _forks.Process(target=_child, args=(number, local, url, theirs))
    child.start()
    try:
        deadline = time.monotonic() + 60
        while not ours.poll(0.02):
            assert time.monotonic() < deadline
            assert child.exitcode is None or ours.poll(), f"it ended with {child.exitcode}"
        place: Optional[str] = ours.recv()
        if place is None:
            assert whole_is_newest(local)
            return None
        child.join(SOON_S)
        assert child.exitcode == 0, (place, child.exitcode)
        return place
    finally:
        child.kill()
        child.join()
        ours.close()


def whole_is_newest(local: Path) -> bool:
    """Whether release 2 is live and the one before is put away."""
    with contextlib.suppress(OSError, AssertionError):
        kept = local / f".{MODEL}.monitor" / "kept"
        return whole_release(local / MODEL) == 2 and kept.exists() and bool(os.listdir(kept))
    return False


@pytest.mark.parametrize(
    "stride",
    [pytest.param(23, id="a part"), pytest.param(1, id="every one", marks=pytest.mark.proof)],
)
def test_a_signal_at_any_call_ends_it_soon_with_one_whole_release(
    tmp_path: Path, site: Site, stride: int
) -> None:
    number, places = 1, []
    site.publish(2)
    while True:
        local = tmp_path / "local"
        shutil.rmtree(local, ignore_errors=True)
        local.mkdir()
        install(local, 1)
        place = signalled_at(number, local, site.url)
        if place is None:
            break
        where = f"signalled at call {number}, {place}"
        places.append(place.rpartition(" ")[2])
        assert whole_release(local / MODEL) in (1, 2), where
        nothing_left(local)
        number += stride
        assert number < 20_000
    # The loop has reached the end of the installation.
    assert number > 400
    assert len(set(places)) > 10, places
