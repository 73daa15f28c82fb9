"""The spread of a roll-out: how long a release takes from the first server to the last server.

Only a run with several servers of one remote has a spread. The rows of such a run name the server:
``ftp/2``.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Optional, Protocol


class Served(Protocol):
    """A release of one server, with the time of the first answer to each client."""

    @property
    def remote(self) -> str:
        """The remote and the server."""

    @property
    def release(self) -> int:
        """The number of the release."""

    @property
    def first_served(self) -> dict[str, Optional[float]]:
        """Seconds from the publishing to the first answer, for each client."""

    @property
    def at_start(self) -> bool:
        """Whether the release was installed before the server started."""


@dataclass(frozen=True)
class Rollout:
    """One release on all servers of a remote.

    Attributes:
        remote: The remote.
        release: The number of the release.
        servers: How many servers watch the remote.
        seconds: The time from the end of the publishing to each server's first answer, sorted.
            A server that never served the release is missing.
    """

    remote: str
    release: int
    servers: int
    seconds: tuple[float, ...]

    @property
    def cells(self) -> list[str]:
        """The figures for a table: remote, release, how many served it, min, median and max."""
        count = f"{len(self.seconds)} of {self.servers}"
        if not self.seconds:
            return [self.remote, str(self.release), count, "–", "–", "–"]
        figures = min(self.seconds), statistics.median(self.seconds), max(self.seconds)
        return [self.remote, str(self.release), count, *(f"{value:+.2f}" for value in figures)]


HEADS = ("remote", "rel", "served by", "first", "median", "last")
CAPTION = "seconds from the publishing to the first, the median and the last server that serves it"


def rollouts(rows: Iterable[Served]) -> list[Rollout]:
    """Return the roll-out of each release after the first, for remotes with several servers."""
    found: dict[tuple[str, int], list[Optional[float]]] = {}
    for row in rows:
        remote, slash, _ = row.remote.partition("/")
        if not slash or row.at_start:
            continue
        times = [time for time in row.first_served.values() if time is not None]
        found.setdefault((remote, row.release), []).append(min(times, default=None))
    return [
        Rollout(remote, release, len(all_), tuple(sorted(t for t in all_ if t is not None)))
        for (remote, release), all_ in found.items()
    ]


def markdown(found: Sequence[Rollout]) -> Iterator[str]:
    """Give the lines of the table; none without roll-outs."""
    if not found:
        return
    yield from ("", "## Roll-out over the servers", "", "| " + " | ".join(HEADS) + " |")
    yield "|" + " --- |" * len(HEADS)
    for one in found:
        yield "| " + " | ".join(one.cells) + " |"
    yield from ("", f"({CAPTION})")


def lines(found: Sequence[Rollout]) -> Iterator[str]:
    """Give a line for each roll-out, for the terminal."""
    for one in found:
        remote, release, count, *figures = one.cells
        first, median, last = figures
        yield (
            f"{remote} release {release}: served by {count} servers, first {first} s, "
            f"median {median} s, last {last} s"
        )
