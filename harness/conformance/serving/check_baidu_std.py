"""baidu_std, the compiled client's protocol, byte by byte."""

from __future__ import annotations

import gzip
import zlib
from typing import Any, Callable

import cramjam

from . import baidu_std, wire
from .baidu_std import GZIP, NONE, SNAPPY, ZLIB, Answer
from .check_http import price as http_price
from .checks import JSON_BODY, PRICE, Subject, holds, same
from .wire import Wire, baidu

SERVICE = "baidu.paddle_serving.predictor.general_model.GeneralModelService"


def payload(**fields: Any) -> bytes:
    """Return a serialized request message."""
    data: bytes = wire.request_message(**fields).SerializeToString()
    return data


def frame(data: bytes, correlation_id: int = 7, **options: Any) -> bytes:
    """Return the bytes of a baidu_std request."""
    return baidu_std.request(SERVICE, "inference", data, correlation_id, **options)


def price(answer: Answer) -> Any:
    """Return the price of an answer that must be good."""
    holds(answer.code == 0, f"error {answer.code}: {answer.text}")
    return wire.response_message(gzip.decompress(answer.payload)).outputs[0].tensor[0].float_data[0]


def answer(subject: Subject) -> None:
    """An answer echoes the correlation id and is gzip-compressed."""
    answer = baidu(subject.port, frame(payload(), 4711))
    same(answer.correlation_id, 4711)
    same(answer.compression, GZIP, "compress_type")
    same(price(answer), PRICE)


COMPRESSIONS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (NONE, bytes),
    "snappy": (SNAPPY, lambda data: bytes(cramjam.snappy.compress_raw(data))),
    "gzip": (GZIP, gzip.compress),
    "zlib": (ZLIB, zlib.compress),
}


def compressed(subject: Subject, name: str) -> None:
    """A request compressed with {name} is accepted, the answer is gzip."""
    number, compress = COMPRESSIONS[name]
    answer = baidu(subject.port, frame(compress(payload()), compression=number))
    same(price(answer), PRICE)
    same(answer.compression, GZIP, "compress_type")


def attachment(subject: Subject) -> None:
    """An attachment and authentication data are accepted."""
    data = frame(payload(), attachment=b"attached", authentication=b"secret")
    same(price(baidu(subject.port, data)), PRICE)


def short_name(subject: Subject) -> None:
    """The short name of the service works too."""
    data = baidu_std.request("GeneralModelService", "inference", payload(), 1)
    same(price(baidu(subject.port, data)), PRICE)


def many_in_flight(subject: Subject) -> None:
    """Many requests in flight on one connection are all answered."""
    with Wire(subject.port) as one:
        one.send(b"".join(frame(payload(), number) for number in range(50)))
        answers = [one.baidu_answer() for _ in range(50)]
    same({answer.correlation_id for answer in answers}, set(range(50)))
    same({price(answer) for answer in answers}, {PRICE})


def debug(subject: Subject) -> None:
    """The method debug answers with a report as attachment."""
    answer = baidu(subject.port, baidu_std.request(SERVICE, "debug", payload(), 1))
    same(answer.code, 0)
    holds(answer.attachment, "there is no attachment")


def log_id(subject: Subject) -> None:
    """The logged id is Request.log_id."""
    start = len(subject.server.log())
    baidu(subject.port, frame(payload(log_id=123456), log_id=9))
    subject.server.wait_for_log("[serving]logid=123456,cost=", start=start)


def _refused(subject: Subject, data: bytes, code: int, text: str) -> None:
    """Raises ``Differs`` unless the frame gets this error."""
    answer = baidu(subject.port, data)
    same(answer.code, code)
    holds(text in answer.text, answer.text)


def unknown_service(subject: Subject) -> None:
    """An unknown service: 1001 `Fail to find service=X`."""
    data = baidu_std.request("X", "inference", payload(), 1)
    _refused(subject, data, 1001, "Fail to find service=X")


def unknown_method(subject: Subject) -> None:
    """An unknown method: 1002 `Fail to find method=SERVICE/METHOD`."""
    data = baidu_std.request(SERVICE, "nope", payload(), 1)
    _refused(subject, data, 1002, f"Fail to find method={SERVICE}/nope")


def garbage(subject: Subject, name: str) -> None:
    """Garbage as {name}: 1003 with CompressType={name} and the size."""
    number = 9 if name == "unknown" else COMPRESSIONS[name][0]
    text = f"Fail to parse request message, CompressType={name}, request_size=20"
    _refused(subject, frame(b"\xff" * 20, compression=number), 1003, text)


def empty_request(subject: Subject) -> None:
    """An empty request: -5100."""
    _refused(subject, frame(b""), -5100, "InferService inference failed!")


def order_of_answers(subject: Subject) -> bool:
    """The answers to several requests in flight on one connection come out of order."""
    # Requests of very different weight, so that servers with several workers overtake.
    rows = [1000 if number % 2 == 0 else 1 for number in range(50)]
    with Wire(subject.port) as one:
        one.send(b"".join(frame(payload(rows=rows[number]), number) for number in range(50)))
        answers = [one.baidu_answer() for _ in range(50)]
    for answer in answers:
        message = wire.response_message(gzip.decompress(answer.payload))
        values = message.outputs[0].tensor[0].float_data
        same(set(values), {PRICE})
        same(len(values), rows[answer.correlation_id], f"rows of {answer.correlation_id}")
    return [answer.correlation_id for answer in answers] == list(range(50))


def largest_body(subject: Subject) -> None:
    """Without --max_body_size a body may have 512 MiB and no byte more."""
    with subject.launch() as server, Wire(server.port) as most, Wire(server.port) as more:
        most.send(baidu_std.HEADER.pack(b"PRPC", 512 << 20, 10) + b"x" * 5)
        more.send(baidu_std.HEADER.pack(b"PRPC", (512 << 20) + 1, 10) + b"x" * 5)
        holds(more.closed(), "512 MiB and a byte: it answered")
        # Another client is answered meanwhile, so both have been looked at.
        same(price(baidu(server.port, frame(payload()))), PRICE)
        holds(most.silent(), "512 MiB: it was closed or answered")


CLOSED = {
    "a meta larger than the body": baidu_std.HEADER.pack(b"PRPC", 10, 20) + b"x" * 20,
    "a meta that does not parse": baidu_std.HEADER.pack(b"PRPC", 10, 10) + b"\xff" * 10,
    "a body over max_body_size": baidu_std.HEADER.pack(b"PRPC", (64 << 20) + 1, 10) + b"x" * 99,
    "bytes in no protocol": b"\x00\x01\x02\x03" * 10,
}


def closed(subject: Subject, what: str) -> None:
    """After {what} the connection is closed without an answer."""
    with Wire(subject.port) as one:
        one.send(CLOSED[what])
        holds(one.closed(), "it answered")


def alternating(subject: Subject) -> None:
    """HTTP and baidu_std may alternate on one connection."""
    head = b"POST /GeneralModelService/inference HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
    with Wire(subject.port) as one:
        for _ in range(2):
            one.send(frame(payload()))
            same(price(one.baidu_answer()), PRICE)
            one.send(head % len(JSON_BODY) + JSON_BODY)
            same(http_price(one.http_answer()), PRICE)


def half_a_frame(subject: Subject) -> None:
    """Half a frame is waited for."""
    data = frame(payload())
    with Wire(subject.port) as one:
        one.send(data[:30])
        # Another client is answered meanwhile, which shows that the half is with the server.
        same(price(baidu(subject.port, data)), PRICE)
        one.send(data[30:])
        same(price(one.baidu_answer()), PRICE)
