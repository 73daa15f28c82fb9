"""What ``make setup`` does before there is an environment: run by the machine's own Python."""

from __future__ import annotations

import ast
import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Optional

import pytest

from engine._inference import package_folder
from harness.setup import bootstrap, causes
from harness.support import places
from tests.http_server import HttpServer, Request

# Loads every library that Paddle's loading needs, all symbols bound, and counts OpenMP's threads.
LOAD = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
print(library.omp_get_max_threads())
print(open("/proc/self/maps").read())
"""


def environment_with_paddle(folder: Path) -> Path:
    """An environment's folder whose ``paddle/libs`` are links to the installed ones."""
    libraries = folder / "lib/python3.9/site-packages/paddle/libs"
    libraries.mkdir(parents=True)
    for file in (package_folder() / "libs").iterdir():
        if file.name != "libgomp.so.1":
            (libraries / file.name).symlink_to(file)
    return libraries


def fake_python(folder: Path, *, finds_libgomp: bool) -> str:
    """A stand-in for an environment's Python, on a system with or without libgomp."""
    python = folder / "bin" / "python"
    python.parent.mkdir(exist_ok=True)
    python.write_text(f"#!/bin/sh\nexit {0 if finds_libgomp else 1}\n")
    python.chmod(0o755)
    return str(python)


def test_paddle_gets_its_own_openmp_library_under_the_name_of_gnus(tmp_path: Path) -> None:
    libraries = environment_with_paddle(tmp_path)
    bootstrap.provide_libgomp(fake_python(tmp_path, finds_libgomp=False))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(libraries / "libdnnl.so.3")],
        env={"LD_BIND_NOW": "1", "OMP_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    threads, maps = done.stdout.split("\n", 1)
    assert threads == "3"
    assert "libiomp5.so" in maps
    assert "libgomp" not in maps, "the system's libgomp was loaded: the link was not used"


def test_a_system_libgomp_is_preferred(tmp_path: Path) -> None:
    libraries = environment_with_paddle(tmp_path)
    bootstrap.provide_libgomp(fake_python(tmp_path, finds_libgomp=True))
    assert not (libraries / "libgomp.so.1").is_symlink()
    # The system got libgomp later: the earlier link is removed.
    bootstrap.provide_libgomp(fake_python(tmp_path, finds_libgomp=False))
    assert (libraries / "libgomp.so.1").is_symlink()
    bootstrap.provide_libgomp(fake_python(tmp_path, finds_libgomp=True))
    assert not (libraries / "libgomp.so.1").is_symlink()


def test_libgomp_is_named_when_nothing_can_stand_in_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    libraries = environment_with_paddle(tmp_path)
    (libraries / "libiomp5.so").unlink()
    with pytest.raises(SystemExit) as ended:
        bootstrap.provide_libgomp(fake_python(tmp_path, finds_libgomp=False))
    assert ended.value.code == 2
    assert "apt-get install libgomp1" in capsys.readouterr().err


def checkout(folder: Path) -> Path:
    """A checkout without environment and cache: what the set-up reads, and nothing else."""
    root = Path(places.ROOT)
    for name in BEFORE_SETUP:
        (folder / "harness" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "harness" / f"{name}.py", folder / "harness" / f"{name}.py")
    shutil.copytree(root / "requirements", folder / "requirements")
    shutil.copy(root / "pyproject.toml", folder)
    return folder


def programs(folder: Path, *, uv: str = "") -> dict[str, str]:
    """An environment whose PATH holds the system's programs, a uv, and no CPython 3.9."""
    path = folder / "programs"
    path.mkdir()
    if uv:
        (path / "uv").write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit 0\n{uv}\n')
        (path / "uv").chmod(0o755)
    else:
        (path / "uv").symlink_to(Path(sys.prefix) / "bin" / "uv")
    home = folder / "home"
    home.mkdir()
    return {
        "PATH": f"{path}:/usr/bin:/bin",
        "HOME": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "UV_HTTP_RETRIES": "0",
    }


def run(
    root: Path, program: str, environment: dict[str, str], *before: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, str(root / "harness" / program), "whole"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_python39_that_does_not_start_is_named_with_the_reason(tmp_path: Path) -> None:
    root, environment = checkout(tmp_path / "root"), programs(tmp_path)
    done = run(root, "setup/bootstrap.py", {**environment, "PYTHON39": "/bin/false"})
    assert done.returncode == 2
    assert "PYTHON39=/bin/false is no CPython 3.9 that starts (it ends with exit" in done.stderr
    done = run(root, "setup/bootstrap.py", {**environment, "PYTHON39": "/no/python"})
    assert "(No such file or directory)" in done.stderr
    assert not (root / ".venv").exists()


@pytest.mark.skipif(shutil.which("python3.9", path="/usr/bin:/bin") is not None, reason="has 3.9")
def test_without_a_cpython39_uvs_reason_and_other_ways_are_shown(tmp_path: Path) -> None:
    root, environment = checkout(tmp_path / "root"), programs(tmp_path)
    mirror = {"UV_PYTHON_INSTALL_MIRROR": "http://127.0.0.1:9"}
    done = run(root, "setup/bootstrap.py", {**environment, **mirror})
    assert done.returncode == 2
    assert "127.0.0.1:9" in done.stderr, "uv's own words are not shown"
    last = done.stderr.strip().splitlines()[-1]
    assert "uv could not download one: the other side does not answer" in last
    assert "UV_PYTHON_INSTALL_MIRROR" in last
    assert "make setup PYTHON39=/path/to/python3.9" in last


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_setup_says_so_in_one_line(tmp_path: Path, signum: int) -> None:
    environment = programs(tmp_path, uv="exec sleep 60")
    script = checkout(tmp_path / "root") / "harness" / "setup/bootstrap.py"
    with subprocess.Popen(
        [sys.executable, str(script), "whole"],
        env={**environment, "PYTHON39": sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert "installing whole packages" in process.stdout.readline()
        os.killpg(process.pid, signum)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "setup: interrupted; the same command goes on where it stopped\n"


@pytest.mark.skipif(shutil.which("python3.9", path="/usr/bin:/bin") is not None, reason="has 3.9")
def test_a_setup_that_alone_is_terminated_ends_uvs_download(tmp_path: Path) -> None:
    # `make` hands SIGTERM on to its child alone.
    environment = programs(tmp_path, uv="echo $$; exec sleep 60")
    script = checkout(tmp_path / "root") / "harness" / "setup/bootstrap.py"
    with subprocess.Popen(
        [sys.executable, str(script), "whole"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        uv = Path("/proc", process.stderr.readline().strip())
        assert uv.exists()
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert not uv.exists(), "uv was left running"


# Each of them runs before the set-up, on any Python 3.
BEFORE_SETUP = (
    *("__init__", "cli/__init__", "cli/doctor", "serving/__init__", "serving/proof"),
    *("setup/__init__", "setup/bootstrap", "setup/causes", "setup/hostname", "setup/sources"),
    *("support/__init__", "support/places"),
)
OLDEST = sorted(Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser().glob("versions/3.6.*"))


@pytest.mark.parametrize("name", BEFORE_SETUP)
def test_what_runs_before_the_setup_is_in_the_syntax_of_python_36(name: str) -> None:
    source = (Path(places.ROOT) / "harness" / f"{name}.py").read_text()
    ast.parse(source, feature_version=(3, 6))


@pytest.mark.skipif(not OLDEST, reason="no CPython 3.6 here")
def test_the_doctor_runs_on_python_36() -> None:
    python = str(OLDEST[0] / "bin" / "python3.6")
    code = "from harness.cli import doctor; print([check('.no') for _, check in doctor.CHECKS])"
    done = subprocess.run([python, "-c", code], cwd=places.ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    libc = " ".join(platform.libc_ver())
    assert f"'{platform.machine()} {libc}'" in done.stdout.decode()


def test_an_environment_that_the_doctor_does_not_know_is_one_sentence(tmp_path: Path) -> None:
    script = Path(places.ROOT) / "harness" / "cli/doctor.py"
    done = subprocess.run(
        [sys.executable, str(script), "blue"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    known = ", ".join(sorted(bootstrap.ENVIRONMENTS))
    assert done.stderr == f"doctor: name one environment: {known}\n"


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    environment = {**programs(tmp_path), "HARNESS_CACHE": "/proc/no/cache"}
    done = run(checkout(tmp_path / "root"), "setup/bootstrap.py", environment)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "/proc/no" in done.stderr


@pytest.mark.parametrize("letter", ["'", '"', ":", "%", "#", "$"])
def test_a_path_that_shells_or_hadoop_read_otherwise_is_refused(
    tmp_path: Path, letter: str
) -> None:
    root = checkout(tmp_path / f"my{letter}demo")
    done = run(root, "setup/bootstrap.py", programs(tmp_path))
    assert done.returncode == 2
    assert f"my{letter}demo has the character" in done.stderr
    assert not (root / ".cache").exists()


def test_the_doctor_looks_before_the_setup_and_leaves_nothing(tmp_path: Path) -> None:
    root, environment = checkout(tmp_path / "my démo"), programs(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = run(root, "cli/doctor.py", {**environment, "PYTHON39": sys.executable})
    assert sorted(tmp_path.rglob("*")) == before
    rows = {line[:16].strip(): line[17:] for line in done.stdout.splitlines()}
    for row in ("libgomp", "host name", "certificates", "mirrors"):
        assert rows[row], done.stdout
    assert rows["uv"].endswith("/programs/uv")
    assert rows["CPython 3.9"] == sys.executable
    assert rows["environment"].startswith("not made yet")
    wanting = run(root, "cli/doctor.py", {**environment, "PYTHON39": "/bin/false"})
    assert wanting.returncode == 2
    assert "MISSING: PYTHON39=/bin/false" in wanting.stdout


def test_the_doctor_asks_the_index_and_maven_at_the_same_time(tmp_path: Path) -> None:
    both = threading.Barrier(2)

    def answer(request: Request) -> None:
        both.wait(timeout=30)
        request.send_response(200)
        request.end_headers()

    root = checkout(tmp_path / "root")
    with contextlib.closing(HttpServer(answer)) as server:
        url = server.url
        mirrors = {"PIP_INDEX_URL": url, "MAVEN_MIRROR": url}
        done = run(root, "cli/doctor.py", {**programs(tmp_path), **mirrors})
    rows = {line[:16].strip(): line[17:] for line in done.stdout.splitlines()}
    assert (rows["package index"], rows["Maven"]) == (f"{url} answers", f"{url} answers")


def without_venv_and_pip(folder: Path) -> dict[str, str]:
    """Variables for a Python that has no venv and no pip, as Debian's has without more packages."""
    folder.mkdir()
    for name in ("venv", "ensurepip", "pip"):
        (folder / f"{name}.py").write_text("raise ImportError")
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder)}


@pytest.mark.parametrize(
    ("row", "change"),
    [
        ("CPython 3.9", {"PYTHON39": "/bin/false"}),
        ("package index", {"PIP_INDEX_URL": "http://127.0.0.1:9/simple"}),
        ("disk", {"HARNESS_CACHE": "/proc/no/cache"}),
        ("system", {"HARNESS_CACHE": "/tmp/a:b"}),
        ("uv", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_doctor_and_the_setup_miss_the_same_part(
    tmp_path: Path, row: str, change: Optional[dict[str, str]]
) -> None:
    root = checkout(tmp_path / "root")
    for name in ("whole.txt", "uv.txt"):
        (root / "requirements").mkdir(exist_ok=True)
        shutil.copy(Path(places.ROOT) / "requirements" / name, root / "requirements")
    change = without_venv_and_pip(tmp_path / "broken") if change is None else change
    environment = {**programs(tmp_path), "PYTHON39": sys.executable, **change}
    doctor = run(root, "cli/doctor.py", environment)
    rows = {line[:16].strip(): line[17:] for line in doctor.stdout.splitlines()}
    assert rows[row].startswith("MISSING"), doctor.stdout
    assert doctor.returncode == 2
    setup = run(root, "setup/bootstrap.py", environment)
    assert setup.returncode == 2, setup.stdout + setup.stderr
    assert setup.stderr.endswith("; `make doctor` lists all that is missing\n")


def test_a_link_to_the_environment_of_another_checkout_stays_as_it_is(tmp_path: Path) -> None:
    root, other = checkout(tmp_path / "root"), tmp_path / "other"
    other.mkdir()
    (other / "lock.sha256").write_text(f"0123 {tmp_path}")
    (root / ".venv").symlink_to(other)
    (root / "requirements").mkdir(exist_ok=True)
    shutil.copy(Path(places.ROOT) / "requirements" / "whole.txt", root / "requirements")
    environment = {**programs(tmp_path), "PYTHON39": sys.executable}
    sentence = f"{root}/.venv links to another checkout's environment; remove the link"
    doctor = run(root, "cli/doctor.py", environment)
    assert f"environment      MISSING: {sentence}\n" in doctor.stdout
    assert doctor.returncode == 2
    setup = run(root, "setup/bootstrap.py", environment)
    assert (setup.returncode, sentence in setup.stderr) == (2, True), setup.stderr
    assert (other / "lock.sha256").exists()


@pytest.mark.parametrize(
    ("row", "remotes", "change"),
    [
        ("serving binary", "ftp", {"SERVING_BIN": "/no/serving"}),
        ("Docker", "ftp", {"ON": "docker", "PATH": "/no/programs"}),
        ("Hadoop jars", "hdfs", {"M2_REPO": "/no/jars", "MAVEN_MIRROR": "http://127.0.0.1:9"}),
    ],
)
def test_the_doctor_and_the_demo_miss_the_same_part(
    tmp_path: Path, row: str, remotes: str, change: dict[str, str]
) -> None:
    environment = {**os.environ, "REMOTES": remotes, **change}
    doctor = run(Path(places.ROOT), "cli/doctor.py", environment)
    rows = {line[:16].strip(): line[17:] for line in doctor.stdout.splitlines()}
    assert rows[row].startswith("MISSING"), doctor.stdout
    assert doctor.returncode == 2
    words = [f"--remotes={remotes}", f"--on={environment.get('ON', 'local')}"]
    words = ["setup", words[0]] if row == "Hadoop jars" else ["e2e", *words]
    demo = subprocess.run(
        [sys.executable, "-m", "harness", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert demo.returncode == 2, demo.stdout + demo.stderr
    assert not (tmp_path / "runs").exists()


def test_the_doctor_is_content_where_the_demo_works(tmp_path: Path) -> None:
    # This environment is whole: other tests run the demo in it.
    environment = {**os.environ, "REMOTES": "ftp,http", "ON": "local", "SERVING": "embedded"}
    doctor = run(Path(places.ROOT), "cli/doctor.py", environment)
    missing = [line for line in doctor.stdout.splitlines() if "MISSING" in line]
    # Other programs may use the memory at this moment.
    if [line for line in missing if line.startswith("memory")]:
        pytest.skip("too little free memory at this moment")
    if [line for line in missing if "links to another checkout" in line]:
        pytest.skip(".venv belongs to another checkout")
    assert not missing
    assert doctor.returncode == 0, doctor.stdout


def in_namespace(script: str) -> list[str]:
    """Words before a command, so that ``script`` may mount and rename first; skips without."""
    unshare = ["unshare", "--map-root-user", "--mount", "--uts"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    return [*unshare, "sh", "-c", f'{script} && exec "$@"', "sh"]


def test_a_disk_that_is_too_small_and_a_name_that_does_not_resolve_are_told(
    tmp_path: Path,
) -> None:
    root, environment = checkout(tmp_path / "root"), programs(tmp_path)
    cache = tmp_path / "cache"
    cache.mkdir()
    before = in_namespace(f"mount -t tmpfs -o size=3m none {cache} && hostname nowhere.invalid")
    environment.update(HARNESS_CACHE=str(cache), PYTHON39=sys.executable)
    done = run(root, "cli/doctor.py", environment, *before)
    assert done.returncode == 2, done.stderr
    assert f"MISSING: 700 MB are needed for cache in {cache} (3 MB free; HARN" in done.stdout
    assert "add the line `127.0.1.1 nowhere.invalid` to /etc/hosts" in done.stdout
    refused = run(root, "setup/bootstrap.py", environment, *before)
    assert refused.returncode == 2
    assert f"setup: 700 MB are needed for cache in {cache} (3 MB free" in refused.stderr


def test_a_home_that_cannot_be_written_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_CACHE_DIR", "M2_REPO", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/dev/null/nobody")
    assert places.uv_cache() == f"{places.CACHE}/uv-packages"
    assert places.maven_repository() == f"{places.CACHE}/m2"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places.uv_cache() == f"{tmp_path}/.cache/uv"
    assert places.maven_repository() == f"{tmp_path}/.m2/repository"


def test_a_full_disk_is_told_with_folder_bytes_and_variable() -> None:
    said = causes.remedy("failed to write: No space left on device (os error 28)", "unknown")
    assert said.startswith("the disk is full: make room for ")
    assert " free" in said
    assert "/" in said
