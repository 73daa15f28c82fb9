"""SIGTERM and SIGINT: the end within a second, wherever the monitor is, and nothing left.

The tests here signal the monitor in states that last: a silent remote, a pipe without a writer, a
lock of another process. ``test_monitor_signals_at_each_step`` does so at every step of a release's
way.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from harness.support.waits import wait_for

from .fixtures import MODEL, TARBALL, FtpSite, Place, Site, model_files, tarball
from .processes import SOON_S, Running, Start, common, ftp, general, hadoop_or_skip
from .test_monitor_kill import install, whole_release


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


# fcntl.h; Python has it from 3.10 on.
_F_SETPIPE_SZ = 1031


class Scene:
    """What a situation is made of: its remotes, its folder, the monitor's start."""

    def __init__(self, start: Start, site: Site, ftp_site: FtpSite, tmp_path: Path) -> None:
        self.site = site
        self.ftp_site = ftp_site
        self.folder = tmp_path
        self.local = tmp_path / "local"
        self._start = start
        self.ending = contextlib.ExitStack()
        self.one: Optional[Running] = None

    def start(self, *words: str) -> Running:
        self.one = self._start(*words)
        return self.one

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        assert self.one is not None
        wait_for(condition, what, 30, last_seen=lambda: self.one and self.one.text[-2000:])

    @property
    def part(self) -> list[Path]:
        found = list((self.local / "_serving_monitor_tmp").glob("*.part*"))
        return found + list(self.local.glob(".*.staging-*"))

    def silent_port(self) -> int:
        """A port whose server accepts and never says a word."""
        server = self.ending.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen()
        return int(server.getsockname()[1])

    def place(self) -> Place:
        return Place(self.folder / "files")


@pytest.fixture
def scene(start: Start, site: Site, ftp_site: FtpSite, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(start, site, ftp_site, tmp_path)
    with made.ending:
        yield made


def asleep(scene: Scene) -> None:
    scene.site.publish(1)
    scene.start(*general(scene.site, scene.folder), "--interval=100").saw("sleep 100s.")


def in_a_pause_after_a_failure(scene: Scene) -> None:
    scene.site.status = 503
    words = [*general(scene.site, scene.folder), "--interval=50"]
    scene.start(*words).saw("the server answered 503")
    assert scene.one is not None
    scene.one.saw("sleep ")


def in_the_settle_time(scene: Scene) -> None:
    (scene.local).mkdir()
    install(scene.local, 1)
    scene.site.publish(2)
    words = [*general(scene.site, scene.folder), "--settle=100", "--interval=100"]
    scene.start(*words).saw("sleep ")


def _silent(scene: Scene, *words: str) -> None:
    scene.start(*common(scene.folder), *words).saw("_interval")
    assert scene.one is not None
    pid = scene.one.process.pid

    def connected() -> bool:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            # One may be closed while it is looked at.
            with contextlib.suppress(OSError):
                if "socket:" in os.readlink(fd):
                    return True
        return False

    scene.wait(connected, "the monitor's connection")


def in_a_check_of_a_silent_http_server(scene: Scene) -> None:
    _silent(scene, f"--general_host=http://127.0.0.1:{scene.silent_port()}")


def in_a_check_of_a_silent_ftp_server(scene: Scene) -> None:
    _silent(scene, "--type=ftp", "--ftp_host=127.0.0.1", f"--ftp_port={scene.silent_port()}")


def in_a_check_of_a_silent_webhdfs(scene: Scene) -> None:
    _silent(scene, "--type=webhdfs", f"--webhdfs_url=http://127.0.0.1:{scene.silent_port()}")


def _fsspec(scene: Scene, blocked: str) -> None:
    place = scene.place()
    place.publish(1)
    (place.root / blocked).unlink()
    os.mkfifo(place.root / blocked)
    scene.start(*common(scene.folder), "--type=fsspec", f"--remote_url=file://{place.root}")
    held: list[int] = []

    def is_read() -> bool:
        # fifo(7): without a reader this fails. From here on the reader waits for the first byte.
        with contextlib.suppress(OSError):
            held.append(os.open(place.root / blocked, os.O_WRONLY | os.O_NONBLOCK))
            scene.ending.callback(os.close, held[0])
        return bool(held)

    scene.wait(is_read, "the read of the pipe")


def in_a_check_of_a_file_that_blocks(scene: Scene) -> None:
    pytest.importorskip("fsspec")
    _fsspec(scene, "donefile")


def in_a_pull_of_a_file_that_blocks(scene: Scene) -> None:
    pytest.importorskip("fsspec")
    _fsspec(scene, TARBALL)


def _hadoop(scene: Scene, blocked: str) -> None:
    program = hadoop_or_skip()
    place = scene.place()
    place.publish(1)
    (place.root / blocked).unlink()
    os.mkfifo(place.root / blocked)
    words = [word for word in common(scene.folder) if not word.startswith("--remote_path")]
    one = scene.start(
        *words, "--type=hdfs", f"--hadoop_bin={program}", "--fs_name=file:///",
        f"--remote_path={place.root}", "--debug",
    )  # fmt: skip
    one.saw("pull cmd" if blocked == TARBALL else "check cmd: ")
    scene.wait(
        lambda: any("FsShell" in line for line in _commands_below(one.process.pid)), "the JVM"
    )


def in_a_check_through_hadoop(scene: Scene) -> None:
    _hadoop(scene, "donefile")


def in_a_pull_through_hadoop(scene: Scene) -> None:
    _hadoop(scene, TARBALL)


def in_a_silent_http_transfer(scene: Scene) -> None:
    scene.site.publish(1, size=300_000)
    scene.site.stall_after = 100_000
    scene.start(*general(scene.site, scene.folder))
    scene.wait(lambda: scene.part, "the transfer to begin")


def in_a_silent_transfer_of_a_folder(scene: Scene) -> None:
    scene.site.put(f"folder/{TARBALL}", bytes(300_000))
    scene.site.put("donefile", b"")
    scene.site.stall_after = 100_000
    words = [w for w in general(scene.site, scene.folder) if "unpacked" not in w]
    words = [w for w in words if "remote_model_name" not in w]
    scene.start(*words, "--remote_model_name=folder")
    scene.wait(lambda: scene.part, "the transfer to begin")


def in_a_slow_ftp_transfer(scene: Scene) -> None:
    from pyftpdlib.handlers import ThrottledDTPHandler

    handler = type("Slow", (ThrottledDTPHandler,), {"write_limit": 20_000})
    site = FtpSite(scene.folder / "slow", dtp_handler=handler)
    scene.ending.callback(site.close)
    site.publish(1, size=3_000_000)
    scene.start(*ftp(site, scene.folder), f"--ftp_password={FtpSite.PASSWORD}")
    scene.wait(lambda: scene.part, "the transfer to begin")


def in_a_pull_that_keeps_to_its_rate(scene: Scene) -> None:
    scene.site.publish(1, size=300_000)
    scene.start(*general(scene.site, scene.folder), "--rate_limit=1K")
    scene.wait(lambda: scene.part, "the transfer to begin")


def in_an_unpacking(scene: Scene) -> None:
    """Stop the process at the first file of a large release, until the test sends its signal."""
    scene.site.publish(1, tarball(model_files(1, 150_000_000), mode="w"))
    one = scene.start(*general(scene.site, scene.folder))

    def stopped() -> bool:
        if not list(scene.local.glob(".*.staging-*/*")):
            return False
        one.process.send_signal(signal.SIGSTOP)
        return True

    wait_for(stopped, "the first file", 60, every_s=0.001, last_seen=lambda: one.text[-2000:])
    assert "update local model" not in one.text, "it was too fast to be stopped in it"


def in_a_check_command(scene: Scene) -> None:
    scene.site.publish(1)
    ran = scene.folder / "ran"
    command = f"sh -c 'touch {ran}; sleep 60'"
    scene.start(*general(scene.site, scene.folder), "--check_command", command)
    scene.wait(ran.exists, "the check")


def waiting_for_a_rollback_before_the_swap(scene: Scene) -> None:
    lock = scene.local / f".{MODEL}.monitor" / "swap.lock"
    ran = scene.folder / "ran"
    scene.site.publish(1)
    command = f"sh -c 'touch {ran}; while [ -e {ran} ]; do sleep 0.05; done'"
    scene.start(*general(scene.site, scene.folder), "--check_command", command)
    scene.wait(ran.exists, "the check")
    held = scene.ending.enter_context(lock.open("a"))
    fcntl.flock(held, fcntl.LOCK_EX)
    ran.unlink()
    _waits_for_lock(scene)


def waiting_for_a_rollback_at_its_start(scene: Scene) -> None:
    (scene.local).mkdir()
    install(scene.local, 1)
    held = scene.ending.enter_context((scene.local / f".{MODEL}.monitor" / "swap.lock").open("a"))
    fcntl.flock(held, fcntl.LOCK_EX)
    scene.site.publish(2)
    scene.start(*general(scene.site, scene.folder))
    _waits_for_lock(scene)


def _waits_for_lock(scene: Scene) -> None:
    assert scene.one is not None
    files = Path(f"/proc/{scene.one.process.pid}/fd")

    # While the monitor waits, it keeps the file open that the test has locked.
    def waits() -> bool:
        with contextlib.suppress(OSError):
            return any(os.readlink(file).endswith("/swap.lock") for file in files.iterdir())
        return False

    scene.wait(waits, "the monitor to wait for the lock")


def in_an_on_swap_program(scene: Scene) -> None:
    scene.site.publish(1)
    ran = scene.folder / "ran"
    scene.start(*general(scene.site, scene.folder), "--on_swap", f"sh -c 'touch {ran}; sleep 60'")
    scene.wait(ran.exists, "the program")


SITUATIONS = [
    asleep, in_a_pause_after_a_failure, in_the_settle_time,
    in_a_check_of_a_silent_http_server, in_a_check_of_a_silent_ftp_server,
    in_a_check_of_a_silent_webhdfs, in_a_check_of_a_file_that_blocks, in_a_check_through_hadoop,
    in_a_silent_http_transfer, in_a_silent_transfer_of_a_folder, in_a_slow_ftp_transfer,
    in_a_pull_through_hadoop, in_a_pull_of_a_file_that_blocks, in_a_pull_that_keeps_to_its_rate,
    in_an_unpacking, in_a_check_command, waiting_for_a_rollback_before_the_swap,
    waiting_for_a_rollback_at_its_start, in_an_on_swap_program,
]  # fmt: skip


def _below(pid: int) -> list[int]:
    """The processes below a process."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *_below(child)]
    return found


def _commands_below(pid: int) -> list[str]:
    found = []
    for child in _below(pid):
        with contextlib.suppress(OSError):
            found.append(Path(f"/proc/{child}/cmdline").read_text().replace("\0", " "))
    return found


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def nothing_left(local: Path) -> None:
    names = {path.name for path in local.iterdir()}
    assert names <= {f".{MODEL}.monitor", "_serving_monitor_tmp", MODEL}, names
    tmp = local / "_serving_monitor_tmp"
    assert not tmp.exists() or list(tmp.iterdir()) == []
    assert not list((local / f".{MODEL}.monitor").glob("ugi-*"))


@pytest.mark.parametrize(
    ("signum", "situation"),
    [
        *((signal.SIGTERM, situation) for situation in SITUATIONS),
        # Both have one handler, so a few are enough.
        *(
            (signal.SIGINT, situation)
            for situation in (asleep, in_an_unpacking, in_a_check_command)
        ),
    ],
    ids=lambda one: getattr(one, "__name__", "").replace("_", " ") or one.name,
)
def test_a_signal_ends_it_soon_and_leaves_nothing(
    scene: Scene, situation: Callable[[Scene], None], signum: signal.Signals
) -> None:
    situation(scene)
    assert scene.one is not None
    children = _below(scene.one.process.pid)
    scene.one.process.send_signal(signum)
    scene.one.process.send_signal(signal.SIGCONT)
    assert scene.one.end(SOON_S) == 0, scene.one.text[-2000:]
    nothing_left(scene.local)
    if (scene.local / MODEL).exists():
        assert whole_release(scene.local / MODEL) == 1
    wait_for(lambda: not [pid for pid in children if _runs(pid)], "its programs to be gone", 20)
    assert "Traceback" not in scene.one.text, scene.one.text[-1500:]


def test_a_signal_ends_it_when_nobody_reads_its_log(site: Site, tmp_path: Path) -> None:
    site.publish(1)
    reader, writer = os.pipe()
    try:
        # Full but for a few bytes: the first line of the log does not fit.
        fcntl.fcntl(writer, _F_SETPIPE_SZ, 4096)
        os.write(writer, bytes(4090))
        words = [sys.executable, "-m", "monitor", *general(site, tmp_path)]
        process = subprocess.Popen(words, stderr=writer, cwd=Path(__file__).parents[3])
        try:
            wait_for(lambda: _waits_to_write(process.pid), "the monitor to wait", 20)
            process.terminate()
            assert process.wait(SOON_S) == 0
        finally:
            process.kill()
            process.wait()
    finally:
        os.close(reader)
        os.close(writer)


def _waits_to_write(pid: int) -> bool:
    """Whether a monitor has its handlers, and sleeps: it has nothing else to wait for yet."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    handled = int(status["SigCgt"], 16) >> (signal.SIGTERM - 1) & 1
    return bool(handled) and status["State"].split()[0] == "S"
