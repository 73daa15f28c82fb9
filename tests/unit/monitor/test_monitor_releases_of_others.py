"""Releases as people publish them, stepped against a real HTTP server."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from pathlib import Path

import pytest

from monitor.decisions.machine import Event
from monitor.release import stream

from .fixtures import MODEL, TARBALL, Site, manifest_of, model_files, tarball
from .stepping import MakeWatch, live, nothing_left, poll, release_in


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


def packed_with(files: dict[str, bytes], more: dict[str, bytes]) -> bytes:
    """A tarball of a model and of the files ``more``, by their full names."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in {**more, **{f"{MODEL}/{name}": files[name] for name in files}}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_what_is_left_out_is_one_line(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    more = {
        "uci_housing_client/serving_client_conf.prototxt": b"client",
        "._uci_housing_client": b"mac",
        f"{MODEL}/._params.pdiparams": b"mac",
    }
    site.publish(1, packed_with(model_files(1), more))
    assert poll(watch()) is Event.SWAPPED
    said = [line for line in lines if "skipped in" in line]
    assert said == [f"INFO skipped in {TARBALL}: 1 outside {MODEL}, 2 that macOS added."]
    assert not [name for name in live(tmp_path).iterdir() if name.name.startswith("._")]
    nothing_left(tmp_path)
    site.publish(2)
    assert poll(watch()) is Event.SWAPPED
    assert [line for line in lines if "skipped in" in line] == said


def test_a_tarball_without_a_top_folder(watch: MakeWatch, site: Site, tmp_path: Path) -> None:
    site.publish(1, tarball(model_files(1), top="."))
    one = watch()
    assert poll(one) is Event.BAD_RELEASE
    assert "or . if the files have none" in str(one.reporter.error)
    # With another option the same release is no longer in quarantine.
    assert poll(watch(unpacked_filename=".")) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 1


def test_an_end_that_is_not_whole_needs_a_manifest(watch: MakeWatch, site: Site) -> None:
    now = [1_800_000_000.0]
    packed = tarball(model_files(1), mode="w")
    end = len(packed.rstrip(b"\0")) // 512 * 512 + 512
    packed = packed[:end]
    site.publish(1, packed, donefile=b"")
    one = watch(clock=lambda: now[0])
    assert poll(one) is Event.BAD_RELEASE
    assert "no manifest proves that its bytes are whole" in str(one.reporter.error)
    site.put("donefile", manifest_of(1, packed))
    assert poll(one) is Event.SWAPPED
    site.publish(2, tarball(model_files(2)) + b"\n")
    assert poll(one) is Event.SWAPPED


def test_a_tarball_in_zstd_waits_for_its_package(
    watch: MakeWatch, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    packed = stream.load_zstd().compress(gzip.decompress(tarball(model_files(1))))
    with monkeypatch.context() as without:
        for name in ("compression.zstd", "backports.zstd"):
            without.setitem(sys.modules, name, None)
        site.publish(1, packed)
        one = watch()
        assert poll(one) is Event.MACHINE_FAILED
        assert "pip install './monitor[zstd]'" in lines[-1]
    assert poll(watch()) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 1


@pytest.mark.parametrize("conf", [True, False])
def test_an_export_of_paddle_3_is_named(watch: MakeWatch, site: Site, conf: bool) -> None:
    files = model_files(1)
    files["inference.json"] = b'{"base_code":{"magic":"pir"}}'
    files["inference.pdiparams"] = files.pop("params.pdiparams")
    del files["model.pdmodel"]
    if not conf:
        del files["serving_server_conf.prototxt"]
    site.publish(1, tarball(files))
    one = watch()
    assert poll(one) is Event.BAD_RELEASE
    assert "inference.json is a graph of Paddle 3" in str(one.reporter.error)
