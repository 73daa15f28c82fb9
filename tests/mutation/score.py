"""Mutation testing of what decides and of what reads archives (``tox -e mutation``).

For each module below, cosmic-ray changes one operator, number, comparison, condition or exception
at a time. Then the tests of the module run. A change that no test notices *survives*. Either a test
is missing, or the changed code means the same. ``equivalent.txt`` names changes of the second kind,
each with its reason. The exit code is 1 if any other change survives.

The modules are changed in place, so all of this happens in a copy of the tree. The tests of each
change run in a fork of this process, because a thousand starts of pytest would take an hour. The
process has imported pytest, and nothing of the monitor.

    python tests/mutation/score.py [MODULE…] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import hypothesis  # noqa: F401 - so that every fork has it
import pytest

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
# Module of monitor -> the tests that have to notice, tests/unit/monitor/test_monitor_NAME.py.
TESTS = {
    "decisions.identity": "machine",
    "decisions.machine": "machine orders",
    "decisions.schedule": "machine",
    "live.state": "state orders serving",
    "release.archive": "archive archive_bounds archive_of_others stream",
    "release.names": "archive archive_of_others",
    "release.stream": "stream archive archive_bounds archive_of_others",
    "release.tar": "archive archive_bounds archive_of_others stream",
    "manifest": "manifest",
}
TIMEOUT_S = 60


@dataclass(frozen=True)
class Survivor:
    """A change that no test noticed: the source line as it stood and as it was changed to."""

    # The module.
    module: str
    # The number of the line.
    line: int
    # The line as it stood.
    before: str
    # The line as it was changed to.
    after: str

    def __str__(self) -> str:
        return " ".join(f"{self.module}: {self.before} -> {self.after}".split())


def main() -> int:
    parser = argparse.ArgumentParser(description="mutation score of the monitor's core")
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(TESTS)} (default: all)")
    parser.add_argument("--keep", type=Path, help="work here, and leave it")
    given = parser.parse_args()
    modules = given.modules or list(TESTS)
    unknown = [name for name in modules if name not in TESTS]
    if unknown:
        parser.error(f"there is no {unknown[0]}; choose of {', '.join(TESTS)}")
    known = equivalents()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_tree(given.keep or Path(folder))
        for module in modules:
            total, survived = run(tree, module)
            same = [one for one in survived if str(one) in known]
            other = [one for one in survived if str(one) not in known]
            wrong += len(other)
            judged = total - len(same)
            killed = judged - len(other)
            print(
                f"{module}: {total} changes, {len(same)} mean the same, {killed} of {judged} "
                f"noticed ({100 * killed / max(1, judged):.1f} %)"
            )
            for one in other:
                print(f"  line {one.line}: {one}")
            sys.stdout.flush()
    return 1 if wrong else 0


def equivalents() -> set[str]:
    """Return the changes that mean the same. A line with # is the reason of the lines below it."""
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def copy_tree(folder: Path) -> Path:
    """Copy what the tests need of the project, so that it may be changed."""
    tree = folder / "tree"
    if tree.exists():
        # An earlier run made the tree, and this run continues there.
        return tree
    skip = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    for part in ("monitor", "tests/unit/monitor"):
        shutil.copytree(ROOT / part, tree / part, ignore=skip)
    # The servers for tests lie beside the folders of tests.
    for path in [*(ROOT / "tests").glob("*.py"), ROOT / "tests" / "unit" / "__init__.py"]:
        shutil.copy(path, tree / path.relative_to(ROOT))
    return tree


def run(tree: Path, module: str) -> tuple[int, list[Survivor]]:
    """Return the number of changes to ``module``, and the changes that survived."""
    config, session = tree / f"{module}.toml", tree / f"{module}.sqlite"
    place = tree / "forks"
    client = f"{sys.executable} -SE {Path(__file__).with_name('ask.py')} {place}"
    path = f"monitor/{module.replace('.', '/')}.py"
    config.write_text(
        f'[cosmic-ray]\nmodule-path = "{path}"\ntimeout = {2 * TIMEOUT_S}\n'
        f"excluded-modules = []\ntest-command = '{client}'\n"
        '[cosmic-ray.distributor]\nname = "local"\n',
        encoding="utf-8",
    )
    cosmic_ray = [sys.executable, "-m", "cosmic_ray.cli"]
    if not session.exists():
        subprocess.run([*cosmic_ray, "init", config, session], cwd=tree, check=True)
    tests = [f"tests/unit/monitor/test_monitor_{name}.py" for name in TESTS[module].split()]
    place.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        server.settimeout(0.5)
        for words in (["baseline", config], ["exec", config, session]):
            process = subprocess.Popen([*cosmic_ray, *map(str, words)], cwd=tree)
            while process.poll() is None:
                try:
                    asking, _ = server.accept()
                except (TimeoutError, socket.timeout):
                    continue
                with asking, contextlib.suppress(OSError):
                    asking.sendall(b"1" if noticed(tree, tests) else b"0")
            if process.returncode:
                sys.exit(f"cosmic-ray {words[0]} of {module} ended with {process.returncode}")
    return read(session, module)


def noticed(tree: Path, tests: list[str]) -> bool:
    """Return whether the tests fail, or do not end, with the tree as it is now."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.chdir(tree)
        sys.path.insert(0, str(tree))
        # The harness, which the tests wait with, is not changed.
        sys.path.append(str(ROOT))
        sys.dont_write_bytecode = True
        for stream in (1, 2):
            os.dup2(os.open(tree / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        # With a fixed seed the same change gives the same result every time.
        plain = [f"-p no:{name}" for name in ("cacheprovider", "xdist", "cov", "timeout")]
        words = [*" ".join(plain).split(), "-x", "-q", "--hypothesis-seed=1", *tests]
        # This process has imported what pytest's plugins would rewrite.
        words += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        # 99: with some changes of a module pytest itself ends early.
        code: object = 99
        try:
            code = int(pytest.main(words))
        finally:
            os._exit(code if isinstance(code, int) else 99)
    deadline = time.monotonic() + TIMEOUT_S
    ended = 0
    while not ended and time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not ended:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return True
    return status != 0


def read(session: Path, module: str) -> tuple[int, list[Survivor]]:
    """What a session of cosmic-ray found."""
    with sqlite3.connect(session) as database:
        total = database.execute("SELECT count(*) FROM work_results").fetchone()[0]
        rows = database.execute(
            "SELECT m.start_pos_row, r.diff FROM work_results r "
            "JOIN mutation_specs m ON m.job_id = r.job_id WHERE r.test_outcome LIKE '%SURVIVED%'"
        ).fetchall()
    found = []
    for line, diff in rows:
        before = " ".join(text[1:].strip() for text in re.findall(r"^-(?!--).*", diff, re.M))
        after = " ".join(text[1:].strip() for text in re.findall(r"^\+(?!\+\+).*", diff, re.M))
        found.append(Survivor(module, int(line), before, after))
    return total, sorted(found, key=lambda one: one.line)


if __name__ == "__main__":
    sys.exit(main())
