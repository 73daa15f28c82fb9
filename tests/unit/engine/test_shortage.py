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
import os, resource, signal, threading, time
from harness.support import guard
from engine import _hosting, _inference, _nursery, _process
from engine._core import Core, Device
from engine._model_files import BadModel, check, opened
from engine._nursery import Nursery
from engine._prototxt import Variable

FEEDS = [Variable("x", "x", 1, (13,), False)]
FETCHES = [Variable("price", "price", 1, (1,), False)]
_inference.library()

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


def test_a_nursery_without_descriptors_loads_the_next_model() -> None:
    said = in_its_own_process(
        """
        nursery = Nursery.start(FEEDS, FETCHES, Device())
        with opened(os.environ["MODEL"]) as files:
            # Then it is up.
            nursery.load(files, Device(), gently=False).close()
            no_more_descriptors(nursery.pid)
            try:
                nursery.load(files, Device(), gently=False)
            except BadModel as error:
                print(error.passing, error)
            all_descriptors(nursery.pid)
            print(nursery.load(files, Device(), gently=False).together)
        """
    )
    assert said.splitlines() == [
        "True the model could not be loaded: Too many open files",
        "True",
    ]


def test_a_load_that_is_killed_is_no_bad_model() -> None:
    said = in_its_own_process(
        """
        nursery = Nursery.start(FEEDS, FETCHES, Device())
        with opened(os.environ["MODEL"]) as files:
            # As a kernel does that is short of memory. Some loads are done before it strikes.
            for _ in range(50):
                killer = threading.Thread(target=kill_child, args=[nursery.pid])
                killer.start()
                try:
                    nursery.load(files, Device(), gently=False).close()
                except BadModel as error:
                    print(error.passing, error)
                    break
                finally:
                    killer.join()
            print(nursery.load(files, Device(), gently=False).together)
        """
    )
    assert said.splitlines() == [
        "True the model could not be loaded: the process for it was killed",
        "True",
    ]


def test_an_unreadable_program_is_a_bad_model() -> None:
    said = in_its_own_process(
        """
        with opened(os.environ["MODEL"]) as files:
            graph = check(files)
            os.ftruncate(files.params, 20)
            try:
                Core(files, graph, FEEDS, FETCHES, Device())
            except BadModel as error:
                print(error.passing)
        """
    )
    assert said == "False"


NO_THREAD = """
def start(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
NO_MEMORY = """
def refuse(*_):
    raise MemoryError
{} = refuse
"""


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        (NO_THREAD, "RuntimeError: can't start new thread"),
        (NO_MEMORY.format("_hosting.check"), "MemoryError: MemoryError"),
        (NO_MEMORY.format("Core.warm_up"), "MemoryError: MemoryError"),
    ],
    ids=["no thread", "no memory to check it", "no memory for its first run"],
)
def test_a_process_that_lacks_something_says_so_and_blames_no_model(
    patch: str, reason: str
) -> None:
    said = in_its_own_process(
        f"""
        {textwrap.indent(patch, " " * 8).strip()}
        nursery = Nursery.start(FEEDS, FETCHES, Device())
        with opened(os.environ["MODEL"]) as files:
            try:
                nursery.load(files, Device(), gently=False)
            except BadModel as error:
                print(error.passing, error)
        """
    )
    assert said == f"True {reason}"


def test_a_model_is_loaded_where_nobody_may_step_back() -> None:
    said = in_its_own_process(
        """
        def refuse(*_):
            raise PermissionError(1, "Operation not permitted")
        os.nice = os.sched_setscheduler = os.getpriority = os.setsid = refuse
        _nursery.LOAD_S = 20
        nursery = Nursery.start(FEEDS, FETCHES, Device())
        with opened(os.environ["MODEL"]) as files:
            print(nursery.load(files, Device(), gently=True).together)
        """
    )
    assert said == "True"


PRIORITIES = """
def niceness(pid):
    said = open(f"/proc/{pid}/autogroup").read().split()
    return int(said[-1]) if said else 0

def until(wanted, pid):
    end = time.monotonic() + 20
    while niceness(pid) != wanted and time.monotonic() < end:
        time.sleep(0.01)
    return niceness(pid) == wanted
"""
needs_autogroups = pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="this kernel has no autogroups"
)


@needs_autogroups
def test_a_model_that_was_loaded_gently_serves_as_others_do_and_so_does_its_process_wait() -> None:
    said = in_its_own_process(
        PRIORITIES
        + """
usual = max(0, niceness("self"))
_hosting._DROP_WAITS_S = 20
class Watched(Core):
    def close(self):
        assert niceness("self") == 15, "a model is dropped before others' requests"
        super().close()
_hosting.Core = Watched
nursery = Nursery.start(FEEDS, FETCHES, Device())
with opened(os.environ["MODEL"]) as files:
    for _ in range(3):
        model = nursery.load(files, Device(), gently=True)
        print(niceness(model.host.pid) == usual, end=" ")
        nursery.retire(model)
        print(until(usual, model.host.pid), model.host.loads, end=" ")
"""
    )
    assert said == "True True 1 True True 2 True True 3"


@needs_autogroups
def test_a_load_that_others_leave_no_time_for_is_brought_forward() -> None:
    said = in_its_own_process(
        PRIORITIES
        + """
_nursery.GENTLE_S = _process.GENTLE_S = 1.0
usual = max(0, niceness("self"))
def left_behind(files):
    assert niceness("self") == 15, "did not step back"
    assert until(0, "self"), "was left behind"
    return check(files)
_hosting.check = left_behind
_hosting._Held._step_back = lambda self, wait_s=0.0: self._group.step_back(15, wait_s=20)
nursery = Nursery.start(FEEDS, FETCHES, Device())
with opened(os.environ["MODEL"]) as files:
    # In a process that was made for it, and in the same when it has given its model up.
    for _ in range(2):
        model = nursery.load(files, Device(), gently=True)
        print(model.host.loads, end=" ")
        nursery.retire(model)
"""
    )
    assert said == "1 2"


def test_a_load_that_hangs_in_the_spare_process_is_not_tried_in_another() -> None:
    said = in_its_own_process(
        """
        hung = os.memfd_create("hung")
        made = Core.__init__
        def make(self, files, *rest, **more):
            if files.directory == "one that hangs":
                os.write(hung, b"x")
                threading.Event().wait()
            made(self, files, *rest, **more)
        Core.__init__ = make
        nursery = Nursery.start(FEEDS, FETCHES, Device())
        with opened(os.environ["MODEL"]) as files:
            nursery.retire(nursery.load(files, Device(), gently=False))
            _process.LOAD_S = 3
            try:
                bad = type(files)("one that hangs", files.program, files.params)
                nursery.load(bad, Device(), gently=False)
            except BadModel as error:
                print(error.passing, error)
            print(os.fstat(hung).st_size)
            _process.LOAD_S = 60
            print(nursery.load(files, Device(), gently=False).together)
        """
    )
    assert said.splitlines() == ["False loading it takes longer than 3 s", "1", "True"]


def test_a_process_that_has_had_many_models_is_replaced_by_a_new_one() -> None:
    said = in_its_own_process(
        """
        _nursery._MOST_LOADS = 3
        nursery = Nursery.start(FEEDS, FETCHES, Device())
        names, old = [], None
        with opened(os.environ["MODEL"]) as files:
            for _ in range(10):
                model = nursery.load(files, Device(), gently=False)
                if model.host.pid not in names:
                    names.append(model.host.pid)
                print(names.index(model.host.pid), end=" ")
                if old is not None:
                    nursery.retire(old)
                old = model
            until = time.monotonic() + 20
            while len(left := guard.descendants(nursery.pid)) > 2:
                assert time.monotonic() < until, left
                time.sleep(0.02)
        """
    )
    # Two take turns until each has had three.
    assert said == "0 1 0 1 0 1 2 3 2 3"


def test_a_load_that_hangs_ends_with_the_process_that_would_end_it() -> None:
    said = in_its_own_process(
        """
        import ctypes
        hanging, hangs = os.pipe()
        def hang(files):
            os.write(hangs, b"x")
            # With the interpreter's lock, as Paddle holds it.
            ctypes.PyDLL(None).sleep(600)
        _hosting.check = hang
        # Who lost his parent is this process's from then on.
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
        nursery = Nursery.start(FEEDS, FETCHES, Device())
        def load():
            try:
                with opened(os.environ["MODEL"]) as files:
                    nursery.load(files, Device(), gently=True)
            except BadModel as error:
                print(error)
        loading = threading.Thread(target=load)
        loading.start()
        os.read(hanging, 1)
        (model,) = [one for one in guard.descendants(os.getpid()) if one != nursery.pid]
        os.kill(nursery.pid, signal.SIGKILL)
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
