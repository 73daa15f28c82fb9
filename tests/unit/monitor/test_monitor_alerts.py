"""The dashboard and the alerts of ``docs/examples/monitoring``, with real programs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional
from urllib.request import urlopen

import pytest

from harness.support.ports import free_port
from harness.support.waits import wait_for
from monitor.__main__ import main

from .fixtures import MODEL, TARBALL, Site
from .processes import Start, general

ROOT = Path(__file__).parents[3]
FILES = ROOT / "docs" / "examples" / "monitoring"
ALERTS = (FILES / "alerts.yml").read_text(encoding="utf-8")
DASHBOARD = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))
# Metrics whose own value makes their alert fire.
TROUBLES = (
    "not_served",
    "quarantined",
    "untrusted",
    "failures_in_a_row",
    "held_back",
    "on_hold",
    "hooks_pending",
)
WORDS = re.compile(r"serving_monitor_\w+")


def program(name: str) -> Optional[str]:
    """Return the path of a program of Prometheus; None if it is not here."""
    return shutil.which(name) or shutil.which(name, path=str(ROOT / ".cache/prometheus/usr/bin"))


needs_promtool = pytest.mark.skipif(program("promtool") is None, reason="promtool is not installed")
needs_prometheus = pytest.mark.skipif(
    program("prometheus") is None, reason="prometheus is not installed"
)


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [str(program("promtool")), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def expressions() -> list[str]:
    """The queries of the dashboard, with its variables filled in."""
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    found += [one["expr"] for one in DASHBOARD["annotations"]["list"]]
    return [one.replace("$model", "m").replace("$__rate_interval", "1m") for one in found]


def get(address: str) -> str:
    with urlopen(address, timeout=30) as answer:
        text: str = answer.read().decode()
        return text


def value(port: int, name: str) -> float:
    found = re.search(
        rf"serving_monitor_{name}\{{.*\}} (\S+)", get(f"http://127.0.0.1:{port}/metrics")
    )
    assert found is not None, name
    return float(found[1])


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


@pytest.fixture
def port(start: Start, site: Site, tmp_path: Path) -> int:
    """The metrics port of a monitor that has installed release 1 and 2."""
    pytest.importorskip("prometheus_client")
    found = free_port()
    site.publish(1)
    more = [f"--metrics_port={found}", "--interval=0.1", "--backoff_max=0.2", "--keep=1"]
    one = start(*general(site, tmp_path), *more)
    one.saw("update model timestamp")
    site.publish(2)
    one.saw("update model timestamp", times=2)
    return found


def test_a_real_monitor_has_every_metric_that_dashboard_and_alerts_name(port: int) -> None:
    scraped = set(WORDS.findall(get(f"http://127.0.0.1:{port}/metrics")))
    named = set(WORDS.findall(" ".join([ALERTS, *expressions(), json.dumps(DASHBOARD)])))
    assert len(named) > 10
    assert named - scraped == set()


def test_the_metrics_of_troubles_come_and_go(port: int, site: Site, tmp_path: Path) -> None:
    def becomes(name: str, wanted: Callable[[float], bool]) -> None:
        wait_for(lambda: wanted(value(port, name)), name, 30, last_seen=lambda: value(port, name))

    site.status = 500
    becomes("failures_in_a_row", lambda count: count >= 3)
    site.status = None
    becomes("failures_in_a_row", lambda count: count == 0)
    site.put(TARBALL, b"no tarball")
    site.put("donefile", b"other")
    becomes("quarantined", lambda found: found == 1)
    site.publish(3)
    becomes("release", lambda number: number == 3)
    assert value(port, "quarantined") == 0
    where = [f"--local_path={tmp_path / 'local'}", f"--local_model_name={MODEL}"]
    assert main(["rollback", *where]) == 0
    becomes("held_back", lambda found: found == 1)
    site.publish(4)
    becomes("release", lambda number: number == 4)
    assert value(port, "held_back") == 0


def test_each_trouble_has_an_alert_that_the_page_and_a_unit_test_name() -> None:
    alerts = re.findall(r"- alert: (\w+)\n(?: *#.*\n)? *expr: (.*)", ALERTS)
    assert len(alerts) == ALERTS.count("alert:")
    for metric in TROUBLES:
        assert any(f"serving_monitor_{metric} " in expression for _, expression in alerts), metric
    page = (ROOT / "docs" / "how-to" / "watch.md").read_text(encoding="utf-8")
    tests = (FILES / "alerts.test.yml").read_text(encoding="utf-8")
    for name, _ in alerts:
        assert f"`{name}`" in page, name
        assert re.search(rf"alertname: {name}\n +exp_alerts:", tests), name


@needs_promtool
def test_promtool_accepts_the_rules_their_tests_and_every_query(tmp_path: Path) -> None:
    for words in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts.test.yml")):
        done = promtool(*words[:2], str(FILES / words[2]))
        assert done.returncode == 0, done.stdout + done.stderr
    shutil.copytree(FILES, tmp_path / "wrong")
    (tmp_path / "wrong" / "alerts.yml").write_text(
        ALERTS.replace("not_served == 1", "not_served == 0")
    )
    assert promtool("test", "rules", str(tmp_path / "wrong" / "alerts.test.yml")).returncode == 1
    rules = [{"record": f"r{number}", "expr": one} for number, one in enumerate(expressions())]
    file = tmp_path / "dashboard.yml"
    # JSON is YAML.
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def prometheus(port: int, tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus that looks at the monitor, with rules that wait for nothing."""
    at = f"127.0.0.1:{free_port()}"
    settings = (FILES / "prometheus.yml").read_text(encoding="utf-8")
    settings = settings.replace("127.0.0.1:9100", f"127.0.0.1:{port}").replace("15s", "200ms")
    folder = tmp_path / "prometheus"
    folder.mkdir()
    (folder / "prometheus.yml").write_text(f"global: {{evaluation_interval: 200ms}}\n{settings}")
    (folder / "alerts.yml").write_text(re.sub(r"for: \w+", "for: 0s", ALERTS))
    argv = [str(program("prometheus")), f"--web.listen-address={at}", "--log.level=error"]
    argv += [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log, subprocess.Popen(argv, stderr=log) as process:
        try:
            yield f"http://{at}"
        finally:
            process.terminate()


@needs_prometheus
def test_a_real_prometheus_raises_the_alert_of_a_remote_that_fails(
    prometheus: str, site: Site
) -> None:
    def ask(path: str) -> Any:
        try:
            return json.loads(get(f"{prometheus}/api/v1/{path}"))["data"]
        except OSError:
            return {"activeTargets": [], "alerts": []}

    def firing() -> set[str]:
        return {one["labels"]["alertname"] for one in ask("alerts")["alerts"]}

    def healthy() -> bool:
        return "up" in [one["health"] for one in ask("targets")["activeTargets"]]

    wait_for(healthy, "a scrape", 30, last_seen=lambda: ask("targets"))
    assert firing() <= {"ServingMonitorDown"}
    site.status = 500
    wait_for(
        lambda: firing() == {"ServingMonitorFailuresInARow"}, "the alert", 30, last_seen=firing
    )
