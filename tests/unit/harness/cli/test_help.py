"""``--help`` fits on one screen for every command; ``--help-all`` shows every option."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

import harness
import monitor
import producer
from harness.__main__ import main as harness_main
from monitor.__main__ import main as monitor_main
from producer.cli import main as producer_main

ROOT = Path(__file__).resolve().parents[4]
LINES, COLUMNS = 24, 80
PROGRAMS = ("harness", "monitor", "producer")
Print = Callable[..., str]
MAINS: dict[str, Callable[[list[str]], int]] = {
    "harness": harness_main,
    "monitor": monitor_main,
    "producer": producer_main,
}


@pytest.fixture
def printed(
    kept_handlers: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Print:
    """Return what a command prints on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", str(COLUMNS))

    def run(program: str, *words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            MAINS[program](list(words))
        assert ended.value.code == 0
        return capsys.readouterr().out

    return run


def commands(printed: Print) -> list[list[str]]:
    listed = re.search(r"^  COMMAND\n((?:    .*\n)+)", printed("harness", "--help-all"), re.M)
    assert listed is not None
    names = re.findall(r"^    (\S+)", listed[1], re.M)
    return [
        *([program] for program in PROGRAMS),
        *(["harness", name] for name in names),
        ["harness", "conformance", "serving"],
        *(["monitor", name] for name in ("status", "rollback")),
    ]


def test_every_help_fits_on_one_screen_and_names_an_example_of_a_long_command(
    printed: Print,
) -> None:
    found = commands(printed)
    assert ["harness", "e2e"] in found
    for words in found:
        text = printed(*words, "--help")
        lines = text.splitlines()
        assert len(lines) <= LINES, f"{' '.join(words)} --help has {len(lines)} lines"
        assert max(map(len, lines)) <= COLUMNS, f"{' '.join(words)} --help is too wide: {text}"
        if "--help-all" in text:
            assert "example: " in text, text


@pytest.mark.parametrize(
    ("words", "rare"),
    [
        (["harness"], "merge"),
        (["harness", "run"], "--server-log"),
        (["harness", "conformance"], "--every-kill"),
        (["monitor"], "--max_expansion"),
        (["producer"], "--ftp_encoding"),
    ],
    ids=" ".join,
)
def test_the_long_help_shows_what_the_short_one_leaves_out(
    printed: Print, words: list[str], rare: str
) -> None:
    assert rare not in printed(*words, "--help")
    assert rare in printed(*words, "--help-all")


def test_the_old_name_of_the_command_for_containers_still_works(printed: Print) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.containers", "up", "--help"],
        env={**os.environ, "COLUMNS": str(COLUMNS)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == printed("harness", "containers", "up", "--help")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_prints_its_version(printed: Print, program: str) -> None:
    assert printed(program, "--version") == f"python -m {program} {harness.__version__}\n"


def test_all_packages_have_the_version_of_the_project() -> None:
    versions = {harness.__version__, monitor.__version__, producer.__version__}
    for file in ("pyproject.toml", "monitor/pyproject.toml"):
        found = re.search(r'^version = "(.*)"$', (ROOT / file).read_text(), re.M)
        assert found is not None
        versions.add(found[1])
    assert len(versions) == 1, versions


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("python -m harness e2", "e2e"),
        ("python -m harness conformance --every", "--every-kill"),
        ("python -m monitor --max_exp", "--max_expansion"),
        ("python -m producer --ftp_enc", "--ftp_encoding"),
    ],
)
def test_the_shell_completes_commands_and_options(tmp_path: Path, line: str, expected: str) -> None:
    answer = tmp_path / "answer"
    program = line.split()[2]
    # What argcomplete's function for bash hands on for `python -m PROGRAM`.
    done = subprocess.run(
        [sys.executable, "-m", program],
        cwd=ROOT,
        env={
            **os.environ,
            "_ARGCOMPLETE": "3",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "COMP_TYPE": "9",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.exists(), done.stderr
    assert expected in answer.read_text().replace("\013", " ").split()
