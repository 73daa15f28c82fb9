"""What a run that was interrupted ends with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.run.e2e import _first_failure
from harness.support.errors import Failed

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(
    ("program", "interrupted"),
    [
        ("harness.__main__", "_run"),
        ("harness.cli.containers", "_parser"),
        ("monitor.__main__", "_monitor"),
        ("producer.cli", "_settings"),
    ],
)
def test_an_interrupt_while_text_is_executed_ends_a_program_with_130(
    tmp_path: Path, program: str, interrupted: str
) -> None:
    (tmp_path / "interrupted.py").write_text(
        f"""
import sys
import {program} as program

def interrupt(*_, **__):
    # Like an interrupt while Python makes a dataclass.
    exec("raise KeyboardInterrupt")

assert program.{interrupted}
program.{interrupted} = interrupt
sys.exit(program.main(["x"]))
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130, done.stderr


def test_an_interrupt_ends_the_run_although_stopping_a_leg_fails_too() -> None:
    def stopping(error: BaseException) -> BaseException:
        try:
            try:
                raise error
            finally:
                raise Failed("processes are still running")
        except Failed as failed:
            return failed

    with pytest.raises(KeyboardInterrupt):
        _first_failure(stopping(KeyboardInterrupt()))
    assert str(_first_failure(stopping(Failed("the server ended")))) == "the server ended"
    full = OSError(28, "No space left on device", "/runs/x")
    assert (
        str(_first_failure(stopping(full)))
        == "No space left on device: /runs/x; mend that, and run again"
    )
