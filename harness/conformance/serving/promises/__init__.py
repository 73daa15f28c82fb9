"""What clients and operators may rely on while a server reloads.

A fact (``harness.conformance.serving.facts``) says what Paddle Serving 0.9.0 does, good or bad. A
promise says what every server should do. So a server can differ from the facts and keep all
promises, and the real server breaks some of them.
"""

from __future__ import annotations

from functools import partial
from typing import Callable, NamedTuple

from harness.conformance.serving.checks import Subject

from . import answers, bad_releases, growth, log, processes, rule


class Promise(NamedTuple):
    """One promise.

    ``check`` raises ``Differs`` if the server breaks it; its docstring is the promise. ``loss``
    says what a user loses then.
    """

    id: str
    check: Callable[[Subject], None]
    loss: str

    @property
    def sentence(self) -> str:
        """Return the promise, with the check's arguments filled in."""
        check = self.check
        words = check.keywords if isinstance(check, partial) else {}
        function = check.func if isinstance(check, partial) else check
        text = " ".join((function.__doc__ or "").split()).format(**words)
        return text[:1].upper() + text[1:]


PROMISES = (
    Promise(
        "rule/newer-second",
        rule.newer_second,
        "A release is installed, and the old model serves on for ever.",
    ),
    Promise(
        "rule/older-second",
        rule.older_second,
        "A rollback that restores an old time file changes nothing.",
    ),
    Promise(
        "rule/future-second",
        rule.future_second,
        "After a burst of releases the time file is in the future, and the last one is not served.",
    ),
    Promise(
        "rule/last-of-a-burst",
        rule.last_of_a_burst,
        "A release that arrives during a load is never served.",
    ),
    Promise(
        "rule/no-change-no-load",
        rule.no_change_no_load,
        "Every needless load costs memory, processor time and latency.",
    ),
    *(
        Promise(
            f"bad/{what.replace('a ', '').replace(' ', '-')}",
            partial(bad_releases.serves_on, damage=what),
            "One bad release ends the service, or answers wrongly, until somebody repairs it.",
        )
        for what in bad_releases.SPOILS
    ),
    Promise(
        "bad/folder-gone",
        bad_releases.folder_gone,
        "A monitor that replaces the folder in two steps ends the service.",
    ),
    Promise(
        "bad/time-file-gone",
        bad_releases.time_file_gone,
        "A lost time file ends the service, or the next release is not served.",
    ),
    Promise("answers/none-fails", answers.none_fails, "Users see errors at every release."),
    Promise(
        "answers/large-ones-in-flight",
        answers.large_ones_in_flight,
        "Long requests fail at every release.",
    ),
    Promise(
        "answers/while-loading",
        answers.while_loading,
        "Users wait at every release, and longer for a larger model.",
    ),
    Promise(
        "answers/no-mixture",
        answers.no_mixture,
        "A prediction comes from no model that anybody has tested.",
    ),
    Promise(
        "answers/no-step-back",
        answers.no_step_back,
        "A client gets the old prediction after the new one, and no deployment is ever finished.",
    ),
    Promise(
        "answers/request-cache",
        answers.request_cache,
        "The cache gives the old model's predictions for as long as it keeps them.",
    ),
    Promise(
        "answers/every-protocol",
        answers.every_protocol,
        "Clients of another protocol stay on the old model.",
    ),
    Promise(
        "answers/open-connections",
        answers.open_connections,
        "Clients with a pool of connections see errors, or the old model, after a release.",
    ),
    Promise(
        "log/tells-each-load",
        log.tells_each_load,
        "The log does not tell which release serves, and alerts do not fire.",
    ),
    Promise(
        "log/tells-the-truth",
        log.tells_the_truth,
        "The log says that a release is loaded while the old one still answers.",
    ),
    Promise(
        "log/failed-load",
        log.failed_load,
        "The log says that a bad release is loaded, or says nothing about it.",
    ),
    Promise(
        "processes/same",
        processes.same_process,
        "A restart at every release loses requests and the state of the process.",
    ),
    Promise(
        "processes/restart",
        processes.restart,
        "After a restart an old release serves.",
    ),
    Promise(
        "growth/memory",
        growth.memory,
        "The server runs out of memory after enough releases.",
    ),
    Promise(
        "growth/descriptors",
        partial(growth.flat, what="descriptors"),
        "The server runs out of descriptors after enough releases.",
    ),
    Promise(
        "growth/threads",
        partial(growth.flat, what="threads"),
        "The server runs out of threads after enough releases.",
    ),
)
