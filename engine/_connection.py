"""One client's connection: bytes from the socket to calls, answers back to the socket.

What the bytes mean is decided elsewhere (``_stream``, ``_http2``, ``_routes``, the codecs), and
what an answer looks like in ``_replies``; here they are carried, and here answers get their order:
HTTP/1 answers in the order of the requests, baidu_std and HTTP/2 as they are ready.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Optional, Protocol, cast

from . import _baidu_std, _codec_json, _compression, _grpc, _http2, _routes
from ._baidu_std import Frame
from ._batcher import Batcher, Call, Reply, as_service_error
from ._codec_protobuf import ProtobufCodec
from ._glog import Log
from ._http1 import HttpRequest
from ._http2 import Http2Session
from ._http2_requests import H2Request
from ._query import ELIMIT, EREQUEST, Query, ServiceError, Unparsable
from ._replies import BaiduReply, Http2Reply, HttpReply, is_protobuf
from ._stream import Http2Start, Message, MessageReader, Unanswerable

_REQUEST = f"{_routes.FULL_SERVICE.rpartition('.')[0]}.Request"
# Neither JSON nor protobuf to the real server, whatever is in it.
_OCTETS = "application/octet-stream"
# An answer that a slow reader leaves lying; above it nothing more is read from that client.
_UNSENT_LIMIT = 1 << 20
# What came in over this many bytes is cut into messages in pieces of as many, and after so long the
# others have their turn: the loop would read 8 MB of one socket first, seconds of tiny messages.
_PIECE = 16 * 1024
_TURN_S = 0.003
_NOTHING = memoryview(b"")


class Host(Protocol):
    """What a connection needs of the engine."""

    batcher: Batcher
    protobuf: ProtobufCodec
    log: Log
    limit: int
    max_concurrency: int
    strict: bool
    open_connections: dict[Any, str]

    def page(self, name: str, rest: str) -> str: ...


class Connection(asyncio.Protocol):
    """The protocol object of one accepted socket."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._reader = MessageReader(host.limit)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._http2: Optional[Http2Session] = None
        self._slots: deque[HttpReply] = deque()
        # What came whole and is not taken on: its turn is over, or answers before it lie unsent.
        self._messages: deque[Message] = deque()
        self._closed = False
        # Nothing more is read; what was asked is still answered, and then comes the farewell.
        self._ending = False
        self._farewell = b""
        # What came in and has not had its turn; nothing more is read meanwhile.
        self._rest = _NOTHING
        self._writable = True
        self._turn_due = False
        # For the watch over idle connections.
        self._moved = True
        self._unsent = 0
        self.remote = self.local = ""

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_UNSENT_LIMIT)
        self.remote = _address(transport.get_extra_info("peername"))
        self.local = _address(transport.get_extra_info("sockname"))
        self._host.open_connections[self] = self.remote

    def connection_lost(self, _error: Optional[Exception]) -> None:
        self._closed = True
        self._rest = _NOTHING
        self._slots.clear()
        self._messages.clear()
        self._host.open_connections.pop(self, None)

    def eof_received(self) -> bool:
        # What came whole is answered first; asyncio would close before the batcher's turn.
        self._ending = True
        asyncio.get_running_loop().call_soon(self._end)
        return True

    def pause_writing(self) -> None:
        # A client that does not read its answers is not asked for more requests, and those that
        # it sent already have to wait: a read may bring a hundred, packed a thousandfold.
        self._writable = False
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable = True
        self._go_on()

    def data_received(self, data: bytes) -> None:
        if len(data) <= _PIECE:
            self._take(data, time.monotonic() + _TURN_S)
            if not self._messages:
                return
        else:
            self._rest = memoryview(data)
        self._transport.pause_reading()
        # Not from here, where the loop would read on after a resumption.
        self._next_turn()

    def _next_turn(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Takes of what came in as much as a turn has time for."""
        self._turn_due = False
        end = time.monotonic() + _TURN_S
        try:
            self._take_on(end)
            while self._rest and self._writable and time.monotonic() < end:
                piece, self._rest = self._rest[:_PIECE], self._rest[_PIECE:]
                self._take(bytes(piece), end)
        except Exception:
            # Nobody else would end it, with nothing read any more.
            self.give_up()
            raise
        self._go_on()

    def _go_on(self) -> None:
        if self._closed or not self._writable:
            return
        if self._messages or self._rest:
            self._next_turn()
        elif not self._ending:
            self._transport.resume_reading()

    def _take(self, data: bytes, end: float) -> None:
        self._moved = True
        if self._closed or self._ending:
            return
        messages: Sequence[Message]
        try:
            messages = self._reader.receive(data)
        except Unanswerable as error:
            if error.too_big:
                self._too_big("A message", error.protocol, "connection will be closed")
            messages = error.messages
            self._ending = True
        self._messages.extend(messages)
        self._take_on(end)

    def _take_on(self, end: float) -> None:
        """Takes on what came whole, until ``end``, or until too much of the answers lies unsent."""
        while self._messages and self._writable and not self._closed:
            message = self._messages.popleft()
            if isinstance(message, Frame):
                self._frame(message)
            elif isinstance(message, HttpRequest):
                self._http(message)
            elif isinstance(message, Http2Start):
                self._http2 = Http2Session(self._host.limit)
                self._http2_data(message.data)
            else:
                self._http2_data(message)
            if self._messages and time.monotonic() >= end:
                return
        if self._ending and not self._messages and not self._closed:
            # Behind the batcher's turn, so that what came whole has its answers.
            asyncio.get_running_loop().call_soon(self._end)

    def _too_big(self, what: str, protocol: str, then: str) -> None:
        self._host.log.error_line(
            "input_messenger.cpp:117",
            f"{what} from {self.remote}(protocol={protocol}) is bigger than {self._host.limit} "
            f"bytes, the {then}. Set max_body_size to allow bigger messages",
        )

    def _end(self) -> None:
        if self._http2 is not None:
            self.flush_http2()
        self.write(self._farewell)
        self.close()

    @property
    def protobuf(self) -> ProtobufCodec:
        return self._host.protobuf

    def write(self, data: bytes) -> None:
        if data and not self._closed:
            self._moved = True
            self._transport.write(data)

    def close(self) -> None:
        """Ends the connection after what was written."""
        self._closed = True
        self._transport.close()

    def moved(self) -> bool:
        unsent = self._transport.get_write_buffer_size()
        moved = self._moved or unsent < self._unsent
        self._moved, self._unsent = False, unsent
        return moved

    def give_up(self) -> None:
        self._closed = True
        # Not ``close``: it would wait for a client that reads nothing.
        self._transport.abort()

    def _too_many(self, reply: Reply) -> bool:
        """Refuses a request when as many as ``-max_concurrency`` allows are under way."""
        host = self._host
        if not host.max_concurrency or host.batcher.waiting < host.max_concurrency:
            return False
        reply.fail(ServiceError(ELIMIT, f"Reached server's max_concurrency={host.max_concurrency}"))
        return True

    # baidu_std

    def _frame(self, frame: Frame) -> None:
        began = time.time()
        route = _routes.of_names(frame.service, frame.method)
        if isinstance(route, ServiceError):
            BaiduReply(self, frame, False).fail(route)
            return
        reply = BaiduReply(self, frame, route.name == "debug")
        if self._too_many(reply):
            return
        try:
            body = _compression.unpack(frame.compression, frame.payload, self._host.limit)
            query = self._host.protobuf.decode(body)
        except (Unparsable, KeyError, _compression.BadCompression):
            name = _baidu_std.COMPRESSIONS.get(frame.compression, "unknown")
            reply.fail(
                ServiceError(
                    EREQUEST,
                    f"Fail to parse request message, CompressType={name}, "
                    f"request_size={len(frame.payload)}",
                )
            )
            return
        except Exception as error:
            self._host.batcher.fail(reply, as_service_error(error), 0, began)
            return
        self._host.batcher.submit(Call(query, reply, began, time.time()))

    # HTTP/1

    def _http(self, request: HttpRequest) -> None:
        began = time.time()
        head = request.head
        reply = HttpReply(self, head)
        self._slots.append(reply)
        route = _routes.of_path(head.path)
        if isinstance(route, ServiceError):
            reply.fail(route)
        elif isinstance(route, _routes.Page):
            reply.text(self._host.page(route.name, route.rest))
        elif not self._too_many(reply):
            try:
                query = self._decode(request.body, head.content_type, head.gzip_body)
            except Exception as error:
                self._undecoded(reply, as_service_error(error), began)
                return
            self._host.batcher.submit(Call(query, reply, began, time.time()))

    def _decode(self, body: bytes, content_type: str, gzipped: bool) -> Query:
        """Raises ``ServiceError``."""
        if gzipped and body:
            try:
                body = _compression.gunzip(body, self._host.limit)
            except _compression.BadCompression:
                raise ServiceError(EREQUEST, "Fail to un-gzip request body") from None
        try:
            if is_protobuf(content_type):
                return self._host.protobuf.decode(body)
            if content_type.startswith(_OCTETS):
                raise Unparsable("Invalid json format")
            host = self._host
            return _codec_json.decode(body or b"{}", fill=host.strict, most=host.limit)
        except Unparsable as error:
            reason = "" if is_protobuf(content_type) else f", {error}"
            raise ServiceError(EREQUEST, f"Fail to parse http body as {_REQUEST}{reason}") from None

    def _undecoded(self, reply: Reply, error: ServiceError, began: float) -> None:
        """Fails one request, which the service saw unless it was no request at all."""
        if error.code == EREQUEST:
            reply.fail(error)
        else:
            self._host.batcher.fail(reply, error, 0, began)

    def ready(self) -> None:
        """Sends the HTTP/1 answers whose turn it is."""
        while self._slots and self._slots[0].data is not None:
            reply = self._slots.popleft()
            self.write(cast(bytes, reply.data))
            if reply.closes:
                self.close()

    # HTTP/2

    def _http2_data(self, data: bytes) -> None:
        session = cast(Http2Session, self._http2)
        try:
            requests = session.receive(data)
        except _http2.Broken as error:
            requests = error.requests
            self._ending = True
            self._messages.clear()
            self._farewell = error.farewell
        if session.over_limit:
            for what in session.over_limit:
                self._too_big(what, "h2", "stream will be reset")
            session.over_limit.clear()
        for request in requests:
            if session.full:
                session.refuse(request.stream)
            else:
                self._h2_request(request)
        self.flush_http2()

    def flush_http2(self) -> None:
        self.write(cast(Http2Session, self._http2).to_send())

    def _h2_request(self, request: H2Request) -> None:
        began = time.time()
        session = cast(Http2Session, self._http2)
        reply = Http2Reply(self, session, request)
        route = _routes.of_path(request.path)
        if isinstance(route, ServiceError):
            reply.fail(route)
            return
        if isinstance(route, _routes.Page):
            reply.text(self._host.page(route.name, route.rest))
            return
        if self._too_many(reply):
            return
        try:
            if request.is_grpc:
                body = _grpc.unwrap(request.body, request.grpc_encoding, self._host.limit)
                query = self._host.protobuf.decode(body)
            else:
                query = self._decode(request.body, request.content_type, request.gzip_body)
        except (Unparsable, _grpc.BadMessage):
            reply.fail(ServiceError(EREQUEST, f"Fail to parse http body as {_REQUEST}"))
            return
        except Exception as error:
            self._undecoded(reply, as_service_error(error), began)
            return
        self._host.batcher.submit(Call(query, reply, began, time.time()))


def _address(name: Any) -> str:
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) and len(name) >= 2 else "?:0"
