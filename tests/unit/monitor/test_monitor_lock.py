"""A lock where the filesystem refuses flock(2): the real call fails, by a seccomp filter."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.support.waits import wait_for
from monitor.errors import Taken
from monitor.live.lock import _HOST_PIDS, Lock, Owner, is_held

from .filesystems import ROOT, mounted, without_flock
from .fixtures import MODEL, Site
from .processes import general
from .stepping import live, release_in

CODES = [errno.ENOLCK, errno.ENOSYS]
HERE = Owner.here()


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


class Started:
    """``python -m monitor`` (or a script) under the filter; its output goes to ``log``."""

    def __init__(self, log: Path, words: list[str], code: int, script: str = "") -> None:
        self.log = log
        run = script or "os.execv(sys.executable, [sys.executable, '-m', 'monitor', *sys.argv[1:]])"
        prelude = f"import os, sys\n{without_flock(code)}\n{run}"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", prelude, *words], stdout=out, stderr=out, cwd=ROOT
            )

    @property
    def text(self) -> str:
        return self.log.read_text()

    def saw(self, words: str) -> None:
        wait_for(lambda: words in self.text, repr(words), 30, last_seen=lambda: self.text[-2000:])

    def end(self) -> int:
        code = self.process.wait(30)
        if code == 77:
            pytest.skip("no seccomp filter is allowed here")
        return code


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Started]]:
    if os.uname().machine != "x86_64":
        pytest.skip("the seccomp filter is for x86-64")
    all_of_them: list[Started] = []
    yield all_of_them
    for one in all_of_them:
        one.process.kill()
        one.process.wait()


@pytest.mark.parametrize("code", CODES, ids=["ENOLCK", "ENOSYS"])
def test_a_monitor_goes_on_with_a_lock_that_names_its_owner(
    site: Site, tmp_path: Path, started: list[Started], code: int
) -> None:
    words = [*general(site, tmp_path), "--interval=0.1", "--keep=1"]
    control = tmp_path / "local" / f".{MODEL}.monitor"
    owner = control / "lock.owner"

    def start(name: str, *more: str) -> Started:
        one = Started(tmp_path / name, [*more, *words] if more[:1] else words, code)
        started.append(one)
        return one

    site.publish(1)
    first = start("first.log")
    first.saw("update model timestamp")
    assert first.text.count("has no locks") == 1
    assert f"({os.strerror(code)})" in first.text
    named = json.loads(owner.read_text())
    assert named["pid"] == first.process.pid
    assert named["host"] == HERE.host
    assert named["boot"] == HERE.boot
    # A second monitor does not start, and its message names the first.
    second = start("second.log")
    assert second.end() == 2
    said = f"another monitor (process {first.process.pid} on host {HERE.host}) already watches"
    assert said in second.text
    # A person may look and roll back meanwhile.
    site.publish(2)
    wait_for(lambda: release_in(live(tmp_path)) == 2, "release 2", 20)
    wait_for(lambda: list((control / "kept").iterdir()), "a kept release", 20)
    status = start("status.log", "status")
    assert status.end() == 0
    assert "monitor running: yes" in status.text
    rollback = start("rollback.log", "rollback")
    assert rollback.end() == 0, rollback.text
    assert release_in(live(tmp_path)) == 1
    # A killed monitor leaves its lock. The next monitor sees that the owner is gone.
    first.process.kill()
    first.process.wait()
    assert owner.exists()
    third = start("third.log")
    third.saw("sleep")
    assert json.loads(owner.read_text())["pid"] == third.process.pid
    third.process.terminate()
    assert third.end() == 0
    assert not owner.exists()
    assert not (control / "swap.lock.owner").exists()
    over = start("over.log", "status")
    over.end()
    assert "monitor running: no" in over.text


def foreign(path: Path, **changes: object) -> None:
    """A lock file as another owner left it."""
    path.write_text(json.dumps({**dataclasses.asdict(HERE), **changes}))


OTHERS = {
    "another host": {"host": "elsewhere"},
    "another machine of the same name": {"machine": "0" * 32},
    "another container of this host": {"pid_namespace": "pid:[1]"},
}


@pytest.mark.parametrize("who", [*OTHERS, "nobody"])
def test_the_lock_of_another_host_is_broken_only_when_asked_to(
    site: Site, tmp_path: Path, started: list[Started], who: str
) -> None:
    words = [*general(site, tmp_path), "--once"]
    site.publish(1)
    control = tmp_path / "local" / f".{MODEL}.monitor"
    control.mkdir(parents=True)
    owner = control / "lock.owner"
    if who == "nobody":
        owner.write_text("")
    else:
        foreign(owner, **OTHERS[who])
    before = owner.read_text()
    kept_out = Started(tmp_path / "kept-out.log", words, errno.ENOLCK)
    started.append(kept_out)
    assert kept_out.end() == 2, kept_out.text
    assert "start with --break_lock" in kept_out.text
    assert owner.read_text() == before
    asked = Started(tmp_path / "asked.log", [*words, "--break_lock"], errno.ENOLCK)
    started.append(asked)
    assert asked.end() == 0, asked.text
    assert not owner.exists()


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS)
def test_where_flock_works_an_owner_of_another_kind_is_respected_as_well(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    """As on the server of an NFS export whose clients have no locks."""
    lock = Lock(str(tmp_path / "lock"))
    foreign(tmp_path / "lock.owner", **changes)
    assert is_held(str(tmp_path / "lock"))
    with pytest.raises(Taken):
        lock.take(0, 0)
    lock.take(0, 0, break_foreign=True)
    assert is_held(str(tmp_path / "lock"))
    lock.release()
    assert not is_held(str(tmp_path / "lock"))


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({}, False),
        ({"started": "1"}, True),
        ({"pid": 2**22 + 1}, True),
        ({"boot": "another"}, True),
        ({"host": "elsewhere"}, None),
        ({"machine": "another"}, None),
        ({"pid_namespace": "pid:[1]"}, None),
    ],
)
def test_what_is_known_of_an_owner_decides(changes: dict[str, object], gone: object) -> None:
    here = dataclasses.replace(HERE, machine="0123456789abcdef", pid_namespace=_HOST_PIDS)
    assert dataclasses.replace(here, **changes).is_gone(here) is gone  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [{"machine": ""}, {"machine": "of the image", "pid_namespace": "pid:[4026532001]"}],
    ids=["no machine id", "a container"],
)
def test_an_earlier_boot_proves_nothing_where_another_host_may_look_the_same(
    changes: dict[str, str],
) -> None:
    here = dataclasses.replace(HERE, **changes)  # type: ignore[arg-type]
    assert dataclasses.replace(here, boot="another").is_gone(here) is None
    assert dataclasses.replace(here, started="1").is_gone(here) is True


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's process is needed, so root")
def test_the_owner_that_another_user_may_not_see_is_not_taken_for_gone(tmp_path: Path) -> None:
    script = """
        import subprocess, time
        from monitor.live.lock import Owner
        if subprocess.run(["mount", "-t", "proc", "-o", "hidepid=2", "proc", "/proc"]).returncode:
            sys.exit(77)
        owner = Owner.here()
        dead = subprocess.Popen(["true"])
        dead.wait()
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            here = Owner.here()
            assert not os.path.exists(f"/proc/{owner.pid}"), "it is seen all the same"
            assert owner.is_gone(here) is None, owner.is_gone(here)
            assert Owner(**{**owner.__dict__, "pid": dead.pid}).is_gone(here) is True
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    """
    mounted(script, tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"pid": 1}'])
def test_a_file_that_names_no_owner_reads_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lock.owner"
    path.write_text(content)
    assert Owner.read(str(path)) is None


RACE = """
import time
from monitor.live.lock import _HOST_PIDS, Lock, Taken
path, log = sys.argv[1:3]
for turn in range(40):
    lock = Lock(path)
    try:
        lock.take(30, 30)
    except Taken:
        continue
    with open(log, "a") as file:
        file.write(f"in {os.getpid()}\\n")
        file.flush()
        time.sleep(0.001)
        file.write(f"out {os.getpid()}\\n")
    if turn == 39:
        os._exit(0)
    # Half of the turns leave a lock as a killed process does.
    if turn % 2:
        lock.release()
    else:
        text = open(path + ".owner").read().replace('"started": "', '"started": "9')
        beside = f"{path}.dead-{os.getpid()}"
        open(beside, "w").write(text)
        os.rename(beside, path + ".owner")
"""


def test_of_many_that_find_a_dead_owner_one_at_a_time_gets_the_lock(
    tmp_path: Path, started: list[Started]
) -> None:
    log = tmp_path / "turns"
    for number in range(4):
        words = [str(tmp_path / "lock"), str(log)]
        started.append(Started(tmp_path / f"racer-{number}.log", words, errno.ENOSYS, RACE))
    for one in started:
        assert one.end() == 0, one.text
    turns = log.read_text().split("\n")[:-1]
    assert len(turns) == 4 * 40 * 2
    for entered, left in zip(turns[::2], turns[1::2]):
        assert entered.split()[0] == "in", turns
        assert left == entered.replace("in", "out"), turns
