"""Which cases of a suite ``--only`` takes."""

from __future__ import annotations

import pytest

from harness.conformance.selection import selected
from harness.support.errors import BadInput

IDS = ["http/unknown-path", "http/page-health", "http2/json", "log/start"]


@pytest.mark.parametrize(
    ("only", "ids"),
    [
        ("", IDS),
        ("log/start,http2/json", ["http2/json", "log/start"]),
        ("http", ["http/unknown-path", "http/page-health"]),
        ("json", ["http2/json"]),
        ("http*/*j*", ["http2/json"]),
    ],
)
def test_ids_groups_names_and_patterns_select_cases(only: str, ids: list[str]) -> None:
    assert selected(IDS, only) == ids


def test_a_word_that_names_no_case_is_bad_input() -> None:
    with pytest.raises(BadInput, match="--only has 'http/nothing', which is no case; see --list"):
        selected(IDS, "log,http/nothing")
