"""The official serving binary: found in our cache, or downloaded from its vendor's host.

The launcher would download it itself, without checking the certificate and into its own package
folder. Here it is fetched once, checked, unpacked into ``.cache/serving/``, cured for a current
glibc as the compiled client is (it comes from the same build), and handed to the launcher as
``SERVING_BIN``.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Callable, Optional
from urllib.parse import urlsplit

from ..errors import BadInput
from ..paths import cache_dir

VERSION = "0.9.0"
# Where `paddle_serving_server` 0.9.0 itself looks; SERVING_DOWNLOAD_URL names a mirror.
DOWNLOAD_URL = "https://paddle-serving.bj.bcebos.com/test-dev/bin"
# The GPU wheel of requirements/gpu.in is .post112: CUDA 11.2.
_GPU_BUILD = "gpu-112"


def build_name(device: str) -> str:
    """The name the launcher would pick for this machine: ``cpu-avx-mkl``, ``gpu-112`` and so on."""
    if device == "gpu":
        return _GPU_BUILD
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "cpu-avx-mkl" if " avx" in flags else "cpu-noavx-openblas"


def _folder(device: str) -> Path:
    return cache_dir("serving") / f"serving-{build_name(device)}-{VERSION}"


def cached(device: str) -> Optional[Path]:
    """The program in the cache, ready to be SERVING_BIN, or None."""
    program = _folder(device) / "serving-cured"
    return program if program.exists() else None


def download_url(device: str) -> str:
    base = os.environ.get("SERVING_DOWNLOAD_URL", DOWNLOAD_URL).rstrip("/")
    return f"{base}/serving-{build_name(device)}-{VERSION}.tar.gz"


def unreachable_because(device: str, timeout_s: float = 4.0) -> Optional[str]:
    """None when the host answers for the binary within ``timeout_s``, else why not."""
    import requests

    url = download_url(device)
    try:
        with requests.get(url, timeout=timeout_s, stream=True) as answer:
            if answer.status_code != 200:
                return f"{urlsplit(url).netloc} answers {answer.status_code} for {url}"
    except requests.RequestException as error:
        return f"{urlsplit(url).netloc} does not answer ({type(error).__name__})"
    return None


def download(device: str, say: Callable[[str], None]) -> Path:
    """Fetches, unpacks and cures the binary; gives the program for SERVING_BIN.

    Raises ``BadInput`` when it cannot be had or is not what it should be.
    """
    folder = _folder(device)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = cached(device)
        if ready is not None:
            return ready
        url = download_url(device)
        say(f"downloading {url}")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as new:
            archive = Path(new) / "serving.tar.gz"
            _fetch(url, archive)
            _unpack(archive, Path(new), folder.name)
            _cure(Path(new) / folder.name)
            (Path(new) / folder.name).chmod(0o755)
            (Path(new) / folder.name).rename(folder)
    program = cached(device)
    assert program is not None
    return program


def _fetch(url: str, target: Path) -> None:
    import requests

    try:
        with requests.get(url, timeout=60, stream=True) as answer, target.open("wb") as file:
            answer.raise_for_status()
            for block in answer.iter_content(1 << 20):
                file.write(block)
    except requests.RequestException as error:
        raise BadInput(
            f"the official serving binary cannot be downloaded from {url} ({error}); "
            "use SERVING=embedded, or name a binary of yours in SERVING_BIN"
        ) from error


def _unpack(archive: Path, into: Path, folder: str) -> None:
    try:
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                inside = (into / member.name).resolve().is_relative_to((into / folder).resolve())
                if not inside or not (member.isfile() or member.isdir() or member.issym()):
                    raise BadInput(f"{archive.name}: {member.name} does not belong in {folder}/")
                if member.issym() and "/" in member.linkname:
                    raise BadInput(f"{archive.name}: {member.name} links to {member.linkname}")
            tar.extractall(into)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadInput(f"{archive.name} from the vendor's host is damaged: {error}") from error
    if not (into / folder / "serving").is_file():
        raise BadInput(f"{archive.name} from the vendor's host holds no {folder}/serving")


def needs_cure() -> bool:
    """Whether this glibc has dropped ``_dl_sym`` (2.34 and newer)."""
    _, version = platform.libc_ver()
    return tuple(int(part) for part in version.split(".")[:2]) >= (2, 34)


def _cure(folder: Path) -> None:
    """On a current glibc: rename ``_dl_sym``, bring OpenSSL 1.0.2; always: a wrapper script."""
    program = folder / "serving"
    program.chmod(0o755)
    libraries = folder
    if needs_cure():
        from ..clients.cure import copy_openssl, rename_dl_sym

        rename_dl_sym(program)
        libraries = folder / "openssl"
        libraries.mkdir(exist_ok=True)
        copy_openssl(libraries)
    wrapper = folder / "serving-cured"
    wrapper.write_text(
        "#!/bin/sh\n"
        "# Its shared libraries lie beside it; OpenSSL 1.0.2 only where the system has none.\n"
        'here=$(dirname "$(readlink -f "$0")")\n'
        f'export LD_LIBRARY_PATH="$here:$here/{libraries.name if libraries != folder else ""}'
        '${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\n'
        'exec "$here/serving" "$@"\n'
    )
    wrapper.chmod(0o755)


def forget(device: str) -> None:
    """Removes the cached binary."""
    shutil.rmtree(_folder(device), ignore_errors=True)
