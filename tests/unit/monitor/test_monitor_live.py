"""The live directory on real filesystems: exchange, and each place where there is none.

What needs a mount runs in a mount namespace of its own (``unshare -m``), and a kernel without the
exchange is had by a seccomp filter: the real system call fails with the real error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from monitor import _fallback, _live, _state
from monitor._folder import Folder
from monitor._machine import Identity
from monitor._state import Installed

TIME = "fluid_time_file"


def staged(folder: Path, number: int, second: int = 2_000_000_000) -> Path:
    """A complete staging folder with ``number`` in every file."""
    path = folder / f".m.staging-{number}"
    (path / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c", f"only-{number}"):
        (path / name).write_text(str(number))
    _live.stamp(str(path), TIME, Installed(Identity(str(number), number), second, 1.0))
    return path


def content(live: Path) -> set[str]:
    """What stands in the files of a live directory; one element when it is one whole release."""
    names = {p.name for p in live.iterdir()}
    assert {"a", "b", "sub", TIME, _state.NAME} < names, names
    assert len(names) == 6, names
    numbers = {(live / name).read_text() for name in ("a", "b", "sub/c")}
    identity = _state.read_installed(str(live)).identity
    assert identity is not None
    return numbers | {identity.key} | {n.partition("-")[2] for n in names if n.startswith("only")}


def test_the_first_install_is_a_rename(tmp_path: Path) -> None:
    live = tmp_path / "m"
    assert _live.swap(str(staged(tmp_path, 1)), str(live), TIME) is None
    assert content(live) == {"1"}
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_an_exchange_leaves_the_old_release_where_the_new_one_was(tmp_path: Path) -> None:
    live = tmp_path / "m"
    _live.swap(str(staged(tmp_path, 1)), str(live), TIME)
    second = staged(tmp_path, 2, 2_000_000_001)
    before = live.stat().st_ino, second.stat().st_ino
    assert _live.swap(str(second), str(live), TIME) == str(second)
    assert content(live) == {"2"}
    assert content(second) == {"1"}
    assert (second.stat().st_ino, live.stat().st_ino) == before


def test_a_symbolic_link_is_replaced_and_what_it_points_to_is_left_alone(tmp_path: Path) -> None:
    elsewhere = staged(tmp_path, 1).rename(tmp_path / "elsewhere")
    live = tmp_path / "m"
    live.symlink_to("elsewhere")
    old = _live.swap(str(staged(tmp_path, 2)), str(live), TIME)
    assert old is not None
    assert not live.is_symlink()
    assert content(live) == {"2"}
    assert Path(old).is_symlink()
    assert content(elsewhere) == {"1"}


def test_a_link_that_leads_nowhere_is_replaced_too(tmp_path: Path) -> None:
    live = tmp_path / "m"
    live.symlink_to("nowhere")
    _live.swap(str(staged(tmp_path, 1)), str(live), TIME)
    assert content(live) == {"1"}


def test_a_launcher_s_touch_in_the_last_moment_does_not_hide_the_new_release(
    tmp_path: Path,
) -> None:
    live = tmp_path / "m"
    _live.swap(str(staged(tmp_path, 1)), str(live), TIME)
    new = staged(tmp_path, 2, 2_000_000_050)
    os.utime(live / TIME, (2_000_000_050, 2_000_000_050))
    _live.swap(str(new), str(live), TIME)
    assert _live.time_second(str(live), TIME) == 2_000_000_051


def test_a_rename_never_replaces_what_came_in_between(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(FileExistsError):
        _live.rename_new(str(staged(tmp_path, 1)), str(tmp_path / "m"))


def test_labels_go_over_to_the_new_release(tmp_path: Path) -> None:
    live = staged(tmp_path, 1).rename(tmp_path / "m")
    try:
        os.setxattr(live, "user.label", b"kept")
    except OSError as error:
        pytest.skip(f"no extended attributes in {tmp_path}: {error}")
    new = staged(tmp_path, 2)
    _live.dress(_live.tree(str(new)), str(live))
    assert os.getxattr(new, "user.label") == b"kept"
    assert os.getxattr(new / "sub" / "c", "user.label") == b"kept"


def test_a_time_second_is_none_where_there_is_no_time_file(tmp_path: Path) -> None:
    assert _live.time_second(str(tmp_path), TIME) is None
    assert _live.choose_second(str(tmp_path), TIME, 5.9) == 5


# --- what was cut off in between -------------------------------------------------------------


def test_two_renames_that_were_cut_in_between_are_finished_at_the_next_start(
    tmp_path: Path,
) -> None:
    ready = staged(tmp_path, 2).rename(tmp_path / f".m.staging-2{_fallback.READY}")
    live = tmp_path / "m"
    assert _fallback.recover(str(live), [str(ready)]) == str(ready)
    assert content(live) == {"2"}
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_live_directory_that_was_being_emptied_is_replaced_at_the_next_start(
    tmp_path: Path,
) -> None:
    ready = staged(tmp_path, 2).rename(tmp_path / f".m.staging-2{_fallback.READY}")
    _state.write_json(_fallback._torn(str(ready)), {})
    live = tmp_path / "m"
    (live / "sub").mkdir(parents=True)
    assert _fallback.recover(str(live), [str(ready)]) == str(ready)
    assert content(live) == {"2"}
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_live_directory_that_is_whole_is_left_as_it_is(tmp_path: Path) -> None:
    live = staged(tmp_path, 1).rename(tmp_path / "m")
    ready = staged(tmp_path, 2).rename(tmp_path / f".m.staging-2{_fallback.READY}")
    assert _fallback.recover(str(live), [str(ready)]) is None
    assert content(live) == {"1"}


def test_leftovers_of_this_model_go_and_those_of_others_stay(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "m"))
    part = Path(folder.part(str(tmp_path), "t.tar.gz"))
    for name in (".m.staging-1", ".other.staging-1", part.name + ".tree"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep").chmod(0o500)
    part.write_text("half")
    part.with_name(part.name + ".donefile").write_text("a copy for the check")
    folder.prepare()
    ugi = Path(folder.control) / "ugi-0.xml"
    ugi.write_text("a password")
    assert len(folder.clean(str(tmp_path), "t.tar.gz")) == 5
    assert not ugi.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".m.monitor", ".other.staging-1"]


# --- filesystems without an exchange ---------------------------------------------------------

_PRELUDE = """
import os, sys
from pathlib import Path
from monitor import _fallback, _live
from tests.unit.monitor.test_monitor_live import TIME, content, staged
tmp = Path(sys.argv[1]); live = tmp / "m"
"""
_ROOT = Path(__file__).parents[3]


def _python(script: str, folder: Path, *lead: str) -> None:
    done = subprocess.run(
        [*lead, sys.executable, "-c", _PRELUDE + textwrap.dedent(script), str(folder)],
        capture_output=True,
        text=True,
        cwd=_ROOT,
        timeout=60,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(f"not possible here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


def _mounted(script: str, folder: Path) -> None:
    """Runs ``script`` where it may mount, or skips."""
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        pytest.skip("there is no unshare or mount here")
    lead = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]
    probe = ["mount", "-t", "tmpfs", "none", str(folder)]
    tried = subprocess.run([*lead, *probe], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"mounting is not allowed here: {tried.stderr.strip()}")
    _python(script, folder, *lead)


_WITHOUT_EXCHANGE = """
import ctypes, struct
# seccomp(2) in BPF: system call 316 (renameat2, x86-64) with any flags fails with EINVAL.
def op(code, jt, jf, k): return struct.pack("HBBI", code, jt, jf, k)
program = (op(0x20, 0, 0, 0) + op(0x15, 0, 3, 316) + op(0x20, 0, 0, 48)
           + op(0x15, 1, 0, 0) + op(0x06, 0, 0, 0x00050000 | 22) + op(0x06, 0, 0, 0x7fff0000))
buffer = ctypes.create_string_buffer(program)
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
where = Filter(len(program) // 8, ctypes.addressof(buffer))
if libc.prctl(22, 2, ctypes.byref(where)) != 0: sys.exit(77)
"""


def _no_exchange(script: str, folder: Path) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the seccomp filter is for x86-64")
    _python(_WITHOUT_EXCHANGE + textwrap.dedent(script), folder)


def test_without_an_exchange_two_renames_do_it(tmp_path: Path) -> None:
    _no_exchange(
        """
        try:
            _live.exchange(str(tmp), str(tmp))
        except OSError as error:
            assert error.errno == 22, error
        else:
            raise AssertionError("the filter does not hold")
        assert _live.swap(str(staged(tmp, 1)), str(live), TIME) is None
        old = _live.swap(str(staged(tmp, 2, 2_000_000_001)), str(live), TIME)
        assert content(live) == {"2"}, content(live)
        assert content(Path(old)) == {"1"}
        assert len(list(tmp.iterdir())) == 2
        try:
            _live.rename_new(old, str(live))
        except FileExistsError:
            pass
        else:
            raise AssertionError("replaced")
        """,
        tmp_path,
    )


def test_a_mount_point_is_replaced_file_by_file_time_file_after_all_else(tmp_path: Path) -> None:
    _mounted(
        """
        import subprocess
        live.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", str(live)], check=True)
        (live / "sub").write_text("a file where the release has a folder")
        (live / "a").mkdir()
        (live / "a" / "old").write_text("a folder where the release has a file")
        order = []
        sys.addaudithook(
            lambda event, args: order.append(os.path.basename(args[1]))
            if event == "os.rename" and str(args[1]).startswith(str(live)) else None
        )
        assert _live.swap(str(staged(tmp, 1)), str(live), TIME) is None
        assert content(live) == {"1"}, content(live)
        assert order[-2:] == [TIME, ".monitor-state.json"], order
        _live.swap(str(staged(tmp, 2, 2_000_000_001)), str(live), TIME)
        assert content(live) == {"2"}, content(live)
        assert _live.time_second(str(live), TIME) == 2_000_000_001
        assert [p.name for p in tmp.iterdir()] == ["m"]
        """,
        tmp_path,
    )


def test_a_kill_between_the_files_of_a_mount_leaves_no_claim_to_be_the_old_release(
    tmp_path: Path,
) -> None:
    _mounted(
        """
        import signal, subprocess
        from monitor import _state
        live.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", str(live)], check=True)
        _live.swap(str(staged(tmp, 1)), str(live), TIME)
        new = str(staged(tmp, 2, 2_000_000_001))
        child = os.fork()
        if child == 0:
            sys.addaudithook(
                lambda event, args: os.kill(os.getpid(), signal.SIGKILL)
                if event == "os.rename" and str(args[1]) == str(live / "b") else None
            )
            _live.swap(new, str(live), TIME)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        assert ((live / "a").read_text(), (live / "b").read_text()) == ("2", "1")
        state = _state.read_installed(str(live))
        assert state.identity is None, state
        assert state.second == 2_000_000_000, state
        _live.swap(new, str(live), TIME)
        assert content(live) == {"2"}, content(live)
        """,
        tmp_path,
    )


def test_files_on_a_mount_get_its_owner_and_mode(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    _mounted(
        """
        import subprocess
        live.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", str(live)], check=True)
        os.chown(live, 1234, 4321)
        os.chmod(live, 0o750)
        _live.swap(str(staged(tmp, 1)), str(live), TIME)
        for path in live.rglob("*"):
            seen = path.stat()
            assert (seen.st_uid, seen.st_gid) == (1234, 4321), path
            assert seen.st_mode & 0o777 == (0o750 if path.is_dir() else 0o640), path
        assert _live.time_second(str(live), TIME) == 2_000_000_000
        """,
        tmp_path,
    )


def test_a_live_directory_that_will_not_move_leaves_no_copies_behind(tmp_path: Path) -> None:
    _no_exchange(
        """
        from monitor import _fallback
        def refuse(event, args):
            if event == "os.rename" and str(args[0]) == str(live):
                raise OSError(13, "refused")
        _live.swap(str(staged(tmp, 1)), str(live), TIME)
        new = staged(tmp, 2, 2_000_000_001)
        sys.addaudithook(refuse)
        try:
            _live.swap(str(new), str(live), TIME)
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
    _mounted(
        """
        import subprocess
        subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp)], check=True)
        for name in ("lower", "upper", "merged"):
            (tmp / name).mkdir()
        _live.swap(str(staged(tmp / "lower", 1)), str(tmp / "lower" / "m"), TIME)
        (tmp / "lower" / "m" / "b").write_bytes(bytes(500_000))
        small = ["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(tmp / "upper")]
        subprocess.run(small, check=True)
        for name in ("up", "work"):
            (tmp / "upper" / name).mkdir()
        layers = f"lowerdir={tmp}/lower,upperdir={tmp}/upper/up,workdir={tmp}/upper/work"
        merged = tmp / "merged"
        options = layers + ",redirect_dir=off"
        if subprocess.run(["mount", "-t", "overlay", "none", "-o", options, merged]).returncode:
            sys.exit(77)
        new = staged(merged, 2)
        try:
            _live.swap(str(new), str(merged / "m"), TIME)
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
    _mounted(
        """
        import subprocess
        from monitor import _remotes
        from monitor._machine import Event, State
        from monitor._remotes.base import Stop
        from monitor._watch import Watch
        from tests.unit.monitor.fixtures import Site, closing_all, options_for
        site, stop = Site(tmp / "remote"), Stop()
        with closing_all(site):
            site.publish(1)
            given = {"general_host": site.url, "on_swap": f"touch {tmp}/ran"}
            options = options_for(tmp / "local", **given)
            watch = Watch(options, _remotes.create(options, stop), stop)
            watch.begin()
            bad = watch.folder.quarantine
            Path(bad).write_text("{}")
            subprocess.run(["mount", "--bind", bad, bad], check=True)
            watch.step()
            while watch.machine.state is not State.IDLE:
                event = watch.step().event
            assert event is Event.SWAPPED, event
            assert (tmp / "ran").exists()
        """,
        tmp_path,
    )


def test_a_mount_that_is_full_keeps_the_old_release_whole(tmp_path: Path) -> None:
    _mounted(
        """
        import subprocess
        live.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(live)], check=True)
        _live.swap(str(staged(tmp, 1)), str(live), TIME)
        big = staged(tmp, 2, 2_000_000_001)
        (big / "b").write_bytes(bytes(100_000))
        try:
            _live.swap(str(big), str(live), TIME)
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
    _mounted(
        """
        import subprocess
        subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp)], check=True)
        for name in ("lower", "upper", "work", "merged"):
            (tmp / name).mkdir()
        _live.swap(str(staged(tmp / "lower", 1)), str(tmp / "lower" / "m"), TIME)
        layers = f"lowerdir={tmp}/lower,upperdir={tmp}/upper,workdir={tmp}/work,redirect_dir=off"
        merged = tmp / "merged"
        mounted = subprocess.run(["mount", "-t", "overlay", "none", "-o", layers, str(merged)])
        if mounted.returncode:
            sys.exit(77)
        live = merged / "m"
        try:
            _live.exchange(str(staged(merged, 9)), str(live))
        except OSError as error:
            assert error.errno == 18, error
        else:
            raise AssertionError("no lower layer")
        old = _live.swap(str(staged(merged, 2)), str(live), TIME)
        assert content(live) == {"2"}, content(live)
        assert content(Path(old)) == {"1"}
        third = staged(merged, 3, 2_000_000_001)
        before = third.stat().st_ino
        assert _live.swap(str(third), str(live), TIME) == str(third)
        assert live.stat().st_ino == before, "not exchanged"
        assert content(live) == {"3"}
        """,
        tmp_path,
    )
