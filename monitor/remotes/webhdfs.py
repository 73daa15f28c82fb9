"""HDFS through WebHDFS (``--type webhdfs``): no JVM, times in milliseconds, resume at an offset."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import urlsplit

import hdfs
import requests
import urllib3

from ..errors import RemoteError
from ..stop import Stop
from .base import CHUNK, DONEFILE_LIMIT, Download, Entry, Remote, Sighting, join, too_many
from .causes import cause
from .session import Session

if TYPE_CHECKING:
    from ..options.fields import Options


class _Page(requests.HTTPError, requests.ConnectionError):
    """A refusal not in WebHDFS's form; for a ConnectionError the library asks another NameNode."""


class _Session(Session):
    """Keeps in ``lost`` the DataNode address of a failed redirect, and the error.

    With several NameNodes the library then asks the next one, and raises the next one's error.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options.ca_file, options.proxy.reveal(), {})
        self.hooks["response"].append(_refuse)
        self._asked = [_host(url) for url in options.webhdfs_url.reveal().split(";")]
        self.lost: Optional[tuple[str, Exception]] = None

    def send(self, request: requests.PreparedRequest, **given: Any) -> requests.Response:
        try:
            return super().send(request, **given)
        except requests.exceptions.ProxyError:
            raise
        except requests.RequestException as error:
            # requests follows a redirect in an inner call, which comes here first. Its address
            # counts.
            url = request.url or ""
            if self.lost is None and _host(url) not in self._asked:
                self.lost = ("{0.scheme}://{0.netloc}".format(urlsplit(url)), error)
            raise


class WebHdfsRemote(Remote):
    """One HDFS (``--webhdfs_url`` may name several NameNodes, separated by ``;``)."""

    def __init__(self, options: Options, stop: Stop) -> None:
        self._options = options
        self._stop = stop
        self._base = "/" + options.remote_path.lstrip("/")
        self._client: Any = None
        # A file's id, time in milliseconds and length name its content: HDFS files only grow or
        # are replaced. So the donefile is read again only when one of the three changes.
        self._seen: Optional[Sighting] = None

    def describe(self) -> list[tuple[str, str]]:
        return [
            ("_webhdfs_url", str(self._options.webhdfs_url)),
            ("_hdfs_user", self._options.hdfs_user),
        ]

    def look(self, name: str) -> Optional[Sighting]:
        path = join(self._base, name)
        status = self._status("read", path)
        if status is None:
            self._seen = None
            return None
        mark = _mark(status)
        if self._seen is None or self._seen.mark != mark:
            content = b"".join(self._read("read", path, 0, DONEFILE_LIMIT))
            length = int(status["length"])
            if len(content) != min(length, DONEFILE_LIMIT):
                # For a file that is still being written, HDFS sends a part and reports no error.
                raise RemoteError(
                    "read",
                    self._where(path),
                    f"{len(content)} bytes came, HDFS says {length}",
                    "it may still be written; if not, check the DataNodes",
                )
            after = self._status("read", path)
            if after is None or _mark(after) != mark:
                raise RemoteError(
                    "read",
                    self._where(path),
                    "it changed while it was read",
                    "let one producer write it",
                )
            self._seen = Sighting(content, mark)
        return self._seen

    def open(self, name: str, offset: int = 0, mark: str = "") -> Download:
        path = join(self._base, name)
        status = self._status("pull", path)
        if status is None:
            raise RemoteError(
                "pull",
                self._where(path),
                "HDFS has no such file",
                "check --remote_path and --remote_model_name",
            )
        now = _mark(status)
        length = int(status["length"])
        start = offset if offset < length and mark == now else 0
        return Download(start, length, now, self._read("pull", path, start, None))

    def tree(self, name: str, most: int) -> list[Entry]:
        top = join(self._base, name)
        found = []
        seen = 0
        with self._guard("list", top):
            for folder, folders, files in self._connected().walk(top, status=True):
                seen += len(folders) + len(files)
                if seen > most:
                    raise too_many(name, most)
                relative = folder[0][len(top) :].strip("/")
                for entry, status in files:
                    path = f"{relative}/{entry}" if relative else entry
                    found.append(Entry(path, int(status["length"])))
        return found

    def close(self) -> None:
        if self._client is not None:
            self._client._session.close()
            self._client = None

    def _connected(self) -> Any:
        self._stop.check()
        if self._client is None:
            options = self._options
            # The library's loop over the addresses never ends if an address comes twice.
            urls = dict.fromkeys(options.webhdfs_url.reveal().split(";"))
            self._client = hdfs.InsecureClient(
                ";".join(urls),
                user=options.hdfs_user or None,
                timeout=options.timeout,
                session=_Session(options),
            )
        self._client._session.lost = None
        return self._client

    def _where(self, path: str) -> str:
        return f"{self._options.webhdfs_url}{path}"

    @contextlib.contextmanager
    def _guard(self, operation: str, path: str) -> Iterator[None]:
        try:
            yield
        except (hdfs.HdfsError, requests.RequestException) as error:
            lost = self._client._session.lost if self._client is not None else None
            if lost is None:
                raise self._failed(operation, path, error) from error
            self.close()
            to, why = lost
            raise RemoteError(
                operation,
                self._where(path),
                f"the NameNode sent this to {to}, and that failed: {cause(why)}",
                "start that DataNode, or set its dfs.datanode.hostname and "
                f"{_setting(to)} to what this machine can reach",
            ) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._failed(operation, path, error) from error

    def _failed(self, operation: str, path: str, error: Exception) -> RemoteError:
        if isinstance(error, hdfs.HdfsError):
            hint = "check --remote_path"
            if error.exception == "AccessControlException":
                hint = "check --hdfs_user and the permissions of --remote_path"
            return RemoteError(operation, self._where(path), str(error).partition("\n")[0], hint)
        if isinstance(error, requests.HTTPError):
            hint = "check --webhdfs_url and that WebHDFS is up there"
            if error.response is not None and error.response.status_code == 401:
                hint = "for Kerberos use --type hdfs with a --hadoop_bin that has a ticket"
            return RemoteError(operation, self._where(path), error, hint)
        self.close()
        hint = "check --webhdfs_url and that NameNode and DataNodes are up"
        return RemoteError(operation, self._where(path), cause(error), hint)

    def _status(self, operation: str, path: str) -> Optional[dict[str, Any]]:
        with self._guard(operation, path):
            try:
                status = self._status_again(path)
                if status is None:
                    status = self._connected().status(path)
                    self._client._session.keep(path)
                int(status["length"])
            except hdfs.HdfsError as error:
                # Any other refusal says nothing about the file.
                if error.exception != "FileNotFoundException":
                    raise
                return None
            except (KeyError, TypeError, ValueError) as error:
                # A proxy's page, or another service.
                raise RemoteError(
                    operation,
                    self._where(path),
                    "the answer is not WebHDFS's",
                    "check --webhdfs_url",
                ) from error
        if status.get("type") == "DIRECTORY":
            raise RemoteError(
                operation, self._where(path), "it is a folder", "check --remote_donefile_name"
            )
        return status

    def _status_again(self, path: str) -> Optional[dict[str, Any]]:
        """Repeat the last request for a status. Return None if the library has to ask."""
        if ";" in self._options.webhdfs_url.reveal():
            # Only the library asks the other NameNodes, too.
            return None
        answer = self._connected()._session.repeat(path)
        if answer is None:
            return None
        with contextlib.closing(answer):
            content = answer.read(decode_content=True)
        return json.loads(content)["FileStatus"] if answer.status == 200 else None

    def _read(
        self, operation: str, path: str, offset: int, length: Optional[int]
    ) -> Generator[bytes, None, None]:
        with self._guard(operation, path):
            reader = self._connected().read(path, offset=offset, length=length, chunk_size=CHUNK)
            with reader as chunks:
                for chunk in chunks:
                    self._stop.check()
                    yield chunk


def _refuse(answer: requests.Response, *_: Any, **__: Any) -> None:
    """Raise an ``HTTPError`` for a refusal that is not in WebHDFS's own form.

    A web server or Jetty sends such pages. The library would quote the page's bytes as the reason.
    """
    code = answer.status_code
    if code < 400:
        return
    if code != 401:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            told = answer.json()["RemoteException"]
            if isinstance(told["exception"], str) and isinstance(told["message"], str):
                return
    # An unread answer keeps its connection until the garbage collector finds the answer.
    answer.close()
    kind = requests.HTTPError if code in (401, 403) else _Page
    raise kind(f"the server answered {code} {answer.reason}".strip(), response=answer)


def _host(url: str) -> tuple[Optional[str], Optional[int]]:
    parts = urlsplit(url)
    return parts.hostname, parts.port


def _setting(address: str) -> str:
    """Return the DataNode's setting for the port in ``address``."""
    return f"dfs.datanode.{address.partition(':')[0]}.address"


def _mark(status: dict[str, Any]) -> str:
    return "|".join(str(status.get(key)) for key in ("fileId", "modificationTime", "length"))
