"""What the engine's handle on a model process does when that process does not answer."""

from __future__ import annotations

import signal
import subprocess
from multiprocessing import Pipe

import pytest

from engine._model_files import Graph
from engine._process import ModelProcess, send
from engine._query import ServiceError


def test_an_answer_that_comes_when_nobody_waits_any_more_is_no_other_query_s() -> None:
    ours, theirs = Pipe()
    stuck = subprocess.Popen(["sleep", "600"])
    try:
        model = ModelProcess(ours, stuck.pid, Graph((), (), ()), (), (), max_run_s=1)
        for late in (True, False):
            with pytest.raises(ServiceError, match="did not answer within 1 s and was ended"):
                model.feed([])
            if late:
                send(theirs, [])
        assert stuck.wait(10) == -signal.SIGKILL
    finally:
        stuck.kill()
        stuck.wait()
