"""Which moments each hook is told of, and the notices that wait for a hook.

Values in, values out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Optional

from .identity import Identity
from .moments import Moment

# The options that name a hook, and the moments that each hook is told of.
HOOKS = {
    "on_swap": (Moment.SWAPPED, Moment.ROLLED_BACK),
    "on_served": (Moment.SERVED,),
    "webhook": (Moment.SWAPPED, Moment.ROLLED_BACK, Moment.SERVED),
}
# The most notices that may wait for one hook. A further notice replaces the oldest.
MOST = 100


@dataclass(frozen=True)
class Told:
    """The last swap whose notices were put into the queue."""

    # The release that became live.
    identity: Optional[Identity] = None
    # The time file's second, different for each swap.
    second: Optional[int] = None
    # Number of the release that was live before; None if it has no number.
    previous: Optional[int] = None


@dataclass(frozen=True)
class Notice:
    """One message to one hook."""

    # The hook's option, a key of ``HOOKS``.
    hook: str
    # The moment's name, in small letters.
    event: str
    # Number of the release; None without a manifest.
    release: Optional[int]
    # SHA-256 of the release's tarball; None for a folder.
    digest: Optional[str]
    # Number of the release that was live before; None if it has no number.
    previous: Optional[int]
    # The time file's second of the swap.
    second: int
    # When the swap was, in seconds since the epoch.
    swapped: Optional[float]
    # When the monitor found the release served, in seconds since the epoch.
    served: Optional[float] = None

    @property
    def label(self) -> str:
        """The notice as log lines name it."""
        return f"{self.event} {'' if self.release is None else self.release}".rstrip()

    def message(self, model: str, host: str, live: str) -> dict[str, Any]:
        """Return the message for the hook. Each try of a notice has the same ``id``.

        Args:
            model: The name of the live directory. Several models of a host may share it.
            host: The name of the host.
            live: The real path of the live directory.
        """
        mine = hashlib.sha256(live.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        return {
            "schema": 1,
            "id": f"{host}/{model}/{mine}/{self.second}/{self.event}",
            "event": self.event,
            "host": host,
            "model": model,
            "live": live,
            "release": self.release,
            "digest": self.digest,
            "previous": self.previous,
            "times": {"swapped": self.swapped, "served": self.served},
        }


@dataclass
class Trouble:
    """The failed tries of a hook since it last took a notice."""

    # The number of failed tries.
    tries: int
    # Why the last try failed.
    why: str


@dataclass
class Queue:
    """The notices of one model. Each hook gets its notices in the order of ``add``."""

    # The last swap whose notices were added.
    told: Told = field(default_factory=Told)
    # All waiting notices, the oldest first.
    pending: list[Notice] = field(default_factory=list)
    # The hooks that fail now.
    failing: dict[str, Trouble] = field(default_factory=dict)
    # How many notices were dropped because too many waited.
    lost: int = 0

    def add(self, notices: Iterable[Notice]) -> list[Notice]:
        """Add notices. Return the older notices that were dropped to make room."""
        dropped = []
        for notice in notices:
            if notice in self.pending:
                continue
            self.pending.append(notice)
            mine = [one for one in self.pending if one.hook == notice.hook]
            if len(mine) > MOST:
                self.pending.remove(mine[0])
                dropped.append(mine[0])
        self.lost += len(dropped)
        return dropped

    def first(self, hook: str) -> Optional[Notice]:
        """Return the notice that ``hook`` has to take next, or None."""
        return next((one for one in self.pending if one.hook == hook), None)

    def took(self, notice: Notice) -> None:
        """Remove a notice that its hook has taken."""
        self.failing.pop(notice.hook, None)
        # A newer notice may have replaced it, so it may be absent.
        self.pending = [one for one in self.pending if one != notice]

    def failed(self, notice: Notice, why: str) -> bool:
        """Note a failed try. Return whether it is the first one, or has a new reason."""
        before = self.failing.get(notice.hook)
        tries = before.tries + 1 if before else 1
        self.failing[notice.hook] = Trouble(tries, why)
        return before is None or before.why != why

    def keep(self, hooks: Iterable[str]) -> int:
        """Drop the notices of all hooks except ``hooks``. Return how many were dropped."""
        kept = set(hooks)
        before = len(self.pending)
        self.pending = [one for one in self.pending if one.hook in kept]
        self.failing = {hook: one for hook, one in self.failing.items() if hook in kept}
        return before - len(self.pending)

    def __str__(self) -> str:
        parts = []
        for hook in HOOKS:
            waiting = sum(one.hook == hook for one in self.pending)
            if waiting:
                trouble = self.failing.get(hook)
                why = f" after {trouble.tries} failed tries ({trouble.why})" if trouble else ""
                parts.append(f"--{hook}: {waiting} pending{why}")
        if self.lost:
            parts.append(f"{self.lost} lost")
        return "; ".join(parts) or "none pending"

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        told = self.told
        return {
            "told": {
                "identity": told.identity and told.identity.to_json(),
                "second": told.second,
                "previous": told.previous,
            },
            "pending": [dict(vars(one)) for one in self.pending],
            "failing": {hook: dict(vars(one)) for hook, one in self.failing.items()},
            "lost": self.lost,
        }

    @staticmethod
    def from_json(content: dict[str, Any]) -> Queue:
        """Return the queue from a JSON object. Raise ``ValueError`` if there is none."""
        try:
            told = content["told"]
            return Queue(
                Told(Identity.from_json(told["identity"]), told["second"], told["previous"]),
                [Notice(**one) for one in content["pending"]],
                {hook: Trouble(**one) for hook, one in content["failing"].items()},
                content["lost"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no queue of notices: {error}") from None
