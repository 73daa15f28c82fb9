"""The import graph: this project's, and small broken ones that each contract must catch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.support.paths import repository_root

CONFIG = """\
[tool.importlinter]
root_packages = ["upper", "lower"]
contract_types = [
  "no_circle: tests.imports.NoCircle",
  "no_foreign_private_name: tests.imports.NoForeignPrivateName",
]
[[tool.importlinter.contracts]]
name = "circles"
type = "no_circle"
[[tool.importlinter.contracts]]
name = "private names"
type = "no_foreign_private_name"
packages = ["upper", "lower"]
ignore_imports = [EXCEPTIONS]
"""


def lint(folder: Path) -> tuple[int, str]:
    """Run ``lint-imports`` in a folder; return its exit code and what it says."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(program), "--no-cache"],
        cwd=folder,
        # The contracts come from this checkout, the packages from the folder.
        env={"PYTHONPATH": str(repository_root()), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def make(folder: Path, modules: dict[str, str], exceptions: str = "") -> Path:
    """Make the packages ``upper`` and ``lower``, with these modules in them."""
    files = {"upper/__init__.py": "", "lower/__init__.py": "", **modules}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (folder / "pyproject.toml").write_text(CONFIG.replace("EXCEPTIONS", exceptions))
    return folder


def test_this_project_keeps_all_contracts() -> None:
    code, said = lint(repository_root())
    assert code == 0, said


def test_a_package_may_import_its_own_private_modules_and_names(tmp_path: Path) -> None:
    modules = {
        "upper/__init__.py": "from ._one import run\n",
        "upper/_one.py": "from ._two import _half\n",
        "upper/_two.py": "_half = 2\n",
    }
    assert lint(make(tmp_path, modules))[0] == 0


def test_a_circle_is_named_module_by_module(tmp_path: Path) -> None:
    modules = {"upper/one.py": "from lower import two\n", "lower/two.py": "import upper.one\n"}
    code, said = lint(make(tmp_path, modules))
    assert code == 1
    assert "upper.one is imported by lower.two" in said
    assert "lower.two is imported by upper.one" in said


def test_a_private_module_of_another_package_is_named(tmp_path: Path) -> None:
    modules = {"upper/one.py": "from lower import _two\n", "lower/_two.py": ""}
    code, said = lint(make(tmp_path, modules))
    assert (code, "upper.one -> lower._two" in said) == (1, True), said


def test_a_private_name_of_another_package_is_named(tmp_path: Path) -> None:
    modules = {"upper/one.py": "from lower.two import _half\n", "lower/two.py": "_half = 2\n"}
    code, said = lint(make(tmp_path, modules))
    assert (code, "upper.one -> lower.two" in said) == (1, True), said


def test_an_exception_counts_until_it_is_not_needed(tmp_path: Path) -> None:
    modules = {"upper/one.py": "from lower import _two\n", "lower/_two.py": ""}
    folder = make(tmp_path, modules, '"upper.* -> lower._two"')
    assert lint(folder)[0] == 0
    (folder / "upper/one.py").write_text("")
    code, said = lint(folder)
    assert (code, "an exception that is not needed" in said) == (1, True), said
