"""The producer computes on a GPU before it trains there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HAS_GPU = Path("/dev/nvidiactl").exists()


def trial_gpu(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "producer.trial_gpu"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.skipif(not HAS_GPU, reason="this machine has no GPU")
def test_on_a_gpu_it_is_right_or_one_sentence_says_why_not() -> None:
    done = trial_gpu()
    lines = (done.stdout + done.stderr).splitlines()
    (said,) = [line for line in lines if line.startswith("trial gpu: ")]
    assert done.returncode == (0 if said.endswith("computes what the CPU does") else 2), done


@pytest.mark.skipif(not HAS_GPU, reason="this machine has no GPU")
def test_a_gpu_that_is_hidden_is_not_there() -> None:
    done = trial_gpu(CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert "found no CUDA device" in last or "needs the GPU build of Paddle" in last, last


ARITHMETIC = """
import numpy as np
import paddle
from producer.trial_gpu import layer
paddle.enable_static()
x = np.arange(6, dtype=np.float32).reshape(2, 3)
w, b = np.array([[1], [0], [2]], np.float32), np.array([5], np.float32)
print(layer(paddle.CPUPlace(), x, w, b).tolist(), paddle.in_dynamic_mode())
"""


@pytest.mark.proof
def test_the_arithmetic_is_right_on_the_cpu_and_leaves_the_mode_as_it_was() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ARITHMETIC],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "[[9.0], [18.0]] False\n", done
