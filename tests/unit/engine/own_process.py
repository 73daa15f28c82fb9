"""Runs code in a process of its own, whose crashes and limits the tests do not feel."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from harness.conformance.serving import server

ROOT = Path(__file__).resolve().parents[3]
# What the code finds ready. ``UCI`` and ``UCI_2`` are the directories of two models.
PREPARED = """
import os, sys
import numpy as np
from engine import _inference
from engine._core import Core, Device
from engine._fork_server import ForkServer
from engine._model_files import BadModel, check, opened
from engine._prototxt import Variable
from engine._query import Tensor

UCI, UCI_2 = sys.argv[1:3]
FEEDS = (Variable("x", "x", 1, (13,), False),)
FETCHES = (Variable("price", "price", 1, (1,), False),)
ROW = [Tensor("x", np.ones((1, 13), np.float32), ())]
_inference.library()

def load(folder):
    with opened(folder) as files:
        return Core(files, check(files, whole=False), FEEDS, FETCHES, Device())
"""


def said_by(code: str) -> list[str]:
    """Return the lines that the code prints; a crash of Paddle's shows as an exit code below 0."""
    models = [str(server.models() / name) for name in ("uci", "uci_2")]
    done = subprocess.run(
        [sys.executable, "-c", PREPARED + textwrap.dedent(code), *models],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return done.stdout.splitlines()
