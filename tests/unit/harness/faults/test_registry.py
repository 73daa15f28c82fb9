"""The list of faults: what makes one, what is refused, and the page made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.faults.page import page
from harness.faults.registry import FAULTS, make
from harness.support.errors import BadInput

PAGE = Path(__file__).parents[4] / "docs" / "faults.md"


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_a_default_for_each_parameter_and_says_which(name: str) -> None:
    fault = make(name, {})
    assert fault == make(name, {"target": fault.target, **fault.parameters})


def test_parameters_that_are_given_are_taken() -> None:
    fault = make("latency", {"target": "datanode", "delay_ms": 5})
    assert fault.target == "datanode"
    assert fault.parameters == {"direction": "answers", "delay_ms": 5.0, "jitter_ms": 20.0}


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        ("sabotage", {}, "there is no fault 'sabotage'; use one of latency, bandwidth"),
        ("cut", {"afer": 1}, "the fault cut has no parameter 'afer'; use target, direction"),
        ("cut", {"after": 1.5}, "cannot have after = 1.5; use a whole number"),
        ("cut", {"after": True}, "cannot have after = True; use a whole number"),
        ("cut", {"after": -1}, "cannot have after = -1; use 0 to"),
        ("latency", {"delay_ms": "5"}, "cannot have delay_ms = '5'; use a number"),
        ("bandwidth", {"rate": 0}, "cannot have rate = 0; use 1 to"),
        ("kill", {"target": 7}, "cannot have target = 7; use a text"),
        ("wrong-answer", {"answer": "404"}, "use one of 500, 503, 403, login"),
        ("full-disk", {"target": "server"}, "cannot have target = 'server'; use one of monitor"),
        ("reset", {"direction": "both"}, "the fault reset has no parameter 'direction'"),
    ],
)
def test_a_fault_that_cannot_be_made_is_bad_input_that_says_why(
    name: str, given: dict[str, object], why: str
) -> None:
    with pytest.raises(BadInput) as caught:
        make(name, given)
    assert why in str(caught.value)


def test_the_page_is_the_one_that_the_faults_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "docs/faults.md is not up to date: python -m harness.faults.page > docs/faults.md"
    )
