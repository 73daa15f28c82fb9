"""docs/monitor.md says what the code does."""

from __future__ import annotations

import argparse
from pathlib import Path

from monitor import _docs, _options

PAGE = Path(__file__).parents[3] / "docs" / "monitor.md"


def test_the_tables_of_the_documentation_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in _docs.PARTS:
        assert f"<!-- {name}: generated -->" in page
    assert page == _docs.renewed(page), "run: python -m monitor._docs docs/monitor.md"


def test_every_option_of_the_command_line_is_in_the_documentation() -> None:
    page = PAGE.read_text(encoding="utf-8")
    actions = _options.build_parser()._actions
    flags = [flag for action in actions for flag in action.option_strings]
    assert len(flags) > 40
    for flag in flags:
        if flag not in ("-h", "--help"):
            assert f"`{flag}`" in page or f"{flag} monitors.toml`" in page, flag


def test_every_option_has_a_meaning() -> None:
    for action in _options.build_parser()._actions:
        if not isinstance(action, argparse._HelpAction):
            assert action.help and len(action.help) > 10, action.option_strings  # noqa: PT018
