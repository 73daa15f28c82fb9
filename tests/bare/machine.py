"""One bare machine: a root on disk, an ordinary user, and commands that run in it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional

from harness.support.errors import BadInput, Failed
from harness.support.paths import repository_root

from .roots import NotHere

USER = "newcomer"
HOME = f"/home/{USER}"
CHECKOUT = f"{HOME}/hot-loading"
_UID = 1000
_BOOT = Path(__file__).with_name("boot.sh")
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
# Options for the machine's /etc/pip.conf, and the variable of this machine that sets each.
_PIP = {
    "index-url": "PIP_INDEX_URL",
    "extra-index-url": "PIP_EXTRA_INDEX_URL",
    "timeout": "PIP_DEFAULT_TIMEOUT",
}
# Large parts of an interpreter that no program here imports.
_UNUSED = shutil.ignore_patterns("test", "site-packages", "config-*", "idlelib")


class Machine:
    """A root with its user; commands run in it one after another."""

    def __init__(self, folder: Path, tarball: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        _check(["tar", "--numeric-owner", "-C", str(self.root), "-xpf", str(tarball)])
        self._chroot("useradd", "--uid", str(_UID), "--create-home", "--shell", "/bin/bash", USER)
        self._take_network_settings()
        #: A phrase that says which CPython 3.9 the machine has.
        self.python = self._take_python()
        self._clone()

    def run(self, command: str, log: Path, deadline_s: float) -> Optional[int]:
        """Run a command as an ordinary user under ``env -i``.

        Returns:
            The exit code; None after the deadline.

        Raises:
            NotHere: This system cannot start a machine.
        """
        names = {
            "HOME": HOME,
            "USER": USER,
            "LOGNAME": USER,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
        }
        # Without these the machine reaches no network behind a proxy.
        names.update({k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")})
        settings = " ".join(shlex.quote(f"{name}={value}") for name, value in names.items())
        inner = f"cd {CHECKOUT} && : >{HOME}/.started && {command}"
        script = f"exec env --default-signal -i {settings} bash -c {shlex.quote(inner)}"
        words = ["setpriv", "--pdeathsig", "KILL"]
        words += ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL"]
        words += ["sh", str(_BOOT), str(self.root), str(_UID), script]
        started = self.root / HOME[1:] / ".started"
        started.unlink(missing_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code: Optional[int] = process.wait(deadline_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                # The namespace's first process dies with this one, and all its processes with that.
                process.kill()
                process.wait()
        if not started.exists():
            said = log.read_text(errors="replace").strip()[-500:]
            raise NotHere(f"a machine cannot be started in namespaces: {said}")
        return code

    def fetch(self, name: str, target: Path) -> bool:
        """Copy a file out of the user's home. Returns False when there is none."""
        source = self.root / HOME[1:] / name
        if not source.is_file() or source.is_symlink():
            return False
        shutil.copyfile(source, target)
        return True

    def _chroot(self, *words: str) -> str:
        return _check(["chroot", str(self.root), *words])

    def _put(self, path: str, text: str) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o644)

    def _take_network_settings(self) -> None:
        """Copy host names, authorities and pip's settings of this machine into the root."""
        for name in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", _BUNDLE):
            if Path(name).exists():
                (self.root / name[1:]).unlink(missing_ok=True)
                self._put(name, Path(name).read_text())
        options = {option: os.environ[name] for option, name in _PIP.items() if name in os.environ}
        lines = [f"{option} = {' '.join(value.split())}" for option, value in options.items()]
        self._put("/etc/pip.conf", "\n".join(["[global]", f"cert = {_BUNDLE}", *lines, ""]))

    def _take_python(self) -> str:
        """Copy this machine's CPython 3.9 to /usr/local if the root has none."""
        if (self.root / "usr/bin/python3.9").exists():
            return "its own CPython 3.9"
        if sys.version_info[:2] != (3, 9):
            raise BadInput(
                "the trial copies the CPython 3.9 that runs it: start it with .venv/bin/python"
            )
        prefix, local = Path(sys.base_prefix), self.root / "usr/local"
        # With its bytecode: the ordinary user cannot write any, and each start would compile again.
        shutil.copytree(prefix / "lib/python3.9", local / "lib/python3.9", ignore=_UNUSED)
        # ``python -m venv`` needs this folder.
        (local / "lib/python3.9/site-packages").mkdir(exist_ok=True)
        program = local / "bin/python3.9"
        shutil.copy(Path(sys.executable).resolve(), program)
        have = self._chroot("ldconfig", "-p")
        needing = [program.resolve(), *(prefix / "lib/python3.9/lib-dynload").glob("*.so")]
        said = _check(["ldd", str(Path(sys.executable).resolve()), *map(str, needing[1:])])
        for name, path in sorted(set(re.findall(r"(\S+) => (/\S+)", said))):
            if f"\t{name} " not in have:
                shutil.copy(path, local / "lib" / name)
        self._chroot("ldconfig")
        self._chroot(
            "/usr/local/bin/python3.9", "-c", "import bz2, ctypes, lzma, sqlite3, ssl, zlib"
        )
        return f"CPython {sys.version.split()[0]} from here in /usr/local"

    def _clone(self) -> None:
        source, target = repository_root(), self.root / CHECKOUT[1:]
        if (source / ".git").exists():
            # Otherwise git refuses a checkout of another user.
            trust = self.root.with_name("gitconfig")
            trust.write_text("[safe]\n\tdirectory = *\n")
            words = ["git", "clone", "-q", "--depth", "1", f"file://{source}", str(target)]
            _check(["env", f"GIT_CONFIG_GLOBAL={trust}", *words])
        else:
            skipped = shutil.ignore_patterns(".venv*", ".cache", ".tox", "runs", "__pycache__")
            shutil.copytree(source, target, symlinks=True, ignore=skipped)
        self._chroot("chown", "-R", f"{USER}:{USER}", CHECKOUT)


def _check(words: list[str]) -> str:
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise Failed(
            f"`{' '.join(words[:6])} …` ended with {done.returncode}: {done.stderr.strip()}"
        )
    return done.stdout
