"""The strict reader: archives as people make them with any tool, and what is left out."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path
from typing import Any

import pytest

from monitor.errors import ReleaseError
from monitor.release import archive, tar
from monitor.release.archive import Limits, Skipped
from monitor.release.tar import BLOCK

from .tarballs import END, LIMITS, PLAIN, WHOLE, extension, member, patched, pax, read, refused

MIB = 1024 * 1024
# A file of 3000 bytes: zeros, but for these pieces.
PIECES = ((512, b"a" * 512), (1536, b"b" * 512), (2500, b"c" * 100))
SPARSE = b"".join(
    (bytes(512), b"a" * 512, bytes(512), b"b" * 512, bytes(452), b"c" * 100, bytes(400))
)
STORED = b"".join(data for _, data in PIECES)
NUMBERS = [number for start, data in PIECES for number in (start, len(data))]


def link(name: str, to: str, **fields: Any) -> bytes:
    return member(name, type=tarfile.LNKTYPE, linkname=to, **fields)


def old_sparse(name: str, numbers: list[int], stored: bytes, size: int) -> bytes:
    """As GNU tar -S writes it: four pairs in the header, 21 in each block behind it."""
    fields = [b"%011o\0" % number for number in numbers]
    header = member(name, type=tarfile.GNUTYPE_SPARSE, size=len(stored))[:BLOCK]
    more = [fields[start : start + 42] for start in range(8, len(fields), 42)]
    map_ = b"".join(fields[:8]).ljust(96, b"\0") + bytes([bool(more)]) + b"%011o\0" % size
    blocks = [
        b"".join(block).ljust(504, b"\0") + bytes([number < len(more)]) + bytes(7)
        for number, block in enumerate(more, 1)
    ]
    header = patched(patched(header, 257, b"ustar  \0"), 386, map_)
    return header + b"".join(blocks) + stored + bytes(-len(stored) % BLOCK)


def pax_sparse(version: str, name: str, numbers: list[int], stored: bytes, size: int) -> bytes:
    """As GNU tar --format=posix -S writes it (1.0: bsdtar, too), in one of its three versions."""
    texts = list(map(str, numbers))
    records = []
    if version == "0.0":
        records += [("GNU.sparse.size", str(size)), ("GNU.sparse.numblocks", str(len(texts) // 2))]
        keys = ("GNU.sparse.offset", "GNU.sparse.numbytes")
        records += [(keys[place % 2], text) for place, text in enumerate(texts)]
        records.append(("path", name))
    elif version == "0.1":
        records += [("GNU.sparse.name", name), ("GNU.sparse.size", str(size))]
        records.append(("GNU.sparse.map", ",".join(texts)))
    else:
        records += [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")]
        records += [("GNU.sparse.name", name), ("GNU.sparse.realsize", str(size))]
        map_ = "".join(f"{text}\n" for text in [str(len(texts) // 2), *texts]).encode()
        stored = map_ + bytes(-len(map_) % BLOCK) + stored
    header = b"".join(pax(**{key: value}) for key, value in records)
    return extension(tarfile.XHDTYPE, header) + member("GNUSparseFile.1/cut", stored)


def sparse(version: str, numbers: list[int], stored: bytes, size: int) -> bytes:
    if version == "old":
        return old_sparse("model/s", numbers, stored, size)
    return pax_sparse(version, "model/s", numbers, stored, size)


VERSIONS = ("old", "0.0", "0.1", "1.0")


# --- what is left out -----------------------------------------------------------------------


def test_members_outside_the_top_folder_are_left_out(tmp_path: Path) -> None:
    """Upstream's quick-start tarball has the client's folder beside the model's."""
    packed = (
        member("model_client/", type=tarfile.DIRTYPE)
        + member("model_client/serving_client_conf.prototxt", b"client")
        + member("README", b"read me")
        + member("./other/model/a", b"not this one")
        + PLAIN
    )
    assert read(tmp_path, packed, skipped=Skipped(outside=4, macos=0)) == WHOLE


@pytest.mark.parametrize(
    ("before", "shown"),
    [
        ([], "it holds no file"),
        (["model/"], "it holds no file"),
        (["model"], "it holds no file in the folder 'model', only 'model'"),
        (["./a"], "only 'a'"),
        (["modelx/a", "b/c", "b/d"], "only 'modelx', 'b'"),
        (["b/c", "c", "d"], "only 'b', 'c', 'd'"),
        (["b/c", "c", "d", "e"], "only 'b', 'c', 'd' and more"),
    ],
)
def test_an_archive_with_nothing_in_the_top_folder_is_refused(
    tmp_path: Path, before: list[str], shown: str
) -> None:
    kinds = {True: tarfile.DIRTYPE, False: tarfile.REGTYPE}
    packed = b"".join(member(name, type=kinds[name.endswith("/")]) for name in before)
    assert refused(tmp_path, packed + END).endswith(shown)


def test_what_macos_adds_is_left_out_anywhere(tmp_path: Path) -> None:
    packed = (
        member("._model", b"mac")
        + member("./._.", b"mac")
        + member("__MACOSX/", type=tarfile.DIRTYPE)
        + member("__MACOSX/model/._a", b"mac")
        + member("model/.DS_Store", b"mac")
        + member("model/._params.pdiparams", b"mac")
        + member("model/._folder/b", b"mac")
        + member("model/.hidden", b"not mac")
        + PLAIN
    )
    found = read(tmp_path, packed, skipped=Skipped(outside=0, macos=7))
    assert found == {".hidden": b"not mac", **WHOLE}


def test_a_release_without_a_top_folder_is_installed_when_that_is_said(tmp_path: Path) -> None:
    packed = (
        member("./", type=tarfile.DIRTYPE)
        + member("./a", b"1")
        + member("b/", type=tarfile.DIRTYPE)
        + member("b/c", b"2")
        + member("./._a", b"mac")
        + END
    )
    found = read(tmp_path, packed, top=".", skipped=Skipped(outside=0, macos=1))
    assert found == {"a": b"1", "b/": b"", "b/c": b"2"}


def test_without_a_top_folder_nothing_may_be_twice_or_below_a_file(tmp_path: Path) -> None:
    for number, (packed, why) in enumerate(
        (
            (member("a", b"1") + member("./a", b"2"), "in it twice"),
            (member("a", b"1") + member("a/b", b"2"), "below something that is a file"),
            (member("a", b"1") + member("../b", b"2"), "leads out"),
            (member(".", type=tarfile.DIRTYPE), "holds no file"),
        )
    ):
        (tmp_path / str(number)).mkdir()
        assert why in refused(tmp_path / str(number), packed + END, top=".")


@pytest.mark.parametrize("name", ["other/a", "model/._a"])
def test_what_is_left_out_counts_in_the_bounds(tmp_path: Path, name: str) -> None:
    many = b"".join(member(name, b"12345") for _ in range(5)) + PLAIN
    skipped = Skipped(*((5, 0) if name == "other/a" else (0, 5)))
    assert read(tmp_path, many, Limits(7, 30, 1), skipped=skipped) == WHOLE
    for number, (limits, why) in enumerate(
        ((Limits(6, 30, 1), "more than 6 members"), (Limits(7, 29, 1), "more than 29 bytes"))
    ):
        (tmp_path / str(number)).mkdir()
        assert why in refused(tmp_path / str(number), many, limits)


def test_a_bomb_outside_the_top_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_EXPANSION_FREE", MIB)
    packed = gzip.compress(member("other/a", bytes(10 * MIB)) + PLAIN)
    assert "expands to more than 200 times" in refused(tmp_path, packed, Limits(9, 2**40, 200))


def test_a_volume_label_is_no_member_but_counts(tmp_path: Path) -> None:
    """tar -V; the label may be anything."""
    label = patched(member("/backup of ../me", type=b"V"), 20, "日".encode("gbk"))
    assert read(tmp_path, label + PLAIN, Limits(3, 5, 1)) == WHOLE
    (tmp_path / "two").mkdir()
    assert "more than 2 members" in refused(tmp_path / "two", label + PLAIN, Limits(2, 5, 1))


# --- hard links -----------------------------------------------------------------------------


def test_a_hard_link_to_an_earlier_file_is_a_copy(tmp_path: Path) -> None:
    content = bytes(range(256)) * 2000
    packed = (
        member("model/a", content)
        + link("model/b", "model/a")
        + link("./model/d/c", "./model/b")
        + member("model/e", b"")
        + link("model/f", "model/e")
        + END
    )
    found = read(tmp_path, packed)
    assert found == {"a": content, "b": content, "d/": b"", "d/c": content, "e": b"", "f": b""}
    places = [tmp_path / "target" / name for name in ("a", "b", "d/c")]
    assert len({place.stat().st_ino for place in places}) == 3


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_hard_link_to_a_file_that_was_left_out_is_a_copy_too(tmp_path: Path, pack: Any) -> None:
    """The client's conf equals the server's, so one may be a hard link to the other."""
    packed = pack(
        member("client/", type=tarfile.DIRTYPE)
        + member("client/conf", b"the same")
        + link("client/again", "client/conf")
        + link("model/conf", "client/again")
        + link("model/twice", "model/conf")
        + member("model/a", b"12345")
        + END
    )
    found = read(tmp_path, packed, skipped=Skipped(outside=3, macos=0))
    assert found == {"conf": b"the same", "twice": b"the same", **WHOLE}


def test_the_target_of_a_hard_link_may_fill_its_field(tmp_path: Path) -> None:
    name = "t" * 94
    packed = member(f"model/{name}", b"1") + link("model/l", f"model/{name}") + END
    assert read(tmp_path, packed) == {name: b"1", "l": b"1"}


def test_the_long_target_of_a_hard_link_is_read_as_gnu_and_as_pax_write_it(tmp_path: Path) -> None:
    packed = (
        member("model/a", b"1")
        + extension(tarfile.GNUTYPE_LONGLINK, b"model/a\0")
        + link("model/gnu", "cut")
        + extension(tarfile.XHDTYPE, pax(linkpath="model/a"))
        + link("model/pax", "cut")
        # ``linkpath`` has no meaning for a member that is no link.
        + extension(tarfile.XHDTYPE, pax(linkpath="/etc/passwd"))
        + member("model/b", b"2")
        + END
    )
    assert read(tmp_path, packed) == {"a": b"1", "gnu": b"1", "pax": b"1", "b": b"2"}


@pytest.mark.parametrize("name", ["model/b", "other/b", "model/._b"])
@pytest.mark.parametrize("to", ["/etc/passwd", "../a", "model/later", "model/b", "model/d", ""])
def test_a_hard_link_to_anything_else_refuses_the_whole_archive(
    tmp_path: Path, name: str, to: str
) -> None:
    packed = (
        member("model/d/", type=tarfile.DIRTYPE)
        + member("model/a", b"1")
        + link(name, to)
        + member("model/later", b"2")
        + END
    )
    assert f"hard link to {to!r}, which is no file that comes before it" in refused(
        tmp_path, packed
    )


def test_a_hard_link_may_not_take_a_name_that_is_taken(tmp_path: Path) -> None:
    assert "in it twice" in refused(tmp_path, PLAIN[:-1024] + link("model/a", "model/a") + END)


def test_a_link_has_no_content(tmp_path: Path) -> None:
    packed = member("model/a", b"1") + link("model/b", "model/a", size=512) + bytes(512) + END
    assert "the link 'model/b' has content" in refused(tmp_path, packed)


def test_copies_count_in_the_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_EXPANSION_FREE", 1)
    links = b"".join(link(f"model/{number}", "model/a") for number in range(10))
    packed = member("model/a", b"x" * 5000) + links + END
    assert len(read(tmp_path, packed, Limits(20, 55_000, 6))) == 11
    for number, (limits, why) in enumerate(
        (
            (Limits(20, 54_999, 6), "more than 54999 bytes"),
            (Limits(20, 55_000, 4), "expands to more than 4 times"),
            (Limits(11, 55_000, 6), "more than 11 members"),
        )
    ):
        (tmp_path / str(number)).mkdir()
        assert why in refused(tmp_path / str(number), packed, limits)


def test_reading_the_archive_again_for_a_link_counts_as_expansion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_EXPANSION_FREE", 1)
    links = b"".join(link(f"model/{number}", "other/small") for number in range(20))
    packed = member("other/big", bytes(20_000)) + member("other/small", b"1") + links + END
    assert "expands to more than 10 times" in refused(tmp_path, packed, Limits(99, 2**40, 10))


# --- sparse files ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_sparse_file_comes_out_whole(tmp_path: Path, version: str) -> None:
    packed = sparse(version, NUMBERS, STORED, 3000) + link("model/l", "model/s") + PLAIN
    assert read(tmp_path, packed) == {"s": SPARSE, "l": SPARSE, **WHOLE}


def test_a_map_in_the_header_may_have_binary_numbers(tmp_path: Path) -> None:
    packed = old_sparse("model/s", NUMBERS, STORED, 3000)
    binary = b"".join(b"\x80" + number.to_bytes(11, "big") for number in NUMBERS[:8])
    size = b"\x80" + (3000).to_bytes(11, "big") + b"\1"
    packed = patched(patched(packed, 386, binary), 483, size)
    assert read(tmp_path, packed + PLAIN) == {"s": SPARSE, **WHOLE}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("count", [0, 4, 5, 25, 26, 300])
def test_a_sparse_file_may_have_any_number_of_pieces(
    tmp_path: Path, version: str, count: int
) -> None:
    numbers = [number for place in range(count) for number in (place * 1000, 10)]
    stored = b"".join(b"%010d" % place for place in range(count))
    size = count * 1000
    content = b"".join(b"%010d" % place + bytes(990) for place in range(count))
    packed = sparse(version, numbers, stored, size) + PLAIN
    assert read(tmp_path, packed) == {"s": content, **WHOLE}


def test_each_block_of_a_map_in_the_content_may_have_another_number_of_lines(
    tmp_path: Path,
) -> None:
    numbers = [0, 0] * 300 + [number for place in range(100) for number in (100_000 + place, 1)]
    packed = sparse("1.0", numbers, b"x" * 100, 100_100) + PLAIN
    assert read(tmp_path, packed) == {"s": bytes(100_000) + b"x" * 100, **WHOLE}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_sparse_file_that_is_left_out_is_read_over(tmp_path: Path, version: str) -> None:
    packed = sparse(version, NUMBERS, STORED, 3000) + member("other/a", b"12345") + END
    found = read(tmp_path, packed, top="other", skipped=Skipped(outside=1, macos=0))
    assert found == WHOLE


@pytest.mark.parametrize("version", VERSIONS)
def test_of_a_sparse_file_the_unpacked_size_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    packed = sparse(version, [10 * MIB - 10, 10], b"0123456789", 10 * MIB) + END
    for number, (limits, free, why) in enumerate(
        (
            (Limits(9, 10 * MIB, 9), 20 * MIB, None),
            (Limits(9, 10 * MIB - 1, 9), 20 * MIB, "(--max_unpacked)"),
            (Limits(9, 10 * MIB, 9), MIB, "expands to more than 9 times"),
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.setattr(archive, "_EXPANSION_FREE", free)
        if why is None:
            assert read(folder, packed, limits) == {"s": bytes(10 * MIB - 10) + b"0123456789"}
        else:
            assert why in refused(folder, packed, limits)
            assert not (folder / "target" / "s").exists()


def test_holes_at_the_begin_are_measured_against_the_whole_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_EXPANSION_FREE", MIB)
    packed = sparse("old", [], b"", 4 * MIB) + member("model/a", bytes(4 * MIB)) + END
    assert set(read(tmp_path, packed, Limits(9, 2**40, 2))) == {"s", "a"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("numbers", "size"),
    [
        ([512, 512, 1536, 512, 2500, 101], 3000),
        ([512, 512, 1536, 512, 2500, 99], 3000),
        ([512, 512, 1023, 512, 2500, 100], 3000),
        ([1536, 512, 512, 512, 2500, 100], 3000),
        ([512, 512, 1536, 512, 2500, 100], 2599),
        ([], 3000),
    ],
)
def test_a_map_that_does_not_fit_refuses_the_archive(
    tmp_path: Path, version: str, numbers: list[int], size: int
) -> None:
    packed = sparse(version, numbers, STORED, size) + END
    assert "map of a sparse file in it is damaged" in refused(tmp_path, packed)


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        (b"", "map of a sparse file"),
        (b"3\n512\n512\n".ljust(512, b"\0"), "map of a sparse file"),
        (b"100\n" + b"0\n" * 150, "map of a sparse file"),
        (b"1" * 512, "a pax header in it is damaged"),
        (b"x\n".ljust(512, b"\0"), "a pax header in it is damaged"),
        (b"1\n-1\n3\n".ljust(512, b"\0"), "a pax header in it is damaged"),
        (b"100001\n".ljust(512, b"\0"), "map of a sparse file"),
    ],
    ids=range(7),
)
def test_a_damaged_map_in_the_content_refuses_the_archive(
    tmp_path: Path, stored: bytes, why: str
) -> None:
    records = {"GNU.sparse.major": "1", "GNU.sparse.name": "model/s", "GNU.sparse.realsize": "9"}
    packed = extension(tarfile.XHDTYPE, pax(**records)) + member("cut", stored) + END
    assert why in refused(tmp_path, packed)


@pytest.fixture
def few_pieces(monkeypatch: pytest.MonkeyPatch) -> int:
    """Fewer pieces than a file may have: the same code, a hundred times faster."""
    assert tar._MAX_PIECES == 100_000
    monkeypatch.setattr(tar, "_MAX_PIECES", 1000)
    return 1000


def test_other_damage_to_a_map_refuses_the_archive(tmp_path: Path, few_pieces: int) -> None:
    odd = pax_sparse("0.1", "model/s", [0, 3, 5], b"abc", 9)
    many = pax_sparse("0.1", "model/s", [0, 0] * (few_pieces + 1), b"", 9)
    cut = old_sparse("model/s", [0, 1] * 9, b"", 9)[: BLOCK + 100]
    endless = old_sparse("model/s", [0, 0] * 25, b"", 9)[: 2 * BLOCK]
    endless = endless[:-8] + b"\1" + endless[-7:]
    for number, (packed, why) in enumerate(
        (
            (odd, "map of a sparse file"),
            (many, "map of a sparse file"),
            (cut, "ends in the middle of a file"),
            (endless[:BLOCK] + endless[BLOCK:] * 50, "map of a sparse file"),
        )
    ):
        (tmp_path / str(number)).mkdir()
        assert why in refused(tmp_path / str(number), packed)


def test_a_sparse_map_may_have_as_many_pieces_as_that(tmp_path: Path, few_pieces: int) -> None:
    packed = pax_sparse("1.0", "model/s", [0, 0] * few_pieces, b"", 9) + END
    assert read(tmp_path, packed, Limits(9, 2**40, 200)) == {"s": bytes(9)}


def test_a_full_map_in_the_header_may_end_with_an_empty_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar, "_MAX_PIECES", 25)
    full = old_sparse("model/s", [0, 0] * 25, b"", 9)
    packed = full[:-8] + b"\1" + full[-7:] + bytes(BLOCK) + PLAIN
    assert read(tmp_path, packed) == {"s": bytes(9), **WHOLE}


# --- names, owners, attributes --------------------------------------------------------------


def test_a_pax_name_counts_where_the_header_has_half_a_character(tmp_path: Path) -> None:
    """GNU tar --format=posix cuts the name in the header by bytes."""
    name = "model/" + "é" * 60
    cut = patched(member("model/a", b"12345"), 0, name.encode()[:99] + b"\xc3")
    header = patched(member("x", type=tarfile.XHDTYPE), 0, b"PaxHeaders/\xa9")
    records = pax(path=name)
    header = patched(header, 124, b"%011o\0" % len(records))
    packed = header + records + bytes(-len(records) % BLOCK) + cut + END
    assert read(tmp_path, packed) == {"é" * 60: b"12345"}


def test_owners_times_and_modes_are_not_looked_at(tmp_path: Path) -> None:
    header = member("model/a", b"12345")
    for place, field in (
        (265, "用户".encode("gbk")), (297, b"\xff\xfe"), (100, b"rwxr-xr"), (108, b"\xff" * 8),
        (116, b"nobody"), (136, b"12 new bytes"), (157, b"\xfflink"), (329, b"\xffdevice"),
    ):  # fmt: skip
        header = patched(header, place, field)
    assert read(tmp_path, header + END) == WHOLE


@pytest.mark.parametrize(
    "name", ["/".join(["d" * 60] * 3), "/".join(["d" * 149, "e" * 100])], ids=["short", "full"]
)
def test_a_name_in_two_parts_is_put_together(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, member(f"model/{name}", b"1") + END)[name] == b"1"


def test_the_first_part_of_a_name_may_be_one_letter(tmp_path: Path) -> None:
    name = "e" * 100
    assert read(tmp_path, member(f"m/{name}", b"1") + END, top="m") == {name: b"1"}


def test_the_first_part_of_a_name_ends_with_its_field(tmp_path: Path) -> None:
    name = "/".join(["d" * 149, "e" * 100])
    header = patched(member(f"model/{name}", b"1"), 500, b"beyond")
    assert read(tmp_path, header + END)[name] == b"1"


def test_what_gnu_keeps_where_posix_has_the_first_part_of_a_name_is_no_name(tmp_path: Path) -> None:
    """tar --incremental writes times there."""
    header = patched(member("model/a", b"12345"), 257, b"ustar  \0")
    assert read(tmp_path, patched(header, 345, b"15112345670\0") + END) == WHOLE


def test_a_sum_of_signed_bytes_is_a_sum(tmp_path: Path) -> None:
    # 127 is the largest byte without a sign.
    header = bytearray(member("model/é", b"12345", uname="\x7f"))
    total = sum(header[:148]) + 8 * 32 + sum(header[156:512]) - 2 * 256
    header[148:156] = b"%06o\0 " % total
    assert read(tmp_path, bytes(header) + END) == {"é": b"12345"}


@pytest.mark.parametrize("name", ["d", "d" * 93], ids=["short", "full"])
def test_an_old_archive_has_folders_that_only_a_slash_tells(tmp_path: Path, name: str) -> None:
    old = patched(member(f"model/{name}/", type=tarfile.AREGTYPE), 257, bytes(8))
    assert read(tmp_path, old + PLAIN) == {f"{name}/": b"", **WHOLE}


@pytest.mark.parametrize("key", ["SCHILY.xattr.user.big", "LIBARCHIVE.xattr.user.名"])
def test_extended_attributes_are_read_over(tmp_path: Path, key: str) -> None:
    records = pax(**{key: "x" * 100_000, "hdrcharset": "BINARY", "path": "model/a"})
    packed = extension(tarfile.XHDTYPE, records) + member("cut", b"12345") + END
    assert read(tmp_path, packed) == WHOLE


@pytest.mark.parametrize("name", ["全\u3000角", "no\u00a0break", "family 👨\u200d👩", "emoji 🫨"])
def test_names_may_have_any_character_that_is_no_control(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, member(f"model/{name}", b"1") + END) == {name: b"1"}


# --- the end --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "packed",
    [
        PLAIN[: -len(END)],
        PLAIN[:-BLOCK],
        PLAIN[:517],
        PLAIN[: -len(END)] + b"\n",
        PLAIN[:-BLOCK] + b"\r\n",
        PLAIN + b"\n",
        PLAIN + bytes(300_000) + b"\n",
        gzip.compress(PLAIN[: -len(END)]),
        gzip.compress(PLAIN) + b"\n",
        gzip.compress(PLAIN) + b"\r\n\0",
        gzip.compress(PLAIN + b"\n"),
    ],
    ids=range(11),
)
def test_an_end_that_is_not_whole_is_only_taken_with_a_manifest_s_proof(
    tmp_path: Path, packed: bytes
) -> None:
    assert read(tmp_path, packed, proven=True) == WHOLE
    (tmp_path / "unproven").mkdir()
    cause = refused(tmp_path / "unproven", packed)
    assert "no manifest proves that its bytes are whole" in cause or cause == (
        "it ends in the middle of a file"
    )


@pytest.mark.parametrize(
    ("packed", "why"),
    [
        (b"", "it is empty"),
        (b"\n", "it holds no file"),
        (END, "it holds no file"),
        (PLAIN[:516], "it ends in the middle of a file"),
        (PLAIN[: -len(END)] + b"x", "it ends without the end of a tar"),
        (PLAIN[:-BLOCK] + PLAIN, "it ends without the end of a tar"),
        (PLAIN + b"x", "something follows the end of the tar"),
        (gzip.compress(PLAIN) + b"x", "something follows its gzip stream"),
        (gzip.compress(PLAIN)[:-4], "its gzip stream ends before its trailer"),
        (extension(tarfile.XHDTYPE, pax(path="a")), "it ends without the end of a tar"),
        (PLAIN[: -len(END)] + extension(tarfile.XHDTYPE, pax(mtime="1")), "without the end"),
        (PLAIN[: -len(END)] + extension(tarfile.GNUTYPE_LONGNAME, b"a"), "without the end"),
    ],
    ids=range(12),
)
def test_what_is_cut_is_refused_whatever_a_manifest_says(
    tmp_path: Path, packed: bytes, why: str
) -> None:
    cause = refused(tmp_path, packed, proven=True)
    assert why in cause
    assert "manifest" not in cause


def test_a_comment_for_all_may_be_the_last_that_comes(tmp_path: Path) -> None:
    comment = extension(tarfile.XGLTYPE, pax(comment="abc"))
    assert read(tmp_path, PLAIN[: -len(END)] + comment + END) == WHOLE


# --- what is no tar -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK\x03\x04", "a zip archive"),
        (b"PK\x05\x06", "a zip archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07", "a rar archive"),
        (b"\x04\x22\x4d\x18", "packed with lz4"),
        (b"LZIP", "packed with lzip"),
        (b"\x5d\x00\x00\x80\x00", "packed as .lzma"),
        (b"\x1f\x9d", "packed with compress"),
        (b"\n<!DOCTYPE html>", "a web page"),
        (b"<html><body>", "a web page"),
        (b"", "it is not a tar archive"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_is_no_tar_is_named(tmp_path: Path, content: bytes, why: str, pack: Any) -> None:
    for size in (100, 2000):
        (tmp_path / str(size)).mkdir()
        assert why in refused(tmp_path / str(size), pack(content.ljust(size, b"x")))


def test_what_is_accepted_is_said(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError) as caught:
        read(tmp_path, b"PK\x03\x04".ljust(2000, b"x"))
    assert caught.value.hint == ("publish a tar, plain or packed once with gzip, bzip2, xz or zstd")


def test_a_tarball_that_is_packed_twice_is_named(tmp_path: Path) -> None:
    packed = gzip.compress(gzip.compress(member("model/a", bytes(range(256)) * 9) + END))
    assert "packed twice (there is gzip inside)" in refused(tmp_path, packed)


def test_the_hint_for_another_top_folder_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError) as caught:
        read(tmp_path, PLAIN, LIMITS, top="uci")
    assert "--unpacked_filename" in caught.value.hint
