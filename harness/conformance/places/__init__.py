"""The remotes as the suite needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from .base import Place
from .ftp import FtpPlace
from .hdfs import HdfsPlace, WebHdfsPlace
from .http import HttpPlace

PLACES: dict[str, Callable[[Path], Place]] = {
    "http": HttpPlace,
    "ftp": FtpPlace,
    "hdfs": HdfsPlace,
    "webhdfs": WebHdfsPlace,
}
