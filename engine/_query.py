"""The values that pass between the wire and the model, and the errors. No I/O.

    codec ──Query──▶ model ──Answer──▶ codec

A ``Query`` is one request, and an ``Answer`` what the model gave, in any protocol and encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, NamedTuple

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
# Serving has numbers for these types, but Paddle Inference does not take them.
_NO_FEED = {4: "int16", 6: "bfloat16", 10: "complex64", 11: "complex128"}
# By numpy's one-letter code: ``dtype.name`` is slow.
ELEM_OF_CODE: dict[str, int] = {
    np.dtype(kind.dtype).char: number for number, kind in ELEM_TYPES.items() if number != _STRING
}


class ServiceError(Exception):
    """A request that fails.

    Attributes:
        code: One of the codes above.
        text: What the client reads; it is cut when it is long.
        real_dies: Whether the real server aborts on such a request (for ``--strict-compat``).
    """

    def __init__(self, code: int, text: str, real_dies: bool = False) -> None:
        self.code = code
        self.text = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
        super().__init__(self.text)
        self.real_dies = real_dies


class Unparsable(ValueError):
    """The body is no request in its encoding; the text says why (may be empty)."""


def inference_failed(reason: str = "", real_dies: bool = True) -> ServiceError:
    """Return E-5100, with the reason behind the real server's own text.

    The real server aborts on requests that have a reason, unless ``real_dies`` is false.
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


def tensor(
    name: str,
    elem_type: int,
    field_of: Callable[[str], Any],
    dims: Sequence[int],
    lod: Sequence[int],
) -> Tensor:
    """Return one feed of a query.

    Args:
        name: The feed's name.
        elem_type: The type's number.
        field_of: Returns the elements in a field of the message ``Tensor``.
        dims: The shape.
        lod: Offsets that rise from 0 to the number of rows, or nothing.

    Raises:
        ServiceError: The model cannot be fed with it.
    """
    kind = ELEM_TYPES.get(elem_type)
    if kind is None:
        known = _NO_FEED.get(elem_type)
        raise inference_failed(
            f"feed {name} has the elem_type {elem_type} ({known}), "
            "which Paddle Inference does not take"
            if known
            else f"feed {name} has the unknown elem_type {elem_type}"
        )
    array = _shaped(name, kind, _elements(name, kind, field_of(kind.field)), tuple(dims))
    offsets = tuple(lod)
    if offsets:
        rising = all(left <= right for left, right in zip(offsets, offsets[1:]))
        if offsets[0] != 0 or not rising or offsets[-1] != array.shape[0]:
            raise inference_failed(
                f"feed {name} has the lod {list(offsets[:_SHOWN_OFFSETS])}, which does not rise "
                f"from 0 to its {array.shape[0]} rows"
            )
    return Tensor(name, array, offsets)


def _elements(name: str, kind: ElemType, given: Any) -> Array:
    dtype: np.dtype[Any] = np.dtype(kind.dtype)
    if kind.field == "tensor_content":
        if len(given) % dtype.itemsize:
            raise inference_failed(
                f"feed {name} has {len(given)} bytes of {kind.name}, which is no whole number "
                f"of elements of {dtype.itemsize} bytes"
            )
        return np.frombuffer(given, dtype)
    if kind.field == "data":
        if not given:
            raise inference_failed(f"feed {name} has no string")
        # Each string ends with a 0.
        return np.frombuffer("\0".join([*given, ""]).encode(), dtype)
    return np.fromiter(given, dtype, len(given))


def _shaped(name: str, kind: ElemType, flat: Array, shape: tuple[int, ...]) -> Array:
    count = 1
    for dim in shape:
        if dim < 0:
            raise inference_failed(
                f"feed {name} has the negative dimension {dim} in its shape {list(shape)}"
            )
        count *= dim
    if not shape:
        raise inference_failed(f"feed {name} has no shape")
    # Clients cannot say how long a string is.
    if kind.field == "data":
        flat = flat[:count]
    if count != flat.size:
        raise inference_failed(
            f"feed {name} has {flat.size} elements of {kind.name}, "
            f"but its shape {list(shape)} takes {count}",
            real_dies=False,
        )
    try:
        return flat.reshape(shape)
    except ValueError as error:
        # More dimensions than numpy allows, or sizes whose product is too large beside a 0.
        raise inference_failed(f"feed {name} has the shape {list(shape)}: {error}") from None
