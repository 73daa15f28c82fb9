"""Fixtures of the monitor's tests; what they are made of stands in ``fixtures``."""

from __future__ import annotations

import io
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

import pytest

from monitor import log, remotes
from monitor.__main__ import main
from monitor.remotes.base import Remote
from monitor.stop import Stop
from monitor.watch.watch import Watch

from .fixtures import FtpSite, Site, options_for
from .kinds import Kind
from .processes import Here, Running, Start
from .stepping import MakeWatch

_MEMORY = Path("/dev/shm")


@pytest.fixture
def quiet() -> Iterator[None]:
    """Send the monitor's log into a buffer that no test reads."""
    log.set_up(debug=True, as_json=False, stream=io.StringIO())
    yield
    log.logger.handlers.clear()


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder on tmpfs: a flush takes no time there, and a kill has the same effect."""
    usable = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    with tempfile.TemporaryDirectory(dir=_MEMORY if usable else None) as folder:
        yield Path(folder)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "remote")
    yield site
    site.close()


@pytest.fixture
def ftp_site(tmp_path: Path) -> Iterator[FtpSite]:
    site = FtpSite(tmp_path / "ftp-remote")
    yield site
    site.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Running] = []

    def run(*words: str, env: Optional[dict[str, str]] = None) -> Running:
        one = Running(list(words), tmp_path / f"monitor-{len(started)}.log", env or {})
        started.append(one)
        return one

    yield run
    for one in started:
        one.process.kill()
        one.process.communicate()


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Here:
    """Runs the command line in this process: exit code, standard output, standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(params=["http", "ftp", "ftp-url", "ftp-old", "fsspec"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    if request.param == "fsspec":
        pytest.importorskip("fsspec")
    made = Kind(request.param, tmp_path / "remote")
    yield made
    made.closing()


@pytest.fixture
def remote(kind: Kind, tmp_path: Path) -> Iterator[Remote]:
    with remotes.create(options_for(tmp_path / "local", **kind.options), Stop()) as made:
        yield made


@pytest.fixture
def lines() -> Iterator[list[str]]:
    stream = io.StringIO()
    log.set_up(debug=False, as_json=False, stream=stream)
    kept: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(f"{record.levelname} {record.getMessage()}")

    log.logger.addHandler(Keep())
    yield kept
    log.logger.handlers.clear()


@pytest.fixture
def watch(site: Site, tmp_path: Path, lines: list[str]) -> Iterator[MakeWatch]:
    made: list[Watch] = []

    def make(clock: Callable[[], float] = time.time, **given: object) -> Watch:
        for one in made:
            one.end()
        options = options_for(tmp_path / "local", **{"general_host": site.url, **given})
        stop = Stop()
        one = Watch(options, remotes.create(options, stop), stop, clock=clock)
        one.begin()
        made.append(one)
        return one

    yield make
    for one in made:
        one.end()
