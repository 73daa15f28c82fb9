"""The server's process over a reload and over a restart."""

from __future__ import annotations

from harness.conformance.serving.check_http import predicted
from harness.conformance.serving.check_reload_load import turns
from harness.conformance.serving.checks import PRICE, PRICE_2, Subject, same

from .asking import wait_served


def same_process(subject: Subject) -> None:
    """The process that the launcher started is the same after 4 reloads."""
    with subject.launch() as server:
        pid = server.pid
        for number in range(4):
            server.install(turns(subject)[number % 2])
            wait_served(server, (PRICE_2, PRICE)[number % 2], f"release {number + 2}")
        same(server.pid, pid, "the process")


def restart(subject: Subject) -> None:
    """A server that is started again serves the release in the live directory at once."""
    with subject.launch() as server:
        server.install(subject.models / "uci_2")
        server.process.stop()
        server.start()
        same(predicted(server), PRICE_2, "the first answer after the restart")
        server.install(subject.models / "uci")
        wait_served(server, PRICE, "the next release")
