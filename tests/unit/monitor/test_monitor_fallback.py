"""Swaps where the exchange cannot be had, on the real filesystems that have none.

A test that needs a mount runs in a mount namespace of its own (``unshare -m``). A seccomp filter
makes a kernel without the exchange: the real system call fails with the real error.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .filesystems import WITHOUT_EXCHANGE, mounted, no_exchange, run_python


def test_without_an_exchange_two_renames_do_it(tmp_path: Path) -> None:
    no_exchange(
        """
        try:
            exchange.exchange(str(tmp), str(tmp))
        except OSError as error:
            assert error.errno == 22, error
        else:
            raise AssertionError("the filter does not hold")
        assert replace.swap(str(staged(tmp, 1)), str(live), TIME) is None
        old = replace.swap(str(staged(tmp, 2, 2_000_000_001)), str(live), TIME)
        assert content(live) == {"2"}, content(live)
        assert content(Path(old)) == {"1"}
        assert len(list(tmp.iterdir())) == 2
        try:
            exchange.rename_new(old, str(live))
        except FileExistsError:
            pass
        else:
            raise AssertionError("replaced")
        """,
        tmp_path,
    )


def test_a_mount_point_is_replaced_file_by_file_time_file_after_all_else(tmp_path: Path) -> None:
    mounted(
        """
        import subprocess
        live.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", str(live)], check=True)
        (live / "sub").write_text("a file where the release has a folder")
        (live / "a").mkdir()
        (live / "a" / "old").write_text("a folder where the release has a file")
        (live / "b").symlink_to("a/old")
        (live / "versions").symlink_to("sub")
        order = []
        sys.addaudithook(
            lambda event, args: order.append(os.path.basename(args[1]))
            if event == "os.rename" and str(args[1]).startswith(str(live)) else None
        )
        assert replace.swap(str(staged(tmp, 1)), str(live), TIME) is None
        assert content(live) == {"1"}, content(live)
        assert order[-2:] == [TIME, ".monitor-state.json"], order
        replace.swap(str(staged(tmp, 2, 2_000_000_001)), str(live), TIME)
        assert content(live) == {"2"}, content(live)
        assert staging.time_second(str(live), TIME) == 2_000_000_001
        assert [p.name for p in tmp.iterdir()] == ["m"]
        """,
        tmp_path,
    )


def test_a_kill_between_files_of_a_mount_leaves_no_claim_to_the_old_release(
    tmp_path: Path,
) -> None:
    mounted(
        """
        import signal, subprocess
        from monitor.live import state
        live.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", str(live)], check=True)
        replace.swap(str(staged(tmp, 1)), str(live), TIME)
        new = str(staged(tmp, 2, 2_000_000_001))
        child = os.fork()
        if child == 0:
            sys.addaudithook(
                lambda event, args: os.kill(os.getpid(), signal.SIGKILL)
                if event == "os.rename" and str(args[1]) == str(live / "b") else None
            )
            replace.swap(new, str(live), TIME)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        assert ((live / "a").read_text(), (live / "b").read_text()) == ("2", "1")
        found = state.read_installed(str(live))
        assert found.identity is None, found
        assert found.second == 2_000_000_000, found
        assert recovered(live) == [new + READY]
        assert content(live) == {"2"}, content(live)
        assert staging.time_second(str(live), TIME) == 2_000_000_001
        assert [p.name for p in tmp.iterdir()] == ["m"]
        """,
        tmp_path,
    )


def test_files_on_a_mount_get_its_owner_and_mode(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    mounted(
        """
        import subprocess
        live.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", str(live)], check=True)
        os.chown(live, 1234, 4321)
        os.chmod(live, 0o750)
        replace.swap(str(staged(tmp, 1)), str(live), TIME)
        for path in live.rglob("*"):
            seen = path.stat()
            assert (seen.st_uid, seen.st_gid) == (1234, 4321), path
            assert seen.st_mode & 0o777 == (0o750 if path.is_dir() else 0o640), path
        assert staging.time_second(str(live), TIME) == 2_000_000_000
        """,
        tmp_path,
    )


def test_a_live_directory_that_will_not_move_leaves_no_copies_behind(tmp_path: Path) -> None:
    no_exchange(
        """
        from monitor.live import fallback
        def refuse(event, args):
            if event == "os.rename" and str(args[0]) == str(live):
                raise OSError(13, "refused")
        replace.swap(str(staged(tmp, 1)), str(live), TIME)
        new = staged(tmp, 2, 2_000_000_001)
        sys.addaudithook(refuse)
        try:
            replace.swap(str(new), str(live), TIME)
        except OSError:
            pass
        else:
            raise AssertionError("moved")
        assert content(live) == {"1"}
        assert sorted(p.name for p in tmp.iterdir()) == [new.name, "m"]
        """,
        tmp_path,
    )


def test_a_copy_that_does_not_fit_out_of_a_lower_layer_is_removed(tmp_path: Path) -> None:
    mounted(
        """
        import subprocess
        subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp)], check=True)
        for name in ("lower", "upper", "merged"):
            (tmp / name).mkdir()
        replace.swap(str(staged(tmp / "lower", 1)), str(tmp / "lower" / "m"), TIME)
        (tmp / "lower" / "m" / "b").write_bytes(bytes(500_000))
        small = ["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(tmp / "upper")]
        subprocess.run(small, check=True)
        for name in ("up", "work"):
            (tmp / "upper" / name).mkdir()
        layers = f"lowerdir={tmp}/lower,upperdir={tmp}/upper/up,workdir={tmp}/upper/work"
        merged = tmp / "merged"
        options = f"{layers},{OVERLAY}"
        if subprocess.run(["mount", "-t", "overlay", "none", "-o", options, merged]).returncode:
            sys.exit(77)
        new = staged(merged, 2)
        try:
            replace.swap(str(new), str(merged / "m"), TIME)
        except OSError:
            pass
        else:
            raise AssertionError("it fitted")
        assert (merged / "m" / "a").read_text() == "1"
        assert sorted(p.name for p in merged.iterdir()) == [new.name, "m"]
        """,
        tmp_path,
    )


def test_a_file_that_cannot_be_removed_after_the_swap_does_not_stop_on_swap(
    tmp_path: Path,
) -> None:
    mounted(
        """
        import subprocess
        from harness.support.waits import wait_for
        from monitor import remotes
        from monitor.decisions.machine import Event, State
        from monitor.stop import Stop
        from monitor.watch.watch import Watch
        from tests.unit.monitor.fixtures import Site, closing_all, options_for
        site, stop = Site(tmp / "remote"), Stop()
        with closing_all(site):
            site.publish(1)
            given = {"general_host": site.url, "on_swap": f"touch {tmp}/ran"}
            options = options_for(tmp / "local", **given)
            watch = Watch(options, remotes.create(options, stop), stop)
            watch.begin()
            bad = watch.layout.quarantine
            Path(bad).write_text("{}")
            subprocess.run(["mount", "--bind", bad, bad], check=True)
            watch.step()
            while watch.machine.state is not State.IDLE:
                event = watch.step().event
            assert event is Event.SWAPPED, event
            wait_for((tmp / "ran").exists, "the program", 30)
        """,
        tmp_path,
    )


def test_a_mount_that_is_full_keeps_the_old_release_whole(tmp_path: Path) -> None:
    mounted(
        """
        import subprocess
        live.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(live)], check=True)
        replace.swap(str(staged(tmp, 1)), str(live), TIME)
        big = staged(tmp, 2, 2_000_000_001)
        (big / "b").write_bytes(bytes(100_000))
        try:
            replace.swap(str(big), str(live), TIME)
        except OSError:
            pass
        else:
            raise AssertionError("it fitted")
        assert content(live) == {"1"}, content(live)
        """,
        tmp_path,
    )


def test_a_live_directory_of_a_lower_overlay_layer_is_copied_out_of_it_once(
    tmp_path: Path,
) -> None:
    mounted(
        """
        import subprocess
        subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp)], check=True)
        for name in ("lower", "upper", "work", "merged"):
            (tmp / name).mkdir()
        replace.swap(str(staged(tmp / "lower", 1)), str(tmp / "lower" / "m"), TIME)
        layers = f"lowerdir={tmp}/lower,upperdir={tmp}/upper,workdir={tmp}/work,{OVERLAY}"
        merged = tmp / "merged"
        mounted = subprocess.run(["mount", "-t", "overlay", "none", "-o", layers, str(merged)])
        if mounted.returncode:
            sys.exit(77)
        live = merged / "m"
        try:
            exchange.exchange(str(staged(merged, 9)), str(live))
        except OSError as error:
            assert error.errno == 18, error
        else:
            raise AssertionError("no lower layer")
        old = replace.swap(str(staged(merged, 2)), str(live), TIME)
        assert content(live) == {"2"}, content(live)
        assert content(Path(old)) == {"1"}
        third = staged(merged, 3, 2_000_000_001)
        before = third.stat().st_ino
        assert replace.swap(str(third), str(live), TIME) == str(third)
        assert live.stat().st_ino == before, "not exchanged"
        assert content(live) == {"3"}
        """,
        tmp_path,
    )


# --- a rollback that is killed ---------------------------------------------------------------

_ROLLBACK = """
import io, shutil, signal
from monitor import log, remotes
from monitor.live.kept import listed
from monitor.live.state import read_hold, read_installed
from monitor.live.layout import Layout
from monitor.stop import Stop
from monitor.watch.watch import Watch
from monitor.__main__ import main
from tests.unit.monitor.fixtures import MODEL, options_for
from tests.unit.monitor.test_monitor_kill import _Killer, whole_release
from tests.unit.monitor.test_monitor_kill import install
log.set_up(debug=False, as_json=False, stream=io.StringIO())
local = tmp / "local"
live, control = local / MODEL, local / f".{MODEL}.monitor"
words = ["rollback", f"--local_path={local}", f"--local_model_name={MODEL}"]

def clear():
    for path in [*live.iterdir(), *local.iterdir()]:
        if path != live:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

def restart():
    # The remote is dead: what was cut off is mended with what is here.
    options = options_for(local, general_host="http://127.0.0.1:1", keep="2")
    stop = Stop()
    watch = Watch(options, remotes.create(options, stop), stop)
    watch.begin()
    watch.end()

number, killed = 0, True
while killed and number < 300:
    number += 1
    prepare()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        _Killer(number).arm()
        os._exit(main(words))
    ended = os.waitpid(child, 0)[1]
    killed = os.WIFSIGNALED(ended)
    assert killed or ended == 0, ended
    where = f"killed before change {number}"
    if whole_between:
        assert whole_release(live) in (1, 2), where
    restart()
    release = whole_release(live)
    hold = read_hold(str(control / "hold.json"))
    found = listed(Layout(str(live)))
    assert all(one.installed.identity for one in found), (where, found)
    kept = [one.installed.identity.release for one in found]
    held = hold.identity.release if hold else None
    # Gone back to 1 with 2 held; or still 2, and 1 is kept.
    done = release == 1 and held == 2
    assert done or (release == 2 and kept == [1]), (where, release, held, kept)
    assert killed or done, where
    left = {path.name for path in local.iterdir()} - {"_serving_monitor_tmp"}
    assert left == {MODEL, control.name}, (where, left)
    # Asked for again it is done, whatever the kill has left.
    if release == 2:
        assert main(words) == 0, where
        assert whole_release(live) == 1, where
assert not killed and number > 15, number
"""


def test_a_rollback_killed_at_any_step_of_an_exchange_converges_at_the_restart(
    in_memory: Path,
) -> None:
    run_python(
        "whole_between = True\n"
        "def prepare():\n"
        "    if live.exists():\n"
        "        shutil.rmtree(local)\n"
        "    install(local, 1, 2)\n" + _ROLLBACK,
        in_memory,
    )


def test_a_rollback_killed_between_two_renames_converges_at_the_restart(in_memory: Path) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the seccomp filter is for x86-64")
    run_python(
        WITHOUT_EXCHANGE + "whole_between = False\n"
        "def prepare():\n"
        "    if live.exists():\n"
        "        shutil.rmtree(local)\n"
        "    install(local, 1, 2)\n" + _ROLLBACK,
        in_memory,
    )


def test_a_rollback_killed_at_any_step_on_a_mount_converges_at_the_restart(
    in_memory: Path,
) -> None:
    mounted(
        """
        import subprocess
        whole_between = False
        def prepare():
            # Kept before the directory became a mount point: there nothing is.
            if not os.path.ismount(live):
                live.mkdir(parents=True)
                subprocess.run(["mount", "-t", "tmpfs", "none", str(live)], check=True)
            clear()
            beside = tmp / "beside"
            install(beside, 1, 2)
            shutil.copytree(beside / MODEL, live, dirs_exist_ok=True)
            shutil.copytree(beside / control.name, control)
            shutil.rmtree(beside)
        """,
        in_memory,
        _ROLLBACK,
    )
