"""What Paddle and protobuf do at their first use, done once for all model processes.

The first predictor of a process takes 13 ms of processor time where the next ones take 3, and the
first look into a program 26 ms, for the message definitions. A model's process is forked from one
that has both behind it. What is loaded for that is the smallest model there is, made here.
"""

from __future__ import annotations

import os
import struct
from typing import Any

from ._core import Core, Device
from ._model_files import ModelFiles, check, framework


def smallest_model() -> tuple[bytes, bytes]:
    """A program and its parameters: the feed ``x`` (float32, [-1, 1]) plus a 0.

    Without a parameter Paddle takes no program. The format is in ``_model_files``.
    """
    messages = framework()
    types = messages.VarType
    program = messages.ProgramDesc()
    block = program.blocks.add(idx=0, parent_idx=-1)
    for name, kind in (("feed", types.FEED_MINIBATCH), ("fetch", types.FETCH_LIST)):
        block.vars.add(name=name, persistable=True).type.type = kind
    for name, dims in (("x", [-1, 1]), ("zero", [1]), ("y", [-1, 1])):
        variable = block.vars.add(name=name, persistable=name == "zero")
        variable.type.type = types.LOD_TENSOR
        variable.type.lod_tensor.tensor.data_type = types.FP32
        variable.type.lod_tensor.tensor.dims.extend(dims)
    column = {"name": "col", "type": messages.INT, "i": 0}
    _operator(block, "feed", "x", X="feed").attrs.add(**column)
    _operator(block, "elementwise_add", "y", X="x", Y="zero")
    _operator(block, "fetch", "fetch", X="y").attrs.add(**column)
    zero = types.TensorDesc(data_type=types.FP32, dims=[1]).SerializeToString()
    params = struct.pack("<IQIi", 0, 0, 0, len(zero)) + zero + struct.pack("<f", 0.0)
    return program.SerializeToString(), params


def _operator(block: Any, kind: str, gives: str, **takes: str) -> Any:
    made = block.ops.add(type=kind)
    for parameter, name in takes.items():
        made.inputs.add(parameter=parameter).arguments.append(name)
    made.outputs.add(parameter="Out").arguments.append(gives)
    return made


def get_over_first_use() -> None:
    """Loads the smallest model, tries it out and drops it."""
    program = os.memfd_create("program", os.MFD_CLOEXEC)
    params = os.memfd_create("params", os.MFD_CLOEXEC)
    try:
        for descriptor, content in zip((program, params), smallest_model()):
            os.write(descriptor, content)
        files = ModelFiles("the smallest model", program, params)
        Core(files, check(files), (), (), Device()).close()
    finally:
        os.close(program)
        os.close(params)
