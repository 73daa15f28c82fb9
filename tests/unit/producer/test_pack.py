"""The tarball: its bytes depend on the files alone."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from pathlib import Path

import pytest

from producer.pack import pack


def a_model(folder: Path, names: tuple[str, ...] = ("model.pdmodel", "params.pdiparams")) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f"content of {name}")
    return folder


def test_another_hour_umask_and_order_give_the_same_bytes(tmp_path: Path) -> None:
    first = pack(a_model(tmp_path / "a"), "top", tmp_path / "first.tar.gz")
    umask = os.umask(0o077)
    try:
        model = a_model(tmp_path / "b", ("params.pdiparams", "model.pdmodel"))
        for path in model.iterdir():
            os.utime(path, (1, 1))
        second = pack(model, "top", tmp_path / "second.tar.gz")
    finally:
        os.umask(umask)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256


def test_another_weight_gives_other_bytes(tmp_path: Path) -> None:
    first = pack(a_model(tmp_path / "a"), "top", tmp_path / "first.tar.gz")
    model = a_model(tmp_path / "b")
    (model / "params.pdiparams").write_text("other weights")
    assert pack(model, "top", tmp_path / "second.tar.gz").sha256 != first.sha256


def test_size_and_digest_are_those_of_the_file(tmp_path: Path) -> None:
    packed = pack(a_model(tmp_path / "a"), "top", tmp_path / "model.tar.gz")
    raw = packed.path.read_bytes()
    assert (packed.size, packed.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())


def test_the_archive_has_one_top_folder_with_the_files_and_nobody_as_owner(tmp_path: Path) -> None:
    model = a_model(tmp_path / "a")
    (model / ".model.pdmodel.part").write_text("left over from a crash")
    packed = pack(model, "uci_housing_model", tmp_path / "model.tar.gz")
    with tarfile.open(packed.path) as archive:
        members = archive.getmembers()
        names = [member.name for member in members]
        assert archive.extractfile(members[1]).read() == b"content of model.pdmodel"  # type: ignore[union-attr]
    assert names == [
        "uci_housing_model",
        "uci_housing_model/model.pdmodel",
        "uci_housing_model/params.pdiparams",
    ]
    assert {(m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, "", "")}
    assert [m.mode for m in members] == [0o755, 0o644, 0o644]


def test_members_are_in_the_order_of_their_names_whatever_the_folders(tmp_path: Path) -> None:
    names = tuple(f"file-{number * 7919 % 100:02}" for number in range(60))
    packed = pack(a_model(tmp_path / "a", names), "top", tmp_path / "model.tar.gz")
    with tarfile.open(packed.path) as archive:
        assert archive.getnames()[1:] == [f"top/{name}" for name in sorted(names)]


def test_gzips_header_carries_neither_time_nor_name(tmp_path: Path) -> None:
    packed = pack(a_model(tmp_path / "a"), "top", tmp_path / "model.tar.gz")
    header = packed.path.read_bytes()[:10]
    assert header[3] == 0, "the flags announce a name or a comment"
    assert header[4:8] == b"\0\0\0\0", "there is a time in the header"
    assert gzip.decompress(packed.path.read_bytes())


def test_a_tarball_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    packed = pack(a_model(tmp_path / "a"), "top", tmp_path / "model.tar.gz")
    before = packed.path.read_bytes()
    (tmp_path / ".model.tar.gz.part").mkdir()
    with pytest.raises(OSError, match="directory"):
        pack(tmp_path / "a", "top", packed.path)
    assert packed.path.read_bytes() == before
