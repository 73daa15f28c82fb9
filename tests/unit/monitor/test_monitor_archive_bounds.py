"""The strict reader: how much a tarball may hold. Everything about it has a bound."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import pytest

from monitor.release import archive as release_archive
from monitor.release import stream
from monitor.release.archive import Limits
from monitor.release.tar import BLOCK

from .tarballs import END, LIMITS, PLAIN, TOP, extension, member, pax, read, refused


def test_the_folder_above_the_top_one_counts_as_a_member(tmp_path: Path) -> None:
    packed = member(".", type=tarfile.DIRTYPE) + PLAIN
    assert "more than 2 members" in refused(tmp_path, packed, Limits(2, 1000, 200))


@pytest.mark.parametrize(("most", "good"), [(3, True), (2, False)])
def test_members_are_bounded_in_number(tmp_path: Path, most: int, good: bool) -> None:
    limits = Limits(members=most, size=1000, expansion=200)
    packed = member("model/a", b"1") + member("model/b", b"2") + END
    if good:
        assert set(read(tmp_path, packed, limits)) == {"a", "b"}
    else:
        assert "more than 2 members (--max_members)" in refused(tmp_path, packed, limits)


@pytest.mark.parametrize(("most", "good"), [(10, True), (9, False)])
def test_the_unpacked_size_is_bounded_before_anything_is_written(
    tmp_path: Path, most: int, good: bool
) -> None:
    limits = Limits(members=10, size=most, expansion=200)
    packed = member("model/a", b"12345") + member("model/b", b"12345") + END
    if good:
        assert set(read(tmp_path, packed, limits)) == {"a", "b"}
    else:
        assert "more than 9 bytes (--max_unpacked)" in refused(tmp_path, packed, limits)
        assert not (tmp_path / "target" / "b").exists()


BIG = Limits(members=10, size=2**40, expansion=200)
MIB = 1024 * 1024


@pytest.fixture
def small_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bombs of 1 MiB instead of 64: the same code, sixty times faster."""
    assert release_archive._EXPANSION_FREE == 64 * MIB
    monkeypatch.setattr(release_archive, "_EXPANSION_FREE", MIB)


@pytest.mark.usefixtures("small_scale")
def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    size = 20 * MIB
    packed = gzip.compress(member("model/a", size=size) + bytes(size) + END)
    assert len(packed) < size / 900
    assert "expands to more than 200 times" in refused(tmp_path, packed, BIG)
    written = (tmp_path / "target" / "a").stat().st_size
    # More than 200 times what was read of it, by less than one piece.
    assert len(packed) * 200 - stream.CHUNK < written <= len(packed) * 200 + stream.CHUNK


@pytest.mark.usefixtures("small_scale")
def test_a_bomb_behind_the_end_of_the_tar_is_refused_too(tmp_path: Path) -> None:
    packed = gzip.compress(PLAIN + bytes(20 * MIB))
    assert "expands to more than 200 times" in refused(tmp_path, packed, BIG)


@pytest.mark.usefixtures("small_scale")
def test_a_small_model_of_zeros_may_expand_as_much_as_it_does(tmp_path: Path) -> None:
    size = MIB - 4 * BLOCK
    packed = gzip.compress(member("model/a", size=size) + bytes(size) + END)
    assert len(read(tmp_path, packed, BIG)["a"]) == size


@pytest.mark.parametrize(
    ("content", "times"),
    [
        # The header, the end of the tar, the end of the stream. More cases add pieces in between.
        (member("model/a"), 3),
        # The header makes the content end in a fourth piece.
        (member("model/a", bytes(3 * stream.CHUNK)), 3 + 4),
        (extension(tarfile.XHDTYPE, b"") + member("model/a"), 3 + 1),
        (extension(tarfile.XGLTYPE, pax(comment="a")) + member("model/a"), 3 + 2),
        (member("model/a") + END + bytes(2 * stream.CHUNK - len(END)), 3 + 2),
    ],
    ids=["file", "content", "empty-extension", "extension", "zeros-behind"],
)
def test_every_header_and_every_piece_asks_whether_to_go_on(
    tmp_path: Path, content: bytes, times: int
) -> None:
    asked: list[int] = []
    archive, target = tmp_path / "a", tmp_path / "t"
    target.mkdir()
    archive.write_bytes(content + END)
    release_archive.unpack(
        str(archive), str(target), top=TOP, limits=LIMITS, proven=False,
        before_file=lambda _: None, alive=lambda: asked.append(1),
    )  # fmt: skip
    assert len(asked) == times


@pytest.mark.parametrize(("first", "second", "good"), [(4, 4, True), (5, 0, False), (0, 5, False)])
def test_a_member_has_four_extended_headers_at_most(
    tmp_path: Path, first: int, second: int, good: bool
) -> None:
    one = extension(tarfile.XGLTYPE, pax(comment="a"))
    packed = first * one + member("model/a") + second * one + member("model/b") + END
    if good:
        assert set(read(tmp_path, packed)) == {"a", "b"}
    else:
        assert "more than four extended headers for one member" in refused(tmp_path, packed)


@pytest.mark.usefixtures("small_scale")
def test_a_bomb_of_nothing_but_headers_is_refused(tmp_path: Path) -> None:
    count = 4000
    headers = b"".join(member(f"model/{number:04}") for number in range(count))
    packed = gzip.compress(headers + END)
    assert len(headers) > 1.5 * MIB
    limits = Limits(members=10_000, size=2**40, expansion=20)
    assert "expands to more than 20 times" in refused(tmp_path, packed, limits)


@pytest.mark.usefixtures("small_scale")
def test_an_archive_may_expand_exactly_as_much_as_is_allowed(tmp_path: Path) -> None:
    # Header and content end with a piece, so that no more was read than was given.
    content = bytes(2 * MIB - BLOCK)
    packed = member("model/a", content) + END
    once = Limits(members=10, size=2**40, expansion=1)
    assert read(tmp_path, packed, once) == {"a": content}
