"""Many models with few threads: the pool, and a process of a thousand models."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Optional

import pytest

from harness.support.waits import wait_for
from monitor.errors import MachineError
from monitor.pool import SIZE, Job, Pool
from monitor.process import Process

from .fixtures import MODEL, TARBALL, Place, Site, options_for
from .processes import Start

_NEVER = 1000.0


class Jobs:
    """Jobs that note when they are called. ``stuck`` ones return only when ``go`` is set."""

    def __init__(self, count: int, *, pause: float, stuck: int = 0) -> None:
        self.calls = [0] * count
        self.go = threading.Event()
        self.over = threading.Event()
        self._pause = pause
        self.pool = Pool(
            [partial(self._call, number, number < stuck) for number in range(count)],
            over=self.over.set,
        )
        self._others = set(threading.enumerate())

    @property
    def threads(self) -> int:
        return len(set(threading.enumerate()) - self._others)

    def wait_called(self, times: int, *, first: int = 0) -> None:
        def fewest() -> int:
            self.pool.relieve()
            return min(self.calls[first:])

        wait_for(lambda: fewest() >= times, f"{times} calls of each job", 20, last_seen=fewest)

    def _call(self, number: int, stuck: bool) -> Optional[float]:
        self.calls[number] += 1
        if stuck:
            self.go.wait(60)
        return None if self.go.is_set() else self._pause


@pytest.fixture
def jobs() -> Iterator[list[Jobs]]:
    made: list[Jobs] = []
    yield made
    for one in made:
        one.go.set()
        one.pool.end()
        one.pool.wait_ended()


def test_a_thousand_jobs_share_the_threads_of_the_pool(jobs: list[Jobs]) -> None:
    one = Jobs(1000, pause=0.2)
    jobs.append(one)
    one.pool.start()
    one.wait_called(3)
    assert one.threads == SIZE
    one.go.set()
    assert one.over.wait(20)
    assert one.pool.is_over
    one.pool.wait_ended()
    assert one.threads == 0


def test_jobs_that_take_long_delay_the_others_for_a_moment(jobs: list[Jobs]) -> None:
    stuck = 3 * SIZE
    one = Jobs(4 * SIZE, pause=0.05, stuck=stuck)
    jobs.append(one)
    one.pool.start()
    one.wait_called(5, first=stuck)
    assert one.calls[:stuck] == [1] * stuck
    assert one.threads <= SIZE + stuck
    # When they return, the threads that took their place end.
    one._pause = _NEVER
    one.go.set()
    assert one.over.wait(20)


def test_threads_in_place_of_others_end_with_the_long_jobs(jobs: list[Jobs]) -> None:
    release, begun = threading.Event(), threading.Barrier(SIZE + 1)

    def long() -> float:
        if not release.is_set():
            begun.wait(20)
            release.wait(20)
        return 0.01

    short: list[Job] = [lambda: 0.01] * SIZE
    pool = Pool([*[long] * SIZE, *short])
    others = set(threading.enumerate())

    def threads() -> int:
        pool.relieve()
        return len(set(threading.enumerate()) - others)

    pool.start()
    try:
        begun.wait(20)
        wait_for(lambda: threads() > SIZE, "threads in place of others", 20, last_seen=threads)
        release.set()
        wait_for(lambda: threads() == SIZE, "the usual threads", 20, last_seen=threads)
    finally:
        pool.end()
        pool.wait_ended()


def test_a_job_that_is_woken_does_not_wait(jobs: list[Jobs]) -> None:
    one = Jobs(3, pause=_NEVER)
    jobs.append(one)
    one.pool.start()
    one.wait_called(1)
    one.pool.wake(1)
    wait_for(lambda: one.calls == [1, 2, 1], "one more call", 20, last_seen=lambda: one.calls)


def test_a_job_that_is_woken_during_its_call_is_called_once_more() -> None:
    calls: list[float] = []

    def job() -> Optional[float]:
        calls.append(time.monotonic())
        if len(calls) == 1:
            for _ in range(3):
                pool.wake(0)
        return _NEVER if len(calls) < 3 else None

    pool = Pool([job])
    pool.start()
    wait_for(lambda: len(calls) == 2, "one more call", 20)
    pool.wake(0)
    wait_for(lambda: pool.is_over, "the last call", 20)
    pool.wait_ended()
    assert len(calls) == 3


def test_a_pool_has_as_many_threads_as_the_system_allows(
    jobs: list[Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = 0
    start = threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        nonlocal allowed
        if not allowed:
            raise RuntimeError("can't start new thread")
        allowed -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    one = Jobs(2 * SIZE, pause=0.01)
    jobs.append(one)
    one.pool.start()
    assert not one.pool.has_threads
    allowed = 2
    one.wait_called(3)
    assert one.threads == 2
    allowed = SIZE


def test_a_process_that_gets_no_thread_says_so_at_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    process = Process([options_for(tmp_path / "local", general_host="http://127.0.0.1:1")])
    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(MachineError, match="raise the limit of threads"):
        process.run()


def config(folder: Path, *models: str) -> str:
    (folder / "local").mkdir()
    file = folder / "monitors.toml"
    file.write_text(
        f'remote_path = "/"\nremote_model_name = "{TARBALL}"\n'
        f'remote_donefile_name = "donefile"\nlocal_path = "{folder}/local"\n'
        f'unpacked_filename = "{MODEL}"\n' + "".join(f"[[model]]\n{model}\n" for model in models)
    )
    return f"--config={file}"


def threads_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def test_a_process_of_a_thousand_models_has_few_threads_and_ends_at_once(
    start: Start, in_memory: Path
) -> None:
    pytest.importorskip("fsspec")
    place = Place(in_memory / "remote")
    most = 0
    names = [f"model{number}" for number in range(1000)]
    url = f'type = "fsspec"\nremote_url = "file://{place.root}"\ninterval = 2\n'
    one = start(config(in_memory, *(f'{url}local_model_name = "{name}"' for name in names)))

    def polled() -> int:
        nonlocal most
        most = max(most, threads_of(one.process.pid))
        return one.text.count("has no donefile.")

    wait_for(lambda: polled() >= 2000, "two polls of each model", 60, last_seen=polled)
    # fsspec starts a short-lived thread for each call. On a busy machine some polls take long.
    assert most < 100
    assert all(f"{name}: sleep 2s." in one.text for name in names)
    begun = time.monotonic()
    one.process.send_signal(signal.SIGTERM)
    assert one.end() == 0
    assert time.monotonic() - begun < 5


def test_more_silent_remotes_than_threads_delay_no_other_model(
    start: Start, site: Site, in_memory: Path
) -> None:
    site.publish(1)
    silent_ones = 3 * SIZE
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(2 * silent_ones)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        models = [
            f'local_model_name = "silent{number}"\ngeneral_host = "{url}"\ntimeout = 3600'
            for number in range(silent_ones)
        ]
        good = f'local_model_name = "good"\ngeneral_host = "{site.url}"\ninterval = 0.2'
        one = start(config(in_memory, *models, good))
        for number in range(1, 4):
            site.publish(number)
            one.saw("good: update local model(good).", times=number)
        assert threads_of(one.process.pid) > silent_ones
        begun = time.monotonic()
        one.process.send_signal(signal.SIGTERM)
        assert one.end() == 0
        assert time.monotonic() - begun < 5
