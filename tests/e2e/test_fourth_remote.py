"""A new remote takes one class: a plain folder, which the monitor reads through fsspec."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Optional

import pytest
from rich.console import Console

from harness.remotes.base import NotReady, Remote
from harness.remotes.registry import RemoteType
from harness.run.e2e import RunSettings, run
from harness.run.leg_settings import LegSettings
from harness.support.errors import BadInput

pytest.importorskip("fsspec")


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


def test_a_leg_runs_over_a_remote_that_only_this_file_knows(tmp_path: Path) -> None:
    printed = io.StringIO()
    settings = RunSettings(
        remotes=(FOLDER,),
        serving="embedded",
        runs=tmp_path / "runs",
        leg=LegSettings(releases=2, poll_s=0.5, rate=30, calm_s=0),
    )
    code = run(settings, Console(file=printed, width=140))
    assert code == 0, printed.getvalue()
    report = json.loads((tmp_path / "runs" / "latest" / "report.json").read_text())
    assert report["verdict"] == "valid"
    rows = [(row["remote"], row["release"]) for row in report["rows"]]
    assert rows == [("folder", 1), ("folder", 2)]


def test_a_remote_without_containers_is_refused_there_before_anything_starts(
    tmp_path: Path,
) -> None:
    settings = RunSettings(remotes=(FOLDER,), on="docker", runs=tmp_path / "runs")
    with pytest.raises(BadInput, match="the remote folder does not run in containers"):
        run(settings, Console(file=io.StringIO()))
    assert not (tmp_path / "runs").exists()
