"""Queries and answers as protobuf: the messages ``Request`` and ``Response``."""

from __future__ import annotations

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


class ProtobufCodec:
    """Decodes and encodes. ``fill`` is for ``shaped``."""

    def __init__(self, *, fill: bool = False) -> None:
        self._fill = fill
        self._request: Any = _messages.request_class()
        self._response: Any = _messages.response_class()

    def decode(self, body: bytes) -> Query:
        """Read a query.

        Raises:
            Unparsable: The body is no request.
            ServiceError: A feed is impossible.
        """
        try:
            request = self._request.FromString(body)
        except _messages.PARSE_ERRORS as error:
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
