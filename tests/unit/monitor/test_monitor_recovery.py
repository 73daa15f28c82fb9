"""Every row of the recovery table: how the monitor finds and mends what a kill left."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from monitor.live.kept import listed
from monitor.live.layout import INSIDE, OLD, READY, ROLLBACK, Layout, torn_note
from monitor.live.recovery import TABLE, Done, Mended, Row, Seen, When, is_cut_off, recover
from monitor.live.replace import replace_live
from monitor.live.state import Installed, read_installed, write_installed, write_json

from .filesystems import TIME, content, run_python, staged


def live_1(folder: Path) -> None:
    staged(folder, 1).rename(folder / "m")


def staging_2(folder: Path, end: str = "") -> Path:
    return staged(folder, 2).rename(folder / f".m.staging-2{end}")


def ready_alone(folder: Path) -> Path:
    return staging_2(folder, READY)


def ready_mount(folder: Path) -> Path:
    live_1(folder)
    path = staging_2(folder, READY)
    write_json(torn_note(str(path)), {"mount": True})
    return path


def ready_torn(folder: Path) -> Path:
    live_1(folder)
    (folder / "m" / "a").unlink()
    path = staging_2(folder, READY)
    write_json(torn_note(str(path)), {})
    return path


def ready_early(folder: Path) -> Path:
    live_1(folder)
    (folder / "m" / INSIDE).mkdir()
    return staging_2(folder, READY)


def taken(folder: Path) -> Path:
    live_1(folder)
    return staging_2(folder, ROLLBACK)


def taken_link(folder: Path) -> Path:
    live_1(folder)
    path = folder / f".m.staging-2{ROLLBACK}"
    path.symlink_to(folder / "m")
    return path


def replaced(folder: Path, end: str = "") -> Path:
    live_1(folder)
    path = staging_2(folder, end)
    live = str(folder / "m")
    write_installed(live, replace(read_installed(live), staging=".m.staging-2"))
    return path


def unfinished(folder: Path) -> Path:
    live_1(folder)
    return staging_2(folder)


def pulled(folder: Path) -> Path:
    live_1(folder)
    part = Path(Layout(str(folder / "m")).part(str(folder), "t.tar.gz"))
    part.write_text("half")
    return part


LEFT: dict[Seen, Callable[[Path], Path]] = {
    Seen.READY_ALONE: ready_alone,
    Seen.READY_MOUNT: ready_mount,
    Seen.READY_TORN: ready_torn,
    Seen.READY_EARLY: ready_early,
    Seen.TAKEN: taken,
    Seen.TAKEN_LINK: taken_link,
    Seen.REPLACED: replaced,
    Seen.UNFINISHED: unfinished,
    Seen.PULLED: pulled,
}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.seen.name)
def test_what_a_kill_left_is_mended_as_the_table_says(tmp_path: Path, row: Row) -> None:
    path = LEFT[row.seen](tmp_path)
    live = tmp_path / "m"
    layout = Layout(str(live))
    assert is_cut_off(layout) == (row.when is not When.START)

    found = layout.pulled(layout.part(str(tmp_path), "t.tar.gz"))
    mended: list[Mended] = []
    recover(layout, TIME, until=row.when, pulled=found, keep=1, mended=mended.append)

    assert [(one.path, one.done) for one in mended] == [(str(path), row.done)]
    assert mended[0].finished == (row.done in (Done.FILL, Done.RENAME))
    assert content(live) == ({"2"} if mended[0].finished else {"1"})
    kept = row.done in (Done.KEEP, Done.PUT_AWAY)
    assert [one.number for one in listed(layout)] == ([1] if kept else [])
    left = {one.name for one in tmp_path.iterdir()} - {"m", ".m.monitor"}
    assert left == ({".m.staging-2"} if row.done is Done.UNDO else set())


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("end", ["", OLD], ids=["exchanged", "renamed"])
def test_a_replaced_release_is_kept_only_if_any_is(tmp_path: Path, end: str, keep: int) -> None:
    path = replaced(tmp_path, end)
    layout = Layout(str(tmp_path / "m"))
    recover(layout, TIME, until=When.START, keep=keep)
    assert [content(Path(one.path)) for one in listed(layout)] == [{"2"}] * keep
    assert not path.exists()


def test_a_release_that_its_owner_may_not_write_to_is_kept(tmp_path: Path) -> None:
    live_1(tmp_path)
    (tmp_path / "m").chmod(0o555)
    script = """
        import stat
        from monitor.live import state
        from monitor.live.kept import listed
        from monitor.live.layout import Layout
        from monitor.live.recovery import When, recover
        from monitor.live.replace import replace_live
        from monitor.live.rollback import go_back
        from monitor.live.state import Installed
        live = Path(sys.argv[1], "m")
        layout = Layout(str(live))
        for number in (2, 3):
            staging = str(staged(live.parent, number).rename(layout.staging()))
            new = Installed(state.read_installed(staging).identity, swapped=1000.0)
            replace_live(layout, staging, new, TIME, keep=1)
        recover(layout, TIME, until=When.START, keep=1)
        (kept,) = listed(layout)
        assert content(Path(kept.path)) == {"2"}
        go_back(layout, kept, None, TIME, 2000.0)
        assert content(live) == {"2"}
        assert stat.S_IMODE(live.stat().st_mode) == 0o555
        assert [content(Path(one.path)) for one in listed(layout)] == [{"3"}]
        assert {one.name for one in live.parent.iterdir()} == {"m", ".m.monitor"}
    """
    # With this capability root may write everywhere.
    lead = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    run_python(script, tmp_path, *lead)


def test_a_release_whose_removal_was_cut_off_is_never_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_1(tmp_path)
    layout = Layout(str(tmp_path / "m"))

    def cut_off(path: str) -> None:
        (Path(path) / "a").unlink()
        raise OSError("killed")

    def swap_in(number: int, keep: int) -> None:
        staging = staged(tmp_path, number).rename(layout.staging())
        identity = read_installed(str(staging)).identity
        new = Installed(identity, swapped=1000.0 + number)
        replace_live(layout, str(staging), new, TIME, keep=keep)

    def is_kept() -> list[set[str]]:
        recover(layout, TIME, until=When.START, keep=2)
        return [content(Path(one.path)) for one in listed(layout)]

    with monkeypatch.context() as killed:
        killed.setattr(shutil, "rmtree", cut_off)
        swap_in(2, keep=0)
    assert is_kept() == []
    swap_in(3, keep=1)
    with monkeypatch.context() as killed:
        killed.setattr(shutil, "rmtree", cut_off)
        swap_in(4, keep=1)
    assert is_kept() == [{"3"}]
    assert {one.name for one in tmp_path.iterdir()} == {"m", ".m.monitor"}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.seen.name)
def test_what_is_not_yet_due_stays(tmp_path: Path, row: Row) -> None:
    path = LEFT[row.seen](tmp_path)
    layout = Layout(str(tmp_path / "m"))
    found = layout.pulled(layout.part(str(tmp_path), "t.tar.gz"))
    for when in When:
        if when is row.when:
            break
        mended: list[Mended] = []
        recover(layout, TIME, until=when, pulled=found, mended=mended.append)
        assert mended == []
        assert path.is_symlink() or path.exists()


def test_what_was_mended_is_reported_although_the_next_thing_fails(tmp_path: Path) -> None:
    ready_alone(tmp_path)
    staged(tmp_path, 3).rename(tmp_path / f".m.staging-3{ROLLBACK}")
    layout = Layout(str(tmp_path / "m"))
    # No folder of kept releases can be made here.
    Path(layout.control).mkdir()
    Path(layout.kept).touch()

    mended: list[Mended] = []
    with pytest.raises(OSError, match="kept"):
        recover(layout, TIME, until=When.POLL, mended=mended.append)

    assert [one.done for one in mended] == [Done.RENAME]


def test_the_table_has_one_row_for_everything_that_is_found() -> None:
    assert [row.seen for row in TABLE] == list(Seen)
    assert {row.done for row in TABLE} == set(Done)
    assert {row.when for row in TABLE} == set(When)
