"""One client's connection: bytes from the socket to calls, answers back to the socket.

Other modules decide what the bytes mean (``_stream``, ``_http2``, ``_routes``, the codecs) and
what an answer looks like (``_replies``). HTTP/1 answers go in the order of the requests, baidu_std
and HTTP/2 answers as they are ready.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Optional, Protocol, cast

from . import _baidu_std, _codec_json, _compression, _grpc, _routes
from ._baidu_std import Frame
from ._batcher import Batcher, Call, Reply, as_service_error
from ._codec_protobuf import ProtobufCodec
from ._glog import Log
from ._http import HttpRequest
from ._http2 import Http2Session
from ._query import EREQUEST, Query, ServiceError, Unparsable
from ._replies import BaiduReply, GrpcReply, Http1Reply, Http2Reply, HttpReply
from ._stream import MessageReader, Unanswerable

_REQUEST = f"{_routes.FULL_SERVICE.rpartition('.')[0]}.Request"
# Neither JSON nor protobuf to the real server.
_OCTETS = "application/octet-stream"


class Host(Protocol):
    """What a connection needs of the engine."""

    batcher: Batcher
    protobuf: ProtobufCodec
    log: Log
    limit: int

    def page(self, name: str) -> str: ...


class Connection(asyncio.Protocol):
    """The protocol object of one accepted socket."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._reader = MessageReader(host.limit)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._http2: Optional[Http2Session] = None
        # HTTP/1 requests whose answer has not been sent.
        self._slots: deque[Http1Reply] = deque()
        # Read no more; earlier requests are still answered.
        self._ending = False
        self.remote = self.local = ""

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.remote = _address(transport.get_extra_info("peername"))
        self.local = _address(transport.get_extra_info("sockname"))

    def eof_received(self) -> bool:
        self._end_soon()
        return True

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        try:
            messages = self._reader.receive(data)
        except Unanswerable as error:
            if error.too_big:
                self._log_too_big(error.protocol, "connection will be closed")
            messages = list(error.messages)
            self._ending = True
        for message in messages:
            if isinstance(message, Frame):
                self._frame(message)
            elif isinstance(message, HttpRequest):
                slot = Http1Reply(self, message)
                self._slots.append(slot)
                self._http(message, slot)
            else:
                self._http2_data(message)
        if self._ending:
            self._end_soon()

    def _end_soon(self) -> None:
        """Close after the batcher's turn, so that whole requests are answered first."""
        self._ending = True
        asyncio.get_running_loop().call_soon(self._transport.close)

    def _log_too_big(self, protocol: str, then: str) -> None:
        self._host.log.error_line(
            "input_messenger.cpp:117",
            f"A message from {self.remote}(protocol={protocol}) is bigger than "
            f"{self._host.limit} bytes, the {then}. Set max_body_size to allow bigger messages",
        )

    # Replies call these.

    @property
    def protobuf(self) -> ProtobufCodec:
        return self._host.protobuf

    def write(self, data: bytes) -> None:
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def ready(self) -> None:
        """Send the HTTP/1 answers whose turn has come."""
        while self._slots and self._slots[0].data is not None:
            reply = self._slots.popleft()
            self.write(cast(bytes, reply.data))
            if reply.closes:
                self._ending = True
                self._transport.close()
                return

    def flush_http2(self) -> None:
        self.write(cast(Http2Session, self._http2).to_send())

    # baidu_std

    def _frame(self, frame: Frame) -> None:
        began = time.time()
        route = _routes.of_names(frame.service, frame.method)
        reply = BaiduReply(self, frame, route == _routes.Method("debug"))
        if isinstance(route, ServiceError):
            reply.fail(route)
            return
        try:
            body = _compression.unpack(frame.compression, frame.payload, self._host.limit)
            query = self._host.protobuf.decode(body)
        except (Unparsable, _compression.BadCompression):
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
        self._submit(query, reply, began)

    # HTTP

    def _http2_data(self, data: bytes) -> None:
        if self._http2 is None:
            self._http2 = Http2Session(
                self._host.limit, lambda: self._log_too_big("h2", "stream will be reset")
            )
        for request in self._http2.receive(data):
            kind = GrpcReply if request.is_grpc else Http2Reply
            self._http(request, kind(self, self._http2, request))
        self.flush_http2()
        if self._http2.broken:
            self._ending = True

    def _http(self, request: HttpRequest, reply: HttpReply) -> None:
        began = time.time()
        route = _routes.of_path(request.path)
        if isinstance(route, ServiceError):
            reply.fail(route)
            return
        if isinstance(route, _routes.Page):
            reply.page(self._host.page(route.name))
            return
        try:
            query = self._decode(request)
        except Exception as error:
            failed = as_service_error(error)
            if failed.code == EREQUEST:
                reply.fail(failed)
            else:
                self._host.batcher.fail(reply, failed, 0, began)
            return
        self._submit(query, reply, began)

    def _submit(self, query: Query, reply: Reply, began: float) -> None:
        self._host.batcher.submit(Call(query, reply, began, time.time()))

    def _decode(self, request: HttpRequest) -> Query:
        """Read the query of an HTTP request.

        Raises:
            ServiceError: The body is no query, or a feed is impossible.
        """
        host, body = self._host, request.body
        binary = request.is_grpc or request.is_protobuf
        try:
            if request.is_grpc:
                body = _grpc.unwrap(body, request.header(b"grpc-encoding"), host.limit)
            elif body and request.header(b"content-encoding").lower() == "gzip":
                body = _compression.unpack("gzip", body, host.limit)
            if binary:
                return host.protobuf.decode(body)
            if request.content_type.startswith(_OCTETS):
                raise Unparsable("Invalid json format")
            return _codec_json.decode(body or b"{}")
        except _compression.BadCompression:
            reason = f"Fail to parse http body as {_REQUEST}"
            if not request.is_grpc:
                reason = "Fail to un-gzip request body"
            raise ServiceError(EREQUEST, reason) from None
        except Unparsable as error:
            reason = f"Fail to parse http body as {_REQUEST}"
            raise ServiceError(EREQUEST, reason if binary else f"{reason}, {error}") from None


def _address(name: Any) -> str:
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) and len(name) >= 2 else "?:0"
