"""The remotes, one module each. ``create`` imports only the module that is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..options.rotation import SecretFiles
from ..stop import Stop
from .base import Remote
from .rotated import RotatedRemote

if TYPE_CHECKING:
    from ..options.fields import Options


def create(options: Options, stop: Stop) -> Remote:
    """Return the remote that the options describe. Nothing is connected yet.

    A remote whose secrets come from files reads these files again before each poll.

    Raises:
        BadOption: An option that the type needs is missing.
    """
    files = SecretFiles(options)
    if files:
        return RotatedRemote(files, lambda changed: _create(changed, stop), options)
    return _create(options, stop)


def _create(options: Options, stop: Stop) -> Remote:
    kind = options.type
    if kind == "general" and options.speaks_ftp:
        from .ftp import FtpRemote

        return FtpRemote.from_url(options, stop)
    if kind == "general":
        from .general import HttpRemote

        return HttpRemote(options, stop)
    if kind == "ftp":
        from .ftp import FtpRemote

        return FtpRemote.from_options(options, stop)
    if kind == "webhdfs":
        from .webhdfs import WebHdfsRemote

        return WebHdfsRemote(options, stop)
    if kind == "fsspec":
        from .fsspec import FsspecRemote

        return FsspecRemote(options, stop)
    from .hadoop import HadoopRemote

    return HadoopRemote(options, stop)
