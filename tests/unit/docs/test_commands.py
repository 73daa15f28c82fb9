"""Every command on a page runs, or the page's source says why a test cannot run it.

A comment before each block of commands says what the test does:

    <!-- run -->                      the block runs in the checkout
    <!-- run: proof -->               the same, in `make proof`
    <!-- run: needs PROGRAM -->       the same, where the program is installed
    <!-- run: proof, in order -->     the blocks of the page run one after another
    <!-- run: proof, background -->   the block runs on while the later blocks run
    <!-- run: tests/FILE.py -->       a test in this file runs the block
    <!-- not run: REASON -->          no test runs the block; ``pytest -s`` prints the list
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from harness.support.ports import free_port

ROOT = Path(__file__).parents[3]
# Their commands are on pages that a person writes, too.
MADE = {"commands.md", "conformance.md", "conformance-serving.md", "serving-facts.md"}
#: The pages that must mark each of their blocks.
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "[!.r]*/README.md", "docker/*/README.md")
    for page in ROOT.glob(pattern)
    if page.name not in MADE
)
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^\n]*?) -->\n)?(?P<margin> *)```(?:console|shell)\n(?P<text>.*?)^ *```",
    re.M | re.S,
)


class Block(NamedTuple):
    """Commands of a page, and what the page's source says about them."""

    page: Path
    mark: str
    text: str

    @property
    def when(self) -> list[str]:
        return [word.strip() for word in self.mark.partition(":")[2].split(",")]


def blocks(page: Path) -> list[Block]:
    text = re.sub(r"^ +(?=<!-- )", "", page.read_text(encoding="utf-8"), flags=re.M)
    return [
        Block(
            page, found["mark"] or "", re.sub(rf"^{found['margin']}", "", found["text"], flags=re.M)
        )
        for found in BLOCK.finditer(text)
        # That is a file, not a command.
        if not found["text"].lstrip().startswith("#!")
    ]


ALL = [block for page in PAGES for block in blocks(page)]
ALONE = [
    block
    for block in ALL
    if re.match(r"run\b(?!: tests/)", block.mark)
    and block.page.name != "tutorial.md"
    and "in order" not in block.when
]


def test_every_block_says_whether_a_test_runs_it() -> None:
    assert len(ALL) > 70
    for block in ALL:
        where = f"{block.page.name}: {block.text.strip()}"
        assert re.fullmatch(r"run(: .+)?|not run: .{10,}", block.mark), f"no mark before {where}"
        for test in re.findall(r"^run: (tests/.*)", block.mark):
            assert block.page.name in (ROOT / test).read_text(encoding="utf-8"), f"{test}: {where}"
    assert all(page.read_text(encoding="utf-8").count("```sh\n") == 0 for page in PAGES)
    print("\nCommands that no test runs:")
    for block in ALL:
        if block.mark.startswith("not run"):
            print(f"  {block.page.name}: {block.text.splitlines()[0]}  ({block.mark[9:]})")


def names(block: Block) -> str:
    return f"{block.page.stem}-{block.text.split()[-1]}"


def started(block: Block) -> None:
    for when in block.when:
        if when.startswith("needs ") and shutil.which(when[6:]) is None:
            pytest.skip(f"{when[6:]} is not installed")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.strip(), "the command printed nothing"


@pytest.mark.parametrize("block", [b for b in ALONE if "proof" not in b.when], ids=names)
def test_a_block_runs(block: Block) -> None:
    started(block)


@pytest.mark.proof
@pytest.mark.parametrize("block", [b for b in ALONE if "proof" in b.when], ids=names)
def test_a_long_block_runs(block: Block) -> None:
    started(block)


@pytest.mark.proof
def test_the_commands_by_hand_run_in_order_and_the_verdict_holds(tmp_path: Path) -> None:
    text = "".join(block.text for block in ALL if "in order" in block.when)
    # Beside a run of the user's, and with an exit code of 1 that the page explains.
    words = re.sub(r"-m harness (\w+)", rf"-m harness \1 --runs {tmp_path}", text)
    words = re.sub(r"(check) --runs \S+ runs/", rf"\1 {tmp_path}/", words)
    words = words.replace(" up ", f" up --port {free_port()} ")
    done = subprocess.run(
        ["bash", "-uc", words], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "\nVALID: all " in done.stdout, done.stdout[-3000:]


def end_session(leader: int) -> None:
    """Kill all processes of a session that this test started."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(ValueError, ProcessLookupError):
            if os.getsid(int(folder.name)) == leader:
                os.kill(int(folder.name), signal.SIGKILL)


def shape(line: str) -> str:
    """Return a line without what differs between two runs: numbers, folders, lines of code."""
    line = re.sub(r"file://\S*/build/", "file:///…/build/", line)
    line = re.sub(r"\.py:(\d+|…)\]", ".py]", line)
    line = re.sub(r"\d+(\.\d+)?", "N", line.replace(",", ""))
    return " ".join(line.split())


@pytest.mark.proof
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial needs curl")
def test_the_tutorial_runs_from_top_to_bottom_and_prints_what_it_shows(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    # A process group for each job: `serve stop` sends a signal to the group of the launcher.
    script = ["set -meuo pipefail"]
    for block in blocks(ROOT / "docs" / "tutorial.md"):
        text = block.text
        if "background" in block.when:
            text = f"( {text.strip()} ) >>{tmp_path}/background.log 2>&1 &\n"
        script.append(text)
    words = "\n".join(script)
    for port in ("8080", "9292"):
        words = words.replace(port, str(free_port()))
    shutil.rmtree(ROOT / "build" / "tutorial", ignore_errors=True)
    with subprocess.Popen(
        ["bash", "-c", words],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=280)
        finally:
            end_session(process.pid)
    assert process.returncode == 0, printed
    shapes = {shape(line) for line in printed.splitlines()}
    shown = re.findall(r"^```text\n(.*?)^```", page, re.M | re.S)[1:]
    missing = [line for block in shown for line in block.splitlines() if shape(line) not in shapes]
    assert not missing, f"the page shows {missing}; the commands printed {printed}"
    prices = re.findall(r'"float_data":\[([\d.]+)\]', printed)
    assert len(prices) == 2
    assert prices[0] != prices[1], "the second release did not answer"
