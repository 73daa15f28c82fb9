"""Reads the reloads in a server's log (``log/serving.INFO``) as the log grows."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import Optional

_INTERVAL = re.compile(rb"Entrence reload worker, interval_s: (\d+)")
_BEGIN = re.compile(rb"begin reload model\[(.*?)\]")
# A server logs the second form at its start. The third is that of older servers.
_DONE = re.compile(
    rb"Succ load engine, path: (\S+)|Succ load model:(\S+)|Succ load clone model, path\[(.*?)\]"
)
_STAMP = re.compile(rb"^[IWEF](\d{4}) (\d\d:\d\d:\d\d\.\d{1,6})")
# The launcher names the interval at the start of the log.
_HEAD = 64 * 1024
# A log may have gigabytes: one line for each request.
_TAIL = 1024 * 1024
# A server begins another file at its start, and when a file has 1.8 GB (glog's max_log_size).
_ROTATED = 1024**3
# The server may have another time zone. All offsets are multiples of this, in seconds.
_ZONES_S = 900


@dataclass(frozen=True)
class Reload:
    """A load of a model. Times are the log's own, in seconds since the epoch."""

    # The directory of the model.
    model: str
    # When the load began.
    begun: float
    # When the load ended.
    ended: float

    def began_after(self, moment: float) -> bool:
        """Return whether it began after ``moment``, whatever the time zone of the log.

        The two times must lie at most seven minutes apart.
        """
        part = (self.begun - moment + _ZONES_S / 2) % _ZONES_S - _ZONES_S / 2
        return part >= 0


class ServerLog:
    """One log file, which the server may replace.

    Attributes:
        interval: The server's reload interval in seconds; None if the log does not name one.
        starts: How often a server has started since the first look.
        trouble: Why the log cannot be read; empty if it can.
    """

    def __init__(self, path: str) -> None:
        self.interval: Optional[float] = None
        self.starts = 0
        self.trouble = ""
        self._path = path
        self._file: Optional[tuple[int, int]] = None
        self._read = 0
        self._begun: dict[str, float] = {}

    def new_reloads(self) -> list[Reload]:
        """Return the loads that ended since the last call."""
        try:
            with open(self._path, "rb") as file:
                seen = os.fstat(file.fileno())
                if (seen.st_dev, seen.st_ino) != self._file or seen.st_size < self._read:
                    if self._file is not None and self._read < _ROTATED:
                        self.starts += 1
                    self._file = (seen.st_dev, seen.st_ino)
                    self._begun = {}
                    self._read = max(0, seen.st_size - _TAIL)
                    self._take_interval(file.read(_HEAD))
                if self.interval is None:
                    file.seek(0)
                    self._take_interval(file.read(_HEAD))
                file.seek(self._read)
                text = file.read(_TAIL)
        except OSError as error:
            self.trouble = f"cannot read --server_log {self._path}: {error.strerror}"
            return []
        self.trouble = ""
        # A line that is not whole yet is read next time.
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return self._reloads_in(whole)

    def _take_interval(self, head: bytes) -> None:
        found = _INTERVAL.search(head)
        if found:
            self.interval = float(found[1])

    def _reloads_in(self, text: bytes) -> list[Reload]:
        found = []
        for line in text.splitlines():
            begin, done = _BEGIN.search(line), _DONE.search(line)
            if begin:
                self._begun[_name(begin[1])] = _written_at(line)
            elif done:
                name = _name(done[1] or done[2] or done[3])
                ended = _written_at(line)
                found.append(Reload(name, self._begun.pop(name, ended), ended))
        return found


def _name(path: bytes) -> str:
    return os.path.basename(os.path.normpath(path.decode("utf-8", "replace")))


def _written_at(line: bytes) -> float:
    """Return when a line of glog's was written; now if it does not say. The line has no year."""
    stamp = _STAMP.match(line)
    now = time.time()
    if stamp is None:
        return now
    clock, _, part = stamp[2].decode().partition(".")
    for year in (time.localtime(now).tm_year, time.localtime(now).tm_year - 1):
        try:
            parsed = time.strptime(f"{year}{stamp[1].decode()} {clock}", "%Y%m%d %H:%M:%S")
        except ValueError:
            continue
        seconds = time.mktime(parsed) + float(f"0.{part}")
        if seconds < now + 86400:
            return seconds
    return now
