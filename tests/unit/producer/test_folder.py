"""Publishing into a folder that an HTTP server serves."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from producer.errors import RemoteError
from producer.publish import Access, Publisher, connect, parse

HINT = "name a folder that this user can write"


def folder_remote(folder: Path) -> Publisher:
    return connect(parse(f"file://{folder}"), Access())


def test_whoever_serves_the_folder_may_read_what_is_put_there(tmp_path: Path) -> None:
    local = tmp_path / "donefile"
    local.write_text("42")
    remote = folder_remote(tmp_path / "www" / "models")
    umask = os.umask(0o077)
    try:
        remote.prepare()
        remote.put(local, "donefile")
    finally:
        os.umask(umask)
    published = tmp_path / "www" / "models" / "donefile"
    assert stat.S_IMODE(published.stat().st_mode) == 0o644
    assert remote.read("donefile") == b"42"
    assert remote.read("nothing") is None


def test_a_file_that_cannot_be_replaced_leaves_no_litter_and_gives_one_sentence(
    tmp_path: Path,
) -> None:
    local = tmp_path / "donefile"
    local.write_text("42")
    (tmp_path / "www" / "donefile" / "in the way").mkdir(parents=True)
    with pytest.raises(RemoteError) as caught:
        folder_remote(tmp_path / "www").put(local, "donefile")
    where = f"file://{tmp_path}/www/donefile"
    assert str(caught.value) == f"cannot write {where}: Is a directory ({HINT})"
    assert os.listdir(tmp_path / "www") == ["donefile"]


def test_a_path_that_is_no_folder_gives_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "www").write_text("a file")
    with pytest.raises(RemoteError) as caught:
        folder_remote(tmp_path / "www").prepare()
    made = f"cannot make the folder file://{tmp_path}/www: File exists"
    assert str(caught.value) == f"{made} ({HINT})"
