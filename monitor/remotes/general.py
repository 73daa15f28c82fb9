"""HTTP and HTTPS (``--type general``), without wget.

Each poll fetches the whole donefile, which is small. It sends no If-None-Match or
If-Modified-Since, because servers make a strong ETag of length and whole second. Waiting until the
tag is old does not help: a file may be written long before it is renamed into place. If-Range is
safe for resuming a broken transfer.
"""

from __future__ import annotations

import contextlib
import email.utils
import re
import zlib
from collections.abc import Generator, Iterator
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Optional
from urllib.parse import unquote, urljoin, urlsplit

import urllib3

from .. import manifest
from ..errors import RemoteError
from ..options.secrets import Secret
from ..stop import Stop
from .base import CHUNK, DONEFILE_LIMIT, Download, Entry, Remote, Sighting, join, too_many
from .causes import as_remote_error, unexpected_status
from .session import Session

if TYPE_CHECKING:
    from ..options.fields import Options

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)\Z")
# A validator within this many seconds of the answer's Date may stand for two contents.
_YOUNG_S = 2.0


class HttpRemote(Remote):
    """One HTTP server, one persistent connection that is opened again by itself."""

    def __init__(self, options: Options, stop: Stop) -> None:
        self._options = options
        self._stop = stop
        host = options.general_host.reveal()
        # wget, which upstream runs, takes a host without a scheme.
        self._host = (host if "://" in host else f"http://{host}").rstrip("/")
        self._session: Optional[Session] = None

    def describe(self) -> list[tuple[str, str]]:
        return [("_general_host", str(self._options.general_host))]

    def look(self, name: str) -> Optional[Sighting]:
        url = self._url(name)
        with contextlib.closing(self._get(url, "read", {})) as answer:
            if answer.status in (404, 410):
                # Read all the same: a connection with an unread answer cannot be kept.
                with contextlib.suppress(RemoteError):
                    b"".join(_limited(self._chunks(answer, url), DONEFILE_LIMIT))
                return None
            self._expect(answer, url, "read", (200,))
            content = b"".join(_limited(self._chunks(answer, url), DONEFILE_LIMIT))
            coding = answer.headers.get("Content-Encoding", "")
            validators = _validators(answer)
            mark = "|".join(validators.values())
            return Sighting(_decoded(content, coding, url), mark, validators)

    def open(self, name: str, offset: int = 0, mark: str = "") -> Download:
        url = self._url(name)
        headers = {}
        if offset and mark:
            headers = {"Range": f"bytes={offset}-", "If-Range": mark}
        answer = self._get(url, "pull", headers)
        if headers and answer.status == 416:
            # Nothing is there at the offset (the file is shorter, or was here whole already).
            answer.close()
            return self.open(name)
        if headers and answer.status == 206 and not _may_resume(answer, mark):
            answer.close()
            return self.open(name)
        try:
            if answer.status in (404, 410):
                raise RemoteError("pull", url, "the server has no such file", _NAME_HINT)
            self._expect(answer, url, "pull", (200, 206))
            start, size = 0, _length(answer)
            if answer.status == 206:
                found = _RANGE.match(answer.headers.get("Content-Range", ""))
                if not found or int(found.group(1)) != offset:
                    raise RemoteError(
                        "pull",
                        url,
                        "the server answered with another range",
                        "check what stands between here and the server",
                    )
                start = offset
                size = None if found.group(2) == "*" else int(found.group(2))
        except BaseException:
            answer.close()
            raise
        return Download(start, size, _resume_mark(answer), self._body(answer, url), answer.close)

    def peek(self, name: str) -> dict[str, str]:
        url = self._url(name)
        # Not HEAD: a signature in the address may allow only GET.
        with contextlib.closing(self._get(url, "look at", {"Range": "bytes=0-0"})) as answer:
            self._expect(answer, url, "look at", (200, 206, 416))
            found = _validators(answer)
            length = found.pop("Content-Length")
            if answer.status == 200:
                return {**found, "size": length}
            # Read, so that the connection can be kept.
            b"".join(_limited(self._chunks(answer, url), DONEFILE_LIMIT))
            return {**found, "size": answer.headers.get("Content-Range", "").rpartition("/")[2]}

    def tree(self, name: str, most: int) -> list[Entry]:
        """Follow the links of index pages below the folder, as ``wget -r`` does."""
        found: list[Entry] = []
        top = self._url(name).rstrip("/") + "/"
        todo, seen = [top], {top}
        while todo:
            page = todo.pop()
            with contextlib.closing(self._get(page, "list", {})) as answer:
                self._expect(answer, page, "list", (200,))
                body = b"".join(_limited(self._chunks(answer, page), 16 * 1024 * 1024))
            links = _Links()
            links.feed(body.decode("utf-8", "replace"))
            for href in links.found:
                url = urljoin(page, href)
                parts = urlsplit(url)
                url = parts._replace(query="", fragment="").geturl()
                if not url.startswith(top) or url in seen or parts.query:
                    continue
                seen.add(url)
                # The folder itself is seen, too.
                if len(seen) > most + 1:
                    raise too_many(name, most)
                if url.endswith("/"):
                    todo.append(url)
                else:
                    found.append(Entry(unquote(url[len(top) :]), None))
        return found

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _url(self, name: str) -> str:
        return f"{self._host}/{join(self._options.remote_path, name).lstrip('/')}"

    def _query(self, url: str) -> Secret:
        """Return the query of one address: the object's own query, else ``--http_query``."""
        options = self._options
        own = Secret()
        if url == self._url(options.remote_donefile_name):
            own = options.donefile_query
        elif url == self._url(options.remote_model_name):
            own = options.model_query
        return own or options.http_query

    def _connected(self) -> Session:
        if self._session is None:
            options = self._options
            secrets = {}
            for line in options.http_header:
                key, _, value = line.reveal().partition(":")
                secrets[key.strip()] = value.strip()
            token = options.http_token.reveal()
            if token:
                secrets["Authorization"] = f"Bearer {token}"
            session = Session(options.ca_file, options.proxy.reveal(), secrets)
            # The file itself is wanted, as wget would store it, not a decoded form of it.
            session.headers["Accept-Encoding"] = "identity"
            self._session = session
        return self._session

    def _get(self, url: str, operation: str, headers: dict[str, str]) -> urllib3.HTTPResponse:
        self._stop.check()
        with as_remote_error(operation, url):
            return self._connected().ask(url, self._query(url), headers, self._options.timeout)

    def _expect(
        self, answer: urllib3.HTTPResponse, url: str, operation: str, codes: tuple[int, ...]
    ) -> None:
        if answer.status not in codes:
            raise unexpected_status(operation, url, answer)

    def _chunks(self, answer: urllib3.HTTPResponse, url: str) -> Iterator[bytes]:
        expected = _length(answer)
        got = 0
        with as_remote_error("read", url):
            while True:
                self._stop.check()
                chunk: bytes = answer.read(CHUNK, decode_content=False)
                if not chunk:
                    break
                got += len(chunk)
                yield chunk
                if answer.length_remaining == 0:
                    break
        if expected is not None and got < expected:
            raise RemoteError(
                "read",
                url,
                f"the transfer broke after {got} of {expected} bytes",
                "check that the server is up",
            )

    def _body(self, answer: urllib3.HTTPResponse, url: str) -> Generator[bytes, None, None]:
        try:
            yield from self._chunks(answer, url)
        finally:
            answer.close()


_NAME_HINT = "check --remote_path and --remote_model_name"


def _length(answer: urllib3.HTTPResponse) -> Optional[int]:
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _validators(answer: urllib3.HTTPResponse) -> dict[str, str]:
    wanted = ("ETag", "Last-Modified", "Content-Length")
    return {key: answer.headers.get(key, "") for key in wanted}


def _decoded(content: bytes, coding: str, url: str) -> bytes:
    """Decode a donefile's Content-Encoding, which some servers use without being asked.

    Many servers name a coding that they do not use. Content that does not decode is returned as it
    is.

    Raises:
        RemoteError: The gzip stream is cut short, or the monitor cannot decode the coding.
    """
    if not coding or manifest.parse(content) is not None:
        return content
    # Codings stand in the order in which they were applied.
    for name in reversed([name.strip().lower() for name in coding.split(",")]):
        for window in _WINDOWS.get(name, ()):
            with contextlib.suppress(zlib.error):
                content = manifest.unpacked(content, window)
                break
        else:
            if name in _WINDOWS and content.startswith(manifest.GZIP):
                raise RemoteError(
                    "read", url, "its gzip stream is cut short or damaged", "check that it is whole"
                )
        if name in _FOREIGN_CODINGS and content and manifest.parse(content) is None:
            raise RemoteError(
                "read",
                url,
                f"the server sends it with Content-Encoding {name}, which was not asked for",
                "switch that off for the donefile",
            )
    return content


# zlib's windows for a coding. Some servers send "deflate" without the zlib header.
_WINDOWS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
# The standard library has no decoder for these.
_FOREIGN_CODINGS = ("br", "zstd", "dcb", "dcz", "compress", "x-compress")


def _resume_mark(answer: urllib3.HTTPResponse) -> str:
    """Return a validator for If-Range, or "" if there is none that is strong (RFC 9110, 8.8)."""
    if answer.headers.get("Accept-Ranges", "").lower() == "none":
        return ""
    modified, date = (_epoch(answer.headers.get(key, "")) for key in ("Last-Modified", "Date"))
    if modified is not None and date is not None and date - modified < _YOUNG_S:
        return ""
    tag = answer.headers.get("ETag", "")
    if tag:
        return "" if tag.startswith("W/") else tag
    return answer.headers.get("Last-Modified", "") if modified is not None and date else ""


def _may_resume(answer: urllib3.HTTPResponse, mark: str) -> bool:
    """Return whether a 206 may be of the file with the validator ``mark``.

    Some servers honour Range but ignore If-Range. A 206 may leave out Last-Modified (RFC 9110,
    15.3.7), so an answer without validators is accepted.
    """
    found = [answer.headers[key] for key in ("ETag", "Last-Modified") if key in answer.headers]
    return not found or mark in found


def _epoch(text: str) -> Optional[float]:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, IndexError):
        return None


def _limited(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    left = limit
    for chunk in chunks:
        yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        if tag == "a":
            self.found += [value for key, value in attrs if key == "href" and value]
