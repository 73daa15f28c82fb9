"""The producer's documentation and its command line say the same."""

from __future__ import annotations

import re
from pathlib import Path

from producer.cli import _parser

PAGE = Path(__file__).parents[3] / "docs" / "producer.md"


def test_the_page_names_every_option_and_no_other() -> None:
    table = re.findall(r"^\| `(--[a-z_]+)", PAGE.read_text(), re.MULTILINE)
    options = [
        word for action in _parser()._actions for word in action.option_strings if word[:2] == "--"
    ]
    own = {"--help", "--help-all", "--version"}
    assert table == [option for option in options if option not in own]
