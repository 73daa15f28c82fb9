"""``status`` and ``rollback``, as their users type them."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from monitor.decisions.machine import Event

from .fixtures import MODEL, TARBALL, Site
from .processes import ROOT, Here, Start, general
from .stepping import MakeWatch, live, poll, release_in


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


def test_rollback_brings_the_old_release_back_until_the_donefile_changes(
    start: Start, here: Here, site: Site, tmp_path: Path
) -> None:
    live = tmp_path / "local" / MODEL
    where = [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]

    def release() -> int:
        return int((live / "params.pdiparams").read_bytes()[:9])

    site.publish(1)
    one = start(*general(site, tmp_path), "--interval=0.1", "--keep=2")
    one.saw("update model timestamp")
    site.publish(2)
    one.saw("update model timestamp", 2)
    before = (live / "fluid_time_file").stat().st_mtime
    assert here("rollback", *where)[0] == 0
    assert release() == 1
    assert (live / "fluid_time_file").stat().st_mtime >= before + 1
    one.saw("held back by a rollback")
    code, out, _ = here("status", "--json", *where)
    assert code == 0
    facts = json.loads(out)
    assert facts["installed"] == "release 1"
    assert facts["held"] == "release 2"
    assert facts["kept"] == ["release 2 (rolled back)"]
    assert facts["monitor_running"] is True
    os.utime(site.root / "donefile", (1, 1))
    assert release() == 1
    site.publish(3)
    one.saw("update model timestamp", 3)
    assert release() == 3


def test_a_rollback_goes_to_the_named_release_and_status_says_so_in_words(
    here: Here, site: Site, tmp_path: Path
) -> None:
    where = [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]
    (tmp_path / "local").mkdir()
    code, out, _ = here("status", *where)
    assert code == 1
    assert "exists: no" in out
    for number in (1, 2, 3):
        site.publish(number)
        assert here(*general(site, tmp_path), "--once", "--keep=5")[0] == 0
    code, out, _ = here("rollback", "--to=1", *where)
    assert code == 0
    assert "is release 1 again, in place of release 3" in out
    code, out, _ = here("status", *where)
    assert code == 0
    assert "installed: release 1\n" in out
    assert "held: release 3\n" in out
    assert "kept: release 2, release 3 (rolled back)\n" in out
    code, _, err = here("rollback", "--to=9", *where)
    assert code == 2
    assert "release 9 is not kept" in err
    # A second rollback still holds the announced release back.
    assert here("rollback", *where)[0] == 0
    assert "held: release 3\n" in here("status", *where)[1]
    assert here(*general(site, tmp_path), "--once")[0] == 1


def test_a_rollback_that_fails_loses_nothing_and_holds_nothing(
    here: Here, site: Site, tmp_path: Path
) -> None:
    where = [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]
    for number in (1, 2):
        site.publish(number)
        assert here(*general(site, tmp_path), "--once", "--keep=5")[0] == 0
    before = here("status", "--json", *where)[1]
    (kept,) = (tmp_path / "local" / f".{MODEL}.monitor" / "kept").iterdir()
    (kept / "fluid_time_file").unlink()
    (kept / "fluid_time_file").mkdir()
    code, _, err = here("rollback", *where)
    assert code == 1
    assert "cannot roll back" in err
    assert here("status", "--json", *where)[1] == before
    (kept / "fluid_time_file").rmdir()
    assert here("rollback", *where)[0] == 0
    assert json.loads(here("status", "--json", *where)[1])["installed"] == "release 1"


@pytest.mark.parametrize("moment", ["before the swap", "after the swap"])
@pytest.mark.parametrize("newer", [False, True], ids=["", "a newer one is announced"])
def test_a_rollback_that_is_killed_loses_nothing_that_was_kept(
    here: Here, site: Site, tmp_path: Path, moment: str, newer: bool
) -> None:
    where = [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]
    for number in (1, 2):
        site.publish(number)
        assert here(*general(site, tmp_path), "--once", "--keep=5")[0] == 0
    if newer:
        site.publish(3)
        (site.root / TARBALL).unlink()
        assert here(*general(site, tmp_path), "--once", "--keep=5")[0] == 2
    script = (
        "import os, signal, sys\nfrom monitor.__main__ import main\nmoment = sys.argv[1]\n"
        "def kill(event, args):\n"
        "    written = event == 'os.utime' and moment == 'before the swap'\n"
        "    put_away = event == 'os.rename' and moment == 'after the swap' and (\n"
        "        args[1].endswith('.rolledback'))\n"
        "    if written or put_away: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(kill)\nmain(sys.argv[2:])\n"
    )
    words = [sys.executable, "-c", script, moment, "rollback", *where]
    assert subprocess.run(words, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    # The next start clears what the kill left. A hold may keep the announced release out.
    assert here(*general(site, tmp_path), "--once", "--keep=5")[0] in (0, 1)
    facts = json.loads(here("status", "--json", *where)[1])
    kept, live = ("release 1", "release 2")
    if moment == "after the swap":
        kept, live = ("release 2 (rolled back)", "release 1")
    assert (facts["installed"], facts["kept"]) == (live, [kept])
    assert not list((tmp_path / "local").glob(".*.staging-*"))


def rolled_back(here: Here, tmp_path: Path) -> str:
    where = [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]
    code, out, err = here("rollback", *where)
    assert code == 0, err
    return out


def test_a_rollback_while_a_newer_release_is_pulled_holds_that_one_back(
    here: Here, watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    one = watch(keep="5")
    for number in (1, 2):
        site.publish(number)
        assert poll(one) is Event.SWAPPED
    site.publish(3)
    said: list[str] = []
    site.during_get = lambda: said.append(rolled_back(here, tmp_path))
    assert poll(one) is Event.HELD
    assert "release 3, as announced, is held back" in said[0]
    assert release_in(live(tmp_path)) == 1
    site.during_get = None
    assert poll(one) is Event.HELD
    site.publish(4)
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 4


@pytest.mark.parametrize("reason", ["settle", "back-off"])
def test_a_rollback_while_a_newer_release_waits_holds_that_one_back(
    here: Here, watch: MakeWatch, site: Site, tmp_path: Path, reason: str
) -> None:
    settle = {"settle": "1000"} if reason == "settle" else {}
    now = [1_800_000_000.0]
    one = watch(keep="5", clock=lambda: now[0], **settle)
    for number in (1, 2):
        site.publish(number)
        assert poll(one) is Event.SWAPPED
        now[0] += 1001
    now[0] -= 1001
    site.publish(3)
    packed = (site.root / TARBALL).read_bytes()
    if reason == "back-off":
        (site.root / TARBALL).unlink()
    assert poll(one) is (Event.SETTLING if settle else Event.REMOTE_FAILED)
    assert "release 3, as announced" in rolled_back(here, tmp_path)
    site.put(TARBALL, packed)
    now[0] += 1001
    assert poll(one) is Event.HELD
    assert release_in(live(tmp_path)) == 1


def test_a_rollback_of_a_release_never_announced_says_that_nothing_is_held(
    here: Here, watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    one = watch(keep="5")
    for number in (1, 2):
        site.publish(number)
        poll(one)
    # As after a stock monitor, which says nothing of what it installs.
    (live(tmp_path) / ".monitor-state.json").unlink()
    (tmp_path / "local" / f".{MODEL}.monitor" / "announced.json").unlink()
    assert "Nothing is held back" in rolled_back(here, tmp_path)


def test_a_second_rollback_that_fails_leaves_the_hold_of_the_first(
    here: Here, watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    one = watch(keep="5")
    for number in (1, 2, 3):
        site.publish(number)
        poll(one)
    rolled_back(here, tmp_path)
    control = tmp_path / "local" / f".{MODEL}.monitor"
    before = (control / "hold.json").read_text()
    oldest = min((control / "kept").iterdir())
    (oldest / "fluid_time_file").unlink()
    (oldest / "fluid_time_file").mkdir()
    where = [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]
    assert here("rollback", *where)[0] == 1
    assert (control / "hold.json").read_text() == before
    assert poll(one) is Event.HELD


def test_a_rollback_with_nothing_kept_is_one_sentence(
    here: Here, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    here(*general(site, tmp_path), "--once")
    code, _, err = here("rollback", f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}")
    assert code == 2
    assert err.strip().endswith("run the monitor with --keep N")


def test_a_monitor_that_starts_does_not_take_status_for_another_monitor(
    watch: MakeWatch, tmp_path: Path
) -> None:
    control = tmp_path / "local" / f".{MODEL}.monitor"
    control.mkdir(parents=True)
    with (control / "lock").open("a") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        threading.Timer(0.05, lambda: fcntl.flock(asking, fcntl.LOCK_UN)).start()
        watch()
