"""Models that take turns in one process, as with ``--strict-compat`` and on a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.conformance.serving import server

ROOT = Path(__file__).resolve().parents[3]

TURNS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from engine import _inference
from engine._core import Core, Device
from engine._model_files import check, opened
from engine._prototxt import Variable
from engine._query import Tensor

FEEDS = [Variable("x", "x", 1, (13,), False)]
FETCHES = [Variable("price", "price", 1, (1,), False)]
ROW = [Tensor("x", np.ones((1, 13), np.float32), ())]
_inference.library()

def load(number):
    with opened(sys.argv[1 + number % 2]) as files:
        return Core(files, check(files, whole=False), FEEDS, FETCHES, Device())

def ask(core, number):
    ((made, _),) = core.feed(ROW)
    assert made.item() == (92.0, 184.0)[number % 2], (made, number)

model = load(0)
with ThreadPoolExecutor(1) as reload_thread:
    for number in range(1, 61):
        new = reload_thread.submit(load, number)
        while not new.done():
            ask(model, number - 1)
        old, model = model, new.result()
        closed = reload_thread.submit(old.close)
        while not closed.done():
            ask(model, number)
        ask(model, number)
print("served")
"""


def test_one_thread_runs_every_model_that_another_makes_and_closes() -> None:
    models = [str(server.models() / name) for name in ("uci", "uci_2")]
    done = subprocess.run(
        [sys.executable, "-c", TURNS, *models],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
    )
    # A crash of Paddle's shows as a negative exit code.
    assert (done.returncode, done.stdout) == (0, "served\n"), done.stderr[-2000:]
