"""The harness's command line: bad input is one sentence, exit code 2, and nothing is touched."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.run.e2e import _try_gpu
from harness.support.errors import BadInput
from tests.unit.harness.conftest import Harness

ROOT = Path(__file__).resolve().parents[4]
# Options with which these programs get as far as their packages.
ONCE = {
    "producer": ["--remote", "webhdfs://127.0.0.1:9/"],
    "monitor": [
        *("--once", "--general_host=http://127.0.0.1:9", "--remote_path=/"),
        *("--remote_model_name=m.tar.gz", "--remote_donefile_name=d", "--local_model_name=m"),
        "--local_path=.",
    ],
}


def harness(*options: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *options],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["e2e", "--remotes", ""], "REMOTES is empty"),
        (["e2e", "--remotes", "ftp,ftp"], "names a remote twice"),
        (["e2e", "--on", "moon"], "ON=moon is not known; use one of local, docker"),
        (["e2e", "--serving", "fast"], "SERVING=fast is not known"),
        (["e2e", "--serving-trial", "no"], "SERVING_TRIAL=no is not known"),
        (["e2e", "--releases", "1"], "RELEASES=1 shows no hot loading"),
        (["e2e", "--releases", "many"], "argument --releases: 'many' is no whole number"),
        (["e2e", "--rate", "fast"], "argument --rate: 'fast' is no number; see"),
        (["e2e", "--port", "70000"], "--port 70000 is no TCP port"),
        (["e2e", "--port", "-1"], "--port -1 is no TCP port"),
        (["e2e", "--rate", "0"], "RATE=0 is no rate; use 1 to 100000 requests a second"),
        (["e2e", "--poll", "0"], "--poll 0 is no interval"),
        (["e2e", "--margin", "-1"], "--margin -1 is no time"),
        (["e2e", "--seed", "-1"], "SEED=-1 is no seed"),
        (["e2e", "--runs", "/dev/null"], "no run folder can be made in /dev/null"),
        (["e2e", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["serving-trial", "--serving", "docker"], "invalid choice: 'docker'"),
        (["sing"], "invalid choice: 'sing'"),
    ],
)
def test_a_bad_option_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    here: Harness,
    options: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, said = here(*options)
    assert code == 2
    assert sentence in said
    assert len(said.strip().splitlines()) == 1, said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "environment", "sentence"),
    [
        (["e2e", "--remotes", "gopher"], {}, "REMOTES names 'gopher'; known are hdfs, ftp, http"),
        (["setup"], {"HARNESS_CACHE": "/dev/null/x"}, "the cache /dev/null/x"),
        (["e2e"], {"SERVING_BIN": "/no/such"}, "SERVING_BIN=/no/such is not an executable file"),
        (["serving-trial"], {"SERVING_DOWNLOAD_URL": "http://[x"}, "http://[x/serving-cpu-"),
    ],
)
def test_bad_input_ends_the_program_with_one_sentence(
    tmp_path: Path, options: list[str], environment: dict[str, str], sentence: str
) -> None:
    done = harness(*options, cwd=tmp_path, **environment)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_write_is_unknown_and_says_so(tmp_path: Path) -> None:
    # No file may grow, as on a full disk. Coverage could not write its file, and would complain.
    unmeasured = {k: v for k, v in os.environ.items() if k != "COVERAGE_PROCESS_CONFIG"}
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
    code = full + "import sys; from harness.__main__ import main; sys.exit(main(sys.argv[1:]))"
    words = ["e2e", "--remotes", "ftp", "--serving", "embedded", "--serving-trial", "skip"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        env={**unmeasured, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "UNKNOWN: " in done.stdout
    assert "history.jsonl: File too large" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_an_error_of_the_machine_is_no_broken_claim(tmp_path: Path) -> None:
    code = "import sys; import harness.__main__ as program\n"
    code += "def full(_): open('/dev/full', 'w', buffering=1).write('x\\n')\n"
    code += "program._run = full; sys.exit(program.main([]))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "harness: No space left on device; make room, or name folders" in done.stderr


def test_a_port_in_use_is_named_before_anything_is_started(tmp_path: Path, here: Harness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ("--port", str(port), "--serving", "embedded", "--runs", str(tmp_path))
        code, _, said = here("e2e", *words)
    assert code == 2
    assert f"port {port} on 127.0.0.1 is in use" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_the_gpu_is_asked_for_where_there_is_none(tmp_path: Path, here: Harness) -> None:
    code, _, said = here("e2e", "--device", "gpu", "--runs", str(tmp_path))
    assert code == 2
    assert "this machine has no NVIDIA GPU" in said


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_what_the_trial_of_a_gpu_says_is_the_sentence() -> None:
    why = "(needs the GPU build|found no CUDA device)"
    with pytest.raises(BadInput, match=f"^--device gpu {why}.*--device cpu"):
        _try_gpu()


def test_the_traceback_comes_with_debug(here: Harness) -> None:
    code, _, said = here("e2e", "--remotes", "gopher", "--debug")
    assert code == 2
    assert "Traceback" in said


def test_help_answers_without_importing_paddle(tmp_path: Path) -> None:
    code = "import sys; from harness.__main__ import main\n"
    code += "try: main(['--help'])\nexcept SystemExit: pass\n"
    code += "assert 'paddle' not in sys.modules, 'paddle was imported'"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False, timeout=60)
    assert done.returncode == 0


def test_a_package_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    # As `import` finds a package whose files were removed.
    (tmp_path / "rich.py").write_text("raise ModuleNotFoundError(\"No module named 'rich'\")\n")
    done = harness("e2e", cwd=tmp_path, PYTHONPATH=str(tmp_path), PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 2
    assert "No module named 'rich'; use .venv/bin/python" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for program, package in (("producer", "hdfs"), ("monitor", "requests")):
        (tmp_path / "rich.py").rename(tmp_path / f"{package}.py")
        done = subprocess.run(
            [sys.executable, "-m", program, *ONCE[program]],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert "No module named 'rich'; " in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        (tmp_path / f"{package}.py").rename(tmp_path / "rich.py")


def test_the_jars_are_fetched_for_hdfs_alone(tmp_path: Path) -> None:
    blocked = {"M2_REPO": str(tmp_path / "m2"), "MAVEN_MIRROR": "http://127.0.0.1:9"}
    without = harness("setup", "--remotes", "ftp,http", cwd=tmp_path, **blocked)
    assert (without.returncode, without.stderr) == (0, "")
    needed = harness("setup", "--remotes", "http,hdfs", cwd=tmp_path, **blocked)
    assert needed.returncode == 2
    assert "the other side does not answer" in needed.stderr
    assert "REMOTES=ftp,http does without HDFS" in needed.stderr
    assert len(needed.stderr.strip().splitlines()) == 1, needed.stderr
    doctor = subprocess.run(
        [sys.executable, "-m", "harness.cli.environment"],
        env={**os.environ, **blocked},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert doctor.returncode == 2
    assert "Hadoop jars      MISSING for HDFS: 8 are not in" in doctor.stdout


def test_a_host_name_that_does_not_resolve_is_told_before_hdfs_is_started(tmp_path: Path) -> None:
    unshare = ["unshare", "--map-root-user", "--uts"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("no user namespaces here")
    words = [sys.executable, "-m", "harness", "e2e", "--remotes", "hdfs", "--serving", "embedded"]
    done = subprocess.run(
        [*unshare, "sh", "-c", 'hostname nowhere.invalid && exec "$@"', "sh", *words],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "add the line `127.0.1.1 nowhere.invalid` to /etc/hosts" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bench_that_is_interrupted_says_so_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import bench; raise KeyboardInterrupt"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == "bench: interrupted\n"
    assert done.returncode == -2, "ended by SIGINT, so that make stops as well"


def test_make_n_prints_and_runs_nothing(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    targets = re.findall(r"^## make (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert "e2e" in targets
    ran = f"touch {tmp_path}/ran;"
    words = ["make", "-n", *targets, f"BOOT={ran}", f"PY={ran}"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "-m harness e2e" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]


def test_make_clean_leaves_nothing_but_the_sources(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[4] / "Makefile", tmp_path)
    (tmp_path / "monitor").mkdir()
    (tmp_path / "monitor" / "source.py").touch()
    for name in (
        *(".venv", ".venv-gpu", ".venv-monitor", ".venv-locust", ".venv-tox", ".cache", ".tox"),
        *("runs", "build"),
        "htmlcov",
        *("monitor/build", "monitor/m.egg-info", "p.egg-info", ".hypothesis", ".pytest_cache"),
        *(".mypy_cache", ".ruff_cache", "monitor/__pycache__"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    for name in (".coverage", ".coverage.host.1"):
        (tmp_path / name).touch()
    for name in ("bench", "docker", "engine", "fuzz", "harness", "producer", "tests"):
        (tmp_path / name).mkdir()
    # BOOT=true, because the real command removes files that all runs of this user share.
    subprocess.run(["make", "-s", "clean", "BOOT=true"], cwd=tmp_path, check=True)
    left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert left == ["Makefile", "monitor/source.py"]
