"""Scenario files: reading good ones, and the sentence about a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import scenarios
from harness.faults.registry import FAULTS, make
from harness.run.steps import Cause, Publish, Restart
from harness.scenarios import page
from harness.support.errors import BadInput

DOCS = Path(__file__).parents[4] / "docs" / "scenarios.md"
FAULT = 'promise = "P."\n[[step]]\ndo = "fault"\n'
RESTART = 'promise = "P."\n[[step]]\ndo = "restart"\n'
PUBLISH = '[[step]]\ndo = "publish"\n'


def read(folder: Path, text: str) -> scenarios.Scenario:
    file = folder / "mine.toml"
    file.write_text(text)
    return scenarios.read(str(file))


def test_the_page_is_made_from_the_files() -> None:
    again = "make it again: python -m harness scenarios --page docs/scenarios.md"
    assert DOCS.read_text() == page.text(), again


def test_each_fault_is_in_a_scenario() -> None:
    steps = [step for scenario in scenarios.listed() for step in scenario.steps]
    assert {step.fault for step in steps if isinstance(step, Cause)} == set(FAULTS)


def test_a_file_says_how_legs_run_and_what_is_done(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        'promise = "It holds."\nclaims = ["nothing lost"]\n[leg]\npoll_s = 2\n'
        '[[step]]\ndo = "publish"\ncount = 3\nwait = "announced"\n'
        '[[step]]\ndo = "restart"\nparts = ["server"]\nkill = true\n',
    )
    assert (found.name, found.promise) == ("mine", "It holds.")
    assert found.steps == (Publish(3, "announced"), Restart(("server",), kill=True))
    assert (found.leg.poll_s, found.leg.releases, found.leg.paced) == (2, 4, False)
    assert found.leg.claims == ("nothing lost",)
    assert not found.open_count


def test_a_fault_has_a_target_parameters_and_releases_of_its_own(tmp_path: Path) -> None:
    step = 'fault = "cut"\ntarget = "datanode"\nparameters = { after = 50 }\ncount = 2\n'
    found = read(tmp_path, FAULT + step)
    (cause,) = found.steps
    assert cause == Cause("cut", "datanode", {"after": 50}, count=2)
    assert isinstance(cause, Cause)
    assert cause.made == make("cut", {"target": "datanode", "after": 50})
    assert (found.leg.releases, found.leg.paced) == (3, False)


def test_the_last_publish_step_may_leave_its_count_to_the_releases(tmp_path: Path) -> None:
    found = read(tmp_path, 'promise = "It holds."\n[leg]\nreleases = 7\n' + PUBLISH)
    assert (found.leg.releases, found.leg.paced, found.open_count) == (7, True, True)


def test_a_fault_without_releases_may_follow_the_open_publish_step(tmp_path: Path) -> None:
    fault = '[[step]]\ndo = "fault"\nfault = "cut"\ncount = 0\n'
    found = read(tmp_path, f'promise = "It holds."\n{PUBLISH}{fault}')
    assert (found.leg.releases, found.open_count) == (4, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("promise = [", "mine.toml is no TOML file"),
        (PUBLISH, "promise is missing"),
        ('promise = "P."\n', "has no step"),
        ('promise = "P."\nsteps = 1\n', "the file: 'steps' is not known; use promise, claims,"),
        ('promise = "P."\n[[step]]\ndo = "fly"\n', "step 1: do = 'fly' is not known; use publish"),
        (f'promise = "P."\n{PUBLISH}many = 1\n', "step 1: 'many' is not known; use count, wait"),
        (f'promise = "P."\n{PUBLISH}count = "3"\n', "count = '3' is wrong; use a whole number"),
        (f'promise = "P."\n{PUBLISH}count = true\n', "count = True is wrong; use a whole number"),
        (f'promise = "P."\n{PUBLISH}wait = "no"\n', "wait = 'no' is not known; use served or"),
        (f'promise = "P."\n{PUBLISH}bad = "rotten"\n', "bad = 'rotten' is not known; use corrupt"),
        ('promise = "P."\n[[step]]\ndo = "restart"\n', "step 1 lacks parts"),
        ('promise = "P."\nstep = [1]\n', "step 1 is no table; see docs/scenarios.md"),
        ('promise = "P."\n[[step]]\ndo = ["a"]\n', "step 1: do = ['a'] is not known; use publish"),
        (f'promise = "P."\nleg = 3\n{PUBLISH}', "[leg] is no table; see docs/scenarios.md"),
        (f'promise = "P."\nclaims = 3\n{PUBLISH}', "claims = 3 is wrong; use a list of texts"),
        (f'promise = "P."\nclaims = "luck"\n{PUBLISH}', "claims = 'luck' is wrong; use a list of"),
        (
            f'promise = "P."\nclaims = [["a"]]\n{PUBLISH}',
            "claims = [['a']] is wrong; use a list of",
        ),
        (RESTART + "parts = [1]\n", "step 1: parts = [1] is wrong; use a list of texts"),
        (RESTART + 'parts = "remote"\n', "step 1: parts = 'remote' is wrong; use a list of texts"),
        (f'promise = "P."\n[leg]\nclients = 0\n{PUBLISH}', "clients = 0 is wrong; use 1 or more"),
        (f'promise = "P."\n[leg]\ntick_s = -1\n{PUBLISH}', "tick_s = -1 is wrong; use 1 or more"),
        (f'promise = "P."\n[leg]\nkeep = -1\n{PUBLISH}', "keep = -1 is wrong; use 0 or more"),
        (f'promise = "P."\n[leg]\nrtol = nan\n{PUBLISH}', "rtol = nan is wrong; use a number"),
        (f'promise = "P."\n{PUBLISH}every_s = inf\n', "every_s = inf is wrong; use a number"),
        ('promise = "P."\n[[step]]\ndo = "restart"\nparts = []\n', "parts is empty; name"),
        ('promise = "P."\n[[step]]\ndo = "fault"\n', "step 1 lacks fault"),
        (FAULT + 'fault = "gremlin"\n', "step 1: there is no fault 'gremlin'; use one of latency"),
        (FAULT + 'fault = "cut"\nparameters = 5\n', "parameters = 5 is wrong; use a table"),
        (FAULT + 'fault = "cut"\nparameters = { at = 5 }\n', "cut has no parameter 'at'"),
        (FAULT + 'fault = "cut"\nfor_s = -1.0\n', "for_s and count are at least 0"),
        (f'promise = "P."\n[leg]\nspeed = 1\n{PUBLISH}', "[leg]: 'speed' is not known; use "),
        (f'promise = "P."\nclaims = ["luck"]\n{PUBLISH}', "claims: 'luck' is no claim; use "),
        (
            f'promise = "P."\n{PUBLISH}{PUBLISH}',
            "a publish step before the last has no count",
        ),
        (f'promise = "P."\n[leg]\nreleases = 3\n{PUBLISH}count = 1\n', "has a count; leave it"),
        (
            f'promise = "P."\n{PUBLISH}[[step]]\ndo = "fault"\nfault = "cut"\n',
            "a fault publishes releases after the publish step without a count; give that step",
        ),
    ],
)
def test_a_wrong_file_gets_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(BadInput, match=r"there is no scenario 'nix'; use a file, or one of .*page"):
        scenarios.read("nix")
