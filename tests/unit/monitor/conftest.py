"""Fixtures of the monitor's tests; what they are made of stands in ``fixtures``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .fixtures import FtpSite, Site


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
