"""The example files beside the pages are accepted by the programs that read them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.run.ready_releases import ready_releases
from monitor.options import config

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples"


@pytest.mark.parametrize("file", sorted(EXAMPLES.rglob("*.toml")), ids=lambda file: file.name)
def test_the_monitor_accepts_the_settings(file: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    text = re.sub(r'"/(srv|)/?serving"', f'"{tmp_path}"', file.read_text(encoding="utf-8"))
    text = text.replace("/secrets/token", f"{tmp_path}/token")
    here = tmp_path / file.name
    here.write_text(text)
    (model,) = config.read(str(here), {})
    assert model.local_model_name == "uci_housing_model"
    assert model.local_path == str(tmp_path)
    here.write_text(text + 'intervall = "10"\n')
    with pytest.raises(Exception, match="there is no option intervall"):
        config.read(str(here), {})


SAVE = """
import sys, paddle
paddle.enable_static()
x = paddle.static.data("x", [None, 4], "float32")
y = paddle.static.nn.fc(x, 3)
executor = paddle.static.Executor(paddle.CPUPlace())
executor.run(paddle.static.default_startup_program())
paddle.static.save_inference_model(sys.argv[1], [x], [y], executor)
"""


def test_a_model_of_ones_own_becomes_a_folder_that_serves(tmp_path: Path) -> None:
    def python(*words: object) -> str:
        argv = [sys.executable, *map(str, words)]
        done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    export = EXAMPLES / "own-model" / "for_serving.py"
    for place in (tmp_path, tmp_path / "newer"):
        python("-c", SAVE, place / "my_model/model")
        python(export, place / "my_model/model", place / "my_model_server")
    page = (ROOT / "docs" / "how-to" / "own-model.md").read_text(encoding="utf-8")
    packing = re.findall(r"^(?:mkdir|tar) .*my_releases.*$", page, re.M)
    subprocess.run(["sh", "-ec", "\n".join(packing)], cwd=tmp_path, check=True)
    found = ready_releases(tmp_path / "my_releases", tmp_path / "work")
    assert len(found) == 2
    for release in found:
        (prediction,) = release.content["probe"]["expected"].values()
        assert len(prediction[0]) == 3


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = EXAMPLES / "systemd" / "serving-monitor@.service"
    text = unit.read_text(encoding="utf-8")

    def verified(content: str) -> str:
        # An installed program, because the unit's own program is not installed here.
        here = tmp_path / unit.name
        here.write_text(content.replace("/opt/serving-monitor/bin/serving-monitor", "/bin/true"))
        argv = ["systemd-analyze", "verify", str(here)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        return "\n".join(line for line in done.stderr.splitlines() if unit.name[:15] in line)

    assert verified(text) == ""
    assert "ProtectSystm" in verified(text.replace("ProtectSystem", "ProtectSystm"))
