"""The manifest's probe: whether it may be sent, the request, and which release answered.

A feed of another name, type or shape aborts the real server. So a probe is sent only if it fits the
installed ``serving_server_conf.prototxt``. Values in, values out.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Optional

# Other processors round float32 differently. Two releases' predictions for a probe differ more.
_RTOL = 1e-4
_VAR = re.compile(r"\bfeed_var\s*\{([^{}]*)\}")
_FIELD = re.compile(r'\b(name|alias_name|is_lod_tensor|feed_type|shape)\s*:\s*("[^"]*"|[^\s"]+)')
# general_model_service.proto's elem_type: the key of the values in a tensor.
_KEYS = {0: "int64_data", 1: "float_data", 2: "int_data"}


@dataclass(frozen=True)
class Feed:
    """A feed in the prototxt. ``shape`` is without the batch; -1 stands for any length."""

    # The graph's name.
    name: str
    # The clients' name.
    alias: str
    # Serving's number for the type.
    kind: int
    shape: tuple[int, ...]
    # Whether its rows have lengths of their own.
    lod: bool


class Unfit(ValueError):
    """The probe may not be sent. The text says why."""


def feeds(conf: str) -> list[Feed]:
    """Return the feeds in the text of a ``serving_server_conf.prototxt``.

    Raises:
        Unfit: A feed cannot be read.
    """
    found = []
    for body in _VAR.findall(conf):
        fields = [(key, value.strip('"')) for key, value in _FIELD.findall(body)]
        last = dict(fields)
        try:
            kind = int(last.get("feed_type", 0))
            shape = tuple(int(value) for key, value in fields if key == "shape")
        except ValueError:
            raise Unfit("the installed serving_server_conf.prototxt cannot be read") from None
        name = last.get("name", "")
        lod = last.get("is_lod_tensor", "false") != "false"
        found.append(Feed(name, last.get("alias_name") or name, kind, shape, lod))
    return found


def request(probe: Any, conf: str) -> dict[str, Any]:
    """Return the JSON request for a probe.

    Args:
        probe: ``probe`` of the manifest.
        conf: The text of the installed ``serving_server_conf.prototxt``.

    Raises:
        Unfit: The probe does not fit the installed model.
    """
    feed, expected = parts(probe)
    known = {one.alias: one for one in feeds(conf)}
    if set(feed) != set(known):
        raise Unfit(
            f"it feeds {_names(feed)}, and the installed serving_server_conf.prototxt has the "
            f"feeds {_names(known)}"
        )
    tensors = [_tensor(known[alias], feed[alias]) for alias in sorted(feed)]
    return {"tensor": tensors, "fetch_var_names": sorted(expected), "log_id": 0}


def parts(probe: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return feed and expected prediction of a probe. Raise ``Unfit`` if it has none."""
    feed = probe.get("feed") if isinstance(probe, dict) else None
    expected = probe.get("expected") if isinstance(probe, dict) else None
    if not isinstance(feed, dict) or not isinstance(expected, dict) or not feed or not expected:
        raise Unfit("the manifest has no probe")
    if any(_flat(value) is None for value in expected.values()):
        raise Unfit("its expected prediction is not made of numbers")
    return feed, expected


def is_answer(answer: Any, expected: dict[str, Any]) -> bool:
    """Return whether a JSON answer is the expected prediction, within float32 rounding."""
    try:
        tensors = answer["outputs"][0]["tensor"]
        found = {one.get("alias_name", one.get("name")): _values(one) for one in tensors}
    except (KeyError, IndexError, TypeError, AttributeError):
        return False
    for alias, value in expected.items():
        wanted, seen = _flat(value), _flat(found.get(alias))
        if wanted is None or seen is None or len(wanted) != len(seen):
            return False
        if not all(math.isclose(a, b, rel_tol=_RTOL, abs_tol=1e-9) for a, b in zip(wanted, seen)):
            return False
    return True


def _values(tensor: dict[str, Any]) -> Any:
    return next((tensor[key] for key in _KEYS.values() if key in tensor), None)


def _tensor(feed: Feed, value: Any) -> dict[str, Any]:
    if feed.lod:
        raise Unfit(f"feed {feed.alias} is a LoD tensor")
    if feed.kind not in _KEYS:
        raise Unfit(
            f"feed {feed.alias} has the feed_type {feed.kind}, which the monitor cannot send"
        )
    shape, numbers = _shape(value), _flat(value)
    if shape is None or numbers is None or not numbers:
        raise Unfit(f"its feed {feed.alias} is no table of numbers")
    wanted = feed.shape if feed.shape[:1] == (-1,) else (-1, *feed.shape)
    fits = len(shape) == len(wanted) and all(w in (-1, s) for w, s in zip(wanted, shape))
    if not fits:
        raise Unfit(
            f"its feed {feed.alias} has the shape {list(shape)}, and the installed "
            f"serving_server_conf.prototxt wants {list(wanted)}"
        )
    if feed.kind != 1 and not all(number == int(number) for number in numbers):
        raise Unfit(f"its feed {feed.alias} has fractions, and the model wants whole numbers")
    values = numbers if feed.kind == 1 else [int(number) for number in numbers]
    return {
        _KEYS[feed.kind]: values,
        "elem_type": feed.kind,
        "name": feed.name,
        "alias_name": feed.alias,
        "shape": list(shape),
    }


def _shape(value: Any) -> Optional[tuple[int, ...]]:
    """Return the shape of a nested list; None if its rows differ in length."""
    if not isinstance(value, list):
        return ()
    below = {_shape(one) for one in value}
    if len(below) != 1:
        return None
    (inner,) = below
    return None if inner is None else (len(value), *inner)


def _flat(value: Any) -> Optional[list[float]]:
    """Return all numbers of a nested list; None if there is anything else in it."""
    if isinstance(value, bool) or not isinstance(value, (int, float, list)):
        return None
    if not isinstance(value, list):
        return [float(value)] if math.isfinite(value) else None
    found: list[float] = []
    for one in value:
        numbers = _flat(one)
        if numbers is None:
            return None
        found += numbers
    return found


def _names(names: Any) -> str:
    return ", ".join(sorted(map(str, names))) or "none"
