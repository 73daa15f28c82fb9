"""Every name that the monitor writes.

``Layout`` has the paths of one live directory. The constants are the parts of names that other
modules add: names in the live directory, and ends of the names beside it.
"""

from __future__ import annotations

import glob
import hashlib
import os
import secrets

# --- in the live directory, beside the release's own files and the time file ------------------

# Names the installed release.
STATE = ".monitor-state.json"
# In a mount point: the copy of a new release, until its files are moved into place.
INSIDE = ".monitor-staging"
# In ``INSIDE``: a folder that stands where a file has to go. A random part follows.
ASIDE = ".aside-"

# --- ends of the names of staging folders -----------------------------------------------------

# The release is complete, and the live directory may be absent or torn.
READY = ".ready"
# A note beside ``READY``: the live directory is being emptied or overwritten.
TORN = ".torn"
# The release that was replaced, until it is kept or removed.
OLD = ".old"
# A folder that the monitor is removing.
GONE = ".gone"
# A kept release that a rollback is swapping in, or the release that it replaced.
ROLLBACK = ".rollback"

# --- in a staging folder, for a moment --------------------------------------------------------

# A folder that shows whether the filesystem ignores case. A random part follows.
CASE_PROBE = "case-"

# --- ends of the name of the file that a release is pulled to ---------------------------------

# The folder that a release is pulled to, if it is no tarball.
TREE = ".tree"
# A copy of the donefile for ``--check_command``.
DONEFILE = ".donefile"
# The folder that ``hadoop fs -get`` writes to. A random part follows.
FETCHED = ".get-"

# --- elsewhere --------------------------------------------------------------------------------

# A file that is written beside the file that it replaces.
NEW = ".new"
# Takes the place of a lock on a filesystem without locks.
OWNER = ".owner"
# Begins the name of a file that holds a secret while a program needs it.
SECRET_PREFIX = "ugi-"
# Ends the name of a kept release that a rollback took out of service.
ROLLED_BACK = ".rolledback"


class Layout:
    """The paths that belong to one live directory.

    Attributes:
        live: The live directory.
        parent: The folder that holds the live directory and the staging folders.
        control: The monitor's own folder, ``.MODEL.monitor``.
        lock: Held while a monitor runs.
        swap_lock: Held for a swap, by a monitor or by a rollback.
        quarantine: The release that was found bad.
        hold: The release that a rollback holds back.
        orders: What an operator ordered: a hold, a pin.
        notices: The notices that wait for a hook.
        announced: The release that the donefile announced at the last poll.
        serving: Whether the server serves the installed release.
        untrusted: Why the donefile is refused.
        validators: What is known of an HTTP server's validators.
        kept: The folder of the kept releases.
    """

    def __init__(self, live: str) -> None:
        self.live = live
        self.parent = os.path.dirname(live) or "."
        name = os.path.basename(live)
        self.control = os.path.join(self.parent, f".{name}.monitor")
        self.lock = os.path.join(self.control, "lock")
        self.swap_lock = os.path.join(self.control, "swap.lock")
        self.quarantine = os.path.join(self.control, "quarantine.json")
        self.hold = os.path.join(self.control, "hold.json")
        self.orders = os.path.join(self.control, "orders.json")
        self.notices = os.path.join(self.control, "notices.json")
        self.announced = os.path.join(self.control, "announced.json")
        self.serving = os.path.join(self.control, "serving.json")
        self.untrusted = os.path.join(self.control, "untrusted.json")
        self.validators = os.path.join(self.control, "validators.json")
        self.kept = os.path.join(self.control, "kept")
        self._staging_prefix = f".{name}.staging-"

    def staging(self, end: str = "") -> str:
        """Return the path of a staging folder that does not exist yet."""
        return os.path.join(self.parent, f"{self._staging_prefix}{secrets.token_hex(4)}{end}")

    def stagings(self) -> list[str]:
        """Return the existing staging folders and the notes beside them."""
        with os.scandir(self.parent) as entries:
            found = [entry.path for entry in entries if entry.name.startswith(self._staging_prefix)]
        return sorted(found)

    def kept_release(self, number: int, *, rolled_back: bool) -> str:
        """Return the path of a kept release."""
        return os.path.join(self.kept, f"{number:06d}{ROLLED_BACK if rolled_back else ''}")

    def part(self, tmp: str, remote_model_name: str) -> str:
        """Return the file that a release is pulled to; each live directory has its own."""
        mine = hashlib.sha256(os.path.realpath(self.live).encode("utf-8", "surrogateescape"))
        name = remote_model_name.rpartition("/")[2]
        return os.path.join(tmp, f"{name}.{mine.hexdigest()[:8]}.part")

    def pulled(self, part: str) -> list[str]:
        """Return the existing files and folders of a pull to ``part``, and files with a secret."""
        found = [part, part + TREE, part + DONEFILE]
        found += glob.glob(f"{glob.escape(part)}{FETCHED}*")
        found += glob.glob(os.path.join(glob.escape(self.control), f"{SECRET_PREFIX}*"))
        return [path for path in found if os.path.lexists(path)]


def torn_note(ready: str) -> str:
    """Return the note that exists while the live directory is emptied or overwritten."""
    return f"{ready}{TORN}"
