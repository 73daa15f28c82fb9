"""What a person sees while something takes long."""

from __future__ import annotations

import os
import subprocess
import sys

from harness.support.waits import wait_for

SCRIPT = """
from harness.support.progress import Progress
with Progress("checks", 4) as progress:
    progress.done()
    input()
"""


def test_the_bar_shows_what_is_done_and_what_is_left() -> None:
    terminal, end = os.openpty()
    words = [sys.executable, "-c", SCRIPT]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=end, env=environment) as process:
        os.close(end)
        seen = ""

        def bar() -> bool:
            nonlocal seen
            seen += os.read(terminal, 4096).decode(errors="replace")
            return "25%" in seen and "left:" in seen

        wait_for(bar, "a bar", 30, last_seen=lambda: seen)
        process.communicate(b"\n")
    os.close(terminal)


def test_without_a_terminal_there_is_no_bar() -> None:
    words = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(words, input=b"\n", capture_output=True, check=True)
    assert done.stdout.strip() == b""
