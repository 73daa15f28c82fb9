"""A load that fails for want of something on this machine is told from a bad model."""

from __future__ import annotations

import textwrap

import pytest

from tests.unit.engine import own_process

PREPARED = """
import resource, signal, subprocess, threading, time
from harness.support import guard
from engine import _fork_server

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

def try_to_load(files):
    try:
        fork_server.load(files, Device()).close()
    except BadModel as error:
        print(error.passing, error)
        return error
"""


def said_by(code: str) -> list[str]:
    """Return the lines that code prints, which finds the functions above ready."""
    return own_process.said_by(PREPARED + textwrap.dedent(code))


def test_paddle_without_a_descriptor_is_no_bad_model() -> None:
    said = said_by(
        """
        with opened(UCI) as files:
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
    first, last = said
    assert first.startswith("True Paddle cannot load the model"), said
    assert last == "loaded"


def test_paddles_math_library_is_open_before_the_first_load() -> None:
    said = said_by(
        """
        with open("/proc/self/maps") as maps:
            print("libmklml" in maps.read())
        """
    )
    # Else a lack of descriptors at the first load stops all later loads on Debian 11.
    assert said == ["True"]


def test_a_fork_server_without_descriptors_loads_the_next_model() -> None:
    said = said_by(
        """
        fork_server = ForkServer(FEEDS, FETCHES)
        with opened(UCI) as files:
            # Then it is up.
            fork_server.load(files, Device()).close()
            no_more_descriptors(fork_server.pid)
            try_to_load(files)
            all_descriptors(fork_server.pid)
            print(fork_server.load(files, Device()).graph == check(files))
        """
    )
    assert said == [
        "True the model could not be loaded: Too many open files",
        "True",
    ]


def test_a_load_that_is_killed_is_no_bad_model() -> None:
    said = said_by(
        """
        fork_server = ForkServer(FEEDS, FETCHES)
        with opened(UCI) as files:
            # As a kernel does that is short of memory. Some loads are done before it strikes.
            for _ in range(50):
                killer = threading.Thread(target=kill_child, args=[fork_server.pid])
                killer.start()
                error = try_to_load(files)
                killer.join()
                if error:
                    break
            print(fork_server.load(files, Device()).graph == check(files))
        """
    )
    assert said == [
        "True the model could not be loaded: the process for it was killed",
        "True",
    ]


def test_an_unreadable_program_is_a_bad_model() -> None:
    said = said_by(
        """
        import shutil, tempfile
        with tempfile.TemporaryDirectory() as folder:
            model = shutil.copytree(UCI, folder + "/model")
            with opened(model) as files:
                graph = check(files)
                os.truncate(model + "/params.pdiparams", 20)
                try:
                    Core(files, graph, FEEDS, FETCHES, Device())
                except BadModel as error:
                    print(error.passing)
        """
    )
    assert said == ["False"]


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
    said = said_by(
        f"""
        {textwrap.indent(patch, " " * 8).strip()}
        subprocess.Popen = Forked
        fork_server = ForkServer(FEEDS, FETCHES)
        with opened(UCI) as files:
            try_to_load(files)
        """
    )
    assert said == [f"True {reason}"]


def test_a_load_that_hangs_is_ended_and_the_next_one_loads() -> None:
    said = said_by(
        """
        def hang(files):
            if files.directory == "one that hangs":
                threading.Event().wait()
            return check(files)
        _fork_server.check = hang
        subprocess.Popen = Forked
        fork_server = ForkServer(FEEDS, FETCHES)
        with opened(UCI) as files:
            fork_server.load(files, Device()).close()
            _fork_server.MAX_LOAD_S = 3
            try_to_load(type(files)("one that hangs", files.program, files.params))
            _fork_server.MAX_LOAD_S = 60
            print(fork_server.load(files, Device()).graph == check(files))
        """
    )
    assert said == ["False loading it takes longer than 3 s", "True"]
