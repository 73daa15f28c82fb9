"""Two paths trade places in one system call, which no crash can cut in half.

``renameat2(RENAME_EXCHANGE)`` works on ext4, xfs, btrfs, tmpfs and overlayfs, also between a
symbolic link and a folder.
"""

from __future__ import annotations

import ctypes
import errno
import os

_AT_FDCWD = -100
_NOREPLACE, _EXCHANGE = 1, 2
# No exchange here: the filesystem or the kernel does not know it (FUSE, NFS, old kernels).
UNKNOWN = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_libc = ctypes.CDLL(None, use_errno=True)


def _renameat2(source: str, target: str, flags: int) -> None:
    """Call renameat2(2). Raise ``OSError``."""
    call = getattr(_libc, "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), source)
    done = call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags)
    if done != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), source, None, target)


def exchange(one: str, other: str) -> None:
    """Let two paths trade places in one step. Raise ``OSError``."""
    _renameat2(one, other, _EXCHANGE)


def rename_new(source: str, target: str) -> None:
    """Rename to a name that is not taken; never replace. Raise ``OSError``."""
    try:
        _renameat2(source, target, _NOREPLACE)
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        os.rename(source, target)
