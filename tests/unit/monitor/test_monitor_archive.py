"""The strict reader: what a release's tarball may be, and that anything else is refused whole."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import lzma
import tarfile
from pathlib import Path
from typing import Any

import pytest

from monitor.errors import NeedsFile
from monitor.release import archive
from monitor.release.archive import Member, Skipped
from monitor.release.tar import BLOCK

from .tarballs import END, LIMITS, PLAIN, TOP, WHOLE, extension, member, patched, pax, read, refused


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["tar", "gz", "bz2", "xz"]
)
def test_a_whole_archive_is_unpacked_however_it_is_packed(tmp_path: Path, pack: Any) -> None:
    assert read(tmp_path, pack(PLAIN)) == WHOLE


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 300_000, 1_000_000])
def test_files_of_any_size_come_out_as_they_went_in(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    seen: list[Member] = []
    packed = gzip.compress(member("model/a", content) + member("model/b", b"after") + END)
    assert read(tmp_path, packed, seen=seen) == {"a": content, "b": b"after"}
    assert seen == [Member("a", size, False), Member("b", 5, False)]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_python_s_tarfile_writes_is_read(tmp_path: Path, format: int) -> None:
    long = "/".join(["d" * 60] * 4) if format != tarfile.USTAR_FORMAT else "d" * 60
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=format) as tar:
        folder = tarfile.TarInfo("model")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        info = tarfile.TarInfo(f"model/{long}")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
        info = tarfile.TarInfo("model/größe")
        tar.addfile(info)
    found = read(tmp_path, out.getvalue())
    assert found[long] == b"abc"
    assert found["größe"] == b""


def test_folders_come_once_each_whether_they_stand_there_or_are_implied(tmp_path: Path) -> None:
    packed = (
        member("model/", type=tarfile.DIRTYPE)
        + member("model/sub/deep/a", b"1")
        + member("model/sub", type=tarfile.DIRTYPE)
        + member("model/empty/", type=tarfile.DIRTYPE)
        + END
    )
    assert read(tmp_path, packed) == {
        "sub/": b"", "sub/deep/": b"", "sub/deep/a": b"1", "empty/": b"",
    }  # fmt: skip


def test_one_leading_dot_is_what_tar_writes_and_fine(tmp_path: Path) -> None:
    packed = (
        member("./", type=tarfile.DIRTYPE)
        + member("./model/", type=tarfile.DIRTYPE)
        + member("./model/a", b"12345")
        + END
    )
    assert read(tmp_path, packed) == WHOLE


def test_long_names_hold_for_one_member_only(tmp_path: Path) -> None:
    packed = (
        extension(tarfile.GNUTYPE_LONGNAME, b"model/long\0")
        + member("cut", b"1")
        + extension(tarfile.XHDTYPE, pax(path="model/pax", size="2", mtime="1.5"))
        + member("cut", b"22")
        + member("model/own", b"3")
        + extension(tarfile.GNUTYPE_LONGNAME, b"model/folder/\0")
        + member("cut", type=tarfile.DIRTYPE)
        + END
    )
    found = read(tmp_path, packed)
    assert found == {"long": b"1", "pax": b"22", "own": b"3", "folder/": b""}


def test_the_size_in_a_pax_header_counts(tmp_path: Path) -> None:
    content = b"x" * 700
    header = member("model/a", type=tarfile.REGTYPE)
    packed = extension(tarfile.XHDTYPE, pax(size="700")) + header + content + bytes(324) + END
    assert read(tmp_path, packed) == {"a": content}


def test_a_global_comment_is_read_over(tmp_path: Path) -> None:
    assert read(tmp_path, extension(tarfile.XGLTYPE, pax(comment="abc")) + PLAIN) == WHOLE


def test_an_old_archive_without_type_flags_is_read(tmp_path: Path) -> None:
    old = member("model/a", b"12345", type=tarfile.AREGTYPE)
    assert read(tmp_path, old + END) == WHOLE


def test_zeros_may_follow_archive_and_stream(tmp_path: Path) -> None:
    packed = gzip.compress(PLAIN + bytes(700_000)) + bytes(600_000)
    assert read(tmp_path, packed) == WHOLE


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/model/a", "absolute"),
        ("../a", "leads out"),
        ("model/../../a", "leads out"),
        ("model/..", "leads out"),
        ("model//a", "no sane name"),
        ("model/./a", "no sane name"),
        ("././model/a", "no sane name"),
        ("model/a\nb", "no sane name"),
        ("model\\a", "no sane name"),
        ("model/a\x07", "no sane name"),
        ("model/a\u2028b", "no sane name"),
        ("model/a\u0085b", "no sane name"),
        # The rules for names hold for skipped members, too.
        ("/other/a", "absolute"),
        ("/._a", "absolute"),
        ("other/../../a", "leads out"),
        ("__MACOSX/../../a", "leads out"),
        ("other/a\nb", "no sane name"),
        ("__MACOSX//a", "no sane name"),
    ],
)
def test_a_name_that_could_do_harm_refuses_the_whole_archive(
    tmp_path: Path, name: str, why: str
) -> None:
    cause = refused(tmp_path, member("model/good", b"1") + member(name, b"2") + END)
    assert why in cause
    assert repr(name) in cause
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("length", "good"),
    [(255, True), (256, False), (1018, False)],
)
def test_names_have_a_longest_part(tmp_path: Path, length: int, good: bool) -> None:
    name = "model/" + "n" * length
    packed = extension(tarfile.GNUTYPE_LONGNAME, name.encode()) + member("cut", b"1") + END
    if good:
        assert read(tmp_path, packed) == {"n" * length: b"1"}
    else:
        assert "no sane name" in refused(tmp_path, packed)


def test_a_part_is_measured_in_bytes_as_the_filesystem_does(tmp_path: Path) -> None:
    name = "model/" + "é" * 128
    packed = extension(tarfile.GNUTYPE_LONGNAME, name.encode()) + member("cut", b"1") + END
    assert "no sane name" in refused(tmp_path, packed)


@pytest.mark.parametrize(("length", "good"), [(1024, True), (1025, False)])
def test_paths_have_a_greatest_length(tmp_path: Path, length: int, good: bool) -> None:
    name = "model/" + "/".join(["n" * 200] * 5)
    name += "/" + "m" * (length - len(name) - 1)
    packed = extension(tarfile.GNUTYPE_LONGNAME, name.encode()) + member("cut", b"1") + END
    if good:
        assert b"1" in read(tmp_path, packed).values()
    else:
        assert "no sane name" in refused(tmp_path, packed)


@pytest.mark.parametrize(("depth", "good"), [(32, True), (33, False)])
def test_folders_have_a_greatest_depth(tmp_path: Path, depth: int, good: bool) -> None:
    packed = member("/".join(["model"] + ["d"] * (depth - 1)), b"1") + END
    if good:
        assert b"1" in read(tmp_path, packed).values()
    else:
        assert "no sane name" in refused(tmp_path, packed)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.CHRTYPE, "a character device"),
        (tarfile.BLKTYPE, "a block device"),
        (tarfile.FIFOTYPE, "a pipe"),
        (tarfile.CONTTYPE, "unknown kind"),
        (b"Z", "unknown kind"),
    ],
)
@pytest.mark.parametrize("name", ["model/a", "other/a", "model/._a"])
def test_anything_but_files_and_folders_refuses_the_whole_archive(
    tmp_path: Path, kind: bytes, what: str, name: str
) -> None:
    packed = member("model/good", b"1") + member(name, type=kind, linkname="good") + END
    cause = refused(tmp_path, packed)
    assert what in cause
    assert name in cause
    assert "only files and folders are allowed" in cause


@pytest.mark.parametrize(
    "packed",
    [
        member("model/a", b"1") + member("model/a", b"2"),
        member("model/d/", type=tarfile.DIRTYPE) + member("model/d", type=tarfile.DIRTYPE),
        member("model/a", b"1") + member("model/a", type=tarfile.DIRTYPE),
        member("model/d/", type=tarfile.DIRTYPE) + member("model/d", b"1"),
        member("model/d/a", b"1") + member("model/d", b"1"),
        member("model/d/a", b"1") + member("./model/d/a", b"1"),
        member("./", type=tarfile.DIRTYPE) + member(".", type=tarfile.DIRTYPE),
    ],
    ids=range(7),
)
def test_nothing_may_be_in_it_twice(tmp_path: Path, packed: bytes) -> None:
    assert "in it twice" in refused(tmp_path, packed + END)


def test_nothing_may_be_below_a_file(tmp_path: Path) -> None:
    packed = member("model/a", b"1") + member("model/a/b", b"2") + END
    assert "below something that is a file" in refused(tmp_path, packed)


def test_a_folder_has_no_content(tmp_path: Path) -> None:
    packed = member("model/d", type=tarfile.DIRTYPE, size=512) + bytes(512) + END
    assert "has content" in refused(tmp_path, packed)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"short", "it is not a tar archive"),
        (b"neither" * 1000, "it is not a tar archive"),
        (PLAIN.replace(b"\0ustar", b"\0USTAR"), "it is not a tar archive"),
        (END, "it holds no file"),
        (member("model/", type=tarfile.DIRTYPE) + END, "it holds no file"),
        (gzip.compress(b""), "it is empty"),
        (member("model/a", b"1") + b"x" * BLOCK + END, "a header in it is damaged"),
        (member("model/a", b"1"), "it ends without the end of a tar"),
        (member("model/a", b"1") + bytes(BLOCK), "it ends without the end of a tar"),
        (member("model/a", b"1") + bytes(BLOCK) + PLAIN, "it ends without the end of a tar"),
        (PLAIN + b"x", "something follows the end of the tar"),
        (PLAIN + bytes(300_000) + b"x", "something follows the end of the tar"),
        (member("model/a", b"12345")[:515], "it ends in the middle of a file"),
        (member("model/a", b"12345")[:600], "it ends in the middle of a file"),
        (extension(tarfile.GNUTYPE_LONGNAME, b"model/a") + END, "without the end of a tar"),
        (extension(tarfile.XHDTYPE, pax(path="model/a")) + END, "without the end of a tar"),
    ],
    ids=range(17),
)
def test_an_archive_that_is_not_whole_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    assert why in refused(tmp_path, content)


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    packed = patched(member("model/a", b"1"), 6, b"\xff") + END
    assert "no UTF-8 name" in refused(tmp_path, packed)


def test_a_long_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    packed = extension(tarfile.GNUTYPE_LONGNAME, b"model/\xff") + member("cut", b"1") + END
    assert "no UTF-8 name" in refused(tmp_path, packed)


def test_a_negative_size_is_refused(tmp_path: Path) -> None:
    packed = PLAIN[: -len(END)] + patched(member("model/b"), 124, b"\xff" * 12) + END
    assert "a header in it is damaged" in refused(tmp_path, packed)


def test_a_large_size_is_binary(tmp_path: Path) -> None:
    size = b"\x80" + (5).to_bytes(11, "big")
    assert read(tmp_path, patched(PLAIN, 124, size)) == WHOLE
    (tmp_path / "other").mkdir()
    size = b"\x80" + (2**80).to_bytes(11, "big")
    assert "(--max_unpacked)" in refused(tmp_path / "other", patched(PLAIN, 124, size))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"nonsense", "pax header in it is damaged"),
        (b"11 path=mod", "pax header in it is damaged"),
        (b"99 path=model/a\n", "pax header in it is damaged"),
        (b"123456 path=model/a\n", "pax header in it is damaged"),
        # So many digits are never needed: a header has at most 4 MiB.
        (b"000000023 path=model/b\n", "pax header in it is damaged"),
        (b"16 path=model/b\t", "pax header in it is damaged"),
        (b"9 =model\n", "pax header in it is damaged"),
        (b"8 path \n", "pax header in it is damaged"),
        (b"0 path=a\n", "pax header in it is damaged"),
        (b"9" * 5000 + b" path=a\n", "pax header in it is damaged"),
        (b"9 size=-1\n", "pax header in it is damaged"),
        (pax(size="x"), "pax header in it is damaged"),
        (pax(size="٣"), "pax header in it is damaged"),
        (pax(size="9" * 20), "pax header in it is damaged"),
        (pax(size="9" * 21), "pax header in it is damaged"),
        (b"10 path=\xff\n", "no UTF-8 name"),
        (pax(**{"GNU.sparse.major": "1"}), "pax header in it is damaged"),
    ],
    ids=range(17),
)
def test_a_damaged_pax_header_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    packed = extension(tarfile.XHDTYPE, content) + member("model/a", b"1") + END
    assert why in refused(tmp_path, packed)


@pytest.mark.parametrize("key", ["path", "size", "linkpath", "GNU.sparse.name"])
def test_what_is_one_member_s_cannot_be_said_for_all(tmp_path: Path, key: str) -> None:
    packed = extension(tarfile.XGLTYPE, pax(**{key: "1"})) + PLAIN
    assert f"'{key}' for all members" in refused(tmp_path, packed)


def test_a_key_that_is_long_and_no_text_is_shown_in_part(tmp_path: Path) -> None:
    key = b"GNU.sparse." + b"\xff" * 100
    packed = extension(tarfile.XGLTYPE, b"%d %s=1\n" % (len(key) + 7, key)) + PLAIN
    assert refused(tmp_path, packed).endswith(f"{key[:40]!r} for all members")


@pytest.mark.parametrize(("length", "why"), [(4096, "no sane name"), (4097, "a name of 4097")])
def test_a_name_that_is_no_path_is_shown_in_part(tmp_path: Path, length: int, why: str) -> None:
    name = b"model/".ljust(length, b"n")
    packed = extension(tarfile.GNUTYPE_LONGNAME, name) + PLAIN
    assert why in refused(tmp_path, packed)


@pytest.mark.parametrize(("size", "good"), [(4 << 20, True), ((4 << 20) + 1, False)])
def test_an_extended_header_has_a_greatest_size(tmp_path: Path, size: int, good: bool) -> None:
    value = "x" * (size - len("4194304 comment=\n"))
    packed = extension(tarfile.XHDTYPE, pax(comment=value)) + PLAIN
    if good:
        assert read(tmp_path, packed) == WHOLE
    else:
        assert "more than 4 MiB" in refused(tmp_path, packed)


def test_a_size_of_nineteen_digits_is_a_size(tmp_path: Path) -> None:
    packed = extension(tarfile.XHDTYPE, pax(size="0" * 18 + "5")) + PLAIN
    assert read(tmp_path, packed) == WHOLE


def test_limits_and_members_are_values_that_nobody_can_change() -> None:
    values = ((LIMITS, "size"), (Member("a", 1, False), "path"), (Skipped(0, 0), "macos"))
    for value, name in values:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)


def test_what_bounds_an_unpacking_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="positional"):
        archive.unpack("a", "t", TOP, LIMITS, print, print)  # type: ignore[call-arg, arg-type, misc]


def streamed(folder: Path, content: bytes, at_once: int) -> Skipped:
    """Unpacks ``content`` from a stream that gives ``at_once`` bytes at a time."""

    class Slow(io.BytesIO):
        def read(self, size: Any = -1, /) -> bytes:
            return super().read(min(size, at_once))

    return archive.unpack_stream(
        Slow(content), "archive", len(content), str(folder), top=TOP, limits=LIMITS, proven=False,
        before_file=lambda _: None, alive=lambda: None,
    )  # fmt: skip


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("at_once", [7, 513])
def test_a_stream_that_gives_few_bytes_at_a_time_is_unpacked(
    tmp_path: Path, pack: Any, at_once: int
) -> None:
    content = bytes(range(256)) * 10
    streamed(tmp_path, pack(member("model/a", content) + END), at_once)
    assert (tmp_path / "a").read_bytes() == content


def test_a_link_to_a_skipped_file_cannot_be_unpacked_from_a_stream(tmp_path: Path) -> None:
    link = member("model/b", type=tarfile.LNKTYPE, linkname="other/a")
    with pytest.raises(NeedsFile):
        streamed(tmp_path, member("other/a", b"1") + link + END, 1000)


def test_the_kernel_is_asked_to_write_each_large_part_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(archive, "start_flush", lambda _, at, count: asked.append((at, count)))
    monkeypatch.setattr(archive, "_FLUSH_EVERY", 1000)
    streamed(tmp_path, member("model/a", bytes(3500)) + member("model/b", b"1") + END, 700)
    assert asked == [(0, 1588), (1588, 1400)]
