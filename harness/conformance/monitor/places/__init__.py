"""The remotes as the suite needs them."""

from __future__ import annotations

from typing import Union

from .fsspec import FsspecPlace
from .ftp import FtpPlace
from .hdfs import HdfsPlace, WebHdfsPlace
from .http import HttpPlace

PLACES: dict[
    str,
    Union[type[HttpPlace], type[FtpPlace], type[HdfsPlace], type[WebHdfsPlace], type[FsspecPlace]],
] = {
    "http": HttpPlace,
    "ftp": FtpPlace,
    "hdfs": HdfsPlace,
    "webhdfs": WebHdfsPlace,
    "fsspec": FsspecPlace,
}
