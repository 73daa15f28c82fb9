"""The supervisor of a run by hand breaks and mends a real FTP server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.by_hand.supervisor import Supervisor
from harness.checker.history import History, read
from harness.remotes.ftp.local import LocalFtp
from harness.run.leg import Leg
from harness.run.leg_settings import LegSettings

KILL = {"do": "break", "fault": "kill", "parameters": {"target": "remote"}}
REFUSE = {"do": "break", "fault": "refuse", "parameters": {}}


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[LocalFtp]:
    remote = LocalFtp(tmp_path / "ftp")
    remote.start()
    remote.ready()
    yield remote
    remote.stop()


@pytest.fixture
def supervisor(tmp_path: Path, remote: LocalFtp) -> Iterator[Supervisor]:
    """A supervisor of a leg that has a remote and no server."""
    history = History(tmp_path / "history.jsonl")
    settings = LegSettings()
    leg = Leg(remote, [], folder=tmp_path, history=history, settings=settings, mark="")
    supervisor = Supervisor(leg)
    supervisor.ready = True
    yield supervisor
    supervisor.close()
    history.close()


def test_a_part_that_is_down_on_purpose_is_not_broken_again(supervisor: Supervisor) -> None:
    assert "error" not in supervisor.answer(KILL)
    again = supervisor.answer(KILL)
    assert again["exit"] == 2
    assert "remote is down already" in again["error"]

    assert supervisor.answer({"do": "mend"}) == {"mended": ["kill of remote"]}
    supervisor.leg.remote.probe()


def test_a_fault_that_does_not_end_leaves_no_other_fault(
    supervisor: Supervisor, remote: LocalFtp
) -> None:
    supervisor.answer(REFUSE)
    supervisor.answer(KILL)
    # The server cannot start again without its log.
    (log,) = remote.logs
    log.rename(f"{log}.old")
    log.mkdir()
    with pytest.raises(IsADirectoryError):
        supervisor.mend()

    ended = [e["fault"] for e in read(supervisor.leg.history.path) if e["event"] == "fault"]
    assert ended == ["kill", "refuse"]
    assert supervisor.answer({"do": "mend"})["exit"] == 2


def test_an_error_of_the_supervisor_is_a_reply(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = supervisor.answer({"do": "publish", "worse": "corrupt"})
    assert reply["exit"] == 1
    assert "TypeError" in reply["error"]
    assert "Traceback" in capsys.readouterr().err
