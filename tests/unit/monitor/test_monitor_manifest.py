"""What counts as our manifest in a donefile. Any other content does no harm."""

from __future__ import annotations

import dataclasses
import gzip
import json
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import manifest
from monitor.manifest import MAX_BYTES, MAX_ENCODED, parse, unpacked

GOOD = {
    "format": 1, "release": 7, "tarball": "m.tar.gz", "size": 10, "sha256": "ab" * 32,
    "probe": {"feed": [1.0], "expected": [2.0]},
}  # fmt: skip

TEXT = json.dumps({**GOOD, "note": "größe 模型"}, ensure_ascii=False)
PLAIN = TEXT.encode()
FORMS = {
    "BOM": TEXT.encode("utf-8-sig"),
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-16-BE with BOM": b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "UTF-16-LE": TEXT.encode("utf-16-le"),
    "UTF-16-BE": TEXT.encode("utf-16-be"),
    "UTF-32": TEXT.encode("utf-32"),
    "gzip": gzip.compress(TEXT.encode()),
    "gzip of UTF-16": gzip.compress(TEXT.encode("utf-16")),
    "gzip and a newline": gzip.compress(TEXT.encode()) + b"\n",
}


def test_a_manifest_is_read_with_everything_in_it() -> None:
    found = parse(json.dumps(GOOD).encode())
    assert found is not None
    assert (found.release, found.tarball, found.size, found.sha256) == (
        7, "m.tar.gz", 10, "ab" * 32,
    )  # fmt: skip
    assert found.content == GOOD


@pytest.mark.parametrize("size", [0, 2**64 - 1])
def test_a_size_may_be_zero_or_whatever_64_bits_hold(size: int) -> None:
    found = parse(json.dumps({**GOOD, "size": size}).encode())
    assert found is not None
    assert found.size == size


def test_two_manifests_of_one_release_are_the_same_whatever_else_they_say() -> None:
    one, other = (parse(json.dumps({**GOOD, "probe": probe}).encode()) for probe in ("p1", "p2"))
    assert one is not None
    assert one == other
    # A log line with a manifest in it is not 64 KiB long.
    assert "p1" not in repr(one)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.size = 3  # type: ignore[misc]


def test_digests_are_compared_in_lower_case() -> None:
    found = parse(json.dumps({**GOOD, "sha256": "AB" * 32}).encode())
    assert found is not None
    assert found.sha256 == "ab" * 32


@pytest.mark.parametrize("release", [0, 1, 2**64 - 1])
def test_any_number_from_zero_that_64_bits_hold_is_a_release(release: int) -> None:
    found = parse(json.dumps({**GOOD, "release": release}).encode())
    assert found is not None
    assert found.release == release


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\n", b"done", b"17", b"null", b"[]", b"\xff\xfe", b"{", b"{}", b"[" * 60000,
        b'{"format": NaN}',
    ],
    ids=range(11),
)  # fmt: skip
def test_any_other_donefile_is_legal_and_has_none(content: bytes) -> None:
    assert parse(content) is None


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"format": 0}, {"format": -1}, {"format": "1"},
        {"format": True}, {"format": None}, {"format": 1.0},
        {"release": -1}, {"release": "7"}, {"release": True}, {"release": 1.5}, {"release": None},
        {"size": -1}, {"size": "10"}, {"size": False}, {"tarball": ""}, {"tarball": 1},
        {"release": 2**64}, {"size": 2**64},
        {"sha256": "ab"}, {"sha256": "zz" * 32}, {"sha256": "ab" * 32 + "\n"}, {"sha256": 5},
    ],
    ids=str,
)  # fmt: skip
def test_a_manifest_with_a_wrong_field_is_none(change: dict[str, object]) -> None:
    assert parse(json.dumps({**GOOD, **change}).encode()) is None


@pytest.mark.parametrize("key", ["format", "release", "tarball", "size", "sha256"])
def test_a_manifest_without_a_field_is_none(key: str) -> None:
    assert parse(json.dumps({k: v for k, v in GOOD.items() if k != key}).encode()) is None


def test_a_manifest_has_at_most_64_kib() -> None:
    content = json.dumps(GOOD).encode()
    assert parse(content + b" " * (64 * 1024 - len(content))) is not None
    assert parse(content + b" " * (64 * 1024 + 1 - len(content))) is None
    assert manifest.MAX_BYTES == 64 * 1024
    assert manifest.MAX_ENCODED == 4 * 64 * 1024 + 4


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_bytes_whatever_raise(content: bytes) -> None:
    parse(content)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.dictionaries(
        st.sampled_from(sorted(GOOD)),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none()),
    )
)
def test_no_json_object_whatever_raises(content: dict[str, object]) -> None:
    parse(json.dumps({**GOOD, **content}).encode())


@pytest.mark.parametrize("form", FORMS)
def test_a_manifest_is_read_however_it_was_encoded_on_its_way(form: str) -> None:
    found = parse(FORMS[form])
    assert found == parse(PLAIN)
    assert found is not None
    assert found.text == TEXT


@pytest.mark.parametrize(
    "donefile",
    [
        gzip.compress(PLAIN)[:-9], gzip.compress(PLAIN)[:-1], b"\x1f\x8b", b"\x1f\x8b" * 90,
        gzip.compress(bytes(1 << 24)), gzip.compress(PLAIN + b" " * MAX_BYTES),
        gzip.compress(gzip.compress(PLAIN)),
        TEXT.encode("utf-16")[:-1], "{".encode("utf-16"), b"\xef\xbb\xbf", b"\xff\xfe", b"\0",
        TEXT.encode("gbk", "ignore").replace(b"release", "größe".encode("latin-1")),
    ],
    ids=range(13),
)  # fmt: skip
def test_what_only_begins_like_one_is_none(donefile: bytes) -> None:
    assert parse(donefile) is None


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_the_longest_manifest_may_be_encoded_too(encoding: str) -> None:
    longest = PLAIN + b" " * (MAX_BYTES - len(PLAIN))
    assert parse(longest.decode().encode(encoding)) is not None
    assert parse((longest + b" ").decode().encode(encoding)) is None
    assert parse(gzip.compress(longest)) is not None


@pytest.mark.parametrize("size", [MAX_ENCODED, MAX_ENCODED + 1, 100 * MAX_ENCODED])
def test_no_more_is_unpacked_than_tells_that_it_is_too_long(size: int) -> None:
    packed = gzip.compress(bytes(size))
    assert unpacked(packed) == bytes(min(size, MAX_ENCODED + 1))
    with pytest.raises(zlib.error, match="cut short"):
        unpacked(gzip.compress(bytes(MAX_ENCODED))[:-1])


def test_gzip_alone_is_unpacked_and_may_look_back_as_far_as_it_does() -> None:
    with pytest.raises(zlib.error):
        unpacked(zlib.compress(PLAIN))
    noise = random.Random(1).randbytes(15_000).hex()
    found = parse(gzip.compress(json.dumps({**GOOD, "note": noise * 2}).encode()))
    assert found is not None
    assert found.content["note"] == noise * 2


def test_a_manifest_says_nothing_of_its_text_in_a_log() -> None:
    assert TEXT[:20] not in repr(parse(PLAIN))
    assert parse(PLAIN) == parse(PLAIN + b" ")
