"""HTTP/2 with prior knowledge on one connection: gRPC, and the JSON and protobuf of HTTP/1.

The framing is h2's; this module keeps the bodies that come in and the answers that have to wait
for the peer's window. No I/O: bytes in, requests out; answers in, bytes out.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple, Optional

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

_MOST_STREAMS = 128
_WINDOW = 1 << 20
# Seconds of idleness or pings are the client's affair; frames larger than this are not announced.
_LARGEST_FRAME = 1 << 16

# gRPC's status numbers (grpc/status.h)
GRPC_OK = 0
GRPC_INVALID_ARGUMENT = 3
GRPC_RESOURCE_EXHAUSTED = 8
GRPC_UNIMPLEMENTED = 12
GRPC_INTERNAL = 13


class Broken(Exception):
    """The peer broke the protocol; ``farewell`` is to be sent before the end."""

    def __init__(self, reason: str, farewell: bytes) -> None:
        super().__init__(reason)
        self.farewell = farewell


class BadMessage(ValueError):
    """The body is no gRPC message; the text says why."""


class H2Request(NamedTuple):
    """One whole request."""

    stream: int
    method: str
    path: str
    content_type: str
    gzip_body: bool
    takes_gzip: bool
    grpc_encoding: str
    body: bytes

    @property
    def is_grpc(self) -> bool:
        return self.content_type.startswith("application/grpc")


class _Incoming:
    def __init__(self, headers: dict[bytes, bytes]) -> None:
        self.headers = headers
        self.body = bytearray()
        self.refused = False


class _Outgoing(NamedTuple):
    data: bytes
    trailers: Optional[list[tuple[str, str]]]


class Http2Session:
    """One connection. ``limit`` is ``max_body_size``, for all its streams together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = 0
        self._incoming: dict[int, _Incoming] = {}
        self._outgoing: dict[int, _Outgoing] = {}
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=False,
                validate_inbound_headers=True,
                normalize_outbound_headers=False,
                validate_outbound_headers=False,
            )
        )
        self._h2.local_settings.update(
            {
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: _MOST_STREAMS,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 64 * 1024,
            }
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW)

    @property
    def waiting(self) -> int:
        """Bytes kept: of requests that are not whole, and of answers that have to wait."""
        return self._kept + sum(len(one.data) for one in self._outgoing.values())

    def to_send(self) -> bytes:
        """What has to go out now."""
        data: bytes = self._h2.data_to_send()
        return data

    def receive(self, data: bytes) -> list[H2Request]:
        """Takes what came in; gives the requests that are whole now. Raises ``Broken``."""
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            raise Broken(str(error), self.to_send()) from None
        except (ValueError, IndexError, KeyError) as error:
            # hpack and hyperframe let some of theirs through.
            raise Broken(f"{type(error).__name__}: {error}", b"") from None
        requests: list[H2Request] = []
        for event in events:
            if isinstance(event, h2.events.RequestReceived):
                self._incoming[event.stream_id] = _Incoming(dict(event.headers))
            elif isinstance(event, h2.events.DataReceived):
                self._data(event)
            elif isinstance(event, h2.events.StreamEnded):
                whole = self._ended(event.stream_id)
                if whole is not None:
                    requests.append(whole)
            elif isinstance(event, h2.events.StreamReset):
                self._forget(event.stream_id)
            elif isinstance(event, h2.events.WindowUpdated):
                self._pump(event.stream_id)
            elif isinstance(event, h2.events.RemoteSettingsChanged):
                self._pump(0)
            elif isinstance(event, h2.events.ConnectionTerminated):
                raise Broken("the peer said goodbye", self.to_send())
        return requests

    def _data(self, event: h2.events.DataReceived) -> None:
        stream = self._incoming.get(event.stream_id)
        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if stream is None or stream.refused:
            return
        self._kept += len(event.data)
        stream.body += event.data
        if self._kept > self._limit:
            self._forget(event.stream_id)
            self._reset(event.stream_id, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)

    def _ended(self, stream_id: int) -> Optional[H2Request]:
        stream = self._incoming.pop(stream_id, None)
        if stream is None:
            return None
        self._kept -= len(stream.body)
        headers = stream.headers
        return H2Request(
            stream_id,
            _text(headers, b":method"),
            _text(headers, b":path").partition("?")[0],
            _text(headers, b"content-type"),
            _text(headers, b"content-encoding") == "gzip",
            "gzip" in _text(headers, b"accept-encoding"),
            _text(headers, b"grpc-encoding"),
            bytes(stream.body),
        )

    def _forget(self, stream_id: int) -> None:
        stream = self._incoming.pop(stream_id, None)
        if stream is not None:
            self._kept -= len(stream.body)
        self._outgoing.pop(stream_id, None)

    def _reset(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        try:
            self._h2.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:
            return

    def answer(
        self,
        stream_id: int,
        headers: list[tuple[str, str]],
        data: bytes,
        trailers: Optional[list[tuple[str, str]]] = None,
    ) -> None:
        """Answers one request; what the peer's window does not take now goes later."""
        try:
            self._h2.send_headers(stream_id, headers, end_stream=not data and trailers is None)
        except h2.exceptions.ProtocolError:
            # The peer has taken its request back meanwhile.
            return
        if data or trailers is not None:
            self._outgoing[stream_id] = _Outgoing(data, trailers)
            self._send(stream_id)

    def _pump(self, stream_id: int) -> None:
        for one in list(self._outgoing) if stream_id == 0 else [stream_id]:
            self._send(one)

    def _send(self, stream_id: int) -> None:
        outgoing = self._outgoing.get(stream_id)
        if outgoing is None:
            return
        data, trailers = outgoing
        try:
            while data:
                window = self._h2.local_flow_control_window(stream_id)
                part = min(window, self._h2.max_outbound_frame_size, len(data))
                if part <= 0:
                    self._outgoing[stream_id] = _Outgoing(data, trailers)
                    return
                last = part == len(data)
                self._h2.send_data(stream_id, data[:part], end_stream=last and trailers is None)
                data = data[part:]
            if trailers is not None:
                self._h2.send_headers(stream_id, trailers, end_stream=True)
        except h2.exceptions.ProtocolError:
            pass
        self._outgoing.pop(stream_id, None)


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def unwrap(body: bytes, encoding: str, limit: int) -> bytes:
    """The message in a gRPC body: a flag, four bytes of length, the message.

    Raises ``BadMessage``. gRPC's message encodings are gzip, deflate (zlib's format) and identity.
    """
    if len(body) < 5 or int.from_bytes(body[1:5], "big") != len(body) - 5:
        raise BadMessage("the body is not one gRPC message")
    message = body[5:]
    if body[0] == 0:
        return message
    window = {"gzip": 31, "deflate": 15}.get(encoding)
    if body[0] != 1 or window is None:
        raise BadMessage(f"the message is compressed with {encoding or 'nothing named'}")
    unpacker = zlib.decompressobj(window)
    try:
        whole = unpacker.decompress(message, limit + 1)
    except zlib.error as error:
        raise BadMessage(str(error)) from None
    if not unpacker.eof or len(whole) > limit:
        raise BadMessage("the compressed message is cut off or too large")
    return whole


def wrap(message: bytes) -> bytes:
    """A gRPC body with one message, not compressed."""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def percent_encoded(text: str) -> str:
    """A text as ``grpc-message`` carries it (gRPC over HTTP/2, "Status-Message")."""
    return "".join(
        chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}"
        for byte in text.encode()
    )
