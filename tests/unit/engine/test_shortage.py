"""A load that fails for want of something on this machine is told from a bad model.

Each runs in a process of its own, whose limits the others do not feel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from harness.conformance.serving import server

ROOT = Path(__file__).resolve().parents[3]


def in_its_own_process(code: str) -> str:
    """Runs code that finds ``files``, ``graph`` and ``core()`` ready; gives what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PREPARED).replace("CODE", textwrap.dedent(code))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, "MODEL": str(server.models() / "uci")},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


PREPARED = """
import os, resource, signal, subprocess, sys, threading, time
from harness.support import guard
from engine import _fork_server, _inference
from engine._core import Core, Device
from engine._model_files import BadModel, check, opened
from engine._fork_server import ForkServer
from engine._prototxt import Variable

FEEDS = [Variable("x", "x", 1, (13,), False)]
FETCHES = [Variable("price", "price", 1, (1,), False)]
_inference.library()

class Forked:
    # A fork server that was forked here has what a test has replaced.
    def __init__(self, argv, pass_fds, **_):
        self.pid = os.fork()
        if self.pid == 0:
            sys.argv = ["-c", *argv[3:]]
            _fork_server.main()

def kill_child(pid):
    until = time.monotonic() + 20
    while not (found := guard.descendants(pid)):
        assert time.monotonic() < until, "there was no child"
    os.kill(found[0], signal.SIGKILL)

def no_more_descriptors(pid):
    listed = os.listdir(f"/proc/{pid}/fd")
    # Numbers that are free by now, like that of the listing itself, are not taken.
    taken = {int(one) for one in listed if os.path.exists(f"/proc/{pid}/fd/{one}")}
    free = min(set(range(len(taken) + 1)) - taken)
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, hard))

def all_descriptors(pid):
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))

CODE
"""


def test_paddle_without_a_descriptor_is_no_bad_model() -> None:
    said = in_its_own_process(
        """
        with opened(os.environ["MODEL"]) as files:
            graph = check(files)
            no_more_descriptors(os.getpid())
            try:
                Core(files, graph, FEEDS, FETCHES, Device())
            except BadModel as error:
                all_descriptors(os.getpid())
                print(error.passing, error)
            Core(files, graph, FEEDS, FETCHES, Device())
            print("loaded")
        """
    )
    first, last = said.splitlines()
    assert first.startswith("True Paddle cannot load the model"), said
    assert last == "loaded"


def test_paddles_math_library_is_open_before_the_first_load() -> None:
    said = in_its_own_process(
        """
        with open("/proc/self/maps") as maps:
            print("libmklml" in maps.read())
        """
    )
    # Else a lack of descriptors at the first load stops all later loads on Debian 11.
    assert said == "True"


def test_a_library_that_finds_no_descriptor_is_loaded_later() -> None:
    said = in_its_own_process(
        """
        _inference.library.cache_clear()
        no_more_descriptors(os.getpid())
        try:
            _inference.library()
        except OSError as error:
            all_descriptors(os.getpid())
            print(error.strerror)
        print(hasattr(_inference.library(), "create_predictor"))
        """
    )
    assert said.splitlines() == ["Too many open files", "True"]


def test_a_fork_server_without_descriptors_loads_the_next_model() -> None:
    said = in_its_own_process(
        """
        fork_server = ForkServer(FEEDS, FETCHES)
        with opened(os.environ["MODEL"]) as files:
            # Then it is up.
            fork_server.load(files, Device()).close()
            no_more_descriptors(fork_server.pid)
            try:
                fork_server.load(files, Device())
            except BadModel as error:
                print(error.passing, error)
            all_descriptors(fork_server.pid)
            print(fork_server.load(files, Device()).graph == check(files))
        """
    )
    assert said.splitlines() == [
        "True the model could not be loaded: Too many open files",
        "True",
    ]


def test_a_load_that_is_killed_is_no_bad_model() -> None:
    said = in_its_own_process(
        """
        fork_server = ForkServer(FEEDS, FETCHES)
        with opened(os.environ["MODEL"]) as files:
            # As a kernel does that is short of memory. Some loads are done before it strikes.
            for _ in range(50):
                killer = threading.Thread(target=kill_child, args=[fork_server.pid])
                killer.start()
                try:
                    fork_server.load(files, Device()).close()
                except BadModel as error:
                    print(error.passing, error)
                    break
                finally:
                    killer.join()
            print(fork_server.load(files, Device()).graph == check(files))
        """
    )
    assert said.splitlines() == [
        "True the model could not be loaded: the process for it was killed",
        "True",
    ]


def test_an_unreadable_program_is_a_bad_model() -> None:
    said = in_its_own_process(
        """
        import shutil, tempfile
        with tempfile.TemporaryDirectory() as folder:
            model = shutil.copytree(os.environ["MODEL"], folder + "/model")
            with opened(model) as files:
                graph = check(files)
                os.truncate(model + "/params.pdiparams", 20)
                try:
                    Core(files, graph, FEEDS, FETCHES, Device())
                except BadModel as error:
                    print(error.passing)
        """
    )
    assert said == "False"


NO_MEMORY = """
def refuse(*_):
    raise MemoryError
{} = refuse
"""


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        (NO_MEMORY.format("_fork_server.check"), "MemoryError: MemoryError"),
        (NO_MEMORY.format("Core.warm_up"), "MemoryError: MemoryError"),
    ],
    ids=["no memory to check it", "no memory for its first run"],
)
def test_a_process_that_lacks_something_says_so_and_blames_no_model(
    patch: str, reason: str
) -> None:
    said = in_its_own_process(
        f"""
        {textwrap.indent(patch, " " * 8).strip()}
        subprocess.Popen = Forked
        fork_server = ForkServer(FEEDS, FETCHES)
        with opened(os.environ["MODEL"]) as files:
            try:
                fork_server.load(files, Device())
            except BadModel as error:
                print(error.passing, error)
        """
    )
    assert said == f"True {reason}"


def test_a_load_that_hangs_is_ended_and_the_next_one_loads() -> None:
    said = in_its_own_process(
        """
        def hang(files):
            if files.directory == "one that hangs":
                threading.Event().wait()
            return check(files)
        _fork_server.check = hang
        subprocess.Popen = Forked
        fork_server = ForkServer(FEEDS, FETCHES)
        with opened(os.environ["MODEL"]) as files:
            fork_server.load(files, Device()).close()
            _fork_server.MAX_LOAD_S = 3
            try:
                bad = type(files)("one that hangs", files.program, files.params)
                fork_server.load(bad, Device())
            except BadModel as error:
                print(error.passing, error)
            print(fork_server.load(files, Device()).graph == check(files))
        """
    )
    assert said.splitlines() == ["False loading it takes longer than 3 s", "True"]


def test_a_load_that_hangs_ends_with_the_process_that_would_end_it() -> None:
    said = in_its_own_process(
        """
        import ctypes
        hanging, hangs = os.pipe()
        def hang(files):
            os.write(hangs, b"x")
            # With the interpreter's lock, as Paddle holds it.
            ctypes.PyDLL(None).sleep(600)
        _fork_server.check = hang
        subprocess.Popen = Forked
        # Who lost his parent is this process's from then on.
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
        fork_server = ForkServer(FEEDS, FETCHES)
        def load():
            try:
                with opened(os.environ["MODEL"]) as files:
                    fork_server.load(files, Device())
            except BadModel as error:
                print(error)
        loading = threading.Thread(target=load)
        loading.start()
        os.read(hanging, 1)
        (model,) = [one for one in guard.descendants(os.getpid()) if one != fork_server.pid]
        os.kill(fork_server.pid, signal.SIGKILL)
        loading.join(20)
        end = time.monotonic() + 20
        while not os.waitpid(-1, os.WNOHANG)[0] == model and time.monotonic() < end:
            time.sleep(0.01)
        left = model in guard.descendants(os.getpid())
        if left:
            os.kill(model, signal.SIGKILL)
        print(left)
        """
    )
    assert said.splitlines() == [
        "the model could not be loaded: the process for it is gone",
        "False",
    ]
