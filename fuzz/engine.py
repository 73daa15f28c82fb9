"""Fuzzes the engine's parsers: baidu_std, HTTP/1 and HTTP/2 framing, and the two codecs.

    python -m fuzz.engine                   100,000 inputs for each
    python -m fuzz.engine --inputs 5000 --seed 7

The inputs are noise, and valid messages with damage: bytes flipped, cut out or doubled, lengths
changed. They come in pieces of any size. What has to hold of every input:

- nothing is raised but the parser's own error;
- none takes longer than a second;
- however the bytes are cut, the same messages come out.

The tests run the same properties on a smaller, seeded number.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import signal
import sys
import time
import zlib
from random import Random
from typing import Any, Callable

import h2.config
import h2.connection

from engine import (
    _baidu_std,
    _codec_json,
    _codec_protobuf,
    _compression,
    _grpc,
    _http2,
    _stream,
)
from engine._http import HttpRequest
from engine._query import ServiceError, Unparsable
from harness.conformance.serving import baidu_std, messages

LIMIT = 4096
SLOWEST_S = 1.0
LENGTHS = [b"\xff" * 4, b"\0" * 4, b"9999", b"-1\r\n"]
SERVICE = "baidu.paddle_serving.predictor.general_model.GeneralModelService"
JSON_BODY = (
    b'{"tensor":[{"float_data":[1,2.5,-3e2],"elem_type":1,"name":"x","alias_name":"x",'
    b'"shape":[1,3],"lod":[0,1]},{"int64_data":[7],"shape":[1],"name":"y"},'
    b'{"tensor_content":"AAAAAA==","elem_type":5,"shape":[2],"name":"z"},'
    b'{"data":["text"],"elem_type":20,"shape":[5],"name":"s"}],'
    b'"fetch_var_names":["price"],"log_id":9,"profile_server":true}'
)


def protobuf_body() -> bytes:
    """A request with several kinds of feeds."""
    message = messages.new_request()
    one = message.tensor.add(elem_type=1, name="x")
    one.float_data.extend([1.0, 2.0, 3.0])
    one.shape.extend([1, 3])
    two = message.tensor.add(elem_type=7, name="y", tensor_content=b"abcd")
    two.shape.extend([4, 1])
    two.lod.extend([0, 2, 4])
    message.fetch_var_names.append("price")
    data: bytes = message.SerializeToString()
    return data


def baidu_std_messages() -> list[bytes]:
    body = protobuf_body()
    return [
        baidu_std.request(SERVICE, "inference", body, 1),
        baidu_std.request(SERVICE, "debug", gzip.compress(body), 2, compression=2),
        baidu_std.request("X", "y", body, 3, attachment=b"abc", authentication=b"d", log_id=4),
    ]


def http_messages() -> list[bytes]:
    body = protobuf_body()
    head = b"POST /GeneralModelService/inference HTTP/1.1\r\nHost: a\r\n"
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:9], body[9:]))
    return [
        head + b"Content-Length: %d\r\n\r\n%s" % (len(JSON_BODY), JSON_BODY),
        head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked + b"0\r\nTrailer: 1\r\n\r\n",
        b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ]


def http2_bytes() -> bytes:
    """What a gRPC client sends in two calls; the second says how long its body is."""
    body = _grpc.wrap(protobuf_body())
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    for stream, length in ((1, []), (3, [("content-length", str(len(body)))])):
        client.send_headers(
            stream,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", f"/{SERVICE}/inference"),
                (":authority", "a"),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                *length,
            ],
        )
        client.send_data(stream, body, end_stream=True)
    data: bytes = client.data_to_send()
    return data


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes, cut after each of the given distances and then no more."""
    parts = []
    at = 0
    for cut in cuts:
        parts.append(data[at : at + cut])
        at += cut
    parts.append(data[at:])
    return [part for part in parts if part]


def read_stream(parts: list[bytes]) -> tuple[list[Any], str]:
    """Everything that MessageReader gives, and its protocol error, if any."""
    reader = _stream.MessageReader(LIMIT)
    messages: list[Any] = []
    for part in parts:
        try:
            for message in reader.receive(part):
                messages.append(message)
                if isinstance(message, bytes):
                    return messages, "HTTP/2"
        except _stream.Unanswerable as error:
            return [*messages, *error.messages], error.protocol
    return messages, ""


def check_stream(data: bytes, cuts: list[int]) -> None:
    """baidu_std or HTTP/1, in pieces and at once."""
    in_pieces, error_in_pieces = read_stream(pieces(data, cuts))
    at_once, error_at_once = read_stream(pieces(data, []))
    assert error_in_pieces == error_at_once, (error_in_pieces, error_at_once)
    if error_at_once != "HTTP/2":
        # An error drops the messages before it in the same piece.
        shorter = min(len(in_pieces), len(at_once))
        assert in_pieces[:shorter] == at_once[:shorter]
        assert error_at_once or len(in_pieces) == len(at_once)
    for message in in_pieces:
        if isinstance(message, _baidu_std.Frame):
            try:
                body = _compression.unpack(message.compression, message.payload, LIMIT)
                assert len(body) <= LIMIT
            except _compression.BadCompression:
                pass


def http2_requests(data: bytes, cuts: list[int]) -> list[HttpRequest]:
    """What an HTTP/2 session makes of the bytes; every request is answered."""
    session = _http2.Http2Session(LIMIT, lambda: None)
    found = []
    for part in pieces(data, cuts):
        for request in session.receive(part):
            with contextlib.suppress(_compression.BadCompression):
                _grpc.unwrap(request.body, request.header(b"grpc-encoding"), LIMIT)
            session.answer(request.stream, [(":status", "200")], b"x" * 100, [("a", "b")])
            found.append(request)
        session.to_send()
        if session.broken:
            break
    return found


def check_http2(data: bytes, cuts: list[int]) -> None:
    """HTTP/2 framing and the gRPC message in each body."""
    in_pieces, at_once = http2_requests(data, cuts), http2_requests(data, [])
    # A broken frame drops the requests in the same piece.
    assert at_once == in_pieces[: len(at_once)]


def check_json(data: bytes, _cuts: list[int]) -> None:
    with contextlib.suppress(Unparsable, ServiceError):
        _codec_json.decode(data)


def check_protobuf(data: bytes, _cuts: list[int]) -> None:
    with contextlib.suppress(Unparsable, ServiceError):
        _codec_protobuf.ProtobufCodec().decode(data)


def check_compression(data: bytes, _cuts: list[int]) -> None:
    for kind in _baidu_std.COMPRESSIONS:
        with contextlib.suppress(_compression.BadCompression):
            assert len(_compression.unpack(kind, data[:LIMIT], LIMIT)) <= LIMIT


def packed() -> list[bytes]:
    body = protobuf_body() * 20
    import cramjam

    return [
        gzip.compress(body),
        zlib.compress(body),
        bytes(cramjam.snappy.compress_raw(body)),
        gzip.compress(b"\0" * (LIMIT * 100)),
    ]


TARGETS: dict[str, tuple[Callable[[], list[bytes]], Callable[[bytes, list[int]], None]]] = {
    "baidu_std": (baidu_std_messages, check_stream),
    "http": (http_messages, check_stream),
    "http2": (lambda: [http2_bytes()], check_http2),
    "json": (lambda: [JSON_BODY], check_json),
    "protobuf": (lambda: [protobuf_body()], check_protobuf),
    "compression": (packed, check_compression),
}


def damage(messages: list[bytes], random: Random) -> tuple[bytes, list[int]]:
    """Return one or two messages, damaged in up to six places, or noise; and where to cut them."""
    if random.random() < 0.1:
        data = bytearray(random.randbytes(random.randrange(400)))
    else:
        data = bytearray(b"".join(random.choices(messages, k=random.choice((1, 2)))))
    for _ in range(random.randrange(7)):
        if not data:
            break
        at = random.randrange(len(data))
        kind = random.randrange(5)
        if kind == 0:
            data[at] = random.randrange(256)
        elif kind == 1:
            del data[at : at + random.randrange(1, 40)]
        elif kind == 2:
            data[at:at] = random.randbytes(random.randrange(20))
        elif kind == 3:
            data[at:at] = data[at : at + random.randrange(1, 60)]
        else:
            data[at : at + 4] = random.choice(LENGTHS)
    return bytes(data), [random.randrange(1, 60) for _ in range(random.randrange(8))]


def fuzz(target: str, inputs: int, number: int) -> float:
    """Runs one target; gives the seconds of the slowest input.

    Raises ``AssertionError`` with the input when a property does not hold.
    """
    messages, check = TARGETS[target]
    known = messages()
    random = Random(number)
    slowest = 0.0
    for _ in range(inputs):
        data, cuts = damage(known, random)
        start = time.thread_time()
        try:
            check(data, cuts)
        except Exception as error:
            raise AssertionError(f"{target}: {error!r} on {data!r} cut at {cuts}") from error
        took = time.thread_time() - start
        assert took < SLOWEST_S, f"{target}: {took:.1f} s for {data!r} cut at {cuts}"
        slowest = max(slowest, took)
    return slowest


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m fuzz.engine", description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--inputs", type=int, default=100_000, help="inputs for each (100000)")
    options.add_argument("--seed", type=int, default=1, help="of the inputs (1)")
    options.add_argument("--only", choices=sorted(TARGETS), help="one parser alone")
    given_options = options.parse_args()
    # Ctrl-C ends it without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print(f"{'parser':12} {'inputs':>8} {'slowest ms':>11} {'s':>7}")
    for target in [given_options.only] if given_options.only else list(TARGETS):
        start = time.monotonic()
        slowest = fuzz(target, given_options.inputs, given_options.seed)
        took = time.monotonic() - start
        print(
            f"{target:12} {given_options.inputs:8d} {slowest * 1e3:11.2f} {took:7.1f}", flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
