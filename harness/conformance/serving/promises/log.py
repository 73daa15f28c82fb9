"""The log's lines about reloads, compared with the server's behaviour."""

from __future__ import annotations

from harness.checker.leg_history import RELOAD_BEGIN
from harness.conformance.serving.check_http import predicted
from harness.conformance.serving.check_reload_load import turns
from harness.conformance.serving.checks import PRICE, PRICE_2, Subject, holds, same

from .asking import asked_for, wait_served
from .bad_releases import SPOILS

# docs/serving.md names the lines that prove a reload.
_DONE = "Succ load engine, path:"


def tells_each_load(subject: Subject) -> None:
    """The log has exactly one line `begin reload model[…]` for each load."""
    with subject.launch() as server:
        for number in range(3):
            start = len(server.log())
            server.install(turns(subject)[number % 2])
            wait_served(server, (PRICE_2, PRICE)[number % 2], f"release {number + 2}")
            server.wait_for_log("Finish reload", start)
            same(server.log()[start:].count(RELOAD_BEGIN), 1, f"lines about release {number + 2}")


def tells_the_truth(subject: Subject) -> None:
    """From the line `Succ load engine, path: …` on, every answer is the new release's."""
    with subject.launch() as server:
        for number in range(4):
            start = len(server.log())
            server.install(turns(subject)[number % 2])
            server.wait_for_log(_DONE, start)
            same(predicted(server), (PRICE_2, PRICE)[number % 2], f"release {number + 2}")


def failed_load(subject: Subject) -> None:
    """For a release that cannot be loaded, the log has an error line and no line about success."""
    with subject.launch() as server:
        start = len(server.log())
        SPOILS["corrupt parameters"](server.live)
        server.touch()
        asked_for(server, 2.5, {PRICE})
        text = server.log()[start:]
        holds(RELOAD_BEGIN in text, "the log has no line about the load")
        holds(_DONE not in text, "the log says that the bad release is loaded")
        errors = [line for line in text.splitlines() if line.startswith("E")]
        holds(errors, "the log has no error line about the load")
