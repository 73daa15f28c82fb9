"""What is put into a build context is readable in the image, and only there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.containers import images


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("before", "after"), [(0o600, 0o644), (0o700, 0o755), (0o644, 0o644)], ids=oct
)
def test_a_file_linked_from_a_cache_is_made_readable_in_the_context_alone(
    before: int, after: int, tmp_path: Path
) -> None:
    cached = tmp_path / "cached"
    cached.write_text("fetched once")
    cached.chmod(before)
    context = tmp_path / "context"
    context.mkdir()

    def fetch(folder: Path) -> None:
        os.link(cached, folder / "linked")

    images.stage(images.Image("an-image", "bookworm", stage=fetch), context)
    assert mode(context / "linked") == after
    assert mode(cached) == before
    assert (context / "linked").read_text() == "fetched once"
    assert [path.name for path in context.iterdir()] == ["linked"]


def test_files_and_folders_of_a_strict_umask_are_made_readable(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder").chmod(0o700)
    (tmp_path / "folder" / "file").write_text("")
    (tmp_path / "folder" / "file").chmod(0o600)
    images.stage(images.Image("an-image", "bookworm"), tmp_path)
    assert (mode(tmp_path / "folder"), mode(tmp_path / "folder" / "file")) == (0o755, 0o644)
