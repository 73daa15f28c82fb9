"""``embedded-serving``: the command line of the embedded engine.

The launcher starts it through ``SERVING_BIN``. Nothing heavy is imported before the flags and the
files are read, so that ``-V`` and every refusal come at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from . import _flags

# The real binary's exit code for everything that keeps it from starting, (uint8)-1.
_FAILED = 255
# Ours, for what the real binary could serve and this one cannot.
_REFUSED = 2
_STRICT = ("--strict-compat", "-strict-compat")


def _says_yes(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true", "yes", "on")


def main(words: Optional[Sequence[str]] = None) -> int:
    """Run the engine, and return the exit code of the process."""
    words = sys.argv[1:] if words is None else words
    strict = any(word in _STRICT for word in words) or _says_yes("ENGINE_STRICT_COMPAT")
    words = [word for word in words if word not in _STRICT]
    try:
        flags = _flags.parse(words)
    except _flags.CommandLineEnd as end:
        print(end.stdout, end="")
        print(end.stderr, end="", file=sys.stderr)
        return end.exit_code
    # As with the real server, a SIGINT before the service is up ends it without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not words:
        return _end(
            _FAILED,
            "no flags are given; the launcher starts it through SERVING_BIN, and by hand it "
            "needs at least -inferservice_path, -resource_path and -workflow_path",
        )
    from . import _messages, _prototxt

    try:
        serving = _prototxt.read(flags)
    except (_prototxt.Refused, _messages.MessagesMissing) as error:
        return _end(_REFUSED, error)
    # One OpenBLAS thread a process: more would compete with the event loop, and threads do not
    # survive a fork.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from . import _engine, _glog

    try:
        log = _glog.Log(Path(flags.text("log_dir") or "log"))
    except OSError as error:
        return _end(
            _REFUSED,
            f"cannot write the log {error.filename}: {error.strerror}; "
            "make the folder writable or give -log_dir",
        )
    try:
        # To asyncio an empty host means every address.
        host = os.environ.get("ENGINE_HOST") or "127.0.0.1"
        _engine.run(_engine.Engine(flags, serving, log, host=host, strict=strict))
    except _prototxt.Refused as error:
        return _end(_REFUSED, error)
    except _engine.CannotServe as error:
        return _end(_FAILED, error)
    return 0


def _end(code: int, reason: object) -> int:
    print(f"embedded-serving: {reason}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
