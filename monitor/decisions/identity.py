"""What makes a release this release and no other.

Values in, values out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Optional

from ..manifest import Manifest


@dataclass(frozen=True)
class Identity:
    """What makes a release this release and no other.

    With a manifest, ``key`` is made of release number and digest: a touched donefile is nothing
    new. Without, it is made of the donefile's content and of ``mark``, which is whatever else the
    remote tells about the donefile (times, sizes, tags). A touch is then a new release, as with
    upstream.
    """

    key: str
    release: Optional[int] = None

    @property
    def label(self) -> str:
        """The release as log lines name it."""
        return f"release {self.release}" if self.release is not None else f"donefile {self.key[:8]}"

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        return {"key": self.key, "release": self.release}

    @staticmethod
    def from_json(value: object) -> Optional[Identity]:
        """Return the identity in a JSON value, or None if there is none in it."""
        if not isinstance(value, dict) or not isinstance(value.get("key"), str):
            return None
        release = value.get("release")
        return Identity(value["key"], release if isinstance(release, int) else None)


def identify(content: bytes, mark: str, manifest: Optional[Manifest]) -> Identity:
    """Return the identity of what a donefile announces."""
    if manifest is not None:
        return Identity(f"{manifest.release}-{manifest.sha256}", manifest.release)
    digest = hashlib.sha256(content + b"\0" + mark.encode("utf-8", "surrogateescape"))
    return Identity(digest.hexdigest())


def superseded(pulled: Identity, announced: Optional[Identity]) -> bool:
    """Return whether a newer release than ``pulled`` is announced. Then ``pulled`` is still good.

    If the donefile announces an older release or none, the producer withdrew ``pulled``.
    """
    if announced is None or announced.release is None or pulled.release is None:
        return False
    return announced.release > pulled.release
