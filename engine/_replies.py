"""Answers in the shape of each protocol: where a call's result goes, and in which bytes.

    batcher ──Answer or ServiceError──▶ BaiduReply, Http1Reply, … ──bytes──▶ connection

Thresholds and error numbers are brpc's: src/brpc/policy/http_rpc_protocol.cpp, src/brpc/grpc.cpp.
"""

from __future__ import annotations

import abc
from typing import Optional, Protocol

from . import _baidu_std, _codec_json, _grpc, _http1
from ._baidu_std import Frame
from ._codec_protobuf import ProtobufCodec
from ._compression import gzipped
from ._http import HttpRequest
from ._http2 import Http2Session
from ._query import ENOMETHOD, ENOSERVICE, EREQUEST, Answer, ServiceError

# brpc's FLAGS_http_body_compress_threshold: smaller answers are not packed.
_GZIP_FROM = 512
_GRPC_STATUS = {
    ENOSERVICE: _grpc.UNIMPLEMENTED,
    ENOMETHOD: _grpc.UNIMPLEMENTED,
    EREQUEST: _grpc.INVALID_ARGUMENT,
}
_HTTP_STATUS = {ENOSERVICE: 404, ENOMETHOD: 404, EREQUEST: 400}


class Transport(Protocol):
    """What a reply needs of its connection."""

    remote: str
    local: str

    @property
    def protobuf(self) -> ProtobufCodec: ...

    def write(self, data: bytes) -> None: ...

    def ready(self) -> None:
        """Send the HTTP/1 answers whose turn has come."""

    def flush_http2(self) -> None: ...


class _Reply:
    def __init__(self, connection: Transport) -> None:
        self._connection = connection
        self.remote = connection.remote
        self.local = connection.local

    def _text(self, error: ServiceError) -> str:
        return f"[{self.local}][E{error.code}]{error.text}"


class BaiduReply(_Reply):
    """Answers are gzipped whatever the request was, as the real server's are."""

    def __init__(self, connection: Transport, frame: Frame, debug: bool) -> None:
        super().__init__(connection)
        self._id = frame.correlation_id
        self._debug = debug

    def succeed(self, answer: Answer) -> None:
        self._connection.write(
            _baidu_std.answer(
                self._id,
                gzipped(self._connection.protobuf.encode(answer)),
                compression=_baidu_std.GZIP,
                attachment=_report(answer) if self._debug else b"",
            )
        )

    def fail(self, error: ServiceError) -> None:
        self._connection.write(_baidu_std.failure(self._id, error.code, self._text(error)))


class HttpReply(_Reply, abc.ABC):
    """What HTTP/1 and HTTP/2 have in common."""

    def __init__(self, connection: Transport, request: HttpRequest) -> None:
        super().__init__(connection)
        self._request = request

    @abc.abstractmethod
    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...

    def succeed(self, answer: Answer) -> None:
        request = self._request
        if request.is_protobuf:
            body = self._connection.protobuf.encode(answer)
        else:
            body = _codec_json.encode(answer)
        headers = [("Content-Type", request.content_type or "application/json")]
        if request.takes_gzip and len(body) >= _GZIP_FROM:
            body = gzipped(body)
            headers.append(("Content-Encoding", "gzip"))
        self._answer(200, headers, body)

    def fail(self, error: ServiceError) -> None:
        headers = [("Content-Type", "text/plain"), ("x-bd-error-code", str(error.code))]
        status = _HTTP_STATUS.get(error.code, 500)
        self._answer(status, headers, self._text(error).encode())

    def page(self, text: str) -> None:
        self._answer(200, [("Content-Type", "text/plain")], text.encode())


class Http1Reply(HttpReply):
    """``data`` is the answer, which waits for its turn; ``closes`` ends the connection after it."""

    def __init__(self, connection: Transport, request: HttpRequest) -> None:
        super().__init__(connection, request)
        self.data: Optional[bytes] = None
        self.closes = not request.keep_alive

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.data = _http1.answer(
            status,
            headers,
            body,
            close="close" in self._request.header(b"connection").lower(),
            head_only=self._request.method == "HEAD",
        )
        self._connection.ready()


class Http2Reply(HttpReply):
    """A reply over HTTP/2."""

    def __init__(self, connection: Transport, session: Http2Session, request: HttpRequest) -> None:
        super().__init__(connection, request)
        self._session = session

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self._session.answer(self._request.stream, [(":status", str(status)), *headers], body)
        self._connection.flush_http2()


class GrpcReply(Http2Reply):
    """A reply to a gRPC call."""

    def succeed(self, answer: Answer) -> None:
        headers = [(":status", "200"), ("content-type", self._request.content_type)]
        message = self._connection.protobuf.encode(answer)
        # brpc packs these without asking whether the client can unpack them.
        accepted = self._request.header(b"grpc-accept-encoding")
        packed = "gzip" in accepted and len(message) >= _GZIP_FROM
        if packed:
            message = gzipped(message)
            headers.append(("grpc-encoding", "gzip"))
        self._session.answer(
            self._request.stream,
            headers,
            _grpc.wrap(message, compressed=packed),
            [("grpc-status", str(_grpc.OK))],
        )
        self._connection.flush_http2()

    def fail(self, error: ServiceError) -> None:
        headers = [
            (":status", "200"),
            ("content-type", self._request.content_type),
            ("grpc-status", str(_GRPC_STATUS.get(error.code, _grpc.INTERNAL))),
            ("grpc-message", _grpc.status_message(self._text(error))),
        ]
        self._session.answer(self._request.stream, headers, b"")
        self._connection.flush_http2()


def _report(answer: Answer) -> bytes:
    """Return what the method ``debug`` adds: a line about the run."""
    began, ended = answer.profile_time[-2:]
    return f"{answer.engine}: {ended - began} us\n".encode()
