"""What comes in on one connection, cut into messages, whatever protocol each is in. No I/O.

The protocol is told by the first bytes of a message, and HTTP/1 and baidu_std may take turns on
one connection, as they may with brpc:

state     on                               to        gives
START     ``PRPC``                         FRAME
START     ``PRI * HTTP/2.0``               HTTP2     Http2Start, with all that is left
START     anything like a method           HEAD
START     anything else                    (error)
FRAME     a whole frame                    START     Frame
HEAD      an empty line, length known      BODY
HEAD      an empty line, chunked           CHUNKS
BODY      that many bytes                  START     HttpRequest
CHUNKS    the last chunk                   START     HttpRequest
HTTP2     any bytes                        HTTP2     bytes, as they are
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Optional, Union

from . import _baidu_std, _http1

# Up to here the preface cannot be an HTTP/1 request of interest.
_PREFACE_START = b"PRI * HTTP/2.0\r\n"
_EMPTY_LINES = re.compile(rb"[\r\n]+")
# A line may end without its CR (RFC 9112, 2.2), as it does when somebody types it.
_HEAD_END = re.compile(rb"\n\r?\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")


class Unanswerable(Exception):
    """Bytes after which the connection has to be closed without an answer.

    ``protocol`` is brpc's name of it; ``too_big`` says that ``max_body_size`` was the reason.
    ``messages`` came whole before them, and are to be answered first.
    """

    def __init__(
        self,
        protocol: str,
        reason: str,
        too_big: bool = False,
        messages: Sequence[Message] = (),
    ) -> None:
        super().__init__(reason)
        self.protocol = protocol
        self.too_big = too_big
        self.messages = messages


class Http2Start(NamedTuple):
    """The client speaks HTTP/2 from here on; ``data`` is what has come, preface included."""

    data: bytes


Message = Union[_baidu_std.Frame, _http1.HttpRequest, Http2Start, bytes]


class MessageReader:
    """One connection's incoming bytes. ``limit`` is ``max_body_size``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._at = 0
        # No state can move on before this many bytes are there, counted from _at.
        self._needed = 1
        self._state = "START"
        self._head: Optional[_http1.Head] = None
        self._chunks: Optional[_http1.ChunkReader] = None
        self._searched = 0

    @property
    def waiting(self) -> int:
        """Bytes kept for a message that is not whole yet."""
        return len(self._data) + (len(self._chunks.body) if self._chunks else 0)

    def receive(self, data: bytes) -> list[Message]:
        """Takes what came in; gives the messages that are whole now.

        Raises ``Unanswerable``; the reader must not be used any more then.
        """
        if self._state == "HTTP2":
            return [data]
        if not self._data and self._state == "START":
            message = self._whole(data)
            if message is not None:
                return [message]
        self._data += data
        if len(self._data) < self._needed:
            return []
        messages: list[Message] = []
        try:
            while self._step(messages):
                pass
        except (_baidu_std.TooBig, _http1.TooBig) as error:
            raise Unanswerable(self._protocol(), str(error), True, messages) from None
        except (_baidu_std.BrokenFrame, _http1.BrokenRequest) as error:
            raise Unanswerable(self._protocol(), str(error), False, messages) from None
        finally:
            del self._data[: self._at]
            self._at = 0
        return messages

    def _whole(self, data: bytes) -> Optional[Message]:
        """The usual case, quickly: one message, and nothing else, came at once.

        Gives None in every other case, errors included: the machine below is for those.
        """
        if data.startswith(_baidu_std.MAGIC):
            if len(data) < _baidu_std.HEADER.size or len(data) > self._limit:
                return None
            _, body, meta = _baidu_std.HEADER.unpack_from(data)
            most = min(body, _baidu_std.META_LIMIT)
            if len(data) != _baidu_std.HEADER.size + body or meta > most:
                return None
            try:
                return _baidu_std.read_frame(data)
            except _baidu_std.BrokenFrame:
                return None
        end = data.find(b"\r\n\r\n", 0, _http1.HEAD_LIMIT) + 4
        if end < 4 or data.startswith(b"PRI ") or not _http1.looks_like_http(data, 0):
            return None
        try:
            head = _http1.read_head(data[:end])
        except _http1.BrokenRequest:
            return None
        if head.chunked or len(data) != end + head.length or head.length > self._limit:
            return None
        return _http1.HttpRequest(head, data[end:])

    def _protocol(self) -> str:
        return "baidu_std" if self._state == "FRAME" else "http"

    def _step(self, messages: list[Message]) -> bool:
        """One transition; False when more bytes are needed."""
        if len(self._data) - self._at < self._needed:
            return False
        return bool(getattr(self, f"_in_{self._state.lower()}")(messages))

    def _go(self, state: str, needed: int = 1) -> bool:
        self._state = state
        self._needed = needed
        return True

    def _in_start(self, messages: list[Message]) -> bool:
        start = bytes(self._data[self._at : self._at + len(_PREFACE_START)])
        if start[:4] == _baidu_std.MAGIC:
            return self._go("FRAME", _baidu_std.HEADER.size)
        if start == _PREFACE_START:
            messages.append(Http2Start(bytes(self._data[self._at :])))
            self._at = len(self._data)
            self._state = "HTTP2"
            return False
        if start and (_baidu_std.MAGIC.startswith(start) or _PREFACE_START.startswith(start)):
            self._needed = len(start) + 1
            return False
        # Empty lines before a request line are to be passed over (RFC 9112, 2.2).
        empty = _EMPTY_LINES.match(self._data, self._at)
        if empty:
            self._at = empty.end()
            return self._go("START")
        self._searched = 0
        return self._go("HEAD")

    def _in_frame(self, messages: list[Message]) -> bool:
        size = _baidu_std.frame_size(self._data, self._at, self._limit)
        if len(self._data) - self._at < size:
            self._needed = size
            return False
        messages.append(_baidu_std.read_frame(bytes(self._data[self._at : self._at + size])))
        self._at += size
        return self._go("START")

    def _in_head(self, messages: list[Message]) -> bool:
        found = _HEAD_END.search(self._data, self._at + self._searched)
        if found is None or found.end() - self._at > _http1.HEAD_LIMIT:
            have = len(self._data) - self._at
            if self._searched < 32 and not _http1.looks_like_http(self._data, self._at):
                raise _http1.BrokenRequest("the bytes are in no known protocol")
            if have > _http1.HEAD_LIMIT:
                raise _http1.BrokenRequest(f"the head is larger than {_http1.HEAD_LIMIT} bytes")
            self._searched = max(0, have - 2)
            self._needed = have + 1
            return False
        end = found.end()
        if not _http1.looks_like_http(self._data, self._at):
            raise _http1.BrokenRequest("the bytes are in no known protocol")
        head = bytes(self._data[self._at : end])
        self._head = _http1.read_head(_BARE_LF.sub(b"\r\n", head))
        self._at = end
        if self._head.chunked:
            self._chunks = _http1.ChunkReader(self._limit)
            return self._go("CHUNKS", 0)
        if self._head.length > self._limit:
            raise _http1.TooBig(f"{self._head.length} bytes")
        return self._go("BODY", self._head.length)

    def _in_body(self, messages: list[Message]) -> bool:
        assert self._head is not None
        end = self._at + self._head.length
        messages.append(_http1.HttpRequest(self._head, bytes(self._data[self._at : end])))
        self._at = end
        return self._go("START")

    def _in_chunks(self, messages: list[Message]) -> bool:
        assert self._head is not None
        assert self._chunks is not None
        self._at = self._chunks.receive(self._data, self._at)
        if not self._chunks.done:
            self._needed = len(self._data) - self._at + 1
            return False
        messages.append(_http1.HttpRequest(self._head, bytes(self._chunks.body)))
        self._chunks = None
        return self._go("START")
