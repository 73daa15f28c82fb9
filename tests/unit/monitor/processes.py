"""``python -m monitor`` as a process, and the command lines that the tests give it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from harness.support.waits import wait_for

from .fixtures import MODEL, TARBALL, FtpSite, Site

ROOT = Path(__file__).parents[3]
# The limit for an end that should take a second, in seconds; the machine may be busy. In the tests,
# an end that waits for something takes 50 s or more.
SOON_S = 20
Start = Callable[..., "Running"]
Here = Callable[..., "tuple[int, str, str]"]


class Running:
    """A monitor's process and what it has written so far."""

    def __init__(self, words: list[str], log: Path, env: dict[str, str]) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monitor", *words],
                stdout=subprocess.PIPE,
                stderr=out,
                cwd=ROOT,
                env={**os.environ, **env},
            )

    @property
    def text(self) -> str:
        return self.log.read_text()

    def saw(self, words: str, times: int = 1) -> None:
        wait_for(
            lambda: self.text.count(words) >= times,
            f"{words!r} in the monitor's log",
            60,
            last_seen=lambda: self.text[-2000:],
        )

    def end(self, deadline_s: float = 60) -> int:
        return self.process.wait(deadline_s)


def common(tmp_path: Path) -> list[str]:
    (tmp_path / "local").mkdir(exist_ok=True)
    return [
        "--remote_path=/", f"--remote_model_name={TARBALL}", "--remote_donefile_name=donefile",
        f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}",
        f"--unpacked_filename={MODEL}",
    ]  # fmt: skip


def general(site: Site, tmp_path: Path) -> list[str]:
    return [f"--general_host={site.url}", *common(tmp_path)]


def ftp(site: FtpSite, tmp_path: Path) -> list[str]:
    """The command line for ``site``, without the password."""
    return [
        "--type=ftp", f"--ftp_host={site.host}", f"--ftp_port={site.port}",
        f"--ftp_username={site.USER}", *common(tmp_path),
    ]  # fmt: skip


def hadoop_or_skip() -> Path:
    """The real ``hadoop`` command; skips where there is no Java or no jars."""
    from harness.remotes import hdfs as hadoop
    from harness.support.errors import HarnessError

    try:
        hadoop.fetch_jars()
        return hadoop.hadoop_command()
    except (HarnessError, ImportError) as error:
        pytest.skip(f"no hadoop command here: {error}")
