"""What is odd about the machine: mount points, layers, links, other disks, its clock, rights."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Optional

from harness.faults import clock
from harness.support.live_directory import TIME_FILE

from .. import judge
from ..places.base import Place
from ..releases import DONEFILE_NAME
from ..settings import Settings
from ..stage import Stage, write_first
from .base import Scenario
from .in_namespace import InNamespace


class MountPoint(InNamespace):
    name = "live-directory-is-a-mount-point"
    title = "A live directory that is a mount point gets new releases, its time file last."
    loss = "In a container that mounts the model folder itself, no model ever arrives."
    whole_throughout = False
    claims = (
        judge.time_file_moves_last,
        judge.each_was_live("release 1", "release 2"),
        judge.ends_with("release 2"),
        judge.server_reloads_every_swap,
        judge.keeps_running,
    )

    def prepare(self, stage: Stage) -> None:
        super().prepare(stage)
        self.namespace.mount("-t", "tmpfs", "-o", self.size, "none", str(stage.live))
        stage.install(stage.releases[0])

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        later = stage.remote.second(DONEFILE_NAME) + 120
        stage.publish(stage.releases[2], second=later)
        stage.expect_live(stage.releases[2])
        stage.let_polls_pass(1)


class LowerLayer(InNamespace):
    """The view of a container whose image holds the first model."""

    name = "live-directory-in-an-image"
    title = "A live directory that comes from a container image's layer gets new releases."
    loss = "In a container that was built with a model in it, no newer model ever arrives."
    # A folder of a lower layer cannot be renamed, nor exchanged: the first release can only take
    # its place once it was emptied. What a server may see meanwhile is claimed below.
    whole_throughout = False
    claims = (
        judge.settles_whole,
        judge.each_was_live("release 1", "release 2"),
        judge.ends_with("release 2"),
        judge.server_reloads_every_swap,
        judge.keeps_running,
    )

    def prepare(self, stage: Stage) -> None:
        super().prepare(stage)
        # On a tmpfs: an overlay on an overlay (this program may run in a container) is refused.
        layers = stage.folder / "layers"
        layers.mkdir()
        self.namespace.mount("-t", "tmpfs", "-o", self.size, "none", str(layers))
        lower, upper, work = (layers / name for name in ("lower", "upper", "work"))
        for folder in (lower, upper, work):
            stage.seen(folder).mkdir()
        write_first(stage.releases[0], stage.seen(lower) / stage.live.name)
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        if os.geteuid() != 0:
            # In a user namespace overlayfs cannot rename without it (podman sets it as well).
            options += ",userxattr"
        self.namespace.mount("-t", "overlay", "-o", options, "none", str(stage.local))

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        later = stage.remote.second(DONEFILE_NAME) + 120
        stage.publish(stage.releases[2], second=later)
        stage.expect_live(stage.releases[2])


class TmpElsewhere(InNamespace):
    name = "temporary-path-on-another-disk"
    title = "The folder for temporary files may be on another disk than the model."
    loss = "A large disk for downloads cannot be used, or the swap is a slow copy."
    claims = (judge.settles_whole, judge.ends_with("release 1"), judge.keeps_running)

    def act(self, stage: Stage) -> None:
        stage.seen(stage.tmp).mkdir()
        self.namespace.mount("-t", "tmpfs", "-o", self.size, "none", str(stage.tmp))
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])


class LiveDeleted(Scenario):
    name = "live-directory-deleted"
    title = (
        "After somebody deleted the live directory, the monitor installs the announced release "
        "again."
    )
    loss = "After an accident the server cannot start until the next release is published."
    whole_throughout = False
    claims = (judge.ends_with("release 1"), judge.keeps_running)

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        stage.let_polls_pass(1)
        stage.runs.stop(term=True)
        shutil.rmtree(stage.live)
        stage.expect(lambda: stage.now_live == "absent", "the live directory to be gone")
        stage.start_monitor()
        stage.expect_live(stage.releases[1])


class SymbolicLinkLive(Scenario):
    name = "live-directory-is-a-link"
    title = "A live directory that is a symbolic link gets new releases, whole at once."
    loss = "A user who keeps models in dated folders behind a link gets no new models."
    claims = (
        judge.settles_whole,
        judge.each_was_live("release 1", "release 2"),
        judge.ends_with("release 2"),
        judge.server_reloads_every_swap,
        judge.keeps_running,
    )

    def prepare(self, stage: Stage) -> None:
        real = stage.local / "models" / "first"
        real.mkdir(parents=True)
        stage.live.symlink_to(real)
        stage.install(stage.releases[0])

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        later = stage.remote.second(DONEFILE_NAME) + 120
        stage.publish(stage.releases[2], second=later)
        stage.expect_live(stage.releases[2])


_HOUR = 3600
_MOVES_ON = (
    judge.settles_whole,
    judge.each_was_live("release 1", "release 2"),
    judge.ends_with("release 2"),
    judge.server_reloads_every_swap,
    judge.second_never_goes_back,
    judge.keeps_running,
)


class ClockSetBack(Scenario):
    """The monitor goes by a clock of its own (``clock``), which is set back while it runs."""

    name = "clock-set-back"
    title = (
        "When the clock is set back by an hour, the next release is not late. Its time file still "
        "moves on from the last second used."
    )
    loss = "The server takes the new release's time for one it has seen, or nothing comes for long."
    claims = _MOVES_ON

    def cannot(self, place: Place, settings: Settings) -> Optional[str]:
        return clock.why_not()

    def act(self, stage: Stage) -> None:
        own = clock.Clock(stage.folder)
        stage.runs.added.update(own.environment)
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        # The clock changes while the monitor sleeps. The sleep must not take an hour more.
        stage.let_polls_pass(1)
        own.set(-_HOUR)
        later = stage.remote.second(DONEFILE_NAME) + 120
        stage.publish(stage.releases[2], second=later)
        stage.expect_live(stage.releases[2])


class ClockWrongAtStart(Scenario):
    """A monitor starts after the clock was set back.

    It finds a time file whose second lies an hour ahead of the clock.
    """

    name = "clock-behind-the-time-file"
    title = (
        "A monitor whose clock is behind the time file's second still moves that second forward."
    )
    loss = (
        "After a start with a wrong clock the server does not load new releases, or loads them "
        "twice."
    )
    claims = _MOVES_ON

    def prepare(self, stage: Stage) -> None:
        super().prepare(stage)
        ahead = time.time() + _HOUR
        os.utime(stage.live / TIME_FILE, (ahead, ahead))

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        later = stage.remote.second(DONEFILE_NAME) + 120
        stage.publish(stage.releases[2], second=later)
        stage.expect_live(stage.releases[2])


class KeepsRights(Scenario):
    name = "rights-stay"
    title = "Owner and mode of the live directory stay what they were."
    loss = "A server that runs as another user cannot read the new model."
    claims = (judge.settles_whole, judge.ends_with("release 1"), judge.same_rights)

    def cannot(self, place: Place, settings: Settings) -> Optional[str]:
        return None if os.geteuid() == 0 else "needs root to give a directory to another user"

    def prepare(self, stage: Stage) -> None:
        super().prepare(stage)
        os.chmod(stage.live, 0o2751)
        os.chown(stage.live, 12345, 23456)
        os.chmod(stage.live, 0o2751)  # chown takes the set-group-ID bit away
        stage.observed.facts["rights before"] = _rights(stage.live)

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        stage.observed.facts["rights after"] = _rights(stage.live)


def _rights(path: Path) -> str:
    status = path.stat()
    return f"{status.st_mode & 0o7777:o} {status.st_uid}:{status.st_gid}"


SCENARIOS: tuple[type[Scenario], ...] = (
    MountPoint,
    LowerLayer,
    TmpElsewhere,
    LiveDeleted,
    SymbolicLinkLive,
    ClockSetBack,
    ClockWrongAtStart,
    KeepsRights,
)
