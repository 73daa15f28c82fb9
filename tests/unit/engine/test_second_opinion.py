"""A model on a GPU is asked what the same model on the CPU is asked, before it serves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.likeness import server
from harness.engine._second_opinion import alike

ROOT = Path(__file__).resolve().parents[3]

TWO_MODELS = """
import sys
from harness.engine import _inference
from harness.engine._core import Core, Device
from harness.engine._model_files import BadModel, check, opened
from harness.engine._prototxt import Variable
from harness.engine._second_opinion import ask_both

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
    assert done.stdout.startswith("the GPU answers ["), (done.stdout, done.stderr[-2000:])


# A Paddle for the CPU takes the option for a GPU, says so in its log, and computes on the CPU.
LOADER = """
import sys
from pathlib import Path
import numpy as np
from harness.engine._core import Core, Device
from harness.engine._glog import Log
from harness.engine._loading import Loader
from harness.engine._nursery import Nursery
from harness.engine._prototxt import Serving, Variable
from harness.engine._query import Tensor
from harness.guard import descendants
from harness.engine._inference import library
from harness.waits import wait_for
import os

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
nursery = Nursery.start(feeds, fetches, device)
model = Loader(serving, device, Log(Path(sys.argv[2])), 1, nursery).load()
assert isinstance(model, Core), model
((made, _),) = model.feed([Tensor("x", np.ones((1, 13), np.float32), ())])
print(made.item())
# The process in which it was tried out is not kept.
wait_for(lambda: descendants(os.getpid()) == [nursery.pid], "the trial's process to end", 20)
"""


def test_a_model_for_a_gpu_is_tried_on_the_cpu_and_served_from_the_engine_s_process(
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
    assert (done.returncode, done.stdout) == (0, "92.0\n"), done.stderr[-2000:]


NUMBERS = np.array([[22.5], [-3.25], [7.0]], np.float32)


@pytest.mark.parametrize(
    ("found", "near"),
    [
        (NUMBERS * np.float32(1.001), True),
        (np.zeros_like(NUMBERS), False),
        (NUMBERS[::-1], False),
        (NUMBERS[:2], False),
        (np.full_like(NUMBERS, np.nan), False),
    ],
    ids=["rounded otherwise", "not computed", "in another order", "too few", "no numbers"],
)
def test_answers_are_alike_within_rounding(found: np.ndarray, near: bool) -> None:
    assert alike([(found, ())], [(NUMBERS, ())]) == near


def test_what_is_no_number_on_the_cpu_need_not_be_one_on_the_gpu() -> None:
    infinite = np.array([1.0, np.inf, np.nan], np.float32)
    assert alike([(infinite.copy(), ())], [(infinite, ())])


def test_indices_may_differ() -> None:
    assert alike([(np.array([3]), ())], [(np.array([4]), ())])
