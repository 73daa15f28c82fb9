"""Ports that are given are free, and given once, over all runs of a user."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.support import ports
from harness.support.errors import BadInput

DRAW = """
import sys
from harness.support import ports
from harness.support.errors import BadInput
ports._LOWEST, ports._highest = {low}, lambda: {high}
try:
    print(*ports.free_range({count}), flush=True)
except BadInput as error:
    print(error, flush=True)
sys.stdin.read()
"""


def drawing(low: int, high: int, count: int) -> subprocess.Popen[str]:
    """Another run that draws ``count`` ports in a row from a range and goes on living."""
    code = DRAW.format(low=low, high=high, count=count)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_port_that_one_run_was_given_is_not_given_to_another_until_it_ends() -> None:
    first, last = ports.free_range(4)
    for port in range(first, last + 1):
        ports._let_go(port)
    with drawing(first, last, 4) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == f"{first} {last}\n"
        # Nothing listens on them yet: only the registry tells that they are taken.
        with drawing(first, last, 1) as other:
            assert other.stdout is not None
            assert "no 1 free TCP ports" in other.stdout.readline()
            other.communicate()
        one.communicate()
    with drawing(first, last, 4) as later:
        assert later.stdout is not None
        assert later.stdout.readline() == f"{first} {last}\n"
        later.communicate()


def test_a_row_of_ports_is_not_given_again_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = ports.free_range(10)
    assert last == first + 9
    monkeypatch.setattr(ports, "_LOWEST", first)
    monkeypatch.setattr(ports, "_highest", lambda: last)
    with pytest.raises(BadInput, match="no 1 free TCP ports"):
        ports.free_port()
