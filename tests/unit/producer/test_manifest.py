"""The donefile's content, and what a producer concludes from an existing one."""

from __future__ import annotations

import json
from typing import Any, Optional

import pytest

from producer import manifest
from producer.manifest import Variable


def a_manifest(release: int = 7, price: float = 21.5) -> dict[str, Any]:
    return manifest.manifest(
        release=release,
        tarball="uci_housing.tar.gz",
        size=1472,
        sha256="ab" * 32,
        created=1_700_000_000.25,
        feeds=[Variable("x", "x", "float32", [-1, 13])],
        fetches=[Variable("save_infer_model/scale_0.tmp_0", "price", "float32", [-1, 1])],
        probe={"x": [[0.5] * 13]},
        expected={"price": [[price]]},
    )


def test_a_manifest_has_the_keys_and_forms_of_the_contract() -> None:
    content = json.loads(manifest.encode(a_manifest()))
    assert content["format"] == 1
    assert content["release"] == 7
    assert content["created"] == "2023-11-14T22:13:20.250Z"
    assert content["feeds"] == [
        {"name": "x", "alias": "x", "dtype": "float32", "shape": [-1, 13]},
    ]
    assert content["probe"] == {"feed": {"x": [[0.5] * 13]}, "expected": {"price": [[21.5]]}}


def test_a_manifest_survives_the_way_through_a_donefile() -> None:
    assert manifest.decode(manifest.encode(a_manifest())) == a_manifest()


def test_a_manifest_above_64_kib_is_refused() -> None:
    content = {**a_manifest(), "note": "x" * manifest.MAX_BYTES}
    with pytest.raises(ValueError, match="limit is 65536"):
        manifest.encode(content)


@pytest.mark.parametrize(
    ("donefile", "number"),
    [
        pytest.param(None, 1, id="no donefile"),
        pytest.param(b"", 1, id="an empty donefile, as upstream writes it"),
        pytest.param(b"done\n", 1, id="text"),
        pytest.param(b"12", 1, id="a number"),
        pytest.param(b"\xff\xfe\x00", 1, id="bytes"),
        pytest.param(b'{"release": 4}', 1, id="somebody else's JSON"),
        pytest.param(b'{"format": 2, "release": 4}', 1, id="another format"),
        pytest.param(b'{"format": 1, "release": true}', 1, id="a release that is no number"),
        pytest.param(b'{"format": 1, "release": -4}', 1, id="a negative release"),
        pytest.param(b"[" * 60_000, 1, id="JSON that nests too deep"),
        pytest.param(b'{"format": 1, "release": 4, "more": 1}', 5, id="a manifest, unknown keys"),
        pytest.param(manifest.encode(a_manifest(41)), 42, id="our manifest"),
        pytest.param(manifest.encode(a_manifest(41)).decode().encode("utf-16"), 42, id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf" + manifest.encode(a_manifest(41)), 42, id="BOM"),
    ],
)
def test_the_next_release_is_one_more_than_the_donefile_says(
    donefile: Optional[bytes], number: int
) -> None:
    assert manifest.next_release(donefile) == number


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        pytest.param({"price": [[20.0]]}, {"price": [[20.0]]}, False, id="equal"),
        pytest.param({"price": [[20.0]]}, {"price": [[20.0199]]}, False, id="99.5 tolerances"),
        pytest.param({"price": [[20.0]]}, {"price": [[20.0201]]}, True, id="100.5 tolerances"),
        pytest.param({"price": [[20.0], [3.0]]}, {"price": [[20.0], [3.1]]}, True, id="one of two"),
        pytest.param({"price": [[-20.0]]}, {"price": [[20.0]]}, True, id="the sign"),
        pytest.param({"price": [[0.0]]}, {"price": [[0.0]]}, False, id="both zero"),
        pytest.param({"price": [[20.0]]}, {"price": [[20.0, 20.0]]}, True, id="another shape"),
        pytest.param({"price": [["a"]]}, {"price": [[20.0]]}, True, id="no numbers"),
        pytest.param(None, {"price": [[20.0]]}, True, id="nothing known of the one before"),
    ],
)
def test_two_releases_are_distinct_from_100_tolerances_on(
    one: Optional[dict[str, Any]], other: Optional[dict[str, Any]], apart: bool
) -> None:
    assert manifest.distinct(one, other) is apart
