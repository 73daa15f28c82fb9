"""The monitor's wheel: what is in it, and what its build leaves in the source."""

from __future__ import annotations

import shutil
import subprocess
import sys
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
    assert packed == {f"monitor/{name}" for name in files - {"pyproject.toml"}}
    assert "monitor/py.typed" in packed
