"""``embedded-serving``: the command line of the embedded engine.

The launcher starts it through ``SERVING_BIN``. Nothing heavy is imported before the flags and the
files have been read: ``-V`` and every refusal come at once.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Sequence
from typing import Optional

from . import _flags

# The real binary's exit code for everything that keeps it from starting, (uint8)-1.
_FAILED = 255
# Ours, for what the real binary could serve and this one cannot.
_REFUSED = 2
_MOST_RUN_S = 86_400
_STRICT = ("--strict-compat", "-strict-compat")


def _says_yes(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true", "yes", "on")


def _take_all_descriptors() -> None:
    """Each client costs a descriptor, and a reload needs some too; 1024 are soon gone."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _longest_run_s() -> Optional[int]:
    """None for the default. Raises ``ValueError``, with a sentence for people."""
    said = os.environ.get("ENGINE_LONGEST_RUN_S")
    if not said:
        return None
    if (
        not said.isascii()
        or not said.isdigit()
        or len(said) > 9
        or not 1 <= int(said) <= _MOST_RUN_S
    ):
        raise ValueError(
            f"ENGINE_LONGEST_RUN_S is {said}; it has to be a number of whole seconds, "
            f"1 to {_MOST_RUN_S}"
        )
    return int(said)


def main(words: Optional[Sequence[str]] = None) -> int:
    """Runs the engine; the result is the process's exit code."""
    words = sys.argv[1:] if words is None else words
    strict = any(word in _STRICT for word in words) or _says_yes("ENGINE_STRICT_COMPAT")
    words = [word for word in words if word not in _STRICT]
    try:
        flags = _flags.parse(words)
    except _flags.CommandLineEnd as end:
        print(end.stdout, end="")
        print(end.stderr, end="", file=sys.stderr)
        return end.exit_code
    # As the real one: a SIGINT before the service is up ends it, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not words:
        print(
            "embedded-serving is started by the launcher through SERVING_BIN; "
            "by hand it needs at least -inferservice_path, -resource_path and -workflow_path",
            file=sys.stderr,
        )
        return _FAILED
    from . import _messages, _prototxt

    try:
        longest_run_s = _longest_run_s()
    except ValueError as error:
        print(f"embedded-serving: {error}", file=sys.stderr)
        return _REFUSED
    try:
        serving = _prototxt.read(flags)
    except (_prototxt.Refused, _messages.MessagesMissing) as error:
        print(f"embedded-serving: {error}", file=sys.stderr)
        return _REFUSED
    # One thread each: more would spin beside the event loop, and the nursery forks.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _take_all_descriptors()
    from . import _engine

    try:
        log = _engine.log_of(flags)
    except OSError as error:
        print(
            f"embedded-serving: cannot write the log {error.filename}: {error.strerror}; "
            "make the folder writable or give -log_dir",
            file=sys.stderr,
        )
        return _REFUSED
    try:
        # An empty one as well: asyncio would take it for every address.
        host = os.environ.get("ENGINE_HOST") or "127.0.0.1"
        engine = _engine.Engine(
            flags,
            serving,
            log,
            host=host,
            strict=strict,
            longest_run_s=longest_run_s,
        )
        _engine.run(engine)
    except _prototxt.Refused as error:
        print(f"embedded-serving: {error}", file=sys.stderr)
        return _REFUSED
    except _engine.CannotServe as error:
        print(f"embedded-serving: {error}", file=sys.stderr)
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
