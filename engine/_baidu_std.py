"""baidu_std, brpc's own protocol: frames in, frames out, no I/O.

A frame is a header, the meta (a protobuf message), the payload and the attachment. The header is
``PRPC``, the size of all that follows, and the size of the meta (uint32, big endian).
Source: brpc's docs/cn/baidu_std.md.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ._messages import PARSE_ERRORS

MAGIC = b"PRPC"
HEADER = struct.Struct(">4sII")
NONE, SNAPPY, GZIP, ZLIB = range(4)
COMPRESSIONS = {NONE: "none", SNAPPY: "snappy", GZIP: "gzip", ZLIB: "zlib"}

_INT32, _INT64, _BYTES, _MESSAGE = 5, 3, 12, 11
_FIELDS: dict[str, tuple[tuple[str, int, int, str], ...]] = {
    "RpcRequestMeta": (
        # Strings in brpc; as bytes they may hold anything, and protobuf does not complain.
        ("service_name", 1, _BYTES, ""),
        ("method_name", 2, _BYTES, ""),
        ("log_id", 3, _INT64, ""),
    ),
    "RpcResponseMeta": (("error_code", 1, _INT32, ""), ("error_text", 2, _BYTES, "")),
    "RpcMeta": (
        ("request", 1, _MESSAGE, "RpcRequestMeta"),
        ("response", 2, _MESSAGE, "RpcResponseMeta"),
        ("compress_type", 3, _INT32, ""),
        ("correlation_id", 4, _INT64, ""),
        ("attachment_size", 5, _INT32, ""),
        ("authentication_data", 7, _BYTES, ""),
    ),
}


class BrokenFrame(Exception):
    """Bytes that cannot be answered: the connection has to be closed."""


class TooBig(BrokenFrame):
    """A message over ``max_body_size``."""


class Frame(NamedTuple):
    """One request as it came in; the payload is still compressed."""

    service: str
    method: str
    log_id: int
    compression: int
    correlation_id: int
    payload: bytes
    attachment: bytes


def _meta_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="engine_baidu_rpc_meta.proto", package="engine", syntax="proto2"
    )
    for message, fields in _FIELDS.items():
        added = file.message_type.add(name=message)
        for name, number, kind, target in fields:
            field = added.field.add(name=name, number=number, type=kind, label=1)
            if target:
                field.type_name = f".engine.{target}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    descriptor = pool.FindMessageTypeByName("engine.RpcMeta")
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


_Meta = _meta_class()


def frame_size(data: bytes, at: int, limit: int) -> int:
    """Return how many bytes the frame that starts at ``at`` has; before its header is whole, 12.

    Raises:
        TooBig: The header announces more than ``limit`` bytes.
        BrokenFrame: The header is wrong.
    """
    if len(data) - at < HEADER.size:
        return HEADER.size
    _, body, meta = HEADER.unpack_from(data, at)
    if body > limit:
        raise TooBig(f"{body} bytes")
    if meta > body:
        raise BrokenFrame(f"the meta ({meta} bytes) is larger than the body ({body} bytes)")
    return HEADER.size + int(body)


def read_frame(data: bytes) -> Frame:
    """Read one whole frame. Raises ``BrokenFrame``."""
    _, body, meta_size = HEADER.unpack_from(data)
    start = HEADER.size + meta_size
    meta = _Meta()
    try:
        meta.ParseFromString(data[HEADER.size : start])
    except PARSE_ERRORS as error:
        raise BrokenFrame(f"the meta does not parse: {error}") from None
    if not meta.HasField("request"):
        raise BrokenFrame("the frame is no request")
    attached = meta.attachment_size
    if not 0 <= attached <= body - meta_size:
        raise BrokenFrame(f"the attachment ({attached} bytes) is larger than the frame")
    end = HEADER.size + body - attached
    return Frame(
        meta.request.service_name.decode(errors="replace"),
        meta.request.method_name.decode(errors="replace"),
        meta.request.log_id,
        meta.compress_type,
        meta.correlation_id,
        data[start:end],
        data[end:],
    )


def answer(
    correlation_id: int,
    payload: bytes,
    *,
    compression: int = NONE,
    attachment: bytes = b"",
) -> bytes:
    """Return the frame of a good answer; the payload is compressed already."""
    meta = _Meta(correlation_id=correlation_id, compress_type=compression)
    meta.response.SetInParent()
    return _frame(meta, payload, attachment)


def failure(correlation_id: int, code: int, text: str) -> bytes:
    """Return the frame of an answer that carries an error and no payload."""
    meta = _Meta(correlation_id=correlation_id)
    meta.response.error_code = code
    meta.response.error_text = text.encode()
    return _frame(meta, b"", b"")


def _frame(meta: Any, payload: bytes, attachment: bytes) -> bytes:
    if attachment:
        meta.attachment_size = len(attachment)
    head: bytes = meta.SerializeToString()
    size = len(head) + len(payload) + len(attachment)
    return b"".join((HEADER.pack(MAGIC, size, len(head)), head, payload, attachment))
