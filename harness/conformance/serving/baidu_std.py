"""baidu_std, brpc's own protocol, as a client speaks it: bytes in, bytes out, no I/O.

A frame is ``PRPC``, two sizes (what follows the header, the meta), the meta, the payload and the
attachment. The meta is a protobuf message. Its fields are listed here a second time. The engine
under test has its own list, because an error in a shared list would not be seen.

Source: brpc's docs/cn/baidu_std.md.
"""

from __future__ import annotations

import functools
import struct
from typing import Any, NamedTuple, Optional

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

#: The magic word, then the sizes of what follows and of the meta, both uint32, big endian.
HEADER = struct.Struct(">4sII")
#: The values of compress_type.
NONE, SNAPPY, GZIP, ZLIB = range(4)

# Field numbers and types. Texts are bytes, so that a damaged text is shown and not refused.
_META = {
    "Request": "service 1 BYTES, method 2 BYTES, log_id 3 INT64",
    "Response": "code 1 INT32, text 2 BYTES",
    "Meta": "request 1 Request, response 2 Response, compression 3 INT32, "
    "correlation_id 4 INT64, attachment_size 5 INT32, authentication 7 BYTES",
}


class Answer(NamedTuple):
    """One answer of the server."""

    correlation_id: int
    # 0 if the call succeeded.
    code: int
    # The text of the error.
    text: str
    # The compress_type of the payload.
    compression: int
    # The ``Response``, compressed.
    payload: bytes
    attachment: bytes


@functools.cache
def _meta_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="meta.proto", package="conformance")
    for name, fields in _META.items():
        message = file.message_type.add(name=name)
        for field in fields.split(", "):
            title, number, kind = field.split()
            added = message.field.add(name=title, number=int(number), label=1)
            if kind in _META:
                added.type, added.type_name = added.TYPE_MESSAGE, f".conformance.{kind}"
            else:
                added.type = getattr(added, f"TYPE_{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    descriptor = pool.FindMessageTypeByName("conformance.Meta")
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def request(
    service: str,
    method: str,
    payload: bytes,
    correlation_id: int,
    *,
    compression: int = NONE,
    log_id: Optional[int] = None,
    attachment: bytes = b"",
    authentication: bytes = b"",
) -> bytes:
    """Return the frame of a request; ``payload`` is compressed already."""
    meta: bytes = _meta_class()(
        request={"service": service.encode(), "method": method.encode(), "log_id": log_id},
        compression=compression,
        correlation_id=correlation_id,
        attachment_size=len(attachment),
        authentication=authentication or None,
    ).SerializeToString()
    size = len(meta) + len(payload) + len(attachment)
    return HEADER.pack(b"PRPC", size, len(meta)) + meta + payload + attachment


def read_answer(frame: bytes) -> Answer:
    """Return the answer in a whole frame."""
    _, body, meta_size = HEADER.unpack_from(frame)
    start, end = HEADER.size + meta_size, HEADER.size + body
    meta = _meta_class().FromString(frame[HEADER.size : start])
    middle = end - meta.attachment_size
    return Answer(
        meta.correlation_id,
        meta.response.code,
        meta.response.text.decode(errors="replace"),
        meta.compression,
        frame[start:middle],
        frame[middle:end],
    )
