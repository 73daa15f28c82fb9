"""The files of an older monitor are read after an upgrade, and a downgrade does no harm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from .fixtures import TARBALL, Site, model_files, tarball
from .processes import ROOT, Here, general
from .stepping import live, release_in

# The last monitor without orders, hooks that are kept, confirmed releases and signatures.
_OLD = "1831b360f47a"
Run = Callable[..., "tuple[int, str]"]


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    packed = folder / "old.tar"
    done = subprocess.run(
        ["git", "archive", "--output", str(packed), _OLD, "monitor"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"this checkout has no commit {_OLD} (a shallow clone?): {done.stderr.strip()}")
    subprocess.run(["tar", "-xf", str(packed), "-C", str(folder)], check=True)
    assert not (folder / "monitor" / "decisions" / "orders.py").exists()
    return folder


@pytest.fixture
def old(old_code: Path) -> Run:
    """Runs a command of the old monitor: exit code, and all that it printed."""

    def run(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "monitor", *words]
        done = subprocess.run(
            command, cwd=old_code, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def new(here: Here) -> Run:
    def run(*words: str) -> tuple[int, str]:
        code, out, err = here(*words)
        return code, out + err

    return run


BAD = {**model_files(3), "params.pdiparams": b""}


def pulls(site: Site) -> int:
    return len([path for path, _ in site.seen if TARBALL in path])


@pytest.mark.parametrize("way", ["upgrade", "downgrade"])
def test_what_one_version_remembers_holds_for_the_other(
    old: Run, new: Run, site: Site, tmp_path: Path, way: str
) -> None:
    before, after = (old, new) if way == "upgrade" else (new, old)
    place = [f"--local_path={tmp_path}/local", f"--local_model_name={live(tmp_path).name}"]
    once = [*general(site, tmp_path), "--once", "--keep=2"]
    for number in (1, 2):
        site.publish(number)
        assert before(*once)[0] == 0
    time_file = live(tmp_path) / "fluid_time_file"
    second = time_file.stat().st_mtime_ns

    # The installed release is known: no pull, no reload.
    seen = pulls(site)
    code, text = after(*once)
    assert code == 0, text
    assert (pulls(site), time_file.stat().st_mtime_ns) == (seen, second), text

    # A rollback's hold applies, and what it keeps is found.
    assert before("rollback", *place)[0] == 0
    assert release_in(live(tmp_path)) == 1
    code, text = after(*once)
    assert "a rollback holds the announced release back" in text
    assert release_in(live(tmp_path)) == 1
    assert after("rollback", *place, "--to", "2")[0] == 0
    assert release_in(live(tmp_path)) == 2

    # A bad release stays out.
    site.publish(3, tarball(BAD))
    assert before(*once)[0] == 1
    seen = pulls(site)
    code, text = after(*once)
    assert "quarantine" in text
    assert pulls(site) == seen, "a release in quarantine was pulled again"
    site.publish(4)
    assert after(*once)[0] == 0
    assert before(*once)[0] == 0
    assert release_in(live(tmp_path)) == 4


def test_an_old_monitor_does_no_harm_beside_new_files(
    old: Run, new: Run, site: Site, tmp_path: Path
) -> None:
    """Orders, and the state of a release that a pin brought back."""
    place = [f"--local_path={tmp_path}/local", f"--local_model_name={live(tmp_path).name}"]
    once = [*general(site, tmp_path), "--once", "--keep=2"]
    for number in (1, 2):
        site.publish(number)
        assert new(*once)[0] == 0
    assert new("pin", "1", *place)[0] == 0
    assert new("hold", *place)[0] == 0
    # An old monitor knows no orders: it installs what is announced, whole.
    code, text = old(*once)
    assert code == 0, text
    assert release_in(live(tmp_path)) == 2
    # After the next upgrade the orders are still there.
    site.publish(3)
    code, text = new(*once)
    assert "on hold" in text, text
    assert release_in(live(tmp_path)) == 2
