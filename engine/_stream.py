"""What comes in on one connection, cut into messages, whatever protocol each is in. No I/O.

The first bytes of a message tell its protocol. HTTP/1 and baidu_std may take turns on one
connection, as long as the client waits for an HTTP answer before it changes to baidu_std:

===========================  ========================================
``PRPC``                     baidu_std: ``Frame``
``PRI * HTTP/2.0``           HTTP/2 from here on: ``bytes``, as they come
anything else                HTTP/1: ``HttpRequest``
===========================  ========================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

from . import _baidu_std, _http1
from ._http import BrokenRequest, HttpRequest, TooBig

_PREFACE = b"PRI * HTTP/2.0\r\n"
Message = Union[_baidu_std.Frame, HttpRequest, bytes]


class Unanswerable(Exception):
    """Bytes after which the connection has to be closed without an answer.

    Attributes:
        protocol: brpc's name of the protocol.
        too_big: Whether ``max_body_size`` is the reason.
        messages: The messages before those bytes; they are to be answered first.
    """

    def __init__(
        self, protocol: str, reason: Exception, too_big: bool, messages: Sequence[Message]
    ) -> None:
        super().__init__(str(reason))
        self.protocol = protocol
        self.too_big = too_big
        self.messages = messages


class MessageReader:
    """One connection's incoming bytes. ``limit`` is ``max_body_size``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        # No message is whole before this many bytes are kept.
        self._needed = 1
        self._http = _http1.RequestReader(limit)
        self._is_http2 = False

    def receive(self, data: bytes) -> list[Message]:
        """Take what came in, and return the messages that are whole now.

        Raises:
            Unanswerable: The reader must not be used afterwards.
        """
        if self._is_http2:
            return [data]
        messages: list[Message] = []
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return []
            data = bytes(self._kept)
            self._kept.clear()
        at = 0
        try:
            while at < len(data):
                at = self._read(data, at, messages)
        except (_baidu_std.TooBig, _baidu_std.BrokenFrame) as error:
            too_big = isinstance(error, _baidu_std.TooBig)
            raise Unanswerable("baidu_std", error, too_big, messages) from None
        except BrokenRequest as error:
            messages += self._http.requests
            raise Unanswerable("http", error, isinstance(error, TooBig), messages) from None
        return messages

    def _read(self, data: bytes, at: int, messages: list[Message]) -> int:
        """Read one message, or keep what is left; return where the next one starts."""
        start = data[at : at + len(_PREFACE)]
        if self._http.idle and start.startswith(_baidu_std.MAGIC):
            size = _baidu_std.frame_size(data, at, self._limit)
            if len(data) - at >= size:
                messages.append(_baidu_std.read_frame(data[at : at + size]))
                return at + size
            self._keep(data[at:], size)
        elif self._http.idle and start == _PREFACE:
            self._is_http2 = True
            messages.append(data[at:])
        elif self._http.idle and (_baidu_std.MAGIC.startswith(start) or _PREFACE.startswith(start)):
            self._keep(data[at:], len(start) + 1)
        else:
            self._http.feed(data[at:])
            messages += self._http.requests
            self._http.requests.clear()
        return len(data)

    def _keep(self, data: bytes, needed: int) -> None:
        self._kept += data
        self._needed = needed
