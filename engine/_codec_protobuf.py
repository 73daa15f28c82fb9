"""Queries and answers as protobuf: the messages ``Request`` and ``Response``."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from . import _messages
from ._query import (
    ELEM_OF_CODE,
    ELEM_TYPES,
    MOST_TENSORS,
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
# is two bytes on the wire and some hundred in memory. Within tensors it is so with strings and with
# fields that nobody knows, which protobuf keeps; numbers in a list have one field together.
_LARGE = 64 * 1024
_MOST_PARTS = 1 << 18
_LONGEST_NAME = 64 * 1024
_TENSOR, _FETCH = 1, 2
_DATA, _NAMES = 9, (13, 14)
_WIDTHS = {1: 8, 5: 4}
# Wire types: a number, bytes, the tags around a group.
_VARINT, _BYTES, _GROUP = 0, 2, (3, 4)
# Bytes for each offset of a lod, as a number of protobuf's and as two of Python's.
_OFFSET = 64
# Elements of an answer that are copied at once.
_PIECE = 65536
# With one character that needs it, Python keeps each of a text in so many bytes.
_WIDEST = 4


class ProtobufCodec:
    """Decodes and encodes. Uses protobuf's C++ implementation, which the wheel brings.

    ``fill`` is for ``shaped``; ``most`` is how many bytes of memory reading one request may take,
    lists of numbers not counted.
    """

    def __init__(self, *, fill: bool = False, most: int = 1 << 29) -> None:
        self._fill = fill
        self._most = most
        self._request: Any = _messages.request_class()
        self._response: Any = _messages.response_class()
        from google.protobuf.message import DecodeError

        self._error: type[Exception] = DecodeError

    def decode(self, body: bytes) -> Query:
        """Raises ``Unparsable``, or ``ServiceError`` for a feed that cannot be."""
        if len(body) > _LARGE:
            _afford(body, self._most)
        try:
            request = self._request.FromString(body)
        except (self._error, SystemError) as error:
            raise Unparsable(str(error)) from None
        if len(body) > _LARGE and _OFFSET * sum(len(o.lod) for o in request.tensor) > self._most:
            raise Unparsable(f"its lods would take more than {self._most} bytes")
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
                flat, numbers = array.ravel(), getattr(tensor, field)
                numbers.extend(flat[:_PIECE].tolist())
                # Python's objects take more memory than both lists: not of all at once.
                for at in range(_PIECE, array.size, _PIECE):
                    numbers.extend(flat[at : at + _PIECE].tolist())
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


def _afford(body: bytes, most: int) -> None:
    """Raises ``Unparsable`` for a request that is small and would be huge in memory.

    What is broken is left to the parser. The fields of a tensor, and of a group that nobody knows,
    are walked through like those around them: their lengths are not needed for that.
    """
    fields = parts = wide = at = tensor_end = depth = 0
    while at < len(body):
        inside = at < tensor_end
        tag, at = _varint(body, at)
        if tag >> 32:
            raise Unparsable("a tag of more than 32 bits")
        number, kind = tag >> 3, tag & 7
        if inside:
            parts += 1
        else:
            fields += 1
        if fields > MOST_TENSORS:
            raise Unparsable(f"more than {MOST_TENSORS} tensors and names")
        if parts > _MOST_PARTS:
            raise Unparsable(f"more than {_MOST_PARTS} strings and other fields in its tensors")
        if kind == _BYTES:
            size, at = _varint(body, at)
            if number == _TENSOR and not inside and not depth:
                tensor_end = at + size
                continue
            if size > _LONGEST_NAME and (number in _NAMES if inside else number == _FETCH):
                raise Unparsable(f"a name of {size} bytes")
            if inside and number == _DATA and not body[at : at + size].isascii():
                wide += _WIDEST * size
                if wide > most:
                    raise Unparsable(f"its text would take more than {most} bytes")
            at += size
        elif kind == _VARINT:
            _, at = _varint(body, at)
        elif kind in _WIDTHS:
            at += _WIDTHS[kind]
        elif kind == _GROUP[0]:
            depth += not inside
        elif kind == _GROUP[1]:
            depth -= not inside
        else:
            return


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """A number and the place behind it; behind the end there are zeros."""
    if at < len(body) and body[at] < 0x80:
        return body[at], at + 1
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
        numbers = getattr(tensor, kind.field)
        flat = np.fromiter(numbers, kind.dtype, len(numbers))
    array = shaped(name, tensor.elem_type, flat, tensor.shape, fill=fill)
    lod = tuple(tensor.lod)
    return Tensor(name, array, lod_of(name, lod, array.shape[0]) if lod else lod)
