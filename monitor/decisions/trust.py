"""Decides which validators of an HTTP server still tell one release from another.

Some servers change an ETag or a Last-Modified although no file changed. A donefile without a
manifest has no other sign of a release, so the bytes of the tarball decide:

| seen | pulled | what follows |
| --- | --- | --- |
| the donefile's content changed | any tarball | no validator is to blame |
| a validator changed | another tarball than the installed one | installed; counts restart |
| a validator changed | the installed tarball, byte for byte | no swap; its count goes up |
| a validator changed | a quarantined tarball | it stays out; its validator's count goes up |
| a count is 2 | – | the validator is dropped; the tarball's size and validators count, too |
| a validator of the tarball changed | as above | counted and dropped in the same way |
| nothing for ``--recheck_interval``, and one is dropped | the tarball | its bytes decide |
| nothing for ``--recheck_interval`` after equal bytes | the tarball, once | its bytes decide |

The last row is for a tarball that the remote gets only after its donefile. For a server without
ETag and Last-Modified, the rules for a dropped validator apply.

A dropped validator stays dropped for this remote, even after a restart. This module does no I/O:
the caller reads clock, remote and files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from .identity import Identity

# Changes in a row that pulled the installed bytes, after which a validator is dropped.
_MOST_EQUAL = 2
# Prefix of the names of the tarball's validators. The donefile's have none.
TARBALL = "tarball's "
# Never dropped: another size is another tarball.
SIZE = f"{TARBALL}size"


@dataclass(frozen=True)
class Trust:
    """What was seen of one remote's validators when its tarball was last compared.

    ``live`` is the key of the release in the live directory. ``same`` is the key of a later
    announcement that pulled the same bytes. ``content`` is the donefile's digest, ``seen`` its
    validators and, if they may miss a release, the tarball's. ``equal`` counts the changes in a
    row that pulled the installed bytes. ``compared`` is in seconds since the epoch. ``settled``:
    the bytes were compared once more after ``same``.
    """

    live: str = ""
    same: str = ""
    content: str = ""
    seen: Mapping[str, str] = field(default_factory=dict)
    equal: Mapping[str, int] = field(default_factory=dict)
    compared: float = 0.0
    settled: bool = True

    @property
    def dropped(self) -> tuple[str, ...]:
        """The validators that no longer count."""
        return tuple(name for name, count in self.equal.items() if count >= _MOST_EQUAL)

    def may_miss(self, validators: Mapping[str, str]) -> bool:
        """Return whether a donefile may have the same validators after another release."""
        return bool(self.dropped) or not (validators["ETag"] or validators["Last-Modified"])

    def mark(self, validators: Mapping[str, str]) -> str:
        """Return the validators that still count, as one text for ``identify``."""
        return "|".join("" if name in self.dropped else validators[name] for name in validators)

    def last_announced(self, live: Optional[Identity]) -> Optional[Identity]:
        """Return the last announcement of the release ``live``."""
        return Identity(self.same) if live and self.same and live.key == self.live else live

    def is_due(self, validators: Mapping[str, str], now: float, every: float) -> bool:
        """Return whether it is time to compare the tarball's bytes again.

        It is time, too, if the clock was set back.
        """
        wanted = self.may_miss(validators) or not self.settled
        return wanted and not 0 <= now - self.compared < every

    def after_swap(
        self, identity: Identity, content: bytes, validators: Mapping[str, str], now: float
    ) -> Trust:
        """Return the trust after another tarball was installed: the changes told the truth."""
        equal = {name: count for name, count in self.equal.items() if name in self.dropped}
        return Trust(identity.key, "", _digest(content), dict(validators), equal, now)

    def after_equal(
        self,
        live: Identity,
        identity: Identity,
        content: bytes,
        validators: Mapping[str, str],
        now: float,
    ) -> Trust:
        """Return the trust after ``identity`` pulled the bytes of the installed ``live``."""
        return replace(
            self.after_bad(content, validators, now),
            live=live.key,
            same=identity.key,
            settled=identity.key in (self.same, live.key),
        )

    def after_bad(self, content: bytes, validators: Mapping[str, str], now: float) -> Trust:
        """Return the trust after a changed validator pulled the bytes of a quarantined release."""
        equal = dict(self.equal)
        if self.content == _digest(content):
            for name, value in validators.items():
                if name != SIZE and self.seen.get(name, value) != value:
                    equal[name] = min(equal.get(name, 0) + 1, _MOST_EQUAL)
        return replace(
            self, content=_digest(content), seen=dict(validators), equal=equal, compared=now
        )

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        return {
            "live": self.live,
            "same": self.same,
            "content": self.content,
            "seen": dict(self.seen),
            "equal": dict(self.equal),
            "compared": self.compared,
            "settled": self.settled,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Trust:
        """Return the trust in a JSON object. Values of a wrong type count as missing."""

        def pairs(name: str, kind: type) -> dict[str, Any]:
            found = value.get(name)
            found = found if isinstance(found, dict) else {}
            return {key: one for key, one in found.items() if type(one) is kind}

        texts = [value.get(name) for name in ("live", "same", "content")]
        live, same, content = (text if isinstance(text, str) else "" for text in texts)
        compared = value.get("compared")
        return Trust(
            live, same, content, pairs("seen", str), pairs("equal", int),
            float(compared) if isinstance(compared, (int, float)) else 0.0,
            value.get("settled") is not False,
        )  # fmt: skip


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
