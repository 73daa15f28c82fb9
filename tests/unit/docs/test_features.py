"""The table of features in ``docs/monitor.md`` names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.conformance.monitor.scenarios import beside_a_server, operating
from monitor import metrics
from monitor.options.fields import option_fields

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/monitor.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("<!-- features -->\n")[2].partition("\n<!-- end of features -->")[0]
ALERTS = (ROOT / "docs/examples/monitoring/alerts.yml").read_text(encoding="utf-8")


def named(column: int) -> set[str]:
    """The names in one column of the table, without what stands beside them."""
    cells = [line.split(" | ")[column] for line in TABLE.splitlines()[2:]]
    return {name for cell in cells for name in re.findall(r"`([\w-]+)`", cell)}


def test_each_scenario_of_a_feature_has_a_row() -> None:
    scenarios = (*operating.SCENARIOS, *beside_a_server.SCENARIOS)
    assert named(2) == {scenario.name for scenario in scenarios}


@pytest.mark.parametrize(
    ("column", "known"),
    [
        (3, set(re.findall(r"`(\w+)`", metrics.as_markdown()))),
        (4, set(re.findall(r"alert: (\w+)", ALERTS))),
    ],
    ids=["metrics", "alerts"],
)
def test_each_metric_and_alert_of_a_feature_exists(column: int, known: set[str]) -> None:
    found = named(column)
    assert found
    assert found <= known


def test_each_option_of_a_feature_exists() -> None:
    options = {option.name for option in option_fields()}
    found = set(re.findall(r"`--(\w+)`", TABLE))
    assert found
    assert found <= options
