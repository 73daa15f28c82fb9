"""The monitor's wheel: what is in it, and what its build leaves in the source."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "monitor"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package's folder, as a clean clone has it."""
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    return Path(shutil.copytree(SOURCE, tmp_path / "monitor", ignore=ignored))


def tree(top: Path) -> set[str]:
    return {str(path.relative_to(top)) for path in top.rglob("*")}


def test_a_build_leaves_nothing_in_the_source_and_packs_every_module(
    checkout: Path, tmp_path: Path
) -> None:
    pytest.importorskip("hatchling", reason="tox and monitor[test] have what builds the wheel")
    before = tree(checkout)
    # What pip calls for `pip install ./monitor`.
    script = "import hatchling.build, sys; print(hatchling.build.build_wheel(sys.argv[1]))"
    argv = [sys.executable, "-B", "-c", script, str(tmp_path)]
    done = subprocess.run(argv, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    assert tree(checkout) == before
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        packed = {name for name in wheel.namelist() if name.startswith("monitor/")}
    files = {name for name in before if (checkout / name).is_file()}
    left_out = {"pyproject.toml", "README.md", "LICENSE"}
    assert packed == {f"monitor/{name}" for name in files - left_out}
    assert "monitor/py.typed" in packed


def test_an_sdist_gives_a_wheel_that_installs_with_readme_and_licence(
    checkout: Path, tmp_path: Path
) -> None:
    pytest.importorskip("hatchling", reason="tox and monitor[test] have what builds the wheel")

    def build(what: str, source: Path) -> Path:
        script = f"import hatchling.build, sys; print(hatchling.build.build_{what}(sys.argv[1]))"
        argv = [sys.executable, "-B", "-c", script, str(tmp_path)]
        printed = subprocess.run(argv, cwd=source, capture_output=True, text=True, check=True)
        return tmp_path / printed.stdout.split()[-1]

    (tmp_path / "unpacked").mkdir()
    sdist = build("sdist", checkout)
    subprocess.run(["tar", "-xf", str(sdist), "-C", str(tmp_path / "unpacked")], check=True)
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    wheel = build("wheel", unpacked)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([str(tmp_path / "venv/bin/python"), *install], check=True)

    # The packages that the monitor needs come from this environment.
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_paths()["purelib"]}
    program = str(tmp_path / "venv/bin/serving-monitor")
    printed = subprocess.run(
        [program, "--version"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    (info,) = (tmp_path / "venv").glob("lib/python3.*/site-packages/serving_hot*.dist-info")
    metadata = email.message_from_string((info / "METADATA").read_text())
    assert printed.stdout.split() == ["serving-monitor", metadata["Version"]]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "# serving-hot-loading-monitor" in (info / "METADATA").read_text()
    assert "Apache License" in next(info.rglob("LICENSE")).read_text()
