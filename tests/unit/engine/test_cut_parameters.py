"""What Paddle Inference itself makes of parameters that are cut short (``--strict-compat``).

A cut within a description is left out: Paddle takes what lies in memory for the missing bytes, so
that chance decides.
"""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from engine._core import Core, Device
from engine._model_files import BadModel, check, opened
from engine._prototxt import Variable
from harness.conformance.serving import server

FEEDS = [Variable("x", "x", 1, (13,), False)]
FETCHES = [Variable("price", "price", 1, (1,), False)]
# The file ends with the one element of the bias, sorted last by its name, and before it
ELEMENTS = 4
# come its description, its length and what is before that; then the elements of the weights.
DESCRIPTION, HEAD, WEIGHTS, ALL = 4, 20, 52, 106


def load(folder: Path, cut: int) -> None:
    """Loads the model without the last ``cut`` bytes of its parameters, as in strict mode."""
    model = shutil.copytree(server.models() / "uci", folder / "model")
    params = model / "params.pdiparams"
    data = params.read_bytes()
    params.write_bytes(data[: len(data) - cut])
    with opened(str(model)) as files:
        Core(files, check(files, whole=False), FEEDS, FETCHES, Device()).close()


@pytest.mark.parametrize("cut", range(1, ELEMENTS + 1))
def test_a_cut_within_the_elements_of_the_last_parameter_is_not_noticed(
    tmp_path: Path, cut: int
) -> None:
    load(tmp_path, cut)


WHOLE = ELEMENTS + DESCRIPTION + HEAD


@pytest.mark.parametrize(
    "cut", [ELEMENTS + DESCRIPTION + 1, WHOLE, WHOLE + 1, WHOLE + WEIGHTS, ALL]
)
def test_a_cut_before_its_description_is_what_the_real_server_dies_of(
    tmp_path: Path, cut: int
) -> None:
    with pytest.raises(BadModel, match="Paddle cannot load the model") as refused:
        load(tmp_path, cut)
    assert refused.value.real_signal == signal.SIGABRT
