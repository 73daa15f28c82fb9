"""The smallest model, which is loaded so that what Paddle does at its first use is done."""

from __future__ import annotations

import os

import numpy as np

from engine._core import Core, Device
from engine._first_use import get_over_first_use, smallest_model
from engine._model_files import ModelFiles, check
from engine._prototxt import Variable
from engine._query import Tensor


def test_the_smallest_model_loads_and_gives_its_feed_as_it_is() -> None:
    program = os.memfd_create("program", os.MFD_CLOEXEC)
    params = os.memfd_create("params", os.MFD_CLOEXEC)
    try:
        for descriptor, content in zip((program, params), smallest_model()):
            os.write(descriptor, content)
        files = ModelFiles("the smallest model", program, params)
        core = Core(
            files,
            check(files),
            [Variable("x", "x", 1, (1,), False)],
            [Variable("y", "y", 1, (1,), False)],
            Device(),
        )
        ((given, lod),) = core.feed([Tensor("x", np.array([[3.5], [-1.0]], "float32"), ())])
        assert (given.tolist(), lod) == ([[3.5], [-1.0]], ())
    finally:
        os.close(program)
        os.close(params)


def test_getting_over_the_first_use_leaves_no_descriptor_open() -> None:
    get_over_first_use()
    before = os.listdir("/proc/self/fd")
    get_over_first_use()
    assert os.listdir("/proc/self/fd") == before
