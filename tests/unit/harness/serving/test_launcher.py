"""What the real launcher makes of our launcher module's options.

The binary in these tests is `echo`, which prints the flags that the launcher gives it. On a machine
without a GPU, no more of the GPU's command line can be checked.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.serving.launcher import parser
from harness.support.ports import free_port


def launch(
    folder: Path, *options: str, binary: str = "/bin/echo"
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.serving.launcher", *options]
    environment = {**os.environ, "SERVING_BIN": binary}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path, releases: Any) -> Path:
    shutil.copytree(releases.model(1), tmp_path / "uci_housing_model")
    return tmp_path


def test_the_gpu_reaches_the_server_through_the_launchers_own_files(folder: Path) -> None:
    port = str(free_port())
    done = launch(folder, "--model", "uci_housing_model", "--port", port, "--gpu_ids", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    toolkit = folder / f"workdir_{port}" / "GeneralInferOp_0" / "model_toolkit.prototxt"
    lines = [line.strip() for line in toolkit.read_text().splitlines()]
    assert "use_gpu: true" in lines
    assert "gpu_ids: 0" in lines
    assert f"-port {port}" in done.stdout


def test_without_gpu_ids_the_model_stays_on_the_cpu(folder: Path) -> None:
    port = str(free_port())
    done = launch(folder, "--model", "uci_housing_model", "--port", port)
    assert done.returncode == 0, done.stdout + done.stderr
    toolkit = folder / f"workdir_{port}" / "GeneralInferOp_0" / "model_toolkit.prototxt"
    assert "use_gpu: true" not in toolkit.read_text()


def test_the_reload_interval_and_the_threads_reach_the_binary(folder: Path) -> None:
    port = str(free_port())
    options = ["--port", port, "--thread", "7", "--reload_interval_s", "3"]
    done = launch(folder, "--model", "uci_housing_model", *options)
    (flags,) = [line for line in done.stdout.splitlines() if line.startswith("-enable_model")]
    for wanted in (f"-port {port}", "-num_threads 7", "-reload_interval_s 3"):
        assert wanted in flags, flags
    assert (folder / "uci_housing_model" / "fluid_time_file").exists()


def test_its_options_are_the_launchers_own_with_their_defaults_and_one_more() -> None:
    show = "import json; from paddle_serving_server import serve; "
    show += "print(json.dumps(vars(serve.serve_args())))"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    ours = vars(parser().parse_args(["--model", ""]))
    assert ours.pop("reload_interval_s") == 10
    assert "reload_interval_s" not in theirs
    assert ours == {**{name: theirs[name] for name in ours}, "model": [""]}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--model", "nowhere"], "nowhere is not a model in Serving's format"),
        (["--model", "uci_housing_model", "--thread", "3"], "--thread must be 4 to 1024"),
        (["--model", "uci_housing_model", "--reload_interval_s", "0"], "must be at least 1"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    folder: Path, options: list[str], sentence: str
) -> None:
    done = launch(folder, *options)
    assert done.returncode == 2
    assert sentence in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["uci_housing_model"]
