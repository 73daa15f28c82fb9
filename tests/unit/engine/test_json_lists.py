"""Large JSON bodies: what parsing them may cost, and that long lists are read as short ones are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import _codec_json, _json_lists
from engine._query import Unparsable

ROOT = Path(__file__).resolve().parents[3]
MOST = 16 << 20

# Reads a body from the file named, and says by how much it made the process grow at its peak.
MEASURE = """
import contextlib, ctypes, sys
from engine import _codec_json
from engine._query import ServiceError, Unparsable

def kib(name):
    (line,) = [one for one in open("/proc/self/status") if one.startswith(name)]
    return int(line.split()[1])

body = open(sys.argv[1], "rb").read()
open("/proc/self/clear_refs", "w").write("5")
before = kib("VmRSS")
try:
    said = len(_codec_json.decode(body, most=int(sys.argv[2])).tensors)
except (ServiceError, Unparsable) as error:
    said = str(error)[:200]
print(kib("VmHWM") - before, said)
"""
SIZE = 4 << 20


def one_tensor(**fields: Any) -> bytes:
    return json.dumps({"tensor": [{"name": "x", **fields}]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"{%b}" % b",".join(b'"%07d":1' % number for number in range(SIZE // 12)),
        b'{"fetch_var_names":[%b]}' % b",".join([b'"ab"'] * (SIZE // 5)),
        b'{"tensor":[{"name":"x","elem_type":20,"data":[%b]}]}' % b",".join([b'"w"'] * (SIZE // 4)),
        b'{"tensor":[{"name":"x","elem_type":1,"float_data":[%b]}]}'
        % b",".join([b"1.5"] * (SIZE // 4)),
        b'{"tensor":[{"name":"x","elem_type":1,"float_data" : [%b]}]}'
        % b",".join([b"1"] * (SIZE // 2)),
        b'{"unknown":[%b]}' % b",".join([b"999"] * (SIZE // 4)),
        b'{"unknown":[%b]}' % b",".join([b'{"a":1,"b":2222222222222}'] * (SIZE // 26)),
        b'{"tensor":[{"name":"%b\\ud83d\\ude00"}]}' % (b"a" * SIZE),
        '{{"tensor":[{{"name":"{}\U0001f600"}}]}}'.format("a" * SIZE).encode(),
    ],
    ids=[
        "distinct keys",
        "short names",
        "short strings",
        "floats",
        "integers",
        "an unknown field",
        "small objects",
        "one escaped wide character",
        "one wide character",
    ],
)
def test_no_body_takes_more_memory_to_parse_than_it_may(body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(body)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), str(MOST)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=ROOT,
    )
    grown, _, said = done.stdout.strip().partition(" ")
    assert int(grown) * 1024 < MOST, f"{int(grown) // 1024} MiB more, and: {said}"


def test_a_batch_of_100_000_rows_is_read_whatever_is_beside_it() -> None:
    numbers = np.random.default_rng(0).random(1_300_000, np.float32)
    text = ", ".join(map(str, numbers.tolist()))
    # A key within a string is none, and one within an unknown field disturbs nobody.
    body = (
        '{"unknown":{"float_data":[%s]},"tensor":[{"alias_name":"\\"float_data\\":[%s]",'
        '"name":"x","elem_type":1,"shape":[100000,13],"float_data" :\n[ %s ]}]}'
    )
    (tensor,) = _codec_json.decode(
        (body % (text, text[:100_000], text)).encode(), most=64 << 20
    ).tensors
    assert tensor.array.shape == (100_000, 13)
    assert tensor.array.ravel().tolist() == numbers.tolist()


@pytest.mark.parametrize(
    ("number", "field", "value"),
    [
        (0, "int64_data", 2**62),
        (1, "float_data", 0.1),
        (1, "float_data", "NaN"),
        (2, "int_data", -5),
        (3, "float64_data", 1e300),
        (9, "bool_data", True),
    ],
)
def test_a_long_list_is_read_as_a_short_one_is(number: int, field: str, value: Any) -> None:
    few, many = (
        _codec_json.decode(one_tensor(elem_type=number, shape=[size], **{field: [value] * size}))
        for size in (4, 300_000)
    )
    assert many.tensors[0].array.dtype == few.tensors[0].array.dtype
    np.testing.assert_array_equal(many.tensors[0].array[-4:], few.tensors[0].array)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ((b"[1,", b"[1,,"), "Invalid json format"),
        ((b"1]", b"1,]"), "Invalid json format"),
        ((b"1]", b"1,%s]" % (b" " * 100_000)), "Invalid json format"),
        ((b"1]", b"01]"), "Invalid json format"),
        ((b"1]", b"1]]"), "Invalid json format"),
        ((b"1]", b"1}"), "Invalid json format"),
        ((b"1]", b"1.5]"), "Invalid value `1.500000' for field `.*int_data' which SHOULD be INT32"),
        ((b"1]", b"null]"), "Invalid value `null' for field `.*int_data' which SHOULD be INT32"),
        ((b"[1", b"[4000000000"), "Invalid value `4000000000' .* which SHOULD be INT32"),
    ],
)
def test_what_is_wrong_in_a_long_list_is_named_as_in_a_short_one(
    damage: tuple[bytes, bytes], reason: str
) -> None:
    for size in (4, 600_000):
        body = one_tensor(elem_type=2, int_data=[1] * size).replace(b" ", b"")
        with pytest.raises(Unparsable, match=reason):
            _codec_json.decode(body.replace(*damage, 1))


def test_a_body_near_the_limit_of_long_lists_is_read_on_both_sides_of_it() -> None:
    for size in range(_json_lists.LARGE - 200, _json_lists.LARGE + 200, 40):
        body = one_tensor(elem_type=2, shape=[0], unknown="", int_data=[])
        body = body.replace(b'""', b'"%s"' % (b"a" * (size - len(body))))
        assert len(body) == size
        assert _codec_json.decode(body).tensors[0].array.size == 0
