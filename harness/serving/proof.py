"""A serving binary's digest, and the remembered result of its trial.

Only the standard library, in the syntax of Python 3.6: ``make doctor`` uses this before the set-up.
A trial's result is in ``.cache/serving/trials/<key>/result.json``. The key is a hash of all that
the result depends on, so a new binary, C library, kernel or device gets a new trial.
"""

import glob
import hashlib
import json
import os
import platform
import re
from typing import Any, Dict, List, Optional

# Increase this when a trial checks more than before: old results then do not count.
VERSION = "1"
RESULT = "result.json"
# Downloaded archives: name to sha256, size, address and time.
ARCHIVES = "archives.json"
# A longer file counts as a program, even if it begins with #!.
_MOST_OF_A_SCRIPT = 1 << 16


def parts(program: str) -> List[str]:
    """Return the program, the shared libraries beside it, and the programs that a script names."""
    program = os.path.realpath(program)
    folder = os.path.dirname(program)
    found = {program}
    for pattern in ("*.so*", "*/*.so*"):
        found.update(glob.glob(os.path.join(glob.escape(folder), pattern)))
    with open(program, "rb") as file:
        head = file.read(_MOST_OF_A_SCRIPT)
    if head.startswith(b"#!"):
        for word in re.findall(r"[\w./+-]+", head.decode(errors="replace")):
            # An absolute path, or a variable with the script's own folder: "$here/serving".
            beside = word.rpartition("/")[2]
            for path in (word if os.path.isabs(word) else "", os.path.join(folder, beside)):
                if os.access(path, os.X_OK):
                    found.add(path)
    return sorted(path for path in found if os.path.isfile(path))


def digest(program: str) -> str:
    """Return the sha256 of the names and contents of a program's parts."""
    total = hashlib.sha256()
    for path in parts(program):
        total.update(os.path.basename(path).encode(errors="replace") + b"\0")
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                total.update(block)
    return total.hexdigest()


def machine(device: str) -> Dict[str, str]:
    """Return C library, kernel and device: a result holds only for these."""
    libc = " ".join(platform.libc_ver())
    if "CS_GNU_LIBC_VERSION" in os.confstr_names:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or libc
    return {"libc": libc, "kernel": platform.release(), "device": _device(device)}


def _device(device: str) -> str:
    """Return ``cpu``, or ``gpu`` with the NVIDIA driver's version and each GPU's model."""
    if device != "gpu":
        return device
    said = [device]
    for path in ["/proc/driver/nvidia/version", *sorted(glob.glob("/proc/driver/nvidia/gpus/*/*"))]:
        if os.path.basename(path) in ("version", "information"):
            try:
                with open(path) as file:
                    said += re.findall(r"(?:NVRM version|Model):\s*(.*)", file.read())
            except OSError:
                continue
    return ", ".join(said)


def key_of(program: str, device: str) -> str:
    """Return the name of a trial's folder."""
    asked = [VERSION, digest(program), *sorted(machine(device).values())]
    return hashlib.sha256("\n".join(asked).encode()).hexdigest()[:16]


def read(path: str) -> Optional[Dict[str, Any]]:
    """Return the JSON object in a file; None when it is missing or damaged."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def result_of(trials: str, key: str) -> Optional[Dict[str, Any]]:
    """Return the remembered result of a trial; None when it is missing or damaged."""
    found = read(os.path.join(trials, key, RESULT))
    kinds = {"passed": bool, "sentence": str, "utc": str}
    whole = found and all(isinstance(found.get(name), kind) for name, kind in kinds.items())
    return found if whole else None


def official_row(serving_cache: str) -> str:
    """Return ``make doctor``'s text on the official binaries in ``.cache/serving``."""
    said = []
    archives = read(os.path.join(serving_cache, ARCHIVES)) or {}
    for program in sorted(
        glob.glob(os.path.join(glob.escape(serving_cache), "*", "serving-patched"))
    ):
        name = os.path.basename(os.path.dirname(program))
        device = "gpu" if "-gpu-" in name else "cpu"
        again = "make serving-trial" + (" DEVICE=gpu" if device == "gpu" else "")
        key = key_of(program, device)
        result = result_of(os.path.join(serving_cache, "trials"), key)
        known = archives.get(name + ".tar.gz")
        archive = known.get("sha256") if isinstance(known, dict) else "unknown"
        if result is None:
            state = f"not tried on this machine yet (`{again}` tries it)"
        elif result["passed"]:
            state = "proven on {} (trial {})".format(result["utc"], key)
        else:
            state = "NOT PROVEN: it {}".format(result["sentence"])
        said.append(f"{name}, archive sha256 {archive}, {state}")
    return "; ".join(said) or "not here; SERVING=auto downloads it if its host can be reached"
