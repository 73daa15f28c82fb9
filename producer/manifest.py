"""The manifest: what the donefile says about a release. Values in, values out; no I/O.

It is UTF-8 JSON of at most 64 KiB with these keys:

- ``format`` (1), ``release``, ``tarball``, ``size``, ``sha256``, ``created`` (UTC, ISO 8601)
- ``feeds`` and ``fetches``: name, alias, dtype, and shape with -1 for the batch
- ``probe``: ``feed`` maps an alias to a nested list of rows. ``expected`` maps a fetch alias to the
  answer of Paddle Inference on a CPU, also a nested list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple, Optional

FORMAT = 1
MAX_BYTES = 64 * 1024
# A smaller relative difference between two predictions is float32 rounding.
RTOL = 1e-5
# Two releases' predictions differ by this many times ``RTOL``, so that no rounding confuses them.
_DISTINCT = 100

# What 64 bits hold.
_MOST = 2**64 - 1

Numbers = Any  # float, or a list of Numbers


class Variable(NamedTuple):
    """A feed or fetch. ``shape`` is the whole tensor's, -1 standing for the batch."""

    name: str
    alias: str
    dtype: str
    shape: list[int]


def manifest(
    *,
    release: int,
    tarball: str,
    size: int,
    sha256: str,
    created: float,
    feeds: Sequence[Variable],
    fetches: Sequence[Variable],
    probe: Mapping[str, Numbers],
    expected: Mapping[str, Numbers],
) -> dict[str, Any]:
    """Return the manifest of one release; ``created`` is in seconds since the epoch."""
    stamp = datetime.fromtimestamp(created, timezone.utc)
    return {
        "format": FORMAT,
        "release": release,
        "tarball": tarball,
        "size": size,
        "sha256": sha256,
        "created": stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "feeds": [variable._asdict() for variable in feeds],
        "fetches": [variable._asdict() for variable in fetches],
        "probe": {"feed": dict(probe), "expected": dict(expected)},
    }


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a manifest. A monitor reads the required keys and ``probe``."""
    text, count = {"type": "string"}, {"type": "integer", "minimum": 0, "maximum": _MOST}
    types = {"shape": {"type": "array", "items": {"type": "integer", "minimum": -1}}}
    variable = {
        "type": "object",
        "properties": {name: types.get(name, text) for name in Variable._fields},
        "required": list(Variable._fields),
    }
    rows = {
        "description": "for each alias a number, or a nested list of numbers",
        "type": "object",
        "additionalProperties": {"type": ["number", "array"]},
    }
    properties = {
        "format": {"const": FORMAT},
        "release": {"description": "the release number: one more than the number before", **count},
        "tarball": {"description": "the tarball's name", "minLength": 1, **text},
        "size": {"description": "the tarball's size in bytes", **count},
        "sha256": {
            "description": "the tarball's digest, hexadecimal",
            "pattern": "^[0-9a-fA-F]{64}$",
            **text,
        },
        "created": {
            "description": "when the release was made: UTC, ISO 8601",
            "format": "date-time",
            **text,
        },
        "feeds": {"description": "the model's inputs", "type": "array", "items": variable},
        "fetches": {"description": "the model's outputs", "type": "array", "items": variable},
        "probe": {
            "description": "a fixed request and its answer",
            "type": "object",
            "properties": {"feed": rows, "expected": rows},
            "required": ["feed", "expected"],
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The manifest in a donefile",
        "description": "Other keys are allowed. In a shape, -1 stands for the batch size.",
        "type": "object",
        "properties": properties,
        "required": ["format", "release", "tarball", "size", "sha256"],
    }


def encode(content: Mapping[str, Any]) -> bytes:
    """Return the donefile's bytes. Raise ``ValueError`` above 64 KiB."""
    raw = json.dumps(content, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    if len(raw) > MAX_BYTES:
        raise ValueError(f"the manifest has {len(raw)} bytes, the limit is {MAX_BYTES}")
    return raw


def decode(raw: Optional[bytes]) -> Optional[dict[str, Any]]:
    """Return the manifest in a donefile's bytes; None for any other content, which is legal."""
    if raw is None or not raw or len(raw) > MAX_BYTES:
        return None
    try:
        # An editor may have saved it as UTF-16, or with a byte order mark.
        content = json.loads(raw.decode(json.detect_encoding(raw)))
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return None
    release = content.get("release")
    if not isinstance(release, int) or isinstance(release, bool) or release < 0:
        return None
    return content


def next_release(donefile: Optional[bytes]) -> int:
    """Return the number after the release that ``donefile`` announces (1 if it announces none)."""
    content = decode(donefile)
    return 1 if content is None else int(content["release"]) + 1


def expected_of(donefile: Optional[bytes]) -> Optional[dict[str, Numbers]]:
    """Return what the release in ``donefile`` predicts for its probe; None if it does not say."""
    content = decode(donefile)
    probe = content.get("probe") if content else None
    expected = probe.get("expected") if isinstance(probe, dict) else None
    return expected if isinstance(expected, dict) else None


def distinct(one: Optional[Mapping[str, Numbers]], other: Optional[Mapping[str, Numbers]]) -> bool:
    """Return whether a client can tell two releases by their predictions for the probe.

    It can if a number differs by at least 100 times the tolerance (rtol 1e-5). A prediction that is
    unknown, or of another form, counts as different.
    """
    if one is None or other is None:
        return True
    a, b = _flat(dict(one)), _flat(dict(other))
    if a is None or b is None or len(a) != len(b):
        return True
    return any(abs(x - y) >= _DISTINCT * RTOL * max(abs(x), abs(y), RTOL) for x, y in zip(a, b))


def _flat(value: Numbers) -> Optional[list[float]]:
    """Return all numbers of a nested value in a fixed order; None if there is anything else."""
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]
    if isinstance(value, list):
        found: list[float] = []
        for item in value:
            numbers = _flat(item)
            if numbers is None:
                return None
            found += numbers
        return found
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [float(value)]
    return None
