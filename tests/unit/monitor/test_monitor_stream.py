"""Packed files: whole to their trailer and nothing behind it, or refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from monitor.errors import BadOption
from monitor.release import stream as packed_stream

from .tarballs import END, PLAIN, WHOLE, member, read, refused

ZSTD = packed_stream.load_zstd()
# Frames that say nothing; pzstd begins with one.
TO_SKIP = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"pzstd"
LAST_TO_SKIP = b"\x5f" + TO_SKIP[1:]


def zstd(content: bytes) -> bytes:
    """Packed as the program zstd does it, with a checksum."""
    packed: bytes = ZSTD.compress(content, options={ZSTD.CompressionParameter.checksum_flag: 1})
    return packed


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_a_packed_file_of_several_pieces_comes_out_as_it_went_in(tmp_path: Path, pack: Any) -> None:
    content = random.Random(1).randbytes(3 * packed_stream.CHUNK)
    assert read(tmp_path, pack(member("model/a", content) + END)) == {"a": content}


@pytest.mark.parametrize("left", [1, 2, 5])
def test_a_stream_that_begins_at_the_end_of_a_chunk_is_seen(tmp_path: Path, left: int) -> None:
    first = bytearray(gzip.compress(PLAIN[:700]))
    # A file name in the header makes it as long as is wanted (RFC 1952, 2.3).
    first[3] |= 0x08
    first[10:10] = b"n" * (packed_stream.CHUNK - left - len(first) - 1) + bytes(1)
    assert len(first) == packed_stream.CHUNK - left
    assert read(tmp_path, bytes(first) + gzip.compress(PLAIN[700:])) == WHOLE


def test_two_gzip_streams_one_after_the_other_are_one(tmp_path: Path) -> None:
    assert read(tmp_path, gzip.compress(PLAIN[:700]) + gzip.compress(PLAIN[700:])) == WHOLE


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zstd"])
class TestAPackedStream:
    """Each kind of packing, damaged in each way."""

    PACK: dict[str, Any] = {  # noqa: RUF012
        "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd,
    }  # fmt: skip

    def packed(self, name: str) -> bytes:
        packed: bytes = self.PACK[name](member("model/a", bytes(range(256)) * 2000) + END)
        return packed

    def test_cut_anywhere_is_refused(self, tmp_path: Path, name: str) -> None:
        whole = self.packed(name)
        cuts = [1, 2, 5, 8, 12, 40, len(whole) // 2, len(whole) - 1]
        cuts = [length for length in (len(whole) - cut for cut in cuts) if length > 10]
        for number, length in enumerate(cuts):
            folder = tmp_path / str(number)
            folder.mkdir()
            cause = refused(folder, whole[:length])
            assert f"its {name} stream ends before its trailer" in cause

    def test_with_a_flipped_bit_anywhere_is_refused(self, tmp_path: Path, name: str) -> None:
        whole = self.packed(name)
        # Not in gzip's header, whose time and system may be anything.
        for number, place in enumerate(range(10, len(whole), len(whole) // 25)):
            folder = tmp_path / str(number)
            folder.mkdir()
            bad = bytearray(whole)
            bad[place] ^= 0x10
            refused(folder, bytes(bad))

    def test_followed_by_anything_is_refused(self, tmp_path: Path, name: str) -> None:
        cause = refused(tmp_path, self.packed(name) + b"x")
        assert f"something follows its {name} stream" in cause

    def test_followed_by_something_far_behind_is_refused(self, tmp_path: Path, name: str) -> None:
        cause = refused(tmp_path, self.packed(name) + bytes(600_000) + b"x")
        assert f"something follows its {name} stream" in cause


def test_a_wrong_checksum_in_the_gzip_trailer_is_refused(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(PLAIN))
    whole[-8] ^= 1
    assert "its gzip stream is damaged" in refused(tmp_path, bytes(whole))


def test_a_wrong_length_in_the_gzip_trailer_is_refused(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(PLAIN))
    whole[-1] ^= 1
    assert "its gzip stream is damaged" in refused(tmp_path, bytes(whole))


def test_a_second_stream_that_is_cut_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(PLAIN) + gzip.compress(bytes(1000))[:-4]
    assert "ends before its trailer" in refused(tmp_path, packed)


def test_an_xz_that_asks_for_much_memory_is_refused(tmp_path: Path) -> None:
    filters = [
        {
            "id": lzma.FILTER_LZMA2,
            "preset": 6,
            "dict_size": 130 * 1024 * 1024,
            "mode": lzma.MODE_FAST,
            "mf": lzma.MF_HC3,
        }
    ]
    packed = lzma.compress(PLAIN, format=lzma.FORMAT_XZ, filters=filters)
    assert "its xz stream is damaged" in refused(tmp_path, packed)


def test_a_zstd_that_asks_for_much_memory_is_refused(tmp_path: Path) -> None:
    content = member("model/a", random.Random(1).randbytes(300_000)) + END
    for window, good in ((27, True), (28, False)):
        folder = tmp_path / str(window)
        folder.mkdir()
        # Without its length in the header the whole window has to be there.
        packer = ZSTD.ZstdCompressor(options={ZSTD.CompressionParameter.window_log: window})
        packed = packer.compress(content) + packer.flush()
        if good:
            assert set(read(folder, packed)) == {"a"}
        else:
            assert "its zstd stream is damaged" in refused(folder, packed)


def test_zstd_in_many_frames_some_of_them_to_skip_is_one_stream(tmp_path: Path) -> None:
    packed = TO_SKIP + zstd(PLAIN[:700]) + TO_SKIP + zstd(PLAIN[700:]) + LAST_TO_SKIP
    assert read(tmp_path, packed) == WHOLE


def test_without_its_package_zstd_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadOption) as caught:
        read(tmp_path, zstd(PLAIN))
    assert str(caught.value) == (
        "a tarball packed with zstd needs backports.zstd; in the checkout, type "
        "`pip install './monitor[zstd]'`"
    )


@pytest.mark.parametrize("size", [100, 100_000, 20_000_000])
def test_zstd_gives_no_more_at_once_than_is_asked_for(tmp_path: Path, size: int) -> None:
    path = tmp_path / "zeros"
    path.write_bytes(zstd(bytes(size)))
    with path.open("rb") as file:
        stream = packed_stream.Unpacked(file, str(path), proven=False)
        assert stream.read(10) == bytes(10)
        inner = stream._inner
        assert inner is not None
        assert len(inner.decompress(b"", 50)) == 50


def test_what_a_file_begins_with_says_how_it_is_packed() -> None:
    assert packed_stream.packing(gzip.compress(b"x")) == "gzip"
    assert packed_stream.packing(bz2.compress(b"x")) == "bzip2"
    assert packed_stream.packing(lzma.compress(b"x")) == "xz"
    assert packed_stream.packing(zstd(b"x")) == packed_stream.packing(TO_SKIP) == "zstd"
    assert packed_stream.packing(LAST_TO_SKIP) == "zstd"
    assert packed_stream.packing(b"\x60" + TO_SKIP[1:]) is None
    assert packed_stream.packing(b"\x1f") is None


def test_a_stream_counts_what_goes_in_and_out(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(gzip.compress(bytes(1000)))
    with path.open("rb") as file:
        stream = packed_stream.Unpacked(file, str(path), proven=False)
        assert len(stream.read(600)) == 600
        assert len(stream.read(600)) == 400
        assert stream.read(600) == b""
        assert stream.given == 1000
        assert stream.read_in == path.stat().st_size


def test_of_a_second_stream_no_more_is_read_than_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "two"
    second = gzip.compress(random.Random(1).randbytes(8 * packed_stream.CHUNK))
    path.write_bytes(gzip.compress(b"first") + second)
    with path.open("rb") as file:
        stream = packed_stream.Unpacked(file, str(path), proven=False)
        assert stream.read(6)[:5] == b"first"
        assert stream.read_in <= 2 * packed_stream.CHUNK
