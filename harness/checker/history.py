"""The history of a run: one JSON line for every publish, swap, reload and prediction.

Several processes append to one file (``history.jsonl``). Times are ``time.monotonic()`` in
seconds: on Linux, CLOCK_MONOTONIC is one clock for all processes of a machine. ``docs/history.md``
lists the events and their fields; ``SCHEMA`` goes up when their meaning changes.
"""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, Union

import orjson
from backports import zstd

from harness.support.errors import BadInput, Failed

SCHEMA = 3
# A history of an older schema is one of the newest without the newer events and fields.
READABLE_SCHEMAS = (1, 2, 3)

Event = dict[str, Any]
_REMEDY = "; make room, or name a folder on another disk in RUNS"


class History:
    """Appends events to a file; safe to use from several threads and processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # One write(2) with O_APPEND a line: lines of different processes never mix.
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._labels: dict[str, object] = {}

    def labelled(self, **labels: object) -> History:
        """Return the same history, which adds these fields to each event."""
        other = copy.copy(self)
        other._labels = {**self._labels, **labels}
        return other

    def record(self, event: str, **fields: object) -> None:
        """Add one event; ``t`` is now unless it is given. Raise ``Failed`` on a full disk."""
        line = {"event": event, "t": time.monotonic(), **self._labels, **fields}
        text = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        try:
            written = os.write(self._fd, text)
        except OSError as error:
            raise Failed(f"cannot write {self.path}: {error.strerror}{_REMEDY}") from error
        if written != len(text):
            raise Failed(f"cannot write {self.path}: the disk is full{_REMEDY}")

    def close(self) -> None:
        os.close(self._fd)


def parse(line: Union[str, bytes]) -> Event:
    """Return the event in a line; an event ``damaged`` with ``why`` when the line holds none.

    A full disk cuts a line short. Another process may later append to the same line.
    """
    try:
        event: Event = _loads(line)
        if not isinstance(event["event"], str):
            raise TypeError("event is not a string")
    except (ValueError, KeyError, TypeError) as error:
        return {"event": "damaged", "why": str(error)}
    return event


def _loads(line: Union[str, bytes]) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # An answer may be NaN: ``json`` writes that, and JSON has no word for it.
        return json.loads(line)


def read(path: Path) -> Iterator[Event]:
    """The events of a file (``.jsonl`` or ``.jsonl.zst``), in the order in which they were written.

    A line that holds no event gives an event ``damaged`` with file and line. So does a last line
    without its end: if the disk was full, other records may be missing before it.

    Raises:
        BadInput: The file cannot be read.
    """
    number = 0
    try:
        with _open(path) as file:
            for number, event in enumerate(events_of(file, str(path)), 1):  # noqa: B007
                yield event
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}; name a history") from error
    except (zstd.ZstdError, EOFError) as error:
        if not number and isinstance(error, zstd.ZstdError):
            raise BadInput(f"cannot read {path}: {error}; name a file that zstd made") from error
        yield {"event": "damaged", "why": str(error), "file": str(path), "line": number + 1}


def events_of(lines: Iterable[bytes], name: str) -> Iterator[Event]:
    """The events of a file's lines; a damaged one names the file and its number."""
    for number, line in enumerate(lines, 1):
        whole = line.endswith(b"\n")
        event = parse(line) if whole else {"event": "damaged", "why": "it has no end"}
        if event["event"] == "damaged":
            event.update(file=name, line=number)
        yield event


def _open(path: Path) -> Union[zstd.ZstdFile, BufferedReader]:
    return zstd.open(path, "rb") if path.suffix == ".zst" else path.open("rb")
