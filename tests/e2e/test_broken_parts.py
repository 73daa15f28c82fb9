"""A run with a part that is broken: the verdict says which claim, and the exit code is 1."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
from rich.console import Console

from harness.load.asking import KINDS
from harness.load.patched_client import patched_library
from harness.remotes.registry import chosen
from harness.run.e2e import RunSettings, run
from harness.run.leg_settings import LegSettings
from harness.support.errors import HarnessError
from harness.support.paths import cache_dir
from tests.broken import parts
from tests.conftest import Releases
from tests.unit.harness.serving import vendor


@dataclass(frozen=True)
class Judged:
    """What a run ended with: its exit code, its report, and what it printed."""

    # The exit code.
    exit_code: int
    # The report.
    report: dict[str, Any]
    # What it printed.
    printed: str

    def claims(self, outcome: str) -> dict[str, str]:
        """Name and reason of the remote's claims with this outcome that must be known."""
        return {
            claim["name"]: claim["why"]
            for claim in self.report["claims"]
            if claim["outcome"] == outcome and claim["remote"] == "ftp" and claim["required"]
        }


def judged(
    folder: Path,
    *,
    releases: int = 2,
    fail_fast: bool = False,
    serving: str = "embedded",
    serving_trial: str = "skip",
    margin_s: float = 10.0,
    releases_from: Optional[Path] = None,
    **leg: Any,
) -> Judged:
    """Runs the main job on FTP in this process."""
    settings = RunSettings(
        remotes=chosen(["ftp"]),
        serving=serving,
        serving_trial=serving_trial,
        fail_fast=fail_fast,
        releases_from=releases_from,
        runs=folder / "runs",
        # Clients that ask less leave the processor to the rest.
        leg=LegSettings(releases=releases, poll_s=0.5, margin_s=margin_s, rate=30, calm_s=0, **leg),
    )
    printed = io.StringIO()
    try:
        code = run(settings, Console(file=printed, width=140))
    except HarnessError as error:
        code = error.exit_code
    report = json.loads((folder / "runs" / "latest" / "report.json").read_text())
    return Judged(code, report, printed.getvalue())


@pytest.fixture
def serve_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the broken server of this name the serving binary."""

    def named(name: str) -> None:
        program = parts.named("server", name).build(tmp_path)
        monkeypatch.setenv("SERVING_BIN", str(program))

    return named


@pytest.mark.proof
def test_a_server_that_never_reloads(tmp_path: Path, serve_with: Callable[[str], None]) -> None:
    serve_with("never-reloads")
    found = judged(tmp_path, releases=3, margin_s=2.0)
    assert found.exit_code == 1, found.printed
    broken = found.claims("invalid")
    # On a slow machine a release also stays live for too long.
    assert set(broken) - {"live is served"} == {"nothing lost", "last one serves"}
    # The run goes on after the first release that is not served.
    for release in (2, 3):
        said = f"release {release} was not served to {', '.join(KINDS)} within 5 s"
        assert said in broken["nothing lost"]
    assert not found.claims("unknown")
    assert f"INVALID: {len(broken)} of " in found.printed


@pytest.mark.proof
def test_a_server_that_is_killed_in_mid_run(
    tmp_path: Path, serve_with: Callable[[str], None]
) -> None:
    serve_with("dies-in-a-reload")
    found = judged(tmp_path)
    assert found.exit_code == 1, found.printed
    broken = found.claims("invalid")
    assert {"no request failed", "same server"} <= set(broken)
    assert "no torn prediction" in found.claims("unknown")
    assert "cannot be judged" in found.printed


@pytest.fixture
def an_official_binary_that_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A mirror of the vendor's host whose archive holds a copy of ``false``."""
    cache = tmp_path / "cache"
    cache.mkdir()
    patched_library()
    (cache / "client").symlink_to(cache_dir("client"))
    mirror = vendor.Mirror()
    mirror.content = vendor.archive({"serving": Path("/bin/false").resolve()})
    monkeypatch.delenv("SERVING_BIN", raising=False)
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    monkeypatch.setenv("SERVING_DOWNLOAD_URL", mirror.url)
    yield
    mirror.close()


@pytest.mark.usefixtures("an_official_binary_that_ends")
def test_a_monitor_that_never_installs(tmp_path: Path, releases: Releases) -> None:
    program = parts.named("monitor", "never-installs-after-its-start").build(tmp_path)
    found = judged(
        tmp_path,
        releases=len(releases.published),
        releases_from=releases.folder / "releases",
        fail_fast=True,
        serving="auto",
        serving_trial="run",
        margin_s=2.0,
        monitor=(str(program),),
    )
    # The official binary failed its trial, so the embedded engine serves. First line, table and
    # report say so.
    failed = "the official serving binary failed its trial: it ended before it opened its port"
    assert found.report["facts"]["serving binary"].startswith("embedded (")
    assert failed in found.report["facts"]["serving binary"]
    assert " ".join(found.printed.split()).count(failed) == 2, found.printed
    report = (tmp_path / "runs" / "latest" / "report.md").read_text()
    assert failed in report
    assert found.exit_code == 1, found.printed
    lost = found.claims("invalid")["nothing lost"]
    assert lost == f"release 2 was not served to {', '.join(KINDS)} within 5 s"
    # The first broken claim ends the run: release 3 was not published.
    assert [row["release"] for row in found.report["rows"]] == [1, 2]
    assert "--fail-fast: ended at the first broken claim" in found.claims("unknown")["same server"]
