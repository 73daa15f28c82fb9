"""Queries and answers as JSON, with the rules and error texts of brpc's json2pb.

Measured: a field of the wrong type gives one of two texts, and answers leave default fields out.
From brpc's source (src/json2pb): unknown fields are skipped, and ``null`` counts as absent. Bytes
are base64. "NaN", "Infinity" and "-Infinity" are floats, and elements of 64 bits may be text.
"""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from typing import Any, Optional

import orjson

from ._query import ELEM_OF_CODE, ELEM_TYPES, Answer, Query, Tensor, Unparsable, tensor

# A number too large for a float32 becomes infinity, as in the real server.
warnings.filterwarnings("ignore", message="overflow encountered in cast", category=RuntimeWarning)

_PACKAGE = "baidu.paddle_serving.predictor.general_model"
_REQUEST = f"{_PACKAGE}.Request"
_TENSOR = f"{_PACKAGE}.Tensor"
_INT32 = (-(2**31), 2**31 - 1)
_INT64 = (-(2**63), 2**63 - 1)
_UINT32 = (0, 2**32 - 1)
_FLOATS = frozenset({int, float})
_INTS = frozenset({int})

# Repeated fields of Tensor: the type's name in error texts, its Python types, and its range.
_REPEATED: dict[str, tuple[str, frozenset[type], Optional[tuple[int, int]]]] = {
    "float_data": ("float", _FLOATS, None),
    "float64_data": ("double", _FLOATS, None),
    "int64_data": ("INT64", _INTS, _INT64),
    "int_data": ("INT32", _INTS, _INT32),
    "uint32_data": ("UINT32", _INTS, _UINT32),
    "bool_data": ("BOOL", frozenset({bool}), None),
    "data": ("STRING", frozenset({str}), None),
    "shape": ("INT32", _INTS, _INT32),
    "lod": ("INT32", _INTS, _INT32),
}
_REPEATED_KEYS = _REPEATED.keys()
_NO_NUMBERS = ("nan", "infinity", "-infinity")
_DIGITS = re.compile(r"-?[0-9]{1,20}", re.ASCII)


def decode(body: bytes) -> Query:
    """Read a query.

    Raises:
        Unparsable: The body is no request.
        ServiceError: A feed is impossible.
    """
    try:
        document = orjson.loads(body)
    except ValueError:
        raise Unparsable("Invalid json format") from None
    if type(document) is not dict:
        raise Unparsable("The input is not a json object")
    fetch = _list(document, _REQUEST, "fetch_var_names")
    for name in fetch:
        if type(name) is not str:
            raise _wrong(name, f"{_REQUEST}.fetch_var_names", "STRING")
    log_id = document.get("log_id")
    if type(log_id) is not int or not 0 <= log_id < 2**64:
        log_id = 0
    return Query(
        tuple([_tensor(one) for one in _list(document, _REQUEST, "tensor")]),
        tuple(fetch),
        document.get("profile_server") is True,
        log_id,
    )


def _tensor(document: Any) -> Tensor:
    if type(document) is not dict:
        raise _wrong(document, f"{_REQUEST}.tensor", "OBJECT")
    for key in _REPEATED_KEYS & document.keys():
        document[key] = _repeated(document, key)
    # json2pb ignores an optional field whose value has the wrong type.
    name = document.get("name")
    if type(name) is not str:
        name = ""
    number = document.get("elem_type")
    if type(number) is not int or not _INT32[0] <= number <= _INT32[1]:
        number = 0

    def field_of(field: str) -> Any:
        if field == "tensor_content":
            return _base64(document.get(field))
        return document.get(field, ())

    return tensor(name, number, field_of, document.get("shape", ()), document.get("lod", ()))


def _list(document: dict[str, Any], message: str, key: str) -> list[Any]:
    """Return a repeated field, empty when it is absent. Raises ``Unparsable`` if it is no list."""
    value = document.get(key)
    if value is None:
        return []
    if type(value) is not list:
        raise Unparsable(f"Invalid value for repeated field: {message}.{key}")
    return value


def _repeated(document: dict[str, Any], key: str) -> list[Any]:
    """Return the elements of a tensor's repeated field. Raises ``Unparsable``."""
    should_be, types, limits = _REPEATED[key]
    value = _list(document, _TENSOR, key)
    # The common case, all elements valid: C code finds this fast.
    if types.issuperset(map(type, value)) and not (
        limits and value and not (limits[0] <= min(value) and max(value) <= limits[1])
    ):
        return value
    numbers = []
    for one in value:
        number = one
        if type(one) is str and types is _FLOATS and one.lower() in _NO_NUMBERS:
            number = float(one)
        elif type(one) is str and limits is _INT64 and _DIGITS.fullmatch(one):
            number = int(one)
        if type(number) not in types or (limits and not limits[0] <= number <= limits[1]):
            raise _wrong(one, f"{_TENSOR}.{key}", should_be)
        numbers.append(number)
    return numbers


def _base64(value: Any) -> bytes:
    if type(value) is not str:
        return b""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Unparsable(f"Fail to decode base64 string={value[:32]}") from None


def _wrong(value: Any, field: str, should_be: str) -> Unparsable:
    # json2pb writes a double as 1.000000.
    shown = f"{value:f}" if type(value) is float else str(value)
    return Unparsable(
        f"Invalid value `{shown[:64]}' for field `{field}' which SHOULD be {should_be}"
    )


def encode(answer: Answer) -> bytes:
    """Return an answer: fields in the order of their numbers, without those at their default."""
    tensors = []
    for variable, array, lod in answer.fetched:
        number = ELEM_OF_CODE[array.dtype.char]
        field = ELEM_TYPES[number].field
        fields: dict[str, Any] = {}
        if field != "tensor_content" and array.size:
            fields[field] = array.ravel().tolist()
        if number:
            fields["elem_type"] = number
        fields["shape"] = array.shape
        if lod:
            fields["lod"] = lod
        fields["name"] = variable.name
        fields["alias_name"] = variable.alias
        if field == "tensor_content":
            fields[field] = base64.b64encode(array.tobytes()).decode()
        tensors.append(fields)
    output: dict[str, Any] = {"tensor": tensors, "engine_name": answer.engine}
    return bytes(orjson.dumps({"outputs": [output], "profile_time": answer.profile_time}))
