"""The values that pass between the wire and the model, and the three kinds of error.

    codec ──Query──▶ core ──Answer──▶ codec          ServiceError on the way at any point

``Query`` is one request in memory, whatever protocol and encoding it came in; ``Answer`` is what
the model gave. Both are free of I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

import numpy as np
from numpy.typing import NDArray

from ._prototxt import Variable

Array = NDArray[Any]

# Error codes of brpc (errno.proto) and of the service.
ENOSERVICE = 1001
ENOMETHOD = 1002
EREQUEST = 1003
INFERENCE_FAILED = -5100
INFERENCE_FAILED_TEXT = "InferService inference failed!"
# Characters of an error's text, which names what the client sent.
_LONGEST_TEXT = 1000
_SHOWN_OFFSETS = 8
# Elements; reading farther than some pages behind its own, the real server dies.
_MOST_FILLED = 1 << 20


class ElemType(NamedTuple):
    """One of Serving's numbers for the type of a tensor's elements.

    ``field`` is the field of the message ``Tensor`` that carries the elements; in
    ``tensor_content`` they are raw little-endian bytes.
    """

    name: str
    dtype: str
    field: str


# general_model_service.proto's elem_type; the client's names are in paddle_serving_client.client.
ELEM_TYPES: dict[int, ElemType] = {
    0: ElemType("int64", "int64", "int64_data"),
    1: ElemType("float32", "float32", "float_data"),
    2: ElemType("int32", "int32", "int_data"),
    3: ElemType("float64", "float64", "float64_data"),
    5: ElemType("float16", "float16", "tensor_content"),
    7: ElemType("uint8", "uint8", "tensor_content"),
    8: ElemType("int8", "int8", "tensor_content"),
    9: ElemType("bool", "bool", "bool_data"),
    20: ElemType("string", "uint8", "data"),
}
_STRING = 20
# Numbers that the message's definition has as well, and Paddle Inference takes from no feed.
_NO_FEED = {4: "int16", 6: "bfloat16", 10: "complex64", 11: "complex128"}
# By numpy's one-letter code, which costs nothing to ask for (``dtype.name`` is made up in Python).
ELEM_OF_CODE: dict[str, int] = {
    np.dtype(kind.dtype).char: number for number, kind in ELEM_TYPES.items() if number != _STRING
}


class ServiceError(Exception):
    """A request that fails: ``code`` as above, ``text`` as the client reads it, cut when long.

    ``real_dies`` says that the real server aborts on such a request (``--strict-compat``).
    """

    def __init__(self, code: int, text: str, real_dies: bool = False) -> None:
        self.code = code
        self.text = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
        super().__init__(self.text)
        self.real_dies = real_dies


class Unparsable(ValueError):
    """The body is no request in its encoding; the text says why (may be empty)."""


def inference_failed(reason: str = "", real_dies: bool = True) -> ServiceError:
    """E-5100, with the reason behind the real server's own text.

    With a reason it is one of the requests on which the real server aborts, unless told otherwise.
    """
    text = f"{INFERENCE_FAILED_TEXT} {reason}" if reason else INFERENCE_FAILED_TEXT
    return ServiceError(INFERENCE_FAILED, text, bool(reason) and real_dies)


class Tensor(NamedTuple):
    """One feed of a query. ``array`` has the query's shape; ``lod`` holds offsets, one level."""

    name: str
    array: Array
    lod: tuple[int, ...]


class Query(NamedTuple):
    """One request. ``fetch`` are aliases; none means all."""

    tensors: tuple[Tensor, ...]
    fetch: tuple[str, ...]
    profile: bool
    log_id: int


class Fetched(NamedTuple):
    """One output tensor, with its name and alias."""

    variable: Variable
    array: Array
    lod: tuple[int, ...]


class Answer(NamedTuple):
    """What goes back. ``profile_time`` are microseconds since the epoch."""

    engine: str
    fetched: tuple[Fetched, ...]
    profile_time: tuple[int, ...]


def shaped(
    name: str, elem_type: int, flat: Array, dims: Sequence[int], *, fill: bool = False
) -> Array:
    """The elements in the shape the query gives.

    A string gives as many of its bytes as the shape takes, because clients cannot say its length.
    With ``fill`` (``--strict-compat``) so does every type, and what is missing is 0: the real
    server takes what lies in memory behind the elements.

    Raises ``ServiceError`` where the real server would read past the elements or abort.
    """
    shape = tuple(dims)
    count = 1
    for dim in shape:
        if dim < 0:
            raise inference_failed(
                f"feed {name} has the negative dimension {dim} in its shape {list(shape)}"
            )
        count *= dim
    if not shape:
        raise inference_failed(f"feed {name} has no shape")
    if elem_type == _STRING or fill:
        flat = flat[:count]
    if fill and 0 < flat.size < count <= _MOST_FILLED:
        flat = np.pad(flat, (0, count - flat.size))
    if count != flat.size:
        raise inference_failed(
            f"feed {name} has {flat.size} elements of {ELEM_TYPES[elem_type].name}, "
            f"but its shape {list(shape)} takes {count}",
            real_dies=fill,
        )
    try:
        return flat.reshape(shape)
    except ValueError as error:
        # More dimensions than numpy has, or sizes whose product it cannot hold beside a 0.
        raise inference_failed(f"feed {name} has the shape {list(shape)}: {error}") from None


def text(name: str, strings: Sequence[str]) -> Array:
    """The bytes of a string feed: each string's, with a 0 behind it. Raises ``ServiceError``."""
    if not strings:
        raise inference_failed(f"feed {name} has no string")
    return np.frombuffer("\0".join([*strings, ""]).encode(), np.uint8)


def elem_type_of(name: str, number: int) -> ElemType:
    """Looks up a query's elem_type. Raises ``ServiceError``."""
    kind = ELEM_TYPES.get(number)
    if kind is None:
        known = _NO_FEED.get(number)
        raise inference_failed(
            f"feed {name} has the elem_type {number} ({known}), "
            "which Paddle Inference does not take"
            if known
            else f"feed {name} has the unknown elem_type {number}"
        )
    return kind


def from_bytes(name: str, kind: ElemType, content: bytes) -> Array:
    """Elements from ``tensor_content``. Raises ``ServiceError`` for half an element."""
    dtype: np.dtype[Any] = np.dtype(kind.dtype)
    if len(content) % dtype.itemsize:
        raise inference_failed(
            f"feed {name} has {len(content)} bytes of {kind.name}, which is no whole number "
            f"of elements of {dtype.itemsize} bytes"
        )
    return np.frombuffer(content, dtype)


def lod_of(name: str, offsets: tuple[int, ...], rows: Optional[int]) -> tuple[int, ...]:
    """Checks LoD offsets: from 0 up to the number of rows, never down. Raises ``ServiceError``."""
    rising = all(left <= right for left, right in zip(offsets, offsets[1:]))
    if offsets and (offsets[0] != 0 or not rising or offsets[-1] != rows):
        raise inference_failed(
            f"feed {name} has the lod {list(offsets[:_SHOWN_OFFSETS])}, which does not rise from 0 "
            f"to its {rows} rows"
        )
    return offsets
