"""Queries and answers as protobuf: the messages ``Request`` and ``Response``."""

from __future__ import annotations

import functools
from typing import Any

from . import _messages
from ._query import ELEM_OF_CODE, ELEM_TYPES, Answer, Query, Unparsable, tensor


class ProtobufCodec:
    """Decodes and encodes."""

    def __init__(self) -> None:
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
            tuple(
                tensor(
                    one.name,
                    one.elem_type,
                    functools.partial(getattr, one),
                    one.shape,
                    one.lod,
                )
                for one in request.tensor
            ),
            tuple(request.fetch_var_names),
            request.profile_server,
            request.log_id,
        )

    def encode(self, answer: Answer) -> bytes:
        response = self._response()
        output = response.outputs.add()
        for variable, array, lod in answer.fetched:
            added = output.tensor.add()
            number = ELEM_OF_CODE[array.dtype.char]
            field = ELEM_TYPES[number].field
            if field == "tensor_content":
                added.tensor_content = array.tobytes()
            else:
                getattr(added, field).extend(array.ravel().tolist())
            if number:
                added.elem_type = number
            added.shape.extend(array.shape)
            if lod:
                added.lod.extend(lod)
            added.name = variable.name
            added.alias_name = variable.alias
        output.engine_name = answer.engine
        response.profile_time.extend(answer.profile_time)
        data: bytes = response.SerializeToString()
        return data
