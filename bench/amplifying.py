"""Requests of one thing many times over, for ``bench.fuzz_amplifying``. Pure.

Each kind is a function of a source of chance and of a size in bytes, about which its body gets.
"""

from __future__ import annotations

import gzip
import zlib
from random import Random
from typing import Any, Callable, NamedTuple

import cramjam

from engine import _baidu_std

SERVICE = "baidu.paddle_serving.predictor.general_model.GeneralModelService"
_SMALLEST, _LARGEST = 10_000, 4_000_000
# What was once read without a look at its fields takes 20 times its bytes: that has to show.
_MORE = 4
# Requests on one connection, where packing makes them this small.
_SMALL_WIRE = 8192
_MOST_REQUESTS = 20


class Amplifying(NamedTuple):
    """Bytes for one connection: so many equal requests with a body of so many bytes, unpacked."""

    kind: str
    how: str
    requests: int
    body: int
    wire: bytes

    def __str__(self) -> str:
        return (
            f"{self.kind}, {self.how}: {self.requests} requests of {self.body} bytes, "
            f"{len(self.wire)} on the wire"
        )

    __repr__ = __str__


# JSON


def _feed(more: bytes, data: bytes = b"1") -> bytes:
    return b'"name":"x","elem_type":1,"float_data":[%s]%s' % (data, more)


def _tensor(fields: bytes, fetch: bytes = b"") -> bytes:
    names = b',"fetch_var_names":[%s]' % fetch if fetch else b""
    return b'{"tensor":[{%s}]%s}' % (fields, names)


def _listed(random: Random, items: list[bytes], size: int) -> bytes:
    """One of the items, over and over, with commas between."""
    one = random.choice(items)
    return b",".join([one] * (size // (len(one) + 1) + 1))


def _json_shape(random: Random, size: int) -> bytes:
    dims = _listed(random, [b"2147483647", b"1", b"0", b"-1", b"65536"], size)
    return _tensor(_feed(b',"shape":[%s]' % dims))


def _json_lod(random: Random, size: int) -> bytes:
    offsets = _listed(random, [b"0", b"1", b"2147483647"], size)
    return _tensor(_feed(b',"shape":[1,1],"lod":[0,%s,1]' % offsets))


def _json_fetch(random: Random, size: int) -> bytes:
    rows = random.choice([1, 10, 1000])
    names = _listed(random, [b'"price"', b'"x"', b'""', '"é"'.encode()], size)
    return _tensor(
        _feed(b',"shape":[%d,1]' % rows, b",".join([b"0.1"] * rows)),
        names,
    )


def _json_brackets(random: Random, size: int) -> bytes:
    key = random.choice([b"tensor", b"fetch_var_names", b"shape", b"unknown"])
    items = [b"[]", b"{}", b'{"":0}', b'{"shape":[0]}', b"[[]]", b'{"name":"x"}']
    return b'{"%s":[%s]}' % (key, _listed(random, items, size))


def _json_depth(random: Random, size: int) -> bytes:
    opening, closing = random.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
    depth = random.choice([1000, size // len(opening)])
    end = closing * depth if random.random() < 0.5 else b""
    return b'{"a":' + opening * depth + end + b"}"


def _json_name(random: Random, size: int) -> bytes:
    one = random.choice([b"x", b"\\u0001", "é".encode(), b"\\n", "\u2028".encode()])
    name = one * (size // len(one)) + random.choice([b"", "😀".encode()])
    where = random.choice([b'{"tensor":[{"name":"%s","shape":[1],"int64_data":[1]}]}'] * 2)
    if random.random() < 0.3:
        where = _tensor(_feed(b',"shape":[1,1]'), b'"%s"')
    return where.replace(b"%s", name)


def _json_wrong(random: Random, size: int) -> bytes:
    value = random.choice(
        [
            b'"%s"' % (b"\\u0001" * (size // 6)),
            b"1" * size,
            b"1.%s" % (b"1" * size),
            b"-%se99" % (b"9" * size),
            b"[%s]" % _listed(random, [b"1", b'"a"', b"null"], size),
        ]
    )
    key = random.choice([b"shape", b"lod", b"float_data", b"name", b"elem_type", b"tensor_content"])
    return b'{"tensor":[{"%s":[%s]}],"log_id":%s}' % (key, value, value)


def _json_numbers(random: Random, size: int) -> bytes:
    numbers = _listed(random, [b"1", b'"NaN"', b"0.1", b"1e308", b"true", b'"1"'], size)
    rows = numbers.count(b",") + 1
    return _tensor(_feed(b',"shape":[%d,1]' % rows, numbers))


def _json_strings(random: Random, size: int) -> bytes:
    strings = _listed(random, [b'""', b'"a"', '"é"'.encode(), b'"\\u0001"'], size)
    return b'{"tensor":[{"name":"x","elem_type":20,"shape":[1],"data":[%s]}]}' % strings


# protobuf


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, or of a packed list."""
    return varint(number << 3 | 2) + varint(len(content)) + content


FLOAT_DATA, DATA, SHAPE, LOD, NAME = 2, 9, 11, 12, 13
_X = field(NAME, b"x") + b"\x50\x01"
_ONE = b"\x00\x00\x80\x3f"
_STRING = b"\x50\x14" + field(SHAPE, b"\x01")


def _times(random: Random, items: list[bytes], size: int) -> bytes:
    one = random.choice(items)
    return one * (size // len(one) + 1)


def _proto_strings(random: Random, size: int) -> bytes:
    """Short strings in tensors, the last with a tag longer than it has to be."""
    items = [field(DATA, b""), field(DATA, b"\x01"), b"\xca\x80\x00\x00"]
    tensors = random.choice([1, 7])
    return field(1, _times(random, items, _MORE * size // tensors) + _STRING) * tensors


def _proto_parts(random: Random, size: int) -> bytes:
    """Numbers with a tag each, fields and groups that nobody knows, in a tensor."""
    items = [
        b"\x08\x01",
        b"\x15" + _ONE,
        b"\x58\x01",
        b"\x60\x00",
        b"\x80\x02\x00",
        b"\x82\x02\x00",
        b"\x83\x02\x84\x02",
        field(NAME, b""),
    ]
    return field(1, _times(random, items, _MORE * size) + _STRING)


def _proto_fields(random: Random, size: int) -> bytes:
    items = [
        b"\x0a\x00",
        b"\x12\x00",
        b"\x18\x01",
        b"\x80\x02\x00",
        b"\x0b\x0c",
        field(2, b"price"),
    ]
    fields = _times(random, items, _MORE * size)
    # A field of a group that would pass for a tensor, which ends far behind the body.
    lying = b"\xa3\x06" + field(1, b"\x52\xff\xff\xff\x7f") + b"\xa4\x06"
    return random.choice(
        [
            fields,
            lying + fields,
            b"\x0b" + fields + b"\x0c",
            b"\x83\x02" + fields + b"\x84\x02",
        ]
    )


def _proto_shape(random: Random, size: int) -> bytes:
    dims = _times(random, [varint(2**31 - 1), b"\x01", b"\x00", varint(2**64 - 1)], size)
    return field(1, _X + field(FLOAT_DATA, _ONE) + field(SHAPE, dims))


def _proto_lod(random: Random, size: int) -> bytes:
    offsets = _times(random, [b"\x00", b"\x01", varint(2**31 - 1)], size)
    tensor = _X + field(FLOAT_DATA, _ONE) + field(SHAPE, b"\x01\x01") + field(LOD, offsets)
    return field(1, tensor)


def _proto_fetch(random: Random, size: int) -> bytes:
    rows = random.choice([1, 10, 1000])
    tensor = _X + field(FLOAT_DATA, _ONE * rows) + field(SHAPE, varint(rows) + b"\x01")
    names = _times(random, [field(2, b"price"), field(2, b""), field(2, b"x")], size)
    return field(1, tensor) + names[: size // 2]


def _proto_name(random: Random, size: int) -> bytes:
    name = random.choice([b"x", b"\x01", "é".encode()]) * size + "😀".encode()
    tensor = field(SHAPE, b"\x01") + b"\x08\x01"
    return random.choice(
        [
            field(1, field(NAME, name) + tensor),
            field(1, field(DATA, name) + _STRING),
            field(1, _X + tensor) + field(2, name),
        ]
    )


def _proto_numbers(random: Random, size: int) -> bytes:
    count = size // 4
    tensor = _X + field(FLOAT_DATA, _ONE * count) + field(SHAPE, varint(count) + b"\x01")
    return field(1, tensor)


def _proto_depth(random: Random, size: int) -> bytes:
    depth = random.choice([50, 99, 1000, size])
    return b"\x83\x02" * depth + b"\x84\x02" * depth


Kind = Callable[[Random, int], bytes]
JSON_KINDS: dict[str, Kind] = {
    "JSON shape": _json_shape,
    "JSON lod": _json_lod,
    "JSON fetch names": _json_fetch,
    "JSON brackets": _json_brackets,
    "JSON depth": _json_depth,
    "JSON name": _json_name,
    "JSON wrong value": _json_wrong,
    "JSON numbers": _json_numbers,
    "JSON strings": _json_strings,
}
PROTOBUF_KINDS: dict[str, Kind] = {
    "protobuf strings": _proto_strings,
    "protobuf parts": _proto_parts,
    "protobuf fields": _proto_fields,
    "protobuf shape": _proto_shape,
    "protobuf lod": _proto_lod,
    "protobuf fetch names": _proto_fetch,
    "protobuf name": _proto_name,
    "protobuf numbers": _proto_numbers,
    "protobuf depth": _proto_depth,
}
KINDS = [*JSON_KINDS, *PROTOBUF_KINDS]


# On the wire


def _http(body: bytes, content_type: str, packed: bool) -> bytes:
    encoding = "Content-Encoding: gzip\r\n" if packed else ""
    if packed:
        body = gzip.compress(body, 6)
    head = (
        f"POST /GeneralModelService/inference HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}"
        f"\r\n{encoding}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _baidu(body: bytes, compression: int) -> bytes:
    pack: dict[int, Callable[[bytes], Any]] = {
        _baidu_std.NONE: bytes,
        _baidu_std.SNAPPY: cramjam.snappy.compress_raw,
        _baidu_std.GZIP: gzip.compress,
        _baidu_std.ZLIB: zlib.compress,
    }
    packed = bytes(pack[compression](body))
    return _baidu_std.request(SERVICE, "inference", packed, 1, compression=compression)


def generate(random: Random, place: int) -> Amplifying:
    """The next input; ``place`` is its number, so that every kind has its turn."""
    kind = KINDS[place % len(KINDS)]
    size = _LARGEST
    if random.random() < 0.5:
        size = int(_SMALLEST * (_LARGEST / _SMALLEST) ** random.random())
    if kind in JSON_KINDS:
        body = JSON_KINDS[kind](random, size)
    else:
        body = PROTOBUF_KINDS[kind](random, size)
    if kind in JSON_KINDS or random.random() < 0.4:
        packed = random.random() < 0.7
        content_type = "application/json" if kind in JSON_KINDS else "application/proto"
        how = f"HTTP {content_type}{', gzip' if packed else ''}"
        one = _http(body, content_type, packed)
    else:
        compression = random.choice(list(_baidu_std.COMPRESSIONS))
        how = f"baidu_std {_baidu_std.COMPRESSIONS[compression]}"
        one = _baidu(body, compression)
    requests = 1
    if len(one) <= _SMALL_WIRE and random.random() < 0.4:
        requests = random.randrange(2, _MOST_REQUESTS)
    return Amplifying(kind, how, requests, len(body), one * requests)


def ordinary() -> Amplifying:
    """A request of one row."""
    body = _tensor(_feed(b',"shape":[1,1]'))
    return Amplifying("ordinary", "HTTP", 1, len(body), _http(body, "application/json", False))
