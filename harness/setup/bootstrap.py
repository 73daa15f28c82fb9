"""Sets up an environment from a hashed lock: what ``make setup`` runs.

    python3 harness/setup/bootstrap.py whole|gpu|monitor|locust|docs|s3|tox

Runs on any Python 3.6 or newer, with the standard library only. It finds uv or installs it into
``.cache/uv``. It finds CPython 3.9, makes ``.venv`` (``.venv-gpu``, …), installs
the lock with hashes, and then the project itself. A second call with nothing changed takes no time.

Exit codes: 2 when something is missing or wrong, with one sentence; 130 after Ctrl-C.
"""

import fcntl
import glob
import hashlib
import os
import platform
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import Dict, List, NoReturn, Optional, Tuple

if __name__ == "__main__":
    # Python adds the script's folder to sys.path, but not the folder of its package.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from harness.setup import causes, sources
from harness.support import places
from harness.support.places import CACHE, ROOT

ENVIRONMENTS = {
    "whole": ".venv",
    "gpu": ".venv-gpu",
    "monitor": ".venv-monitor",
    "locust": ".venv-locust",
    "docs": ".venv-docs",
    "s3": ".venv-s3",
    "tox": ".venv-tox",
}
# Characters that no quoting protects in PATH, class paths, URIs and lists.
BAD_LETTERS = "\"'\\$`\n\r:%;,#?"
# Runs without LD_LIBRARY_PATH, because not every process that loads Paddle has it.
FIND_LIBGOMP = "import ctypes; ctypes.CDLL('libgomp.so.1')"


def fail(sentence: str) -> NoReturn:
    """Print a sentence and end with exit code 2."""
    print(f"setup: {sources.masked(sentence)}; {places.DOCTOR}", file=sys.stderr)
    sys.exit(2)


def say(text: str) -> None:
    """Print a line of progress."""
    print("setup: " + text, flush=True)


def tool_environment() -> Dict[str, str]:
    """Return the environment for uv and pip, with pip's and the system's settings."""
    told = dict(os.environ, UV_NO_PROGRESS="1", UV_CACHE_DIR=places.uv_cache())
    told.update(sources.uv_environment())
    told.pop("VIRTUAL_ENV", None)
    return told


def run(command: List[str], remedy: str) -> None:
    """Run a command; show its output only if it fails. ``remedy`` is for an unknown cause."""
    if sys.stderr.isatty():
        code, printed = _shown(command)
    else:
        done = subprocess.run(
            command,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=tool_environment(),
        )
        code, printed = done.returncode, done.stdout.decode(errors="replace")
        if code:
            sys.stderr.write(sources.masked(printed))
    if code:
        what = " ".join(command)
        fail(f"`{what}` failed (its output is above); {causes.remedy(printed, remedy)}")


def _shown(command: List[str]) -> Tuple[int, str]:
    """Run a command on a terminal of its own, where uv and pip draw their progress.

    Returns:
        The exit code, and all that the command printed. The list of the installed packages is not
        shown.
    """
    reader, writer = pty.openpty()
    size = shutil.get_terminal_size()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", size.lines, size.columns, 0, 0))
    environment = tool_environment()
    environment.pop("UV_NO_PROGRESS")
    process = subprocess.Popen(command, stdout=writer, stderr=writer, cwd=ROOT, env=environment)
    os.close(writer)
    printed = ""
    try:
        while True:
            part = os.read(reader, 65536).decode(errors="replace")
            if "Installed " not in printed:
                sys.stderr.write(sources.masked(part))
                sys.stderr.flush()
            printed += part
    except OSError:
        # The command has ended: its terminal is gone.
        return process.wait(), printed
    except KeyboardInterrupt:
        process.kill()
        process.wait()
        raise
    finally:
        os.close(reader)


def wrong_platform() -> Optional[str]:
    """Return why the wheels do not run on this system, or None."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return (
            "Paddle's and Serving's wheels are for x86-64 Linux and this is "
            f"{platform.machine()} {platform.system()}; use such a machine, or the "
            "containers (docs/docker.md) on one"
        )
    if platform.libc_ver()[0] != "glibc":
        return "the wheels need glibc and this system has another C library; use the containers"
    return None


def wrong_path() -> Optional[str]:
    """Return why the path of the checkout or of the cache does not work, or None."""
    for folder in (ROOT, CACHE):
        for letter in folder:
            if letter in BAD_LETTERS:
                return (
                    f"{folder} has the character {letter!r} in it, which shells, PATH or Hadoop "
                    "read as their own; use a folder without it (HARNESS_CACHE names another cache)"
                )
    return None


def foreign_link(venv: str) -> Optional[str]:
    """Return a sentence if ``venv`` is a link to another checkout's environment, else None."""
    stamp = os.path.join(venv, "lock.sha256")
    if not os.path.islink(venv) or not os.path.exists(stamp):
        return None
    with open(stamp) as file:
        own = file.read().endswith(" " + ROOT)
    return None if own else venv + " links to another checkout's environment; remove the link"


def works(command: List[str]) -> bool:
    """Return whether a command succeeds."""
    return reason(command) is None


def reason(command: List[str]) -> Optional[str]:
    """Return one line that says why a command fails, or None."""
    try:
        done = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        return error.strerror
    if done.returncode == 0:
        return None
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"it ends with exit code {done.returncode}"


def uv_here() -> Optional[str]:
    """Return a uv that starts: from PATH, its installer's folder or an earlier set-up."""
    own = os.path.join(CACHE, "uv", "bin", "uv")
    for candidate in (shutil.which("uv"), os.path.expanduser("~/.local/bin/uv"), own):
        if candidate and works([candidate, "--version"]):
            return candidate
    return None


def find_uv() -> str:
    """Return the path of uv; install uv into the cache if there is none."""
    found = uv_here()
    if found:
        return found
    folder = os.path.join(CACHE, "uv")
    own = os.path.join(folder, "bin", "uv")
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


def not_python39(program: str) -> Optional[str]:
    """Return why a program is no CPython 3.9 for an environment, or None."""
    code = (
        "import sys, ssl; name = sys.implementation.name + ' ' + sys.version.split()[0];"
        "sys.exit(None if name.startswith('cpython 3.9.') else 'it is ' + name)"
    )
    return reason([program, "-c", code])


def find_python39(uv: str) -> str:
    """Return a CPython 3.9; let uv download one if there is none."""
    given = os.environ.get("PYTHON39")
    if given:
        why = not_python39(shutil.which(given) or given)
        if why:
            fail(f"PYTHON39={given} is no CPython 3.9 that starts ({why}); name one or unset it")
        return given
    found = python39_here()
    if found:
        return found
    say("no CPython 3.9 on this machine; uv downloads one (about 30 MB)")
    folder = os.path.join(CACHE, "python")
    # The terminal shows uv's output at once; it is also kept to find the cause of a failure.
    process = subprocess.Popen(
        [uv, "python", "install", "--no-bin", "--install-dir", folder, "3.9"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=tool_environment(),
    )
    printed = []
    assert process.stdout is not None
    try:
        for line in process.stdout:
            printed.append(line.decode(errors="replace"))
            sys.stderr.write(sources.masked(printed[-1]))
            sys.stderr.flush()
    except KeyboardInterrupt:
        process.kill()
        process.wait()
        raise
    if process.wait() == 0:
        for candidate in glob.glob(os.path.join(folder, "*", "bin", "python3.9")):
            if not_python39(candidate) is None:
                return candidate
    why = causes.remedy("".join(printed), "what uv says is above")
    fail(
        "CPython 3.9 is needed (the newest client wheel is for it), is not on this machine, and "
        f"uv could not download one: {why}. Ways that need no compiler: UV_PYTHON_INSTALL_MIRROR "
        "names a mirror of python-build-standalone; or unpack its `install_only` archive, or "
        "install conda's `python=3.9` (Ubuntu: deadsnakes' python3.9 and python3.9-venv), and "
        "name it: `make setup PYTHON39=/path/to/python3.9` (docs/setup.md)"
    )


def python39_here() -> Optional[str]:
    """Return a CPython 3.9 from PATH, from pyenv or from an earlier download, or None."""
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    candidates = [shutil.which("python3.9")]
    candidates += sorted(glob.glob(os.path.join(pyenv, "versions", "3.9.*", "bin", "python3.9")))
    candidates += sorted(glob.glob(os.path.join(CACHE, "python", "*", "bin", "python3.9")))
    for candidate in candidates:
        if candidate and not_python39(candidate) is None:
            return candidate
    return None


def finds_libgomp(python: str) -> bool:
    """Return whether a process of ``python`` finds libgomp on this system."""
    environment = dict(os.environ)
    environment.pop("LD_LIBRARY_PATH", None)
    nothing = subprocess.DEVNULL
    command = [python, "-S", "-E", "-c", FIND_LIBGOMP]
    return subprocess.call(command, stdout=nothing, stderr=nothing, env=environment) == 0


def provide_libgomp(python: str) -> None:
    """Make GNU's OpenMP library (libgomp.so.1) available to Paddle.

    Minimal systems do not have it. Paddle's wheel has Intel's library, with the same functions
    under the same symbol versions. Paddle loads that library in any case. A link beside Paddle's
    libraries, where they look first, gives it the second name. If the system has libgomp, the link
    is removed.
    """
    found = finds_libgomp(python)
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
    """Return the SHA-256 of the contents of some files."""
    total = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            total.update(file.read())
    return total.hexdigest()


def main() -> None:
    """Make the environment that the command line names."""
    if len(sys.argv) != 2 or sys.argv[1] not in ENVIRONMENTS:
        fail("name one environment: {}".format(", ".join(sorted(ENVIRONMENTS))))
    name = sys.argv[1]
    wrong = wrong_platform() or wrong_path()
    if wrong:
        fail(wrong)
    if name == "gpu" and not os.path.exists("/dev/nvidiactl"):
        fail("DEVICE=gpu, but this machine has no NVIDIA GPU (no /dev/nvidiactl); use DEVICE=cpu")
    os.makedirs(CACHE, exist_ok=True)
    # Two `make` at once must not install into the same environment.
    with open(os.path.join(CACHE, "setup.lock"), "w") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up in this folder")
            fcntl.flock(guard, fcntl.LOCK_EX)
        provide(name)


def provide(name: str) -> None:
    """Make the environment, unless the present one comes from the same lock."""
    begin = time.time()
    lock = os.path.join(ROOT, "requirements", name + ".txt")
    project = os.path.join(ROOT, "monitor") if name in ("monitor", "s3") else ROOT
    venv = os.path.join(ROOT, ENVIRONMENTS[name])
    python = os.path.join(venv, "bin", "python")
    stamp = os.path.join(venv, "lock.sha256")
    wanted = digest(lock, os.path.join(project, "pyproject.toml")) + " " + ROOT
    if os.path.exists(stamp):
        with open(stamp) as file:
            if file.read() == wanted and works([python, "--version"]):
                provide_libgomp(python)
                return
    wrong = foreign_link(venv)
    if wrong:
        fail(wrong)
    shutil.rmtree(venv, ignore_errors=True)
    for sentence in places.too_small(ENVIRONMENTS[name]):
        fail(sentence)
    uv = find_uv()
    own = name == "monitor" and sys.version_info >= (3, 9)
    base = sys.executable if own else find_python39(uv)
    say(f"installing {name} packages into {ENVIRONMENTS[name]} (1 to 5 minutes the first time)")
    run([uv, "venv", "--python", base, venv], "check that the folder can be written")
    retry = "run the same command again, which continues where this one stopped"
    run([uv, "pip", "sync", "--python", python, "--require-hashes", lock], retry)
    if name in ("docs", "tox"):
        # Neither holds a package of this project.
        _finish(stamp, wanted, name, begin, base)
        return
    install = [uv, "pip", "install", "--python", python, "--no-deps", "--no-build-isolation"]
    # Relative, because uv takes `#` and `?` in a path for parts of a URL.
    run([*install, "-e", os.path.join(".", os.path.relpath(project, ROOT))], retry)
    provide_libgomp(python)
    _finish(stamp, wanted, name, begin, base)


def _finish(stamp: str, wanted: str, name: str, begin: float, base: str) -> None:
    with open(stamp, "w") as file:
        file.write(wanted)
    say(f"{ENVIRONMENTS[name]} ready in {time.time() - begin:.1f} s ({base})")


def _on_sigterm(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        main()
    except KeyboardInterrupt:
        print("setup: interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        text = "{}: {}".format(error.strerror or error, error.filename or "")
        known = causes.known_cause(str(error))
        fail(text + ("; " + known if known else ""))
