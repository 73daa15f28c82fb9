"""HDFS over HTTP (WebHDFS), with the ``hdfs`` package."""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

import hdfs
import requests
import urllib3

from ..errors import RemoteError
from .address import Address
from .base import Publisher, uploading

# Time-outs to connect and to read. A WebHDFS server that has just started needs seconds.
_TIMEOUT_S = (5.0, 60.0)
_HINT = "may the user of --hdfs_user write there, and are NameNode and DataNodes up?"


class WebHdfs(Publisher):
    """``webhdfs://host:port/path``, with simple authentication."""

    def __init__(self, address: Address, *, user: Optional[str]) -> None:
        super().__init__(address)
        self._client: Any = hdfs.InsecureClient(
            f"http://{address.authority}", user=user or _login(), timeout=_TIMEOUT_S
        )

    def prepare(self) -> None:
        with self._told("reach", str(self.address)):
            self._client.makedirs(self.address.path)

    def read(self, name: str) -> Optional[bytes]:
        with self._told("read", self.where(name)):
            try:
                with self._client.read(self.address.of(name)) as reader:
                    return bytes(reader.read())
            except hdfs.HdfsError as error:
                if error.exception == "FileNotFoundException":
                    return None
                raise

    def put(self, local: Path, name: str) -> None:
        part = self.address.of(uploading(name))
        with self._told("upload", self.where(name)):
            with local.open("rb") as source:
                self._client.write(part, source, overwrite=True)
            size, arrived = local.stat().st_size, self._client.status(part)["length"]
            if arrived != size:
                # A file that was never closed shows a shorter length, although no call failed.
                raise RemoteError(
                    "upload",
                    self.where(name),
                    f"{arrived} of {size} bytes arrived, and no error",
                    "are the DataNodes up?",
                )
            # The public rename() has no way to say OVERWRITE (FileContext's atomic replace).
            self._client._rename(part, destination=self.address.of(name), renameoptions="OVERWRITE")

    @contextlib.contextmanager
    def _told(self, operation: str, where: str) -> Iterator[None]:
        try:
            yield
        except hdfs.HdfsError as error:
            raise RemoteError(operation, where, _first_line(str(error)), _HINT) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unreachable(operation, where, error) from None

    def _unreachable(self, operation: str, where: str, error: Exception) -> RemoteError:
        cause = _root_cause(error)
        request = getattr(error, "request", None)
        to = urlsplit(request.url if request is not None else "")
        if (to.hostname, to.port) in ((None, None), (self.address.host, self.address.port)):
            return RemoteError(
                operation, where, cause, "is the NameNode's HTTP port right, and up?"
            )
        return RemoteError(
            operation,
            where,
            f"the NameNode sent this to {to.scheme}://{to.netloc}, and that failed: {cause}",
            "start that DataNode, or set its dfs.datanode.hostname and "
            f"dfs.datanode.{to.scheme}.address to what this machine can reach",
        )


def _login() -> str:
    try:
        return getpass.getuser()
    except KeyError:  # a container's user id without a name
        return "root"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no reason given"


def _root_cause(error: BaseException) -> str:
    """Return the innermost cause: requests wraps an errno in three layers and prints all."""
    cause: Optional[BaseException] = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        if isinstance(cause, requests.Timeout):
            return "no answer in time"
        cause = cause.__cause__ or cause.__context__
    return _first_line(str(error))
