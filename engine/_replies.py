"""Answers in the shape of each protocol: where a call's result goes, and in which bytes.

    batcher ──Answer or ServiceError──▶ BaiduReply, HttpReply, Http2Reply ──bytes──▶ connection

Thresholds and error numbers are brpc's: src/brpc/policy/http_rpc_protocol.cpp, src/brpc/grpc.cpp.
"""

from __future__ import annotations

from typing import Optional, Protocol

from . import _baidu_std, _codec_json, _grpc, _http1
from ._baidu_std import Frame
from ._codec_protobuf import ProtobufCodec
from ._http1 import Head
from ._http2 import Http2Session
from ._http2_requests import H2Request
from ._query import ELIMIT, ENOMETHOD, ENOSERVICE, EREQUEST, Answer, ServiceError

# brpc's FLAGS_http_body_compress_threshold: smaller answers are not worth packing.
_GZIP_FROM = 512
_GRPC_STATUS = {
    ENOSERVICE: _grpc.UNIMPLEMENTED,
    ENOMETHOD: _grpc.UNIMPLEMENTED,
    EREQUEST: _grpc.INVALID_ARGUMENT,
    ELIMIT: _grpc.RESOURCE_EXHAUSTED,
}
_HTTP_STATUS = {ENOSERVICE: 404, ENOMETHOD: 404, EREQUEST: 400, ELIMIT: 503}


class Way(Protocol):
    """What a reply needs of its connection."""

    remote: str
    local: str

    @property
    def protobuf(self) -> ProtobufCodec: ...

    def write(self, data: bytes) -> None: ...

    def ready(self) -> None:
        """An HTTP/1 answer is there; it goes when its turn has come."""

    def flush_http2(self) -> None: ...


class BaiduReply:
    """Answers are gzipped whatever the request was: the real server does so."""

    __slots__ = ("_connection", "_debug", "_id", "local", "remote")

    def __init__(self, connection: Way, frame: Frame, debug: bool) -> None:
        self._connection = connection
        self._id = frame.correlation_id
        self._debug = debug
        self.remote = connection.remote
        self.local = connection.local

    def succeed(self, answer: Answer) -> None:
        self._connection.write(
            _baidu_std.answer(
                self._id,
                _baidu_std.gzipped(self._connection.protobuf.encode(answer)),
                compression=_baidu_std.GZIP,
                attachment=_report(answer) if self._debug else b"",
            )
        )

    def fail(self, error: ServiceError) -> None:
        text = f"[{self.local}][E{error.code}]{error.text}"
        self._connection.write(_baidu_std.failure(self._id, error.code, text))


class HttpReply:
    __slots__ = ("_connection", "_head", "closes", "data", "local", "remote")

    def __init__(self, connection: Way, head: Head) -> None:
        self._connection = connection
        self._head = head
        self.data: Optional[bytes] = None
        self.closes = not head.keep_alive
        self.remote = connection.remote
        self.local = connection.local

    def succeed(self, answer: Answer) -> None:
        content_type = self._head.content_type
        body = encoded(answer, content_type, self._connection.protobuf)
        packed = self._head.takes_gzip and len(body) >= _GZIP_FROM
        if packed:
            body = _baidu_std.gzipped(body)
        self._answer(200, body, content_type or "application/json", gzip=packed)

    def fail(self, error: ServiceError) -> None:
        body = f"[{self.local}][E{error.code}]{error.text}".encode()
        status = _HTTP_STATUS.get(error.code, 500)
        self._answer(status, body, "text/plain", error_code=error.code)

    def text(self, text: str) -> None:
        self._answer(200, text.encode(), "text/plain")

    def _answer(
        self,
        status: int,
        body: bytes,
        content_type: str,
        error_code: Optional[int] = None,
        gzip: bool = False,
    ) -> None:
        self.data = _http1.answer(
            status,
            body,
            content_type,
            error_code=error_code,
            gzip=gzip,
            close=self._head.says_close,
            head_only=self._head.method == "HEAD",
        )
        self._connection.ready()


class Http2Reply:
    __slots__ = ("_connection", "_request", "_session", "local", "remote")

    def __init__(self, connection: Way, session: Http2Session, request: H2Request) -> None:
        self._connection = connection
        self._session = session
        self._request = request
        self.remote = connection.remote
        self.local = connection.local

    def succeed(self, answer: Answer) -> None:
        request = self._request
        if request.is_grpc:
            headers = [
                (":status", "200"),
                ("content-type", _grpc.content_type(request.content_type)),
            ]
            message = self._connection.protobuf.encode(answer)
            # brpc packs these without asking whether the client can unpack them.
            packed = request.takes_grpc_gzip and len(message) >= _GZIP_FROM
            if packed:
                message = _baidu_std.gzipped(message)
                headers.append(("grpc-encoding", "gzip"))
            self._session.answer(
                request.stream,
                headers,
                _grpc.wrap(message, compressed=packed),
                [("grpc-status", str(_grpc.OK))],
            )
        else:
            body = encoded(answer, request.content_type, self._connection.protobuf)
            headers = [
                (":status", "200"),
                ("content-type", request.content_type or "application/json"),
            ]
            if request.takes_gzip and len(body) >= _GZIP_FROM:
                body = _baidu_std.gzipped(body)
                headers.append(("content-encoding", "gzip"))
            self._session.answer(request.stream, headers, body)
        self._connection.flush_http2()

    def fail(self, error: ServiceError) -> None:
        text = f"[{self.local}][E{error.code}]{error.text}"
        request = self._request
        if request.is_grpc:
            self._session.answer(
                request.stream,
                [
                    (":status", "200"),
                    ("content-type", _grpc.content_type(request.content_type)),
                    ("grpc-status", str(_GRPC_STATUS.get(error.code, _grpc.INTERNAL))),
                    ("grpc-message", _grpc.status_message(text)),
                ],
                b"",
            )
        else:
            self._session.answer(
                request.stream,
                [
                    (":status", str(_HTTP_STATUS.get(error.code, 500))),
                    ("content-type", "text/plain"),
                    ("x-bd-error-code", str(error.code)),
                ],
                text.encode(),
            )
        self._connection.flush_http2()

    def text(self, text: str) -> None:
        self._session.answer(
            self._request.stream,
            [(":status", "200"), ("content-type", "text/plain")],
            text.encode(),
        )
        self._connection.flush_http2()


def is_protobuf(content_type: str) -> bool:
    """Whether a Content-Type means protobuf; everything else counts as JSON."""
    return content_type.startswith(("application/proto", "application/x-protobuf"))


def encoded(answer: Answer, content_type: str, protobuf: ProtobufCodec) -> bytes:
    """An answer in the encoding of its request."""
    return protobuf.encode(answer) if is_protobuf(content_type) else _codec_json.encode(answer)


def _report(answer: Answer) -> bytes:
    """What the method ``debug`` adds: a text about the run."""
    lines = [f"engine: {answer.engine}"]
    for variable, array, lod in answer.fetched:
        lines.append(
            f"fetch: {variable.alias} ({variable.name}) {array.dtype.name} "
            f"shape {list(array.shape)} lod {list(lod)}"
        )
    lines.append(f"time: {answer.profile_time[-1] - answer.profile_time[-2]} us")
    return ("\n".join(lines) + "\n").encode()
