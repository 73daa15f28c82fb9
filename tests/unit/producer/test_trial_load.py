"""The trial load: as a command, and as what a monitor asks before a release goes live."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.remotes.http.local import LocalHttp
from producer.manifest import encode
from producer.pack import pack
from producer.publish import Access, connect, parse, publish
from tests.conftest import Releases


def trial_load(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "producer.trial_load", str(folder), *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )


def test_a_monitor_lets_in_what_predicts_its_manifests_promise_and_nothing_else(
    releases: Releases, tmp_path: Path
) -> None:
    with LocalHttp(tmp_path / "http") as http:
        http.ready(30)
        target = connect(parse(http.url), Access())

        def offer(weights: int, promise: int) -> subprocess.CompletedProcess[str]:
            """Publishes one release's model with another's promise; polls once."""
            made = tmp_path / f"{weights}-{promise}"
            made.mkdir()
            packed = pack(releases.model(weights), "uci_housing_model", made / "model.tar.gz")
            manifest = releases.published[promise - 1]["manifest"]
            manifest = {**manifest, "tarball": "model.tar.gz"}
            manifest.update(size=packed.size, sha256=packed.sha256)
            (made / "donefile").write_bytes(encode(manifest))
            publish(target, packed.path, made / "donefile")
            argv = [sys.executable, "-m", "monitor", *http.monitor_options(), "--once"]
            argv += ["--remote_model_name", "model.tar.gz", "--remote_donefile_name", "donefile"]
            argv += ["--local_path", str(tmp_path), "--local_model_name", "live"]
            argv += ["--unpacked_filename", "uci_housing_model"]
            argv += ["--check_command", f"{sys.executable} -m producer.trial_load"]
            return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)

        refused = offer(weights=2, promise=3)
        assert refused.returncode != 0, refused.stderr
        assert "the manifest promises" in refused.stdout + refused.stderr
        assert not (tmp_path / "live").exists()
        accepted = offer(weights=3, promise=3)
        assert accepted.returncode == 0, accepted.stdout + accepted.stderr
        installed = tmp_path / "live" / "params.pdiparams"
        assert installed.read_bytes() == (releases.model(3) / "params.pdiparams").read_bytes()


def test_a_damaged_model_is_refused(releases: Releases, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(releases.model(1), damaged)
    with (damaged / "params.pdiparams").open("r+b") as file:
        file.write(b"\xff" * 40)
    done = trial_load(damaged)
    assert done.returncode not in (0, 2), done.stdout


def test_a_folder_without_a_model_is_refused_at_once_with_one_sentence(tmp_path: Path) -> None:
    done = trial_load(tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"trial load: {tmp_path} has no serving_server_conf.prototxt, without which nothing "
        "serves it\n"
    )
    gone = trial_load(tmp_path / "gone")
    assert (gone.returncode, gone.stderr) == (1, f"trial load: {tmp_path}/gone is not a folder\n")


@pytest.mark.parametrize("content", ["", "done", json.dumps({"format": 9, "release": 1})])
def test_what_is_no_manifest_is_a_wrong_option(tmp_path: Path, content: str) -> None:
    file = tmp_path / "donefile"
    file.write_text(content)
    done = trial_load(tmp_path, "--manifest", str(file))
    assert done.returncode == 2
    said = f"--manifest {file} is no manifest of format 1; name our producer's donefile"
    assert done.stderr == f"trial load: {said}\n"
