"""Fixtures of the monitor's tests; what they are made of stands in ``fixtures``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .fixtures import FtpSite, Site

_MEMORY = Path("/dev/shm")


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder on tmpfs: a flush costs nothing there, and no kill can tell the difference."""
    usable = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    with tempfile.TemporaryDirectory(dir=_MEMORY if usable else None) as folder:
        yield Path(folder)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "remote")
    yield site
    site.close()


@pytest.fixture
def ftp_site(tmp_path: Path) -> Iterator[FtpSite]:
    site = FtpSite(tmp_path / "ftp-remote")
    yield site
    site.close()
