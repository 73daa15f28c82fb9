"""Answers on their way out of one HTTP/2 connection, as far as the peer's windows let them. No I/O.

    answer ──▶ headers at once ──▶ data, when the stream's and the connection's windows are open ──▶
    trailers ──▶ gone

A stream is here from its HEADERS on, because its window may move before its answer is known.
"""

from __future__ import annotations

from typing import Optional

from . import _http2_frames as frames

Headers = list[tuple[str, str]]


class WindowBroken(Exception):
    """The peer has opened its window beyond what the RFC allows, or by nothing.

    ``number`` is the stream's, 0 the connection's (RFC 9113, 6.9).
    """

    def __init__(self, number: int, window: int) -> None:
        super().__init__(f"a window of {window}")
        self.number = number


class _Outgoing:
    __slots__ = ("data", "trailers", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        # A view, because cutting bytes copies the rest each time.
        self.data = memoryview(b"")
        self.trailers: Optional[bytes] = None


class Answers:
    """The streams that wait for an answer or for the rest of one.

    ``out`` is where frames are put, in the order in which they have to go.
    """

    def __init__(self, out: list[bytes]) -> None:
        self._out = out
        self._streams: dict[int, _Outgoing] = {}
        self._window = frames.DEFAULT_WINDOW
        self._initial = frames.DEFAULT_WINDOW
        self.largest_frame = frames.DEFAULT_FRAME_SIZE
        # Bytes that the windows hold back, of all streams together.
        self.unsent = 0
        # A window of all streams has moved since ``pump``.
        self._moved = False

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, number: int) -> bool:
        return number in self._streams

    def open(self, number: int) -> None:
        """A stream that will have an answer."""
        self._streams[number] = _Outgoing(self._initial)

    def forget(self, number: int) -> None:
        """The answer, or what is left of it, is not wanted any more."""
        stream = self._streams.pop(number, None)
        if stream is not None:
            self.unsent -= len(stream.data)

    def answer(
        self, number: int, headers: Headers, data: bytes, trailers: Optional[Headers] = None
    ) -> None:
        """Answers one request; what the windows do not take now goes later."""
        stream = self._streams.get(number)
        if stream is None:
            # The peer has taken its request back meanwhile.
            return
        block = frames.header_block(tuple(headers))
        last = not data and trailers is None
        flags = frames.END_STREAM if last else 0
        self._out.append(frames.header_frames(number, flags, block, self.largest_frame))
        if last:
            del self._streams[number]
            return
        stream.data = memoryview(data)
        self.unsent += len(data)
        stream.trailers = None if trailers is None else frames.header_block(tuple(trailers))
        self._send(number, stream)

    def set_initial_window(self, initial: int) -> None:
        """The peer's setting, which moves the windows of the open streams too (RFC 9113, 6.9.2)."""
        if initial == self._initial:
            return
        for stream in self._streams.values():
            stream.window += initial - self._initial
        self._initial = initial
        self._moved = True

    def open_window(self, number: int, more: int) -> None:
        """The peer takes ``more`` bytes on a stream, or on all for 0. Raises ``WindowBroken``."""
        if number == 0:
            self._window += more
            if more == 0 or self._window > frames.LARGEST_WINDOW:
                raise WindowBroken(0, self._window)
            self._moved = True
            return
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.window += more
        if more == 0 or stream.window > frames.LARGEST_WINDOW:
            raise WindowBroken(number, stream.window)
        self._send(number, stream)

    def pump(self) -> None:
        """Sends what the windows of all streams let out, once for all that moved them."""
        if not self._moved:
            return
        self._moved = False
        for number, stream in list(self._streams.items()):
            self._send(number, stream)

    def _send(self, number: int, stream: _Outgoing) -> None:
        while stream.data:
            size = min(len(stream.data), self.largest_frame, self._window, stream.window)
            if size <= 0:
                return
            part, stream.data = stream.data[:size], stream.data[size:]
            self.unsent -= size
            self._window -= size
            stream.window -= size
            last = not stream.data and stream.trailers is None
            flags = frames.END_STREAM if last else 0
            self._out.append(frames.frame(frames.DATA, flags, number, part))
            if last:
                del self._streams[number]
                return
        if stream.trailers is not None:
            block = stream.trailers
            self._out.append(
                frames.header_frames(number, frames.END_STREAM, block, self.largest_frame)
            )
            del self._streams[number]
