"""Another producer's command publishes to a real FTP server."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from harness.checker.history import History
from harness.remotes.ftp.local import LocalFtp
from harness.run.leg_settings import LegSettings
from harness.run.producer_command import ProducerCommand
from harness.support.errors import Failed
from tests.conftest import Releases

# Uploads one release. The manifest has the number that ``numbers`` gives.
PRODUCER = """
import ftplib, io, json, sys
releases, numbers, turn, host, port, user, password, path, tarball, donefile = sys.argv[1:]
folder = f"{releases}/{turn}"
with open(f"{folder}/donefile", "rb") as file:
    manifest = json.load(file)
manifest["release"] = json.loads(numbers)[int(turn) - 1]
with ftplib.FTP() as ftp:
    ftp.connect(host, int(port))
    ftp.login(user, password)
    ftp.cwd(path)
    with open(f"{folder}/{tarball}", "rb") as file:
        ftp.storbinary(f"STOR {tarball}", file)
    ftp.storbinary(f"STOR {donefile}", io.BytesIO(json.dumps(manifest).encode()))
"""
PLACES = (
    *("{release}", "{ftp_host}", "{ftp_port}", "{ftp_username}", "{ftp_password}"),
    *("{remote_path}", "{remote_model_name}", "{remote_donefile_name}"),
)


def test_a_number_that_the_producer_repeats_is_refused_in_one_sentence(
    tmp_path: Path, releases: Releases
) -> None:
    script = tmp_path / "producer.py"
    script.write_text(PRODUCER)
    words = [sys.executable, str(script), str(releases.folder / "releases"), "[1, 1]", *PLACES]
    history = History(tmp_path / "history.jsonl")
    remote = LocalFtp(tmp_path / "ftp")
    settings = LegSettings(producer_cmd=shlex.join(words))
    remote.start()
    try:
        remote.ready()
        publisher = ProducerCommand(
            remote, folder=tmp_path, history=history, settings=settings, mark="", say=print
        )
        assert publisher.announce("", lambda: None)["release"] == 1
        with pytest.raises(Failed, match="published release 1 a second time with other content"):
            publisher.announce("", lambda: None)
    finally:
        remote.stop()
        history.close()
