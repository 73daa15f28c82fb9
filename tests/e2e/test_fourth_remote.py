"""A new remote takes one class: a plain folder, which the monitor reads through fsspec.

Its run prints what the page of the first run shows.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any, NamedTuple, Optional

import pytest
from rich.console import Console

from harness.remotes.base import NotReady, Remote
from harness.remotes.registry import RemoteType
from harness.run.e2e import RunSettings, run
from harness.run.leg_settings import LegSettings
from harness.support.errors import BadInput

pytest.importorskip("fsspec")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "first-run.md"
ONE_RUN = pytest.mark.xdist_group("run over a folder")


class Folder(Remote):
    """A folder of this machine. A fault moves it away, as a disk that is not mounted."""

    name = "folder"
    services = ("folder",)
    monitor_kinds = ("fsspec",)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _away(self) -> Path:
        return self.folder / "away"

    def start(self, service: Optional[str] = None) -> None:
        if self._away.exists():
            self._away.rename(self._data)
        self._data.mkdir(parents=True, exist_ok=True)

    def stop(self, service: Optional[str] = None) -> None:
        if self._data.exists():
            self._data.rename(self._away)

    kill = pause = disconnect = stop
    resume = start

    def probe(self) -> None:
        file = self._data / ".probe"
        try:
            file.write_text("ready?")
            file.unlink()
        except OSError as error:
            raise NotReady(str(error)) from None

    def ready(self, deadline_s: float = 60.0) -> None:
        self.probe()

    @property
    def url(self) -> str:
        return f"file://{self._data}"

    def address_options(self, kind: str) -> list[str]:
        return ["--remote_url", self.url]

    @property
    def logs(self) -> list[Path]:
        return []


FOLDER = RemoteType(local=Folder)


class Ended(NamedTuple):
    """A run that has ended: its exit code, what it printed, and its report."""

    code: int
    printed: str
    report: dict[str, Any]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    runs = tmp_path_factory.mktemp("runs")
    printed = io.StringIO()
    settings = RunSettings(
        remotes=(FOLDER,),
        serving="embedded",
        runs=runs,
        leg=LegSettings(releases=2, poll_s=0.5, rate=30, calm_s=0),
    )
    code = run(settings, Console(file=printed, width=80))
    report = json.loads((runs / "latest" / "report.json").read_text())
    return Ended(code, printed.getvalue(), report)


@ONE_RUN
def test_a_leg_runs_over_a_remote_that_only_this_file_knows(ended: Ended) -> None:
    assert ended.code == 0, ended.printed
    assert ended.report["verdict"] == "valid"
    rows = [(row["remote"], row["release"]) for row in ended.report["rows"]]
    assert rows == [("folder", 1), ("folder", 2)]


def shape(line: str) -> str:
    """Return a line of output without what differs between two runs: numbers, paths, widths."""
    line = re.sub(r"\w+://.*", "URL", line)
    line = re.sub(r" /.*", "", line)
    line = re.sub(r"\b(hdfs|ftp|http|folder)\b(?=:| +\d)", "REMOTE", line)
    return re.sub(r"[ ─]+", " ", re.sub(r"[+-]?\d+(\.\d+)?", "N", line)).strip()


@ONE_RUN
def test_a_run_prints_what_the_page_shows(ended: Ended) -> None:
    block = re.search(r"^\$ make e2e\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert block is not None
    lines = block[1].splitlines()
    # The set-up's lines come before the run, and the lines on the binary depend on the machine.
    begin = next(n for n, line in enumerate(lines) if line.startswith("["))
    shown = [line for line in lines[begin:] if not line.startswith(("…", "served by", "set-up"))]
    shown = [
        line for line in shown if "serving" not in line and not line.startswith(("cannot", "-2"))
    ]
    # A long address is on a line of its own.
    printed = re.sub(r"up at\s+", "up at ", ended.printed)
    shapes = {shape(line) for line in printed.splitlines()}
    missing = [line for line in shown if shape(line) not in shapes]
    assert not missing, f"{PAGE.name} shows {missing}; a run printed {ended.printed}"


def test_a_remote_without_containers_is_refused_there_before_anything_starts(
    tmp_path: Path,
) -> None:
    settings = RunSettings(remotes=(FOLDER,), on="docker", runs=tmp_path / "runs")
    with pytest.raises(BadInput, match="the remote folder does not run in containers"):
        run(settings, Console(file=io.StringIO()))
    assert not (tmp_path / "runs").exists()
