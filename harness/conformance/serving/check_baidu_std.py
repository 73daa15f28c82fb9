"""baidu_std, the compiled client's protocol, byte by byte."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import cramjam

from . import baidu_std, wire
from .baidu_std import GZIP, NONE, SNAPPY, ZLIB, Answer
from .check_http import price as http_price
from .checks import JSON_BODY, PRICE, Subject, check, holds, same
from .wire import Wire, baidu

SERVICE = "baidu.paddle_serving.predictor.general_model.GeneralModelService"


def payload(**fields: Any) -> bytes:
    data: bytes = wire.request_message(**fields).SerializeToString()
    return data


def frame(data: bytes, correlation_id: int = 7, **options: Any) -> bytes:
    return baidu_std.request(SERVICE, "inference", data, correlation_id, **options)


def price(answer: Answer) -> Any:
    holds(answer.code == 0, f"error {answer.code}: {answer.text}")
    return wire.response_message(gzip.decompress(answer.payload)).outputs[0].tensor[0].float_data[0]


@check("baidu_std", "an answer echoes the correlation id and is gzip-compressed")
def _(subject: Subject) -> None:
    answer = baidu(subject.port, frame(payload(), 4711))
    same(answer.correlation_id, 4711)
    same(answer.compression, GZIP, "compress_type")
    same(price(answer), PRICE)


for _name, _kind, _packed in (
    ("gzip", GZIP, gzip.compress(payload())),
    ("zlib", ZLIB, zlib.compress(payload())),
    ("snappy", SNAPPY, bytes(cramjam.snappy.compress_raw(payload()))),
):

    @check("baidu_std", f"a request compressed with {_name} is accepted, the answer is gzip")
    def _(subject: Subject, _kind: int = _kind, _packed: bytes = _packed) -> None:
        answer = baidu(subject.port, frame(_packed, compression=_kind))
        same(price(answer), PRICE)
        same(answer.compression, GZIP, "compress_type")


@check("baidu_std", "an attachment and authentication data are accepted")
def _(subject: Subject) -> None:
    data = frame(payload(), attachment=b"attached", authentication=b"secret")
    same(price(baidu(subject.port, data)), PRICE)


@check("baidu_std", "the short name of the service works too")
def _(subject: Subject) -> None:
    data = baidu_std.request("GeneralModelService", "inference", payload(), 1)
    same(price(baidu(subject.port, data)), PRICE)


@check("baidu_std", "many requests in flight on one connection are all answered")
def _(subject: Subject) -> None:
    with Wire(subject.port) as one:
        one.send(b"".join(frame(payload(), number) for number in range(50)))
        answers = [one.baidu_answer() for _ in range(50)]
    same({answer.correlation_id for answer in answers}, set(range(50)))
    same({price(answer) for answer in answers}, {PRICE})


@check("baidu_std", "the method debug answers with a report as attachment")
def _(subject: Subject) -> None:
    answer = baidu(subject.port, baidu_std.request(SERVICE, "debug", payload(), 1))
    same(answer.code, 0)
    holds(answer.attachment, "there is no attachment")


@check("baidu_std", "the logged id is Request.log_id")
def _(subject: Subject) -> None:
    start = len(subject.server.log())
    baidu(subject.port, frame(payload(log_id=123456), log_id=9))
    subject.server.wait_for_log("[serving]logid=123456,cost=", start=start)


@check("baidu_std", "an unknown service: 1001 `Fail to find service=X`")
def _(subject: Subject) -> None:
    answer = baidu(subject.port, baidu_std.request("X", "inference", payload(), 1))
    same(answer.code, 1001)
    holds("Fail to find service=X" in answer.text, answer.text)


@check("baidu_std", "an unknown method: 1002 `Fail to find method=SERVICE/METHOD`")
def _(subject: Subject) -> None:
    answer = baidu(subject.port, baidu_std.request(SERVICE, "nope", payload(), 1))
    same(answer.code, 1002)
    holds(f"Fail to find method={SERVICE}/nope" in answer.text, answer.text)


for _name, _kind in (("none", NONE), ("snappy", SNAPPY), ("unknown", 9)):

    @check("baidu_std", f"garbage as {_name}: 1003 with CompressType={_name} and the size")
    def _(subject: Subject, _name: str = _name, _kind: int = _kind) -> None:
        answer = baidu(subject.port, frame(b"\xff" * 20, compression=_kind))
        same(answer.code, 1003)
        text = f"Fail to parse request message, CompressType={_name}, request_size=20"
        holds(text in answer.text, answer.text)


@check("baidu_std", "an empty request: -5100")
def _(subject: Subject) -> None:
    answer = baidu(subject.port, frame(b""))
    same(answer.code, -5100)
    holds("InferService inference failed!" in answer.text, answer.text)


@check(
    "baidu_std",
    "the answers to several requests in flight on one connection come out of order",
    wanted="in the order of the requests",
)
def _(subject: Subject) -> bool:
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


@check("baidu_std", "without --max_body_size a body may have 512 MiB and no byte more", own=True)
def _(subject: Subject) -> None:
    with subject.launch() as server, Wire(server.port) as most, Wire(server.port) as more:
        most.send(baidu_std.HEADER.pack(b"PRPC", 512 << 20, 10) + b"x" * 5)
        more.send(baidu_std.HEADER.pack(b"PRPC", (512 << 20) + 1, 10) + b"x" * 5)
        holds(more.closed(), "512 MiB and a byte: it answered")
        # Another client is answered meanwhile, so both have been looked at.
        same(price(baidu(server.port, frame(payload()))), PRICE)
        holds(most.silent(), "512 MiB: it was closed or answered")


for _what, _data in (
    ("a meta larger than the body", baidu_std.HEADER.pack(b"PRPC", 10, 20) + b"x" * 20),
    ("a meta that does not parse", baidu_std.HEADER.pack(b"PRPC", 10, 10) + b"\xff" * 10),
    ("a body over max_body_size", baidu_std.HEADER.pack(b"PRPC", (64 << 20) + 1, 10) + b"x" * 99),
    ("bytes in no protocol", b"\x00\x01\x02\x03" * 10),
):

    @check("baidu_std", f"{_what}: closed without an answer")
    def _(subject: Subject, _data: bytes = _data) -> None:
        with Wire(subject.port) as one:
            one.send(_data)
            holds(one.closed(), "it answered")


@check("baidu_std", "HTTP and baidu_std may alternate on one connection")
def _(subject: Subject) -> None:
    request = b"POST /GeneralModelService/inference HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (
        len(JSON_BODY),
        JSON_BODY,
    )
    with Wire(subject.port) as one:
        for _ in range(2):
            one.send(frame(payload()))
            same(price(one.baidu_answer()), PRICE)
            one.send(request)
            same(http_price(one.http_answer()), PRICE)


@check("baidu_std", "half a frame is waited for")
def _(subject: Subject) -> None:
    data = frame(payload())
    with Wire(subject.port) as one:
        one.send(data[:30])
        # Another client is answered meanwhile, which shows that the half is with the server.
        same(price(baidu(subject.port, data)), PRICE)
        one.send(data[30:])
        same(price(one.baidu_answer()), PRICE)
