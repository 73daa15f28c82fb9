"""A model on a GPU is asked what the same model on the CPU is asked, before it serves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engine._gpu_cross_check import unlike
from harness.conformance.serving import server

ROOT = Path(__file__).resolve().parents[3]

TWO_MODELS = """
import sys
from engine import _inference
from engine._core import Core, Device
from engine._model_files import BadModel, check, opened
from engine._prototxt import Variable
from engine._gpu_cross_check import ask_both

FEEDS = [Variable("x", "x", 1, (13,), False)]
FETCHES = [Variable("price", "price", 1, (1,), False)]
_inference.library()

def load(folder):
    with opened(folder) as files:
        graph = check(files)
        return Core(files, graph, FEEDS, FETCHES, Device()), graph

one, graph = load(sys.argv[1])
same, _ = load(sys.argv[1])
ask_both(one, same, graph)
other, _ = load(sys.argv[2])
try:
    ask_both(one, other, graph)
except BadModel as error:
    print(error)
"""


def test_only_a_model_that_answers_as_on_the_cpu_is_let_in() -> None:
    models = [str(server.models() / name) for name in ("uci", "uci_2")]
    done = subprocess.run(
        [sys.executable, "-c", TWO_MODELS, *models],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.match(r"the GPU answers \S+ where the CPU answers \S+, as where ", done.stdout), done


# A Paddle for the CPU takes the option for a GPU, says so in its log, and computes on the CPU.
LOADER = """
import os
import sys
from pathlib import Path
import numpy as np
from engine._core import Core, Device
from engine._glog import Log
from engine._loading import Loader
from engine._model_files import BadModel
from engine._fork_server import ForkServer
from engine._prototxt import Serving, Variable
from engine._query import Tensor
from harness.support.guard import descendants
from engine._inference import library
from harness.support.guard import descendants
from harness.support.waits import wait_for

if library().is_compiled_with_cuda():
    sys.exit("a Paddle for GPUs")
feeds = (Variable("x", "x", 1, (13,), False),)
fetches = (Variable("price", "price", 1, (1,), False),)
device = Device(use_gpu=True)
serving = Serving(
    port=1, services=(), workflow_name="", workflow_file="", nodes=(), engine_name="",
    model_dir=sys.argv[1], time_file="", feeds=feeds, fetches=fetches, use_gpu=True, gpu_id=0,
    ir_optim=False, memory_optim=False,
)
fork_server = ForkServer(feeds, fetches)
model = Loader(serving, device, Log(Path(sys.argv[2])), 1, fork_server).load()
assert isinstance(model, Core), model
((made, _),) = model.feed([Tensor("x", np.ones((1, 13), np.float32), ())])
print(made.item())

# A process that ends while it is asked has said nothing of the model.
tried = fork_server.load
def killed(*given, **named):
    process = tried(*given, **named)
    os.kill(process.pid, 9)
    return process
fork_server.load = killed
try:
    Loader(serving, device, Log(Path(sys.argv[2])), 1, fork_server).load()
except BadModel as error:
    print(error, error.passing)
# The process in which it was tried out is not kept.
wait_for(lambda: descendants(os.getpid()) == [fork_server.pid], "the trial's process to end", 20)
"""


def test_a_model_for_a_gpu_is_tried_on_the_cpu_and_served_by_the_engine(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADER, str(server.models() / "uci"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
    )
    if done.stderr.endswith("a Paddle for GPUs\n"):
        pytest.skip("this environment has the Paddle for GPUs, which needs one")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [
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


def test_what_is_no_number_on_the_cpu_need_not_be_one_on_the_gpu() -> None:
    infinite = np.array([1.0, np.inf, np.nan], np.float32)
    assert not unlike([(infinite.copy(), ())], [(infinite, ())])


@pytest.mark.parametrize(("found", "alike"), [([3, 4], True), ([3, 7], True), ([0, 0], False)])
def test_of_indices_a_rounding_may_make_others_but_not_of_all(
    found: list[int], alike: bool
) -> None:
    assert bool(unlike([(np.array(found), ())], [(np.array([3, 4]), ())])) != alike


def test_an_output_whose_size_depends_on_what_is_in_it_is_not_compared() -> None:
    assert not unlike([(NUMBERS[:2], ())], [(NUMBERS, ())])
