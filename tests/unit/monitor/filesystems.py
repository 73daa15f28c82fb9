"""Scripts that run where they may mount, or where a system call is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from monitor.decisions.identity import Identity
from monitor.live import staging, state
from monitor.live.layout import STATE, Layout
from monitor.live.recovery import Mended, When, recover
from monitor.live.state import Installed

TIME = "fluid_time_file"
#: With this option of overlayfs, a directory of a lower layer cannot be renamed. Containers have
#: ``redirect_dir=off``, but the kernel refuses that in a user namespace.
OVERLAY = (
    "redirect_dir=off"
    if Path("/proc/self/uid_map").read_text().split()[1] == "0"
    else ("userxattr")
)


def staged(folder: Path, number: int, second: int = 2_000_000_000) -> Path:
    """A complete staging folder with ``number`` in every file."""
    path = folder / f".m.staging-{number}"
    (path / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c", f"only-{number}"):
        (path / name).write_text(str(number))
    staging.stamp(str(path), TIME, Installed(Identity(str(number), number), second, 1.0))
    return path


def content(live: Path) -> set[str]:
    """What stands in the files of a live directory; one element when it is one whole release."""
    names = {p.name for p in live.iterdir()}
    assert {"a", "b", "sub", TIME, STATE} < names, names
    assert len(names) == 6, names
    numbers = {(live / name).read_text() for name in ("a", "b", "sub/c")}
    identity = state.read_installed(str(live)).identity
    assert identity is not None
    return numbers | {identity.key} | {n.partition("-")[2] for n in names if n.startswith("only")}


def recovered(live: Path) -> list[str]:
    """Do what a swap does first; return the staging folders that became the live directory."""
    mended: list[Mended] = []
    recover(Layout(str(live)), TIME, until=When.SWAP, mended=mended.append)
    return [one.path for one in mended if one.finished]


_PRELUDE = """
import os, sys
from pathlib import Path
from monitor.live import exchange, fallback, replace, staging
from monitor.live.layout import READY
from tests.unit.monitor.filesystems import OVERLAY, TIME, content, recovered, staged
tmp = Path(sys.argv[1]); live = tmp / "m"
"""
ROOT = Path(__file__).parents[3]


def run_python(script: str, folder: Path, *lead: str) -> None:
    done = subprocess.run(
        [*lead, sys.executable, "-c", _PRELUDE + textwrap.dedent(script), str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(f"not possible here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


def mounted(script: str, folder: Path, then: str = "") -> None:
    """Runs ``script`` where it may mount, or skips."""
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        pytest.skip("there is no unshare or mount here")
    lead = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]
    probe = ["mount", "-t", "tmpfs", "none", str(folder)]
    tried = subprocess.run([*lead, *probe], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"mounting is not allowed here: {tried.stderr.strip()}")
    run_python(textwrap.dedent(script) + then, folder, *lead)


# seccomp(2) in BPF: load the number of the system call (x86-64), compare, fail or allow.
_FILTER = """
import ctypes, struct
def op(code, jt, jf, k): return struct.pack("HBBI", code, jt, jf, k)
program = %s
buffer = ctypes.create_string_buffer(program)
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
where = Filter(len(program) // 8, ctypes.addressof(buffer))
if libc.prctl(22, 2, ctypes.byref(where)) != 0: sys.exit(77)
"""
# renameat2 with any flags fails with EINVAL.
WITHOUT_EXCHANGE = (
    _FILTER
    % """(op(0x20, 0, 0, 0) + op(0x15, 0, 3, 316) + op(0x20, 0, 0, 48)
           + op(0x15, 1, 0, 0) + op(0x06, 0, 0, 0x00050000 | 22) + op(0x06, 0, 0, 0x7fff0000))"""
)


def without_flock(code: int) -> str:
    """A script's beginning after which flock(2) fails with the error number ``code``."""
    return _FILTER % (
        f"(op(0x20, 0, 0, 0) + op(0x15, 0, 1, 73) + op(0x06, 0, 0, 0x00050000 | {code})"
        " + op(0x06, 0, 0, 0x7fff0000))"
    )


def no_exchange(script: str, folder: Path) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the seccomp filter is for x86-64")
    run_python(WITHOUT_EXCHANGE + textwrap.dedent(script), folder)
