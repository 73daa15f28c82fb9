"""Releases of a folder: unpacked by the monitor's rules, and one feed for all of them."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from harness.run.ready_releases import flat, ready_releases, unpacked
from harness.support.errors import BadInput
from tests.conftest import Releases

TARBALL = "m.tar.gz"


def packed(folder: Path, *members: str, links: tuple[tuple[str, str], ...] = ()) -> Path:
    """Write a tarball whose members hold their own name."""
    path = folder / TARBALL
    with tarfile.open(path, "w:gz") as archive:
        for name in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
        for name, target in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.LNKTYPE, target
            archive.addfile(entry)
    return path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_link_to_an_earlier_member_is_a_file(tmp_path: Path) -> None:
    tarball = packed(tmp_path, "m/a", links=(("m/b", "m/a"),))
    made = unpacked(tarball, tmp_path / "work", proven=False)
    assert (made.model / "b").read_text() == "m/a"


def test_files_that_macos_adds_are_left_out(tmp_path: Path) -> None:
    tarball = packed(tmp_path, "._m", "m/a", "m/._a", "__MACOSX/m/._a")
    made = unpacked(tarball, tmp_path / "work", proven=False)
    assert (made.top, files(made.model)) == ("m", {"a"})


@pytest.mark.parametrize("top", [".", "./m"])
def test_a_top_folder_may_begin_with_a_dot(tmp_path: Path, top: str) -> None:
    made = unpacked(packed(tmp_path, f"{top}/a"), tmp_path / "work", proven=False)
    assert (made.top, files(made.model)) == ("." if top == "." else "m", {"a"})


def test_of_several_top_folders_the_one_named_like_the_tarball_counts(tmp_path: Path) -> None:
    made = unpacked(packed(tmp_path, "m/a", "notes/b"), tmp_path / "work", proven=False)
    assert (made.top, files(made.model)) == ("m", {"a"})


@pytest.mark.parametrize("name", ["m//tmp/elsewhere", "m/../elsewhere", "../elsewhere"])
def test_a_tarball_that_the_monitor_refuses_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=r"m\.tar\.gz cannot be unpacked: "):
        unpacked(packed(tmp_path, "m/a", name), tmp_path / "work", proven=False)
    assert not (tmp_path / "elsewhere").exists()


def test_the_predictions_of_all_releases_are_for_one_feed(
    tmp_path: Path, releases: Releases
) -> None:
    for number in (1, 2):
        shutil.copytree(releases.folder / "releases" / str(number), tmp_path / "in" / str(number))
    donefile = tmp_path / "in" / "2" / "donefile"
    manifest = json.loads(donefile.read_text())
    (alias,) = manifest["probe"]["expected"]
    told = flat(manifest["probe"]["expected"][alias])
    # The second producer has a probe of its own.
    (feed,) = manifest["probe"]["feed"].values()
    feed[0][:] = [0.5] * len(feed[0])
    manifest["probe"]["expected"][alias] = [[1.0]]
    donefile.write_text(json.dumps(manifest))

    first, second = ready_releases(tmp_path / "in", tmp_path / "work")
    assert second.content["probe"]["feed"] == first.content["probe"]["feed"]
    assert flat(second.content["probe"]["expected"][alias]) == pytest.approx(told, rel=1e-5)
