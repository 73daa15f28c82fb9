"""Unpacks a tarball in its own thread into a staging folder while the bytes arrive.

    remote ─▶ Puller: sha256, length ─▶ Unpacking: [gunzip] ─▶ tar ─▶ files of the staging folder

The thread keeps its state when a transfer breaks, so the transfer can continue at the same byte.
The digest of the bytes is not known until the end. So a refusal waits until the puller has all
bytes: only a release with the right bytes can be bad.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from typing import Callable, Optional

from ..disk import remove
from ..errors import ReleaseError
from ..log import logger
from ..release.archive import Skipped
from ..release.stream import Readable
from ..stop import Stop, Stopped

# How many pieces of at most ``CHUNK`` bytes may wait. This bounds the memory.
_AHEAD = 16
# How often a wait checks whether the monitor has to end.
_LOOK_S = 0.2


class _Discarded(BaseException):
    """Ends the thread. Not an ``Exception``: no handler of errors may swallow it."""


class Unpacking:
    """A staging folder that is being filled.

    Attributes:
        folder: The staging folder. The caller makes it; ``discard`` removes it. "" after
            ``release``.
        files: Each unpacked file with its bytes, after ``finish``.
        skipped: How many members were skipped, after ``finish``.
        refusal: Why the archive is refused, after ``finish``; None for a good one.
    """

    def __init__(
        self,
        folder: str,
        unpack: Callable[[Readable], Skipped],
        stop: Stop,
        files: Optional[dict[str, int]] = None,
    ) -> None:
        """Start the thread.

        Args:
            folder: The staging folder.
            unpack: Unpacks a stream into ``folder``. It is called in the thread.
            stop: The request to end.
            files: ``unpack`` notes each file here, by its path in ``folder``, with its bytes.
        """
        self.folder = folder
        self.files = {} if files is None else files
        self.skipped = Skipped(0, 0)
        self.refusal: Optional[ReleaseError] = None
        self._unpack = unpack
        self._stop = stop
        self._failure: Optional[BaseException] = None
        self._pieces: queue.Queue[bytes] = queue.Queue(_AHEAD)
        self._over = threading.Event()
        self._ended = False
        self._discarded = False
        self._thread = threading.Thread(target=self._run, name="unpacking", daemon=True)
        self._thread.start()

    @property
    def usable(self) -> bool:
        """Whether more bytes can be taken: nothing failed, and the folder is still there."""
        return self._failure is None and os.path.isdir(self.folder)

    def feed(self, piece: bytes) -> None:
        """Hand over the next bytes. Waits while the queue is full. Drops the bytes after a refusal.

        Raises:
            NeedsFile: The archive has to be unpacked from a file.
            MachineError, BadOption, OSError: This machine failed.
            Stopped: The monitor has to end. The bytes were not taken.
        """
        if piece:
            self._put(piece)

    def finish(self) -> None:
        """Wait until everything is unpacked or refused. Raises what ``feed`` raises."""
        self._put(b"")
        while not self._over.wait(_LOOK_S):
            self._stop.check()
        self._check()

    def discard(self, wait_s: Optional[float] = None) -> None:
        """End the thread and remove the folder. Safe to repeat.

        Args:
            wait_s: How long to wait for the thread, in seconds; None for as long as it takes.
        """
        self._discarded = True
        with contextlib.suppress(queue.Full):
            # Wake the thread if it waits for bytes. With a full queue it does not wait.
            self._pieces.put_nowait(b"")
        self._thread.join(wait_s)
        if not self.folder:
            return
        try:
            remove(self.folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.warning("cannot remove %s: %s", self.folder, error.strerror)

    def release(self) -> None:
        """Leave the folder alone from now on: it was swapped in."""
        self.folder = ""

    def read(self, size: int, /) -> bytes:
        """Return at least ``size`` bytes, fewer only at the end. Called in the thread.

        What the reader decides must not depend on the sizes of the pieces. It decides the packing
        from the first bytes, and the expansion from the bytes that it has read.
        """
        found = bytearray()
        while len(found) < size and not self._ended:
            piece = self._pieces.get()
            if self._discarded:
                raise _Discarded
            self._ended = not piece
            if not found and len(piece) >= size:
                return piece
            found += piece
        return bytes(found)

    def _put(self, piece: bytes) -> None:
        while not self._over.is_set():
            self._stop.check()
            with contextlib.suppress(queue.Full):
                self._pieces.put(piece, timeout=_LOOK_S)
                break
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self.skipped = self._unpack(self)
        except ReleaseError as error:
            self.refusal = error
        except (Stopped, _Discarded) as ended:
            self._failure = ended
        except Exception as error:
            self._failure = error
        finally:
            self._over.set()
