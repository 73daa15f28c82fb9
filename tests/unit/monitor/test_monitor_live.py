"""The live directory: staged beside it, exchanged, and what was cut off is finished."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from monitor.live import exchange, fallback, replace, staging, state
from monitor.live.layout import READY, Layout, torn_note
from monitor.live.ownership import Ownership
from monitor.live.recovery import Mended, When, recover
from monitor.stop import Stopped

from .filesystems import TIME, content, recovered, staged


def test_the_first_install_is_a_rename(tmp_path: Path) -> None:
    live = tmp_path / "m"
    assert replace.swap(str(staged(tmp_path, 1)), str(live), TIME) is None
    assert content(live) == {"1"}
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_an_exchange_leaves_the_old_release_where_the_new_one_was(tmp_path: Path) -> None:
    live = tmp_path / "m"
    replace.swap(str(staged(tmp_path, 1)), str(live), TIME)
    second = staged(tmp_path, 2, 2_000_000_001)
    before = live.stat().st_ino, second.stat().st_ino
    assert replace.swap(str(second), str(live), TIME) == str(second)
    assert content(live) == {"2"}
    assert content(second) == {"1"}
    assert (second.stat().st_ino, live.stat().st_ino) == before


def test_a_symbolic_link_is_replaced_and_what_it_points_to_is_left_alone(tmp_path: Path) -> None:
    elsewhere = staged(tmp_path, 1).rename(tmp_path / "elsewhere")
    live = tmp_path / "m"
    live.symlink_to("elsewhere")
    old = replace.swap(str(staged(tmp_path, 2)), str(live), TIME)
    assert old is not None
    assert not live.is_symlink()
    assert content(live) == {"2"}
    assert Path(old).is_symlink()
    assert content(elsewhere) == {"1"}


def test_a_link_that_leads_nowhere_is_replaced_too(tmp_path: Path) -> None:
    live = tmp_path / "m"
    live.symlink_to("nowhere")
    replace.swap(str(staged(tmp_path, 1)), str(live), TIME)
    assert content(live) == {"1"}


def test_a_launcher_s_touch_in_the_last_moment_does_not_hide_the_new_release(
    tmp_path: Path,
) -> None:
    live = tmp_path / "m"
    replace.swap(str(staged(tmp_path, 1)), str(live), TIME)
    new = staged(tmp_path, 2, 2_000_000_050)
    os.utime(live / TIME, (2_000_000_050, 2_000_000_050))
    replace.swap(str(new), str(live), TIME)
    assert staging.time_second(str(live), TIME) == 2_000_000_051


def test_a_rename_never_replaces_what_came_in_between(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(FileExistsError):
        exchange.rename_new(str(staged(tmp_path, 1)), str(tmp_path / "m"))


def test_labels_go_over_to_the_new_release(tmp_path: Path) -> None:
    live = staged(tmp_path, 1).rename(tmp_path / "m")
    try:
        os.setxattr(live, "user.label", b"kept")
    except OSError as error:
        pytest.skip(f"no extended attributes in {tmp_path}: {error}")
    new = staged(tmp_path, 2)
    staging.dress(staging.tree(str(new)), str(live))
    assert os.getxattr(new, "user.label") == b"kept"
    assert os.getxattr(new / "sub" / "c", "user.label") == b"kept"


def test_a_time_second_is_none_where_there_is_no_time_file(tmp_path: Path) -> None:
    assert staging.time_second(str(tmp_path), TIME) is None
    assert staging.choose_second(str(tmp_path), TIME, 5.9) == 5


# --- what was cut off in between -------------------------------------------------------------


def test_two_renames_that_were_cut_in_between_are_finished_at_the_next_start(
    tmp_path: Path,
) -> None:
    ready = staged(tmp_path, 2).rename(tmp_path / f".m.staging-2{READY}")
    live = tmp_path / "m"
    assert recovered(live) == [str(ready)]
    assert content(live) == {"2"}
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_live_directory_that_was_being_emptied_is_replaced_at_the_next_start(
    tmp_path: Path,
) -> None:
    ready = staged(tmp_path, 2).rename(tmp_path / f".m.staging-2{READY}")
    state.write_json(torn_note(str(ready)), {})
    live = tmp_path / "m"
    (live / "sub").mkdir(parents=True)
    assert recovered(live) == [str(ready)]
    assert content(live) == {"2"}
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_live_directory_that_is_whole_is_left_as_it_is(tmp_path: Path) -> None:
    live = staged(tmp_path, 1).rename(tmp_path / "m")
    staged(tmp_path, 2).rename(tmp_path / f".m.staging-2{READY}")
    assert recovered(live) == []
    assert content(live) == {"1"}
    assert (tmp_path / ".m.staging-2").is_dir()


def test_leftovers_of_this_model_go_and_those_of_others_stay(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "m"))
    part = Path(layout.part(str(tmp_path), "t.tar.gz"))
    for name in (".m.staging-1", ".other.staging-1", part.name + ".tree"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep").chmod(0o500)
    part.write_text("half")
    part.with_name(part.name + ".donefile").write_text("a copy for the check")
    Ownership(layout).prepare()
    ugi = Path(layout.control) / "ugi-0.xml"
    ugi.write_text("a password")
    mended: list[Mended] = []
    pulled = layout.pulled(str(part))
    recover(layout, TIME, until=When.START, pulled=pulled, mended=mended.append)
    assert len(mended) == 5
    assert not ugi.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".m.monitor", ".other.staging-1"]


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EXDEV], ids=["mount", "lower layer"])
def test_a_launcher_s_touch_during_a_copy_does_not_hide_the_new_release(
    tmp_path: Path, code: int
) -> None:
    live = tmp_path / "m"
    replace.swap(str(staged(tmp_path, 1)), str(live), TIME)
    new = staged(tmp_path, 2, 2_000_000_050)

    def touch() -> None:
        os.utime(live / TIME, (2_000_000_050, 2_000_000_050))

    fallback.swap(str(new), str(live), TIME, OSError(code, "as if"), touch)
    assert content(live) == {"2"}
    assert staging.time_second(str(live), TIME) == 2_000_000_051


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EXDEV], ids=["mount", "lower layer"])
def test_a_signal_during_a_copy_leaves_nothing_but_the_old_release(
    tmp_path: Path, code: int
) -> None:
    live = tmp_path / "m"
    replace.swap(str(staged(tmp_path, 1)), str(live), TIME)
    new = staged(tmp_path, 2, 2_000_000_001)
    asked: list[int] = []

    def stop() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise Stopped

    with pytest.raises(Stopped):
        fallback.swap(str(new), str(live), TIME, OSError(code, "as if"), stop)
    assert content(live) == {"1"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, "m"]
