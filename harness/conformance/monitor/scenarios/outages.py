"""Remotes that are down, break, hang or refuse: nothing is lost, and the old model serves on."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

from .. import judge, packing
from ..places.http import bare_server, guarded_server
from ..releases import DONEFILE_NAME, Release
from ..stage import NotMet, Stage
from .base import Scenario

# Large enough that no buffer between two programs holds a whole tarball.
_SIZE = 3 << 20
_KEPT_OF_PULL = 1 << 20
# How long after a refusal a monitor may take to say so, beside two polls.
_SAYS_S = 1.0

_KEPT = (judge.settles_whole, judge.keeps_running)


def _large(stage: Stage, number: int) -> Release:
    return stage.releases[number].padded(_SIZE, stage.settings.seed)


class DownAtStart(Scenario):
    name = "remote-down-at-start"
    title = "A monitor that starts while the remote is down waits for it."
    loss = "After a power cut every monitor has to be started by hand."
    claims = (*_KEPT, judge.ends_with("release 1"))

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.place.down()
        stage.start_monitor()
        stage.let_it_try()
        stage.place.up()
        stage.expect_live(stage.releases[1], stage.settings.recovery)


class DownBetweenPolls(Scenario):
    name = "remote-down-between-polls"
    title = "After a remote has been down between two polls, the next release arrives."
    loss = "A restart of the remote, or an idle time-out, ends hot loading."
    claims = (*_KEPT, judge.ends_with("release 2"))

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        stage.let_polls_pass(1)
        stage.place.down()
        stage.let_it_try()
        stage.place.up()
        later = stage.remote.second(DONEFILE_NAME) + 120
        stage.publish(stage.releases[2], second=later)
        stage.expect_live(stage.releases[2], stage.settings.recovery)


class CutInTransfer(Scenario):
    name = "remote-cut-in-transfer"
    title = "A pull that breaks in the middle is tried again, without a new announcement."
    loss = "One broken connection loses a release, or ends the monitor."
    claims = (*_KEPT, judge.ends_with("release 1"))

    def act(self, stage: Stage) -> None:
        large = _large(stage, 1)
        stage.publish(large)
        stage.place.cut_after(stage.place.stop_at)
        stage.start_monitor()
        stage.expect(lambda: stage.place.held() > 0, "a pull to be cut in the middle")
        stage.let_polls_pass(2)
        stage.place.up()
        stage.expect_live(large, stage.settings.recovery)


class SilentInTransfer(Scenario):
    name = "remote-silent-in-transfer"
    length = 4.0
    title = "After a time the monitor gives up a pull that stands still, and tries it again."
    loss = "One packet that a firewall drops stops hot loading until a person notices."
    claims = (*_KEPT, judge.ends_with("release 1"))

    def act(self, stage: Stage) -> None:
        large = _large(stage, 1)
        stage.publish(large)
        stage.place.silent_after(stage.place.stop_at)
        stage.start_monitor()
        stage.expect(lambda: stage.place.held() > 0, "a pull to fall silent in the middle")
        # New connections work again; the silent one stays silent.
        stage.place.spare_others()
        stage.expect_live(large, stage.settings.silence + stage.settings.recovery)


class ReplacedDuringPull(Scenario):
    name = "replaced-during-pull"
    title = "A release that is replaced while it is pulled is never mixed with the new one."
    loss = "The server gets the head of one tarball and the tail of another."
    claims = (*_KEPT, judge.ends_with("release 2"))

    def act(self, stage: Stage) -> None:
        first, second = _large(stage, 1), _large(stage, 2)
        stage.publish(first)
        stage.place.silent_after(stage.place.stop_at)
        stage.start_monitor()
        stage.expect(lambda: stage.place.held() > 0, "a pull to be in the middle")
        later = stage.remote.second(DONEFILE_NAME) + 120
        # An upload is not stopped: ``silent_after`` counts only bytes that come down.
        stage.publish(second, second=later)
        stage.place.go_on()
        stage.expect_live(second, stage.settings.recovery)


class ReplacedAfterCut(Scenario):
    """Plain archives of one size, announced without a manifest.

    Only the remote's time or tag of the file shows a monitor that it must not continue a cut pull.
    """

    name = "replaced-after-a-cut"
    title = "A pull that was cut does not continue in a tarball that was replaced meanwhile."
    loss = (
        "The server gets the head of one tarball and the tail of another, and no checksum shows it."
    )
    # A hadoop command begins again by itself, or continues in the file that it has opened.
    places = frozenset({"http", "ftp", "webhdfs", "fsspec"})
    claims = (*_KEPT, judge.ends_with("release 2"))

    def act(self, stage: Stage) -> None:
        first, second = (_plain(_large(stage, number)) for number in (1, 2))
        assert len(first.tarball) == len(second.tarball), "two releases of one model differ in size"
        # An hour old: the HTTP date of a new file does not prove that the file is the same.
        stage.upload(first, int(time.time()) - 3600)
        stage.announce(first, b"")
        before = stage.place.traffic()
        stage.place.silent_after(stage.place.stop_at)
        stage.start_monitor()
        stage.expect(lambda: stage.place.held() > 0, "a pull to begin")
        # If each block is a transfer, do not stop in the first one: nothing of it would be kept.
        while stage.place.traffic() - before < _KEPT_OF_PULL:
            stage.place.silent_after(stage.place.stop_at)
            stage.expect(lambda: stage.place.held() > 0, "a pull to be in the middle")
        # Replace the file while the pull stands still: a pull that continues gets the new file.
        stage.upload(second)
        stage.watch_pull(second)
        stage.place.up()
        stage.expect_pull(stage.settings.recovery)
        # A wrong mixture has to show before the donefile announces the second release.
        stage.let_time_pass(2 * stage.poll_s + 1.0, stage.alive)
        stage.announce(second, b"", stage.remote.second(DONEFILE_NAME) + 120)
        stage.expect_live(second, stage.settings.recovery)


def _plain(release: Release) -> Release:
    return replace(release, tarball=packing.plain(release.members, release.top))


class Refuses(Scenario):
    name = "remote-refuses"
    title = "After a remote has answered 401, and later 503, for a while, releases arrive."
    loss = "A token that expired for an hour, or an overloaded server, ends hot loading."
    places = frozenset({"http"})
    claims = (*_KEPT, judge.each_was_live("release 1", "release 2"), judge.ends_with("release 2"))

    def act(self, stage: Stage) -> None:
        status = stage.folder / "status"
        with bare_server(stage, status):
            stage.publish(stage.releases[1])
            status.write_text("401")
            stage.start_monitor()
            stage.let_it_try()
            status.unlink()
            stage.expect_live(stage.releases[1], stage.settings.recovery)
            status.write_text("503")
            stage.publish(stage.releases[2])
            stage.let_it_try()
            status.unlink()
            stage.expect_live(stage.releases[2], stage.settings.recovery)


class WrongCredentials(Scenario):
    name = "wrong-credentials"
    title = (
        "Wrong credentials (a password, on HDFS a user without permission) harm nothing. The log "
        "reports them in plain words, and never has the password."
    )
    loss = "The password ends up in a log that many can read, or the user gets only a traceback."
    claims = (
        judge.ends_with("release 0"),
        judge.refusal_was_met_and_said,
        judge.secret_stays_secret,
        judge.no_traceback,
    )

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        with stage.place.refusing(stage) as refused:
            stage.start_monitor()
            # The monitor may end, or go on trying.
            with contextlib.suppress(NotMet):
                stage.expect(lambda: refused() > 0, "a login to be refused")
                stage.let_time_pass(2 * stage.poll_s + _SAYS_S, stage.alive)
            stage.observed.figures["logins refused"] = [float(refused())]
            stage.observed.unmet.clear()
            stage.runs.note_processes()


class PermissionComes(Scenario):
    name = "permission-comes-later"
    title = "A monitor that was refused goes on trying, and pulls once it is allowed to."
    loss = "After the rights at the remote are corrected, each monitor needs a restart."
    places = frozenset({"hdfs", "webhdfs"})
    claims = (*_KEPT, judge.ends_with("release 1"), judge.refusal_was_met_and_said)

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        with stage.place.refusing(stage) as refused:
            stage.start_monitor()
            stage.expect(lambda: refused() > 0, "the user to be refused")
            stage.observed.figures["logins refused"] = [float(refused())]
            stage.let_time_pass(2 * stage.poll_s + _SAYS_S, stage.alive)
            stage.remote.let_all_read()
            stage.expect_live(stage.releases[1], stage.settings.recovery)


class WrongToken(Scenario):
    name = "wrong-token"
    title = "A token that is unknown (401), or may not read (403), harms nothing and stays secret."
    loss = "The token ends up in a log that many can read, or the user gets only a traceback."
    places = frozenset({"http"})
    needs = ("http_token",)
    claims = (
        judge.ends_with("release 0"),
        judge.refusal_was_met_and_said,
        judge.both_refusals_were_met,
        judge.secret_stays_secret,
        judge.no_traceback,
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        secret = f"token-{stage.settings.seed}-of-nobody"
        stage.options["http_token"] = stage.observed.facts["secret"] = secret
        stage.publish(stage.releases[1])
        seen: set[int] = set()
        # The first server does not know the token: 401. The second lets only others read: 403.
        for access in ({}, {f"Bearer {secret}": False}):
            with guarded_server(stage, access) as refused:
                stage.start_monitor()
                stage.expect(lambda refused=refused: refused(), "a refusal")  # type: ignore[misc]
                stage.let_time_pass(2 * stage.poll_s + _SAYS_S, stage.alive)
                stage.runs.note_processes()
                seen.update(refused())
                stage.runs.stop(term=True)
        stage.observed.figures["logins refused"] = [float(status) for status in sorted(seen)]


class PasswordInLog(Scenario):
    name = "password-stays-secret"
    title = "The password is in no log line and no command line of a process it starts."
    loss = "Each person who may read the log can write models to the remote."
    places = frozenset({"http", "ftp", "fsspec"})
    claims = (judge.ends_with("release 1"), judge.secret_stays_secret)

    def act(self, stage: Stage) -> None:
        with stage.place.trusting(stage):
            stage.publish(stage.releases[1])
            stage.start_monitor()
            # Look all the time: a process that the monitor starts for a pull lives for a moment.
            stage.expect_live(stage.releases[1], while_waiting=stage.runs.note_processes)
            stage.runs.note_processes()


SCENARIOS: tuple[type[Scenario], ...] = (
    DownAtStart,
    DownBetweenPolls,
    CutInTransfer,
    SilentInTransfer,
    ReplacedDuringPull,
    ReplacedAfterCut,
    Refuses,
    WrongCredentials,
    PermissionComes,
    WrongToken,
    PasswordInLog,
)
