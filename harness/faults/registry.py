"""The list of all faults. A new fault is a class beside this file and a line here.

``python -m harness.faults.page`` prints ``docs/faults.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.support.errors import BadInput

from .bad_disk import FullDisk, NoInodes, ReadOnly
from .bandwidth import Bandwidth
from .base import Fault, parameters
from .bit_flip import BitFlip
from .clock_step import ClockStep
from .cut import Cut, Stall
from .latency import Latency
from .process import Kill, Pause, Restart
from .refuse import Refuse
from .reset import Reset
from .silence import Silence
from .slices import Slices
from .slow_close import SlowClose
from .wrong_answer import WrongAnswer

NETWORK: tuple[type[Fault], ...] = (
    Latency,
    Bandwidth,
    Cut,
    Stall,
    Silence,
    Reset,
    Refuse,
    SlowClose,
    Slices,
    BitFlip,
    WrongAnswer,
)
PROCESS: tuple[type[Fault], ...] = (Kill, Restart, Pause)
DISK: tuple[type[Fault], ...] = (FullDisk, NoInodes, ReadOnly)
CLOCK: tuple[type[Fault], ...] = (ClockStep,)
FAULTS: dict[str, type[Fault]] = {
    fault.name: fault for fault in (*NETWORK, *PROCESS, *DISK, *CLOCK)
}


def make(name: str, given: Mapping[str, object]) -> Fault:
    """Return the fault of this name; parameters that are not given have their defaults.

    Args:
        name: One of ``FAULTS``.
        given: Parameters by name, ``target`` among them.

    Raises:
        BadInput: There is no such fault or parameter, or a parameter's value is wrong.
    """
    if name not in FAULTS:
        raise BadInput(f"there is no fault {name!r}; use one of {', '.join(FAULTS)}")
    known = {one.name: one for one in parameters(FAULTS[name])}
    values = {}
    for key, value in given.items():
        if key not in known:
            raise BadInput(f"the fault {name} has no parameter {key!r}; use {', '.join(known)}")
        why = _why_not(known[key], value)
        if why:
            raise BadInput(f"the fault {name} cannot have {key} = {value!r}; use {why}")
        values[key] = float(value) if isinstance(known[key].default, float) else value  # type: ignore[arg-type]
    return FAULTS[name](**values)  # type: ignore[arg-type]


def _why_not(field: Any, value: object) -> str:
    """Return what the value has to be, if it is not; else an empty text."""
    if isinstance(field.default, str):
        choices = field.metadata["choices"]
        if not isinstance(value, str):
            return "a text"
        return f"one of {', '.join(choices)}" if choices and value not in choices else ""
    whole = isinstance(field.default, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return "a whole number" if whole else "a number"
    least, most = field.metadata["least"], field.metadata["most"]
    return "" if least <= value <= most else f"{least:g} to {most:g}"
