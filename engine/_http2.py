"""The server's side of one HTTP/2 connection (RFC 9113): bytes in, requests out; answers in,
bytes out. No I/O. hpack reads the header blocks.

What a client's stream goes through:

state       on                          to         what is done
(none)      HEADERS                     OPEN       a new stream, above all before it
(none)      HEADERS with END_STREAM     ASKED      the request is whole
(none)      HEADERS of a body too big   (none)     reset; the body is dropped as it comes
OPEN        DATA                        OPEN       joins the body, within the window and the limit
OPEN        DATA with END_STREAM        ASKED      the request is whole
OPEN        HEADERS with END_STREAM     ASKED      trailers, read and dropped
ASKED       an answer                   (none)     sent as far as the windows let it (``Answers``)
any         RST_STREAM                  (none)     request and answer are dropped

A frame that fits no row breaks the stream (RST_STREAM) or the connection (``Broken``), as the RFC
says; what was asked before is answered all the same, and then comes the GOAWAY. The limit on
bodies holds for all streams of a connection together; one that announces that it will be over it,
in its content-length or the prefix of its gRPC message, is not waited for.
"""

from __future__ import annotations

from typing import Callable, NoReturn, Optional

import hpack

from . import _http2_frames as frames
from ._http2_answers import Answers, Headers, WindowBroken
from ._http2_requests import H2Request, Incoming, Malformed

_MOST_STREAMS = 128
_WINDOW = 1 << 20
_HEADERS_LIMIT = 64 * 1024
# Bytes of answers, of all streams together, that the peer's windows hold back.
_MOST_UNSENT = 8 << 20
# Streams begun in vain, above those answered: a header block costs more to read than to send.
_MOST_IN_VAIN = 1000
# What is bigger than the limit.
_ONE, _SEVERAL = "A message", "What has come of several messages"


class Broken(Exception):
    """The peer broke the protocol.

    ``requests`` came whole before that and are to be answered; then ``farewell`` is to be sent,
    and the connection ends.
    """

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code
        self.requests: list[H2Request] = []
        self.farewell = b""


class Http2Session:
    """One connection. ``limit`` is ``max_body_size``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._preface_seen = False
        self._decoder = hpack.Decoder(max_header_list_size=_HEADERS_LIMIT)
        self._streams: dict[int, Incoming] = {}
        # The last stream that began, and the last whose request is whole.
        self._last = 0
        self._last_whole = 0
        self._in_vain = 0
        self._kept = 0
        # Between HEADERS without END_HEADERS and the last CONTINUATION: stream, flags, block.
        self._block: Optional[tuple[int, int, bytearray]] = None
        self._room = _WINDOW
        self._requests: list[H2Request] = []
        # What was refused for its size, each as the subject of a sentence; the reader empties it.
        self.over_limit: list[str] = []
        self._handlers: dict[int, Callable[[int, int, bytes], None]] = {
            frames.DATA: self._on_data,
            frames.HEADERS: self._on_headers,
            frames.PRIORITY: self._on_priority,
            frames.RST_STREAM: self._on_rst_stream,
            frames.SETTINGS: self._on_settings,
            frames.PUSH_PROMISE: self._on_push_promise,
            frames.PING: self._on_ping,
            frames.GOAWAY: self._on_goaway,
            frames.WINDOW_UPDATE: self._on_window_update,
            frames.CONTINUATION: self._on_continuation,
        }
        self._out = [
            frames.settings(
                {
                    frames.MAX_CONCURRENT_STREAMS: _MOST_STREAMS,
                    frames.INITIAL_WINDOW_SIZE: _WINDOW,
                    frames.MAX_HEADER_LIST_SIZE: _HEADERS_LIMIT,
                }
            ),
            frames.window_update(0, _WINDOW - frames.DEFAULT_WINDOW),
        ]
        self._answers = Answers(self._out)

    @property
    def waiting(self) -> int:
        """Bytes kept: of requests that are not whole, and of answers that have to wait."""
        return len(self._data) + self._kept + self._answers.unsent

    @property
    def full(self) -> bool:
        """Whether the peer has left so much of its answers lying that it gets no more."""
        return self._answers.unsent > _MOST_UNSENT

    def refuse(self, number: int) -> None:
        """Gives a request back undone: the peer may send it again (RFC 9113, 8.7)."""
        self._forget(number)
        self._out.append(frames.rst_stream(number, frames.REFUSED_STREAM))

    def to_send(self) -> bytes:
        """What has to go out now."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> list[H2Request]:
        """Takes what came in; gives the requests that are whole now.

        Raises ``Broken``; nothing may be received any more then.
        """
        try:
            self._receive(data)
            self._answers.pump()
        except Broken as error:
            error.requests, self._requests = self._requests, []
            # What has not come whole was not looked at: the peer may safely ask it again.
            error.farewell = frames.goaway(self._last_whole, error.code)
            raise
        whole, self._requests = self._requests, []
        return whole

    def _receive(self, data: bytes) -> None:
        self._data += data
        at = 0
        if not self._preface_seen:
            start = bytes(self._data[: len(frames.PREFACE)])
            if not frames.PREFACE.startswith(start):
                self._break(frames.PROTOCOL_ERROR, "the preface is wrong")
            if len(start) < len(frames.PREFACE):
                return
            self._preface_seen = True
            at = len(frames.PREFACE)
        while len(self._data) - at >= frames.FRAME_HEAD:
            size, kind, flags, stream = frames.frame_head(self._data, at)
            if size > frames.DEFAULT_FRAME_SIZE:
                self._break(frames.FRAME_SIZE_ERROR, f"a frame of {size} bytes")
            end = at + frames.FRAME_HEAD + size
            if end > len(self._data):
                break
            payload = bytes(self._data[at + frames.FRAME_HEAD : end])
            at = end
            if self._block is not None and kind != frames.CONTINUATION:
                self._break(frames.PROTOCOL_ERROR, "a header block is not continued")
            handler = self._handlers.get(kind)
            # Unknown types are to be passed over (RFC 9113, 5.5).
            if handler is not None:
                handler(flags, stream, payload)
        del self._data[:at]

    # what the peer sends

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        self._known(number)
        size = len(payload)
        self._room -= size
        if self._room < 0:
            self._break(frames.FLOW_CONTROL_ERROR, "more data than the connection's window")
        if self._room < _WINDOW // 2:
            self._out.append(frames.window_update(0, _WINDOW - self._room))
            self._room = _WINDOW
        data = self._unpadded(flags, payload)
        stream = self._streams.get(number)
        if stream is None:
            # It was reset or answered, and what is still on its way is dropped; or it has ended.
            if number in self._answers:
                self._reset(number, frames.STREAM_CLOSED)
            return
        stream.room -= size
        if stream.room < 0:
            self._reset(number, frames.FLOW_CONTROL_ERROR)
            return
        stream.body += data
        self._kept += len(data)
        if self._kept > self._limit:
            alone = len(stream.body) > self._limit
            self._too_big(number, _ONE if alone else _SEVERAL)
        elif flags & frames.END_STREAM:
            self._whole(number, stream)
        elif stream.announced() > self._limit:
            self._too_big(number, _ONE)
        elif stream.room < _WINDOW // 2:
            self._out.append(frames.window_update(number, _WINDOW - stream.room))
            stream.room = _WINDOW

    def _on_headers(self, flags: int, number: int, payload: bytes) -> None:
        block = self._unpadded(flags, payload)
        if flags & frames.HAS_PRIORITY:
            if len(block) < 5:
                self._break(frames.FRAME_SIZE_ERROR, "HEADERS without its priority")
            block = block[5:]
        if not number & 1:
            self._break(frames.PROTOCOL_ERROR, f"HEADERS on stream {number}")
        if flags & frames.END_HEADERS:
            self._header_block(number, flags, block)
        else:
            self._block = (number, flags, bytearray(block))

    def _on_continuation(self, flags: int, number: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != number:
            self._break(frames.PROTOCOL_ERROR, "CONTINUATION of nothing")
        assert self._block is not None
        _, first_flags, block = self._block
        block += payload
        # Empty ones could go on for ever.
        if len(block) > _HEADERS_LIMIT or (not payload and not flags & frames.END_HEADERS):
            self._break(frames.ENHANCE_YOUR_CALM, "the header block does not end")
        if flags & frames.END_HEADERS:
            self._block = None
            self._header_block(number, first_flags, bytes(block))

    def _header_block(self, number: int, flags: int, block: bytes) -> None:
        try:
            headers = dict(self._decoder.decode(block, raw=True))
        except (hpack.HPACKError, ValueError, IndexError) as error:
            self._break(frames.COMPRESSION_ERROR, f"{type(error).__name__}: {error}")
        stream = self._streams.get(number)
        if stream is not None:
            # Trailers end the request; what they say is of no use here.
            if flags & frames.END_STREAM:
                self._whole(number, stream)
            else:
                self._reset(number, frames.PROTOCOL_ERROR)
            return
        if number <= self._last:
            # Trailers of a stream that was reset, or the second life of an old one.
            if number in self._answers:
                self._reset(number, frames.PROTOCOL_ERROR)
            return
        self._last = number
        if len(self._answers) >= _MOST_STREAMS:
            self._reset(number, frames.REFUSED_STREAM)
            return
        try:
            stream = Incoming(headers, _WINDOW)
        except Malformed:
            self._reset(number, frames.PROTOCOL_ERROR)
            return
        if stream.announced() > self._limit:
            self._too_big(number, _ONE)
            return
        self._streams[number] = stream
        self._answers.open(number)
        if flags & frames.END_STREAM:
            self._whole(number, stream)

    def _on_priority(self, _flags: int, number: int, payload: bytes) -> None:
        if number == 0 or len(payload) != 5:
            self._break(frames.PROTOCOL_ERROR, "a wrong PRIORITY")

    def _on_rst_stream(self, _flags: int, number: int, payload: bytes) -> None:
        self._known(number)
        if len(payload) != 4:
            self._break(frames.FRAME_SIZE_ERROR, "a wrong RST_STREAM")
        if number in self._answers:
            self._vain()
        self._forget(number)

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number != 0:
            self._break(frames.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & frames.ACK:
            if payload:
                self._break(frames.FRAME_SIZE_ERROR, "an acknowledgement with settings")
            return
        if len(payload) % 6:
            self._break(frames.FRAME_SIZE_ERROR, "half a setting")
        # The last value counts; to go through all streams for each would cost the square.
        initial = None
        for name, value in frames.read_settings(payload):
            if name == frames.INITIAL_WINDOW_SIZE:
                if value > frames.LARGEST_WINDOW:
                    self._break(frames.FLOW_CONTROL_ERROR, f"a window of {value}")
                initial = value
            elif name == frames.MAX_FRAME_SIZE:
                if not frames.DEFAULT_FRAME_SIZE <= value < 1 << 24:
                    self._break(frames.PROTOCOL_ERROR, f"frames of {value}")
                self._answers.largest_frame = value
            elif name == frames.ENABLE_PUSH and value > 1:
                self._break(frames.PROTOCOL_ERROR, f"ENABLE_PUSH {value}")
        self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
        if initial is not None:
            self._answers.set_initial_window(initial)

    def _on_push_promise(self, _flags: int, _number: int, _payload: bytes) -> None:
        self._break(frames.PROTOCOL_ERROR, "a client that pushes")

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number != 0 or len(payload) != 8:
            self._break(frames.FRAME_SIZE_ERROR, "a wrong PING")
        if not flags & frames.ACK:
            self._out.append(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _on_goaway(self, _flags: int, number: int, payload: bytes) -> None:
        if number != 0:
            self._break(frames.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            self._break(frames.FRAME_SIZE_ERROR, "a wrong GOAWAY")
        # It is about streams that this side would open. The peer's own go on to their end, and
        # the peer closes the connection then.

    def _on_window_update(self, _flags: int, number: int, payload: bytes) -> None:
        self._known(number, or_connection=True)
        if len(payload) != 4:
            self._break(frames.FRAME_SIZE_ERROR, "a wrong WINDOW_UPDATE")
        try:
            self._answers.open_window(number, frames.word(payload))
        except WindowBroken as error:
            if number == 0:
                self._break(frames.FLOW_CONTROL_ERROR, str(error))
            self._reset(number, frames.FLOW_CONTROL_ERROR)

    # what comes of it

    def _vain(self) -> None:
        self._in_vain += 1
        if self._in_vain > _MOST_IN_VAIN:
            self._break(frames.ENHANCE_YOUR_CALM, "too many streams are begun in vain")

    def _too_big(self, number: int, what: str) -> None:
        """Refuses one request for the limit's sake; what is on its way of it is dropped."""
        self.over_limit.append(what)
        self._reset(number, frames.ENHANCE_YOUR_CALM)

    def _known(self, number: int, or_connection: bool = False) -> None:
        """Breaks the connection over a frame on a stream that there cannot have been."""
        if (
            number > self._last
            or (number == 0 and not or_connection)
            or (number and not number & 1)
        ):
            self._break(frames.PROTOCOL_ERROR, f"a frame on stream {number}")

    def _unpadded(self, flags: int, payload: bytes) -> bytes:
        if not flags & frames.PADDED:
            return payload
        if not payload or payload[0] >= len(payload):
            self._break(frames.PROTOCOL_ERROR, "more padding than frame")
        return payload[1 : len(payload) - payload[0]]

    def _whole(self, number: int, stream: Incoming) -> None:
        if not stream.as_announced():
            self._reset(number, frames.PROTOCOL_ERROR)
            return
        del self._streams[number]
        self._last_whole = max(self._last_whole, number)
        self._kept -= len(stream.body)
        self._requests.append(stream.whole(number))

    def _forget(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            self._kept -= len(stream.body)
        self._answers.forget(number)

    def _reset(self, number: int, code: int) -> None:
        """Ends a stream for what the peer did on it."""
        self._forget(number)
        self._out.append(frames.rst_stream(number, code))
        self._vain()

    def _break(self, code: int, reason: str) -> NoReturn:
        raise Broken(reason, code)

    # answers

    def answer(
        self, number: int, headers: Headers, data: bytes, trailers: Optional[Headers] = None
    ) -> None:
        """Answers one request; what the peer's windows do not take now goes later."""
        if number in self._answers:
            self._in_vain = max(0, self._in_vain - 1)
        self._answers.answer(number, headers, data, trailers)
