"""What is wrong with the disk: full, full of files, read-only."""

from __future__ import annotations

from .. import judge
from ..releases import DONEFILE_NAME, Release
from ..stage import Stage
from .base import Scenario
from .in_namespace import InNamespace

_KEPT = (judge.settles_whole, judge.keeps_running)
# Several releases of 2 MiB fit on the disk of 16 MiB. None fits when 1 MiB is left.
_RELEASE_SIZE = 2 << 20
_LEFT_FREE = 1 << 20
# Enough inodes for a pull and for the first files of the tarball.
_FILES_LEFT = 30
_FILES = 60


class DiskFull(InNamespace):
    name = "disk-full"
    title = (
        "On a full disk the old release stays live and whole; with space again, the new one comes."
    )
    loss = "A full disk leaves half a model live, or the release is never tried again."
    claims = (*_KEPT, judge.ends_with("release 2"))

    def act(self, stage: Stage) -> None:
        first, second = (_sized(stage, number) for number in (1, 2))
        stage.publish(first)
        stage.start_monitor()
        stage.expect_live(first)
        self.disk.fill(_LEFT_FREE)
        later = stage.remote.second(DONEFILE_NAME) + 120
        stage.publish(second, second=later)
        stage.let_polls_pass(3)
        self.disk.clear()
        stage.expect_live(second, stage.settings.recovery)


def _sized(stage: Stage, number: int) -> Release:
    return stage.releases[number].padded(_RELEASE_SIZE, stage.settings.seed)


class FullWhileUnpacking(InNamespace):
    """The disk has no inodes left. A monitor could see a lack of bytes before it unpacks."""

    name = "disk-full-while-unpacking"
    title = (
        "A disk that gets full in the middle of unpacking leaves the old release live and whole; "
        "with space again, the new one comes."
    )
    loss = "What was unpacked until then is served as if it were the whole model."
    claims = (*_KEPT, judge.ends_with("release 2"))
    size = "size=16m,nr_inodes=400"

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        self.disk.fill_with_files(_FILES_LEFT)
        many = {f"words/{number:02}.txt": b"%d\n" % number for number in range(_FILES)}
        second = stage.releases[2].with_files(many)
        stage.watch_pull(second)
        stage.publish(second, second=stage.remote.second(DONEFILE_NAME) + 120)
        stage.expect_pull()
        stage.let_polls_pass(2)
        self.disk.clear()
        stage.expect_live(second, stage.settings.recovery)


class ReadOnly(InNamespace):
    name = "read-only-disk"
    title = (
        "While the local path is read-only nothing breaks; when it is writable, the new release "
        "comes."
    )
    loss = "A file system that went read-only for a minute ends hot loading."
    claims = (*_KEPT, judge.ends_with("release 2"))

    def read_only(self, stage: Stage) -> str:
        """What becomes read-only: a folder of the local path."""
        return "."

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        stage.let_polls_pass(1)
        self.disk.make_read_only(self.read_only(stage))
        later = stage.remote.second(DONEFILE_NAME) + 120
        stage.publish(stage.releases[2], second=later)
        stage.let_polls_pass(3)
        self.disk.make_writable(self.read_only(stage))
        stage.expect_live(stage.releases[2], stage.settings.recovery)


class LiveReadOnly(ReadOnly):
    name = "live-directory-read-only"
    title = (
        "While only the live directory is read-only nothing breaks; when it is writable, the new "
        "release comes."
    )
    loss = "A model folder that was mounted read-only by mistake ends hot loading."

    def read_only(self, stage: Stage) -> str:
        return stage.live.name


SCENARIOS: tuple[type[Scenario], ...] = (DiskFull, FullWhileUnpacking, ReadOnly, LiveReadOnly)
