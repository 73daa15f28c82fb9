"""``--notify``: monitors that look as soon as the donefile is there."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.support.ports import free_port
from harness.support.process import Process
from harness.support.waits import wait_for
from tests.unit.monitor.fixtures import Place, Site, closing_all
from tests.unit.monitor.processes import general
from tests.unit.monitor.stepping import live, release_in

from .test_releases import produce


def test_a_monitor_that_is_told_looks_and_one_that_cannot_be_told_is_a_warning(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path / "www")
    token = tmp_path / "token"
    # Not ASCII: both parts write the header as UTF-8.
    token.write_text("pässwort-✓\n", encoding="utf-8")
    port, nobody = free_port(), free_port()
    command = [sys.executable, "-m", "monitor", *general(site, tmp_path), "--interval=1000"]
    command += [f"--metrics_port={port}", f"--poll_token_file={token}"]
    ready = Place(tmp_path / "ready")
    ready.publish(7)
    with closing_all(site), Process("monitor", command, log=tmp_path / "log") as monitor:

        def wait(done: str) -> None:
            wait_for(lambda: done in monitor.log.read_text(), done, 30, log=monitor.log)

        wait("sleep 1000s.")
        words = ["--step", "--notify_token_file", str(token)]
        for url in (f"http://u:pa55w0rd@127.0.0.1:{nobody}/-/poll?key=pa55w0rd",
                    f"http://127.0.0.1:{port}/-/poll"):  # fmt: skip
            words += ["--notify", url]
        said = produce(f"file://{site.root}", tmp_path / "work", *words, stdin=f"{ready.root}\n")
        assert said.returncode == 0, said.stderr
        wait("update model timestamp(fluid_time_file).")
        assert release_in(live(tmp_path)) == 7
        (warning,) = [line for line in said.stdout.splitlines() if "warning" in line]
        assert warning == (
            f"release 7: warning: cannot notify http://127.0.0.1:{nobody}/-/poll: Connection "
            "refused; its next poll finds the release"
        )
        wrong = tmp_path / "wrong"
        wrong.write_text("wrong")
        words = ["--step", "--notify", f"http://127.0.0.1:{port}/-/poll"]
        words += ["--notify_token_file", str(wrong)]
        said = produce(f"file://{site.root}", tmp_path / "work", *words, stdin=f"{ready.root}\n")
        assert said.returncode == 0, said.stderr
        assert "/-/poll: it answered 401 (send 'Authorization: Bearer TOKEN'" in said.stdout


def test_a_token_file_that_cannot_be_read_ends_the_start(tmp_path: Path) -> None:
    done = produce(
        f"file://{tmp_path}/www", tmp_path / "work", "--notify=http://127.0.0.1:1/-/poll",
        f"--notify_token_file={tmp_path}/none", "--step", stdin="",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        f"producer: cannot read --notify_token_file {tmp_path}/none: No such file or directory; "
        "give a readable file\n"
    )
