"""Checks the signature of a donefile's manifest with the current keys of the key file."""

from __future__ import annotations

from typing import Optional

from ..decisions.orders import Orders
from ..decisions.signature import signed_manifest
from ..disk import remove
from ..errors import BadOption, ReleaseError
from ..live.layout import Layout
from ..live.state import read_hold, read_installed, read_trusted, write_untrusted
from ..log import logger
from ..manifest import Manifest
from ..options.fields import Options
from ..options.keys import read_keys


class Signatures:
    """``--verify_signature`` of one model. While the file is wrong, the last keys stay in use."""

    def __init__(self, options: Options, layout: Layout) -> None:
        self._path = options.verify_signature
        self._donefile = options.remote_donefile_name
        self._layout = layout
        self._keys = read_keys(self._path) if self._path else []
        # The warning about the key file that is already in the log.
        self._said = ""
        # The text in the file that ``status`` reads; None while the file is of an earlier run.
        self._kept: Optional[str] = None

    def signed(self, found: Optional[Manifest]) -> Optional[Manifest]:
        """Return the signed manifest; ``found`` itself without the option.

        Raises:
            ReleaseError: The manifest is not signed with a known key.
        """
        if not self._path:
            return found
        self._read_again()
        return signed_manifest(found, self._keys, self._donefile)

    def replay(self, found: Optional[Manifest], orders: Orders) -> Optional[ReleaseError]:
        """Return an error if the release is older than one that was trusted before.

        Returns:
            None if the release is not older, or if a pin names it.
        """
        if not self._path or found is None:
            return None
        hold = read_hold(self._layout.hold)
        known = [read_installed(self._layout.live).identity]
        known += [hold.identity, hold.replaced] if hold else []
        # A trusted release may not be live, for example because it was bad.
        trusted = read_trusted(self._layout.announced)
        most = max([trusted, *(one.release or 0 for one in known if one)])
        pinned = orders.pin.release if orders.pin else None
        if found.release >= most or found.release == pinned:
            return None
        return ReleaseError(
            "trust",
            self._donefile,
            f"it announces release {found.release} after release {most}, as a replay would",
            f"publish a higher number, or order `python -m monitor pin {found.release}`",
        )

    def keep(self, refused: Optional[ReleaseError]) -> None:
        """Write for ``status`` why the donefile is refused. None: it is not refused.

        Raises:
            OSError: The file cannot be changed.
        """
        why = str(refused or "")
        if why == self._kept:
            return
        if why:
            write_untrusted(self._layout.untrusted, why)
        else:
            remove(self._layout.untrusted)
        self._kept = why

    def number(self, found: Optional[Manifest]) -> int:
        """Return the number of a release that a known key signed; 0 without the option."""
        return found.release if self._path and found is not None else 0

    def _read_again(self) -> None:
        try:
            self._keys = read_keys(self._path)
        except BadOption as error:
            if self._said != str(error):
                self._said = str(error)
                logger.warning("the last keys stay in use: %s", error)
        else:
            self._said = ""
