"""The trial on bare machines: what it says where it cannot be made, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.support.waits import wait_for
from tests.bare import roots

ROOT = Path(__file__).resolve().parents[3]
PYTEST = [
    *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
    *("-p", "xdist.plugin", "-p", "tests.bare.outcomes"),
]


def test_a_system_that_is_not_known_is_named_with_those_that_are() -> None:
    argv = [sys.executable, "-m", "tests.bare", "--roots", "bookworm,buster"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no 'buster'; known are bullseye, bookworm, trixie, jammy" in done.stderr


def test_without_an_ubuntu_archive_the_trial_says_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("UBUNTU_MIRROR", raising=False)
    with pytest.raises(roots.NotHere, match="name one in UBUNTU_MIRROR"):
        roots.mirror_of("jammy")
    monkeypatch.setenv("UBUNTU_MIRROR", "http://127.0.0.1/ubuntu")
    assert roots.mirror_of("jammy") == "http://127.0.0.1/ubuntu"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_folder_of_a_trial_that_is_killed_is_removed(number: int, tmp_path: Path) -> None:
    code = """if True:
        import sys, time
        from tests.bare.workplace import Workplace
        with Workplace("machine") as folder:
            (folder / "file").write_text("x")
            print(folder, flush=True)
            # Short sleeps: a signal right before a long sleep takes effect only after the sleep.
            for _ in range(3000):
                time.sleep(0.1)
    """
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "HARNESS_CACHE": str(tmp_path)},
    ) as trial:
        assert trial.stdout is not None
        folder = Path(trial.stdout.readline().strip())
        assert (folder / "file").exists()
        trial.send_signal(number)
    wait_for(lambda: not folder.exists(), f"{folder} to be removed", 20)


def test_what_passed_elsewhere_is_left_out_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "import os, pytest\n"
        "@pytest.mark.xdist_group('g')\n"
        "@pytest.mark.parametrize('word', ['a@b', 'c'])\n"
        "def test_passes(word): pass\n"
        "@pytest.mark.skipif('ROOT' not in os.environ, reason='needs root')\n"
        "def test_skips(): pass\n"
        "@pytest.fixture\n"
        "def broken():\n"
        "    yield\n"
        "    assert 'ROOT' in os.environ\n"
        "def test_breaks_at_its_end(broken): pass\n"
    )
    file = tmp_path / "outcomes.json"
    words = ["-n", "1", "--dist", "loadgroup", "-o", "addopts=", "--rootdir", str(tmp_path)]
    words.append(str(tmp_path))
    before = {name: value for name, value in os.environ.items() if name != "ROOT"}
    # The other plugins take most of the time.
    before["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    subprocess.run([*PYTEST, *words, "--outcomes", str(file)], cwd=ROOT, env=before, check=False)
    assert json.loads(file.read_text()) == {
        "test_some.py::test_passes[a@b]": "passed",
        "test_some.py::test_passes[c]": "passed",
        "test_some.py::test_skips": "skipped",
        "test_some.py::test_breaks_at_its_end": "failed",
    }
    then = subprocess.run(
        [*PYTEST, *words, "--unless-passed", str(file)],
        cwd=ROOT,
        env={**before, "ROOT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in then.stdout, then.stdout + then.stderr
    assert "4 passed" not in then.stdout
