"""Queries and answers as protobuf: the messages ``Request`` and ``Response``."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from . import _messages
from ._query import (
    ELEM_OF_CODE,
    ELEM_TYPES,
    Answer,
    Array,
    Query,
    Tensor,
    Unparsable,
    elem_type_of,
    from_bytes,
    lod_of,
    shaped,
    text,
)

# protobuf's C++ code warns where it should refuse (bytes behind a stray end-group tag); turned
# into an error, the warning comes out of its C code as SystemError.
warnings.filterwarnings("error", message="Unexpected end-group tag", category=RuntimeWarning)


# Bytes from which on the fields of a request are counted, and how many it may have: an empty tensor
# is two bytes on the wire and some hundred in memory.
_LARGE = 64 * 1024
_MOST_FIELDS = 4096
_WIDTHS = {1: 8, 5: 4}


class ProtobufCodec:
    """Decodes and encodes. Uses protobuf's C++ implementation, which the wheel brings.

    ``fill`` is for ``shaped``.
    """

    def __init__(self, *, fill: bool = False) -> None:
        self._fill = fill
        self._request: Any = _messages.request_class()
        self._response: Any = _messages.response_class()
        from google.protobuf.message import DecodeError

        self._error: type[Exception] = DecodeError

    def decode(self, body: bytes) -> Query:
        """Raises ``Unparsable``, or ``ServiceError`` for a feed that cannot be."""
        if len(body) > _LARGE:
            _count_fields(body)
        try:
            request = self._request.FromString(body)
        except (self._error, SystemError) as error:
            raise Unparsable(str(error)) from None
        return Query(
            tuple(_tensor(one, self._fill) for one in request.tensor),
            tuple(request.fetch_var_names),
            request.profile_server,
            request.log_id,
        )

    def encode(self, answer: Answer) -> bytes:
        response = self._response()
        output = response.outputs.add()
        for variable, array, lod in answer.fetched:
            tensor = output.tensor.add()
            number = ELEM_OF_CODE[array.dtype.char]
            field = ELEM_TYPES[number].field
            if field == "tensor_content":
                tensor.tensor_content = array.tobytes()
            else:
                getattr(tensor, field).extend(array.ravel().tolist())
            if number:
                tensor.elem_type = number
            tensor.shape.extend(array.shape)
            if lod:
                tensor.lod.extend(lod)
            tensor.name = variable.name
            tensor.alias_name = variable.alias
        output.engine_name = answer.engine
        response.profile_time.extend(answer.profile_time)
        data: bytes = response.SerializeToString()
        return data


def _count_fields(body: bytes) -> None:
    """Raises ``Unparsable`` when a request has too many fields; what is broken is left alone."""
    at = 0
    for _ in range(_MOST_FIELDS):
        tag, at = _varint(body, at)
        kind = tag & 7
        size, at = _varint(body, at) if kind in (0, 2) else (_WIDTHS.get(kind, len(body)), at)
        if kind != 0:
            at += size
        if at >= len(body):
            return
    raise Unparsable(f"more than {_MOST_FIELDS} tensors and names")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """A number and the place behind it; behind the end there are zeros."""
    value = 0
    for shift in range(0, 70, 7):
        byte = body[at] if at < len(body) else 0
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            break
    return value, at


def _tensor(tensor: Any, fill: bool) -> Tensor:
    name = tensor.name
    kind = elem_type_of(name, tensor.elem_type)
    flat: Array
    if kind.field == "tensor_content":
        flat = from_bytes(name, kind, tensor.tensor_content)
    elif kind.field == "data":
        flat = text(name, tensor.data)
    else:
        flat = np.fromiter(getattr(tensor, kind.field), kind.dtype)
    array = shaped(name, tensor.elem_type, flat, tensor.shape, fill=fill)
    lod = tuple(tensor.lod)
    return Tensor(name, array, lod_of(name, lod, array.shape[0]) if lod else lod)
