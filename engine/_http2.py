"""HTTP/2: requests in, answers out. h2 does the protocol. No I/O."""

from __future__ import annotations

from typing import Callable, NamedTuple

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from ._http import Headers, HttpRequest

_WINDOW = 1 << 20
_DEFAULT_WINDOW = 65535
_SETTINGS = {
    h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
    h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 128,
    h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 64 * 1024,
}


class _Incoming(NamedTuple):
    """A request that is not whole."""

    headers: dict[bytes, bytes]
    body: bytearray


class Http2Session:
    """The server's side of one connection.

    Args:
        limit: The most bytes of a body.
        on_too_big: Is called for each request that is over the limit; its stream is reset.

    Attributes:
        broken: The client broke the protocol: send what is left, then close.
    """

    def __init__(self, limit: int, on_too_big: Callable[[], None]) -> None:
        self._limit = limit
        self._on_too_big = on_too_big
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._h2.local_settings = h2.settings.Settings(client=False, initial_values=_SETTINGS)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW - _DEFAULT_WINDOW)
        self._incoming: dict[int, _Incoming] = {}
        # Streams that wait for their answer.
        self._asked: set[int] = set()
        # What the client's windows hold back: the rest of a body, and the trailers.
        self._unsent: dict[int, tuple[memoryview, Headers]] = {}
        self.broken = False

    def to_send(self) -> bytes:
        """Return what has to go out now."""
        return bytes(self._h2.data_to_send())

    def receive(self, data: bytes) -> list[HttpRequest]:
        """Take what came in, and return the requests that are whole now."""
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.broken = True
            return []
        requests = []
        for event in events:
            if isinstance(event, h2.events.RequestReceived):
                headers = {bytes(name): bytes(value) for name, value in event.headers}
                self._incoming[event.stream_id] = _Incoming(headers, bytearray())
            elif isinstance(event, h2.events.DataReceived):
                self._on_data(event)
            elif isinstance(event, h2.events.StreamEnded):
                incoming = self._incoming.pop(event.stream_id, None)
                if incoming is not None:
                    self._asked.add(event.stream_id)
                    requests.append(_whole(event.stream_id, incoming))
            elif isinstance(event, h2.events.StreamReset):
                self._forget(event.stream_id)
            elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
                for number in list(self._unsent):
                    self._send(number)
        return requests

    def _on_data(self, event: h2.events.DataReceived) -> None:
        number = event.stream_id
        self._h2.acknowledge_received_data(event.flow_controlled_length, number)
        incoming = self._incoming.get(number)
        if incoming is None:
            return
        incoming.body.extend(event.data)
        if len(incoming.body) > self._limit:
            self._forget(number)
            self._h2.reset_stream(number, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
            self._on_too_big()

    def _forget(self, number: int) -> None:
        self._incoming.pop(number, None)
        self._unsent.pop(number, None)
        self._asked.discard(number)

    def answer(self, number: int, headers: Headers, body: bytes, trailers: Headers = ()) -> None:
        """Answer a request; the client's windows decide when the body goes.

        An answer to a stream that the client has reset is dropped.
        """
        if number not in self._asked:
            return
        self._asked.remove(number)
        self._unsent[number] = (memoryview(body), trailers)
        try:
            self._h2.send_headers(number, _encoded(headers), end_stream=not body and not trailers)
        except h2.exceptions.ProtocolError:
            # The client has closed the connection. h2 reports that in no event.
            self._forget(number)
            return
        self._send(number)

    def _send(self, number: int) -> None:
        body, trailers = self._unsent[number]
        while body:
            window = self._h2.local_flow_control_window(number)
            size = min(len(body), window, self._h2.max_outbound_frame_size)
            if size <= 0:
                self._unsent[number] = (body, trailers)
                return
            part, body = body[:size], body[size:]
            self._h2.send_data(number, bytes(part), end_stream=not body and not trailers)
        if trailers:
            self._h2.send_headers(number, _encoded(trailers), end_stream=True)
        del self._unsent[number]


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]


def _whole(number: int, incoming: _Incoming) -> HttpRequest:
    headers = incoming.headers
    return HttpRequest(
        headers.get(b":method", b"").decode("latin-1"),
        headers.get(b":path", b"").partition(b"?")[0].decode("latin-1"),
        headers,
        bytes(incoming.body),
        number,
    )
