"""Sets up an environment from a hashed lock: what ``make setup`` runs.

    python3 harness/bootstrap.py whole|gpu|monitor

Run by whatever Python 3 the machine has (3.6 or newer, standard library only), so nothing of the
project is imported here. It finds or brings uv (into ``.cache/uv``, not into the user's Python),
finds CPython 3.9, makes ``.venv`` (``.venv-gpu``, ``.venv-monitor``), installs the lock with
hashes and then the project itself. A second call with nothing changed takes no time.
"""

import fcntl
import glob
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from typing import List, NoReturn

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.environ.get("HARNESS_CACHE") or os.path.join(ROOT, ".cache")
ENVIRONMENTS = {"whole": ".venv", "gpu": ".venv-gpu", "monitor": ".venv-monitor"}


def fail(sentence: str) -> NoReturn:
    print("setup: " + sentence, file=sys.stderr)
    sys.exit(2)


def say(text: str) -> None:
    print("setup: " + text, flush=True)


def run(command: List[str], cure: str) -> None:
    """Runs a command; its output is shown only when it fails."""
    environment = dict(os.environ, UV_NO_PROGRESS="1")
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        env=environment,
    )
    if done.returncode:
        sys.stderr.write(done.stdout.decode(errors="replace"))
        fail("`{}` failed (its output is above); {}".format(" ".join(command), cure))


def check_platform() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        fail(
            "Paddle's and Serving's wheels are for x86-64 Linux and this is "
            f"{platform.machine()} {platform.system()}; use such a machine, or the "
            "containers (docs/docker.md) on one"
        )
    if platform.libc_ver()[0] != "glibc":
        fail("the wheels need glibc and this system has another C library; use the containers")


def works(command: List[str]) -> bool:
    try:
        nothing = subprocess.DEVNULL
        return subprocess.call(command, stdout=nothing, stderr=nothing) == 0
    except OSError:
        return False


def find_uv() -> str:
    folder = os.path.join(CACHE, "uv")
    own = os.path.join(folder, "bin", "uv")
    for candidate in (shutil.which("uv"), os.path.expanduser("~/.local/bin/uv"), own):
        if candidate and works([candidate, "--version"]):
            return candidate
    lock = os.path.join(ROOT, "requirements", "uv.txt")
    say("bringing uv into " + folder)
    os.makedirs(CACHE, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    if works([sys.executable, "-m", "venv", folder]):
        python = os.path.join(folder, "bin", "python")
        options = ["install", "--quiet", "--require-hashes", "-r", lock]
        run([python, "-m", "pip", *options], "check that pip reaches its package index")
    elif works([sys.executable, "-m", "pip", "--version"]):
        shutil.rmtree(folder, ignore_errors=True)
        options = ["install", "--quiet", "--require-hashes", "--target", folder, "-r", lock]
        run([sys.executable, "-m", "pip", *options], "check that pip reaches its package index")
    else:
        fail(
            f"{sys.executable} has neither venv nor pip and there is no uv; install one of them, "
            "for instance with `apt-get install python3-venv`"
        )
    if not works([own, "--version"]):
        fail(f"uv was installed into {folder} but does not start; remove the folder and retry")
    return own


def is_python39(program: str) -> bool:
    code = "import sys; sys.exit(sys.version_info[:2] != (3, 9))"
    return works([program, "-c", code])


def find_python39(uv: str) -> str:
    given = os.environ.get("PYTHON39")
    if given:
        if not is_python39(given):
            fail(f"PYTHON39={given} is not a CPython 3.9; name one or unset it")
        return given
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    candidates = [shutil.which("python3.9")]
    candidates += sorted(glob.glob(os.path.join(pyenv, "versions", "3.9.*", "bin", "python3.9")))
    for candidate in candidates:
        if candidate and is_python39(candidate):
            return candidate
    say("no CPython 3.9 on this machine; asking uv for one")
    folder = os.path.join(CACHE, "python")
    if works([uv, "python", "install", "--install-dir", folder, "3.9"]):
        for candidate in glob.glob(os.path.join(folder, "*", "bin", "python3.9")):
            if is_python39(candidate):
                return candidate
    fail(
        "CPython 3.9 is needed (the newest client wheel is for it), is not on this machine, and "
        "uv could not download one; install it, for instance with `pyenv install 3.9`, or name "
        "one: `make setup PYTHON39=/path/to/python3.9`"
    )


# Found by the dynamic linker alone, as for Paddle: LD_LIBRARY_PATH is not there in every process.
FIND_LIBGOMP = "import ctypes; ctypes.CDLL('libgomp.so.1')"


def provide_libgomp(python: str) -> None:
    """Makes GNU's OpenMP library (libgomp.so.1), which Paddle needs, available to Paddle.

    Minimal systems have none. Paddle's wheel brings Intel's library, which has the same functions
    under the same symbol versions and which Paddle loads anyway. A link beside Paddle's libraries,
    where they look first, gives it the second name. The system's library is preferred: with one,
    the link goes away.
    """
    environment = dict(os.environ)
    environment.pop("LD_LIBRARY_PATH", None)
    nothing = subprocess.DEVNULL
    command = [python, "-S", "-E", "-c", FIND_LIBGOMP]
    found = subprocess.call(command, stdout=nothing, stderr=nothing, env=environment) == 0
    venv = os.path.dirname(os.path.dirname(python))
    for libraries in glob.glob(os.path.join(venv, "lib", "python3*", "site-packages/paddle/libs")):
        link = os.path.join(libraries, "libgomp.so.1")
        if found and os.path.islink(link):
            os.unlink(link)
        elif not found and not os.path.lexists(link):
            if not os.path.exists(os.path.join(libraries, "libiomp5.so")):
                fail(
                    "Paddle needs libgomp.so.1, which this system does not have; install it, for "
                    "instance with `apt-get install libgomp1`"
                )
            os.symlink("libiomp5.so", link)


def digest(*paths: str) -> str:
    total = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            total.update(file.read())
    return total.hexdigest()


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in ENVIRONMENTS:
        fail("name one environment: {}".format(", ".join(sorted(ENVIRONMENTS))))
    name = sys.argv[1]
    check_platform()
    if name == "gpu" and not os.path.exists("/dev/nvidiactl"):
        fail("DEVICE=gpu, but this machine has no NVIDIA GPU (no /dev/nvidiactl); use DEVICE=cpu")
    begin = time.time()
    lock = os.path.join(ROOT, "requirements", name + ".txt")
    project = os.path.join(ROOT, "monitor" if name == "monitor" else "")
    venv = os.path.join(ROOT, ENVIRONMENTS[name])
    python = os.path.join(venv, "bin", "python")
    stamp = os.path.join(venv, "lock.sha256")
    wanted = digest(lock, os.path.join(project, "pyproject.toml")) + " " + ROOT
    os.makedirs(CACHE, exist_ok=True)
    # Two `make` at once would otherwise install into each other.
    with open(os.path.join(CACHE, "setup.lock"), "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if os.path.exists(stamp):
            with open(stamp) as file:
                if file.read() == wanted and works([python, "--version"]):
                    provide_libgomp(python)
                    return
        uv = find_uv()
        base = sys.executable if name == "monitor" else find_python39(uv)
        if name == "monitor" and sys.version_info < (3, 9):
            base = find_python39(uv)
        shutil.rmtree(venv, ignore_errors=True)
        run([uv, "venv", "--python", base, venv], "check that the folder can be written")
        retry = "run the same again, it goes on where it stopped"
        sync = [uv, "pip", "sync", "--python", python, "--require-hashes", lock]
        run(sync, retry)
        install = [uv, "pip", "install", "--python", python, "--no-deps", "--no-build-isolation"]
        run([*install, "-e", project], retry)
        provide_libgomp(python)
        with open(stamp, "w") as file:
            file.write(wanted)
    say(f"{ENVIRONMENTS[name]} ready in {time.time() - begin:.1f} s ({base})")


if __name__ == "__main__":
    main()
