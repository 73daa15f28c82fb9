"""Downloads one large file with a progress bar; resumes after a break, ends at a stall.

A break is a connection that ends too early. The download resumes there if the host proves with
``If-Range`` that the file is the same; otherwise it begins again. Repeated breaks without a new
byte end the download, and so does silence.

The import of httpx is slow, and most runs download nothing. So each function that needs httpx
imports it.
"""

from __future__ import annotations

import hashlib
import shutil
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional, Union
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from harness.setup.sources import certificates
from harness.support.errors import BadInput

if TYPE_CHECKING:
    import httpx

Say = Callable[[str], None]
_GZIP = b"\x1f\x8b"
# How many breaks in a row without a new byte are allowed.
_BREAKS = 4
# Below this many bytes a second a transfer counts as stalled.
_SLOWEST = 100
_LINE_EVERY_S = 10.0


@dataclass(frozen=True)
class Limits:
    """Time-outs in seconds: for the first answer, without data, and the pause after a break."""

    # For the first answer.
    answer_s: float = 30.0
    # Without data.
    stall_s: float = 30.0
    # The pause after a break.
    pause_s: float = 1.0


@dataclass(frozen=True)
class Offer:
    """A host's answer before the first byte. Size and validator are None if the host sends none."""

    # The address after redirects.
    url: str
    # The length in bytes.
    size: Optional[int]
    # The ETag, or else Last-Modified.
    validator: Optional[str]

    @property
    def host(self) -> str:
        return _host(self.url)


class _Broken(Exception):
    """The connection ended before the file did."""


def ask(url: str, limits: Limits) -> Offer:
    """Return the host's offer for an address. Raises ``BadInput`` when it offers no archive."""
    import httpx

    host = _host(url)
    try:
        with _client(limits.answer_s) as client, client.stream("GET", url) as answer:
            return _offer(url, answer)
    except httpx.TimeoutException:
        raise BadInput(f"{host} does not answer within {limits.answer_s:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        remedy = "; is your authority in SSL_CERT_FILE?" if "certificate" in str(error) else ""
        raise BadInput(f"{host or url} does not answer ({_words(error)}{remedy})") from error


def _host(url: str) -> str:
    """Return name and port of an address, without user and password."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def _client(timeout_s: float) -> httpx.Client:
    import httpx

    bundle = certificates()
    try:
        trusted = ssl.create_default_context(cafile=bundle.value) if bundle else True
    except OSError as error:
        assert bundle is not None
        raise BadInput(
            f"the certificates in {bundle.value} ({bundle.where}) cannot be read: "
            f"{error.strerror or error}; name a PEM bundle there"
        ) from error
    return httpx.Client(
        follow_redirects=True,
        timeout=timeout_s,
        verify=trusted,
        # Without a Content-Encoding, because the digest of the file's own bytes is remembered.
        headers={"Accept-Encoding": "identity"},
    )


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _offer(url: str, answer: httpx.Response) -> Offer:
    if answer.status_code not in (200, 206):
        raise BadInput(f"{_host(url)} answers {answer.status_code} for {url}")
    kind = answer.headers.get("Content-Type", "")
    if kind.startswith("text/html"):
        raise BadInput(
            f"{_host(url)} answers with a web page instead of an archive ({kind}); is "
            "a proxy or a login page in between?"
        )
    size = answer.headers.get("Content-Length", "")
    etag = answer.headers.get("ETag", "")
    # RFC 9110: If-Range takes a strong entity tag or a date.
    strong = etag if etag and not etag.startswith("W/") else None
    return Offer(
        url, int(size) if size.isdigit() else None, strong or answer.headers.get("Last-Modified")
    )


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raises ``BadInput`` when the filesystem of ``folder`` has fewer than ``needed`` bytes."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BadInput(
            f"{what} needs {needed / 1e6:.0f} MB and {folder} has {free / 1e6:.0f} MB free; make "
            "room there, or name another cache in HARNESS_CACHE"
        )


def fetch(offer: Offer, target: Path, say: Say, limits: Limits) -> str:
    """Write the file to ``target`` and return its sha256.

    Raises:
        BadInput: The host stalls, breaks off again and again, or sends no archive.
        OSError: ``target`` cannot be written.
    """
    with _Shown(offer.size, say) as shown, target.open("wb") as file:
        done = furthest = breaks = 0
        while True:
            try:
                for block in _blocks(offer, done, limits):
                    if isinstance(block, int):
                        # The offset at which the host continues: the break, or 0.
                        done = block
                        file.seek(done)
                        file.truncate()
                        continue
                    file.write(block)
                    done += len(block)
                    shown.at(done)
                break
            except _Broken as error:
                breaks = 1 if done > furthest else breaks + 1
                furthest = max(furthest, done)
                if breaks > _BREAKS:
                    raise BadInput(
                        f"the download from {offer.host} broke off {breaks} times at "
                        f"{furthest:,} bytes ({error})"
                    ) from None
                shown.line(f"the download broke off at {done:,} bytes ({error}); continuing")
                time.sleep(limits.pause_s)
        file.flush()
    total = hashlib.sha256()
    with target.open("rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            total.update(piece)
    return total.hexdigest()


def _blocks(offer: Offer, done: int, limits: Limits) -> Iterator[Union[int, bytes]]:
    """Yield the offset at which the host continues, then the bytes that it sends."""
    import httpx

    headers = {}
    if done and offer.validator:
        headers = {"Range": f"bytes={done}-", "If-Range": offer.validator}
    got = 0
    try:
        with (
            _client(limits.stall_s) as client,
            client.stream("GET", offer.url, headers=headers) as answer,
        ):
            again = _offer(offer.url, answer)
            begin = 0
            if answer.status_code == httpx.codes.PARTIAL_CONTENT:
                begin = done
                if not answer.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
                    raise _Broken("it answered with another part than asked for")
            yield begin
            window, in_window = time.monotonic(), 0
            for block in answer.iter_raw():
                if begin + got == 0 and not block.startswith(_GZIP[: len(block)]):
                    raise BadInput(f"what {offer.host} sends for {offer.url} is no gzip archive")
                got += len(block)
                in_window += len(block)
                now = time.monotonic()
                if now - window > limits.stall_s:
                    if in_window < _SLOWEST * limits.stall_s:
                        raise httpx.ReadTimeout("")
                    window, in_window = now, 0
                yield block
            if again.size is not None and got < again.size:
                raise _Broken("the connection ended early")
    except httpx.TimeoutException:
        raise BadInput(
            f"the download from {offer.host} stalled at {done + got:,} bytes: nothing came for "
            f"{limits.stall_s:g} s"
        ) from None
    except httpx.HTTPError as error:
        raise _Broken(_words(error)) from None


class _Shown:
    """A progress bar on a terminal; elsewhere a line every ten seconds."""

    def __init__(self, size: Optional[int], say: Say) -> None:
        console = Console()
        self._say = say
        self._size = size
        self._begin = self._last = time.monotonic()
        self._progress = Progress(
            TextColumn("downloading"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=size)

    def __enter__(self) -> _Shown:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def at(self, done: int) -> None:
        """Show how many bytes have arrived."""
        self._progress.update(self._task, completed=done)
        now = time.monotonic()
        if self._progress.disable and now - self._last >= _LINE_EVERY_S:
            self._last = now
            of = f" of {self._size / 1e6:.1f}" if self._size else ""
            speed = done / 1e6 / (now - self._begin)
            self._say(f"downloading: {done / 1e6:.1f}{of} MB, {speed:.2f} MB/s")

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        if self._progress.disable:
            self._say(text)
        else:
            self._progress.console.print(text, markup=False, highlight=False)
