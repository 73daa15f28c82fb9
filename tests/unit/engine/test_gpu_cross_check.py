"""A model on a GPU is asked what the same model on the CPU is asked, before it serves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engine._gpu_cross_check import unlike
from tests.unit.engine.own_process import said_by

TWO_MODELS = """
from engine._gpu_cross_check import ask_both

with opened(UCI) as files:
    graph = check(files)
one, same, other = load(UCI), load(UCI), load(UCI_2)
ask_both(one, same, graph)
try:
    ask_both(one, other, graph)
except BadModel as error:
    print(error)
"""


def test_only_a_model_that_answers_as_on_the_cpu_is_let_in() -> None:
    (line,) = said_by(TWO_MODELS)
    assert re.match(r"the GPU answers \S+ where the CPU answers \S+; this Paddle ", line), line


# A Paddle for the CPU takes the option for a GPU, says so in its log, and computes on the CPU.
LOADER = """
from pathlib import Path
from engine._glog import Log
from engine._loading import Loader
from engine._prototxt import Serving
from harness.support.guard import descendants
from harness.support.waits import wait_for

def load(fork_server):
    serving = Serving(
        port=1, services=(), workflow_name="", workflow_file="", nodes=(), engine_name="",
        model_dir=UCI, time_file="", feeds=FEEDS, fetches=FETCHES, use_gpu=True, gpu_id=0,
        ir_optim=False, memory_optim=False,
    )
    return Loader(serving, Device(use_gpu=True), Log(Path("LOG")), 1, fork_server).load()

if _inference.library().is_compiled_with_cuda():
    print("a Paddle for GPUs")
    sys.exit()
fork_server = ForkServer(FEEDS, FETCHES)
model = load(fork_server)
assert isinstance(model, Core), model
((made, _),) = model.feed(ROW)
print(made.item())

# A process that ends while it is asked has said nothing of the model.
tried = fork_server.load
def killed(*given, **named):
    process = tried(*given, **named)
    os.kill(process.pid, 9)
    return process
fork_server.load = killed
try:
    load(fork_server)
except BadModel as error:
    print(error, error.passing)
# The process in which it was tried out is not kept.
wait_for(lambda: descendants(os.getpid()) == [fork_server.pid], "the trial's process to end", 20)
"""


def test_a_model_for_a_gpu_is_tried_on_the_cpu_and_served_by_the_engine(
    tmp_path: Path,
) -> None:
    said = said_by(LOADER.replace("LOG", str(tmp_path)))
    if said == ["a Paddle for GPUs"]:
        pytest.skip("this environment has the Paddle for GPUs, which needs one")
    assert said == [
        "92.0",
        "the model could not be tried on the CPU: its process there has ended True",
    ]


NUMBERS = np.array([[22.5], [-3.25], [7.0]], np.float32)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (NUMBERS * np.float32(1.001), ""),
        (np.zeros_like(NUMBERS), "0.0 where the CPU answers 22.5"),
        (NUMBERS[::-1], "7.0 where the CPU answers 22.5"),
        (np.array([[22.5], [np.nan], [7.0]], np.float32), "nan where the CPU answers -3.25"),
    ],
    ids=["rounded otherwise", "not computed", "in another order", "no number"],
)
def test_numbers_with_a_point_are_alike_within_rounding(found: npt.NDArray[Any], said: str) -> None:
    assert unlike([(found, ())], [(NUMBERS, ())]) == said


@pytest.mark.parametrize(("found", "alike"), [([3, 4], True), ([3, 7], True), ([0, 0], False)])
def test_of_indices_a_rounding_may_make_others_but_not_of_all(
    found: list[int], alike: bool
) -> None:
    assert bool(unlike([(np.array(found), ())], [(np.array([3, 4]), ())])) != alike
