"""Every check of the suite, in the order of the groups."""

from __future__ import annotations

from . import (  # noqa: F401
    check_baidu_std,
    check_cli,
    check_clients,
    check_http,
    check_http2,
    check_life,
    check_log,
    check_reload,
    check_reload_load,
)
from .checks import CHECKS, Check


def load_all() -> list[Check]:
    """Return every check. Importing a ``check_…`` module adds its checks to the list."""
    return CHECKS
