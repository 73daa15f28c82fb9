"""What the monitor remembers, as small JSON files, each written whole or not at all.

``.monitor-state.json`` lies in the live directory, so that it changes in the same exchange as the
release it speaks of. ``announced.json``, ``hold.json``, ``notices.json``, ``orders.json``,
``quarantine.json``, ``serving.json``, ``untrusted.json`` and ``validators.json`` lie beside it in
the monitor's own folder. A file that is missing or damaged reads as None. The worst that follows is
one pull, or a notice that its hook does not get.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import Any, Optional

from ..decisions.identity import Identity
from ..decisions.notices import Queue
from ..decisions.orders import OnHold, Orders
from ..decisions.trust import Trust
from .layout import NEW, STATE

FORMAT = 1


@dataclass(frozen=True)
class Installed:
    """What the live directory holds.

    ``second`` is the last whole second used for a time file, ``swapped`` the time of the swap. Both
    are in seconds since the epoch. ``identity`` is None for a directory without our state.
    ``tarball`` is the SHA-256 of the tarball it came from, None for a folder release. ``probe`` is
    that of the manifest; it is kept for ``--server`` alone. ``brought_back`` says whether a
    rollback or a pin swapped the release in again. ``staging`` is the name that the folder had
    before the swap. After a kill, recovery finds the replaced release by this name.
    """

    identity: Optional[Identity] = None
    second: Optional[int] = None
    swapped: Optional[float] = None
    tarball: Optional[str] = None
    probe: Optional[dict[str, Any]] = None
    brought_back: bool = False
    staging: Optional[str] = None

    @property
    def label(self) -> str:
        """The release as a person reads it."""
        return self.identity.label if self.identity else "a release that no monitor installed"


def read_installed(live: str) -> Installed:
    """Return what the directory ``live`` says of itself."""
    content = read_json(os.path.join(live, STATE))
    if content is None or content.get("format") != FORMAT:
        return Installed()
    second, swapped = content.get("second"), content.get("swapped")
    tarball, probe = content.get("tarball"), content.get("probe")
    staging = content.get("staging")
    return Installed(
        Identity.from_json(content.get("identity")),
        second if isinstance(second, int) else None,
        float(swapped) if isinstance(swapped, (int, float)) else None,
        tarball if isinstance(tarball, str) else None,
        probe if isinstance(probe, dict) else None,
        content.get("brought_back") is True,
        staging if isinstance(staging, str) else None,
    )


def write_installed(folder: str, installed: Installed) -> None:
    """Put the state into ``folder``."""
    identity = installed.identity
    content: dict[str, Any] = {
        "format": FORMAT,
        "identity": None if identity is None else identity.to_json(),
        "second": installed.second,
        "swapped": installed.swapped,
        "tarball": installed.tarball,
    }
    if installed.probe is not None:
        content["probe"] = installed.probe
    if installed.brought_back:
        content["brought_back"] = True
    if installed.staging is not None:
        content["staging"] = installed.staging
    write_json(os.path.join(folder, STATE), content)


@dataclass(frozen=True)
class Quarantine:
    """A release that was found bad.

    ``until`` (seconds since the epoch) is when the monitor may try it again. None means never,
    because a manifest proves that its bytes are complete. ``rules`` is the hash of the options that
    affect verification. ``tarball`` is its SHA-256, None if it did not come whole.
    """

    # The release.
    identity: Identity
    # What is wrong with it, as one sentence.
    reason: str
    until: Optional[float]
    rules: str
    tarball: Optional[str] = None

    def covers(self, identity: Optional[Identity], rules: str, now: float, longest: float) -> bool:
        """Return whether ``identity`` still has to stay out.

        Args:
            identity: The announced release.
            rules: What it would be checked with.
            now: The present time, in seconds since the epoch.
            longest: How far ahead ``until`` may lie, in seconds. If it lies farther, the clock was
                set back, or the option has changed.
        """
        if identity != self.identity or rules != self.rules:
            return False
        return self.until is None or now < self.until <= now + longest


def read_quarantine(path: str) -> Optional[Quarantine]:
    """Return the release in quarantine, or None."""
    content = read_json(path)
    identity = Identity.from_json(content.get("identity")) if content else None
    if content is None or identity is None:
        return None
    until, tarball = content.get("until"), content.get("tarball")
    return Quarantine(
        identity,
        str(content.get("reason", "")),
        float(until) if isinstance(until, (int, float)) else None,
        str(content.get("rules", "")),
        tarball if isinstance(tarball, str) else None,
    )


def write_quarantine(path: str, bad: Quarantine) -> None:
    """Write the release in quarantine."""
    write_json(
        path,
        {
            "identity": bad.identity.to_json(),
            "reason": bad.reason,
            "until": bad.until,
            "rules": bad.rules,
            "tarball": bad.tarball,
        },
    )


@dataclass(frozen=True)
class Hold:
    """What a rollback holds back.

    ``identity`` is the release that is held back. ``replaced`` is the release that goes out of
    service; the two differ if a newer release was announced and not installed yet. ``tarball`` is
    the SHA-256 of the tarball that is held back, None if it was not installed.
    """

    identity: Identity
    replaced: Optional[Identity] = None
    tarball: Optional[str] = None


def read_hold(path: str) -> Optional[Hold]:
    """Return what a rollback holds back, or None."""
    content = read_json(path)
    identity = Identity.from_json(content.get("identity")) if content else None
    if content is None or identity is None:
        return None
    tarball = content.get("tarball")
    return Hold(
        identity,
        Identity.from_json(content.get("replaced")),
        tarball if isinstance(tarball, str) else None,
    )


def write_hold(path: str, hold: Hold) -> None:
    """Write what a rollback holds back."""
    replaced = None if hold.replaced is None else hold.replaced.to_json()
    content = {"identity": hold.identity.to_json(), "replaced": replaced, "tarball": hold.tarball}
    write_json(path, content)


def read_orders(path: str) -> Orders:
    """Return what an operator ordered. A monitor never writes this file.

    A file that this user may not read counts as a hold: the file may forbid a release.
    """
    try:
        return orders_to_change(path)
    except OSError as error:
        return Orders(OnHold(0.0, None, f"cannot read {path}: {error.strerror}"))


def orders_to_change(path: str) -> Orders:
    """Return what an operator ordered, for a command that changes the file.

    Raises:
        OSError: The file is there and cannot be read.
    """
    try:
        with open(path, "rb"):
            pass
    except FileNotFoundError:
        return Orders()
    return Orders.from_json(read_json(path) or {})


def write_orders(path: str, orders: Orders) -> None:
    """Write what an operator ordered. Users who may read the folder may read the file."""
    write_json(path, orders.to_json(), like_folder=True)


@dataclass(frozen=True)
class Serving:
    """Whether the server serves what is installed.

    ``identity`` and ``second`` are those of the installed release. ``phase`` is the name of a
    ``decisions.serving.Phase``, ``why`` its sentence. ``was_served`` says whether the server served
    the release before, so that this one is at fault if the server fails. ``load_s`` is the longest
    load that was seen, in seconds; None if none was seen. ``last_served`` is the release that was
    served last before the installed one.
    """

    identity: Identity
    second: Optional[int]
    phase: str
    why: str
    was_served: bool = False
    load_s: Optional[float] = None
    last_served: Optional[Identity] = None


def read_serving(path: str) -> Optional[Serving]:
    """Return whether the server serves what is installed, or None if nothing is known."""
    content = read_json(path)
    identity = Identity.from_json(content.get("identity")) if content else None
    if content is None or identity is None:
        return None
    second, load_s = content.get("second"), content.get("load_s")
    return Serving(
        identity,
        second if isinstance(second, int) else None,
        str(content.get("phase", "")),
        str(content.get("why", "")),
        content.get("was_served") is True,
        float(load_s) if isinstance(load_s, (int, float)) else None,
        Identity.from_json(content.get("last_served")),
    )


def write_serving(path: str, serving: Serving) -> None:
    """Write whether the server serves what is installed."""
    content: dict[str, Any] = {"identity": serving.identity.to_json(), "second": serving.second}
    content.update(phase=serving.phase, why=serving.why, was_served=serving.was_served)
    content.update(load_s=serving.load_s)
    if serving.last_served is not None:
        content.update(last_served=serving.last_served.to_json())
    write_json(path, content)


def read_queue(path: str) -> Optional[Queue]:
    """Return the notices that wait for a hook, or None if no file says so."""
    content = read_json(path)
    if content is None:
        return None
    try:
        return Queue.from_json(content)
    except ValueError:
        return None


def write_queue(path: str, queue: Queue) -> None:
    """Write the notices that wait for a hook."""
    write_json(path, queue.to_json())


def read_announced(path: str) -> Optional[Identity]:
    """Return what the donefile announced when a monitor last looked, or None."""
    content = read_json(path)
    return Identity.from_json(content.get("identity")) if content else None


def write_announced(path: str, identity: Identity, trusted: int = 0) -> None:
    """Write what the donefile announces.

    Args:
        path: The file.
        identity: The announced release.
        trusted: The release's number if a known key signed it. The file keeps the highest one.
    """
    highest = max(trusted, read_trusted(path))
    write_json(path, {"identity": identity.to_json(), "trusted": highest})


def read_trusted(path: str) -> int:
    """Return the highest release number that a known key signed; 0 if there is none."""
    found = (read_json(path) or {}).get("trusted")
    return found if isinstance(found, int) else 0


def read_untrusted(path: str) -> Optional[str]:
    """Return why ``--verify_signature`` refuses the donefile; None if it does not."""
    why = (read_json(path) or {}).get("why")
    return why if isinstance(why, str) else None


def write_untrusted(path: str, why: str) -> None:
    """Write why ``--verify_signature`` refuses the donefile."""
    write_json(path, {"why": why})


def read_trust(path: str, remote: Optional[str] = None) -> Trust:
    """Return what is known of a remote's validators.

    With ``remote`` given, nothing is known when the file is about another remote.
    """
    content = read_json(path) or {}
    return Trust.from_json(content) if remote in (None, content.get("remote")) else Trust()


def write_trust(path: str, remote: str, trust: Trust) -> None:
    """Write what is known of a remote's validators."""
    write_json(path, {"remote": remote, **trust.to_json()})


def read_json(path: str) -> Optional[dict[str, Any]]:
    """Return the JSON object in a file, or None."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def write_json(path: str, content: dict[str, Any], *, like_folder: bool = False) -> None:
    """Write a file whole: beside it, flushed, then renamed over it.

    Args:
        path: The file.
        content: What the file says.
        like_folder: Whether the file gets the folder's mode and, from root, the folder's owner.
    """
    beside = f"{path}{NEW}"
    with open(beside, "w", encoding="utf-8") as file:
        if like_folder:
            folder = os.stat(os.path.dirname(os.path.abspath(path)))
            with contextlib.suppress(OSError):
                os.fchmod(file.fileno(), folder.st_mode & 0o666)
            # Only root may give a file to another user.
            with contextlib.suppress(OSError):
                os.fchown(file.fileno(), folder.st_uid, folder.st_gid)
        json.dump(content, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    with contextlib.suppress(OSError):
        flush_folder(os.path.dirname(os.path.abspath(path)))


def flush_folder(path: str) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
