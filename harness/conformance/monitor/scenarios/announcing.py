"""Releases announced in every legal way, by remotes that work: what must become live, and when."""

from __future__ import annotations

import random
import shlex
from dataclasses import replace

from .. import judge, packing
from ..places.ftp import foreign_server
from ..places.hdfs import HdfsPlace
from ..places.http import bare_server, lying_server
from ..releases import DONEFILE_NAME, MODEL_NAME
from ..stage import Stage
from .base import Scenario

_WHOLE = judge.settles_whole


class HappyPath(Scenario):
    name = "happy-path"
    title = "Releases published one after another become live one after another."
    loss = "New models do not arrive at all."
    claims = (
        _WHOLE,
        judge.each_was_live("release 1", "release 2", "release 3"),
        judge.ends_with("release 3"),
        judge.server_reloads_every_swap,
        judge.second_never_goes_back,
        judge.swaps_at_most(3),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        for release in stage.releases[2:4]:
            # Another scenario publishes twice in one second.
            stage.let_time_pass(1)
            stage.publish(release)
            stage.expect_live(release)
        stage.let_polls_pass()


class EmptyDonefile(Scenario):
    name = "empty-donefile"
    title = "Releases announced by an empty donefile, as upstream's producer writes it, arrive."
    loss = "A producer written after upstream's hot-loading page cannot be used."
    claims = (
        _WHOLE,
        judge.each_was_live("release 1", "release 2"),
        judge.ends_with("release 2"),
        judge.server_reloads_every_swap,
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1], b"")
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        stage.publish(stage.releases[2], b"", second=stage.remote.second(DONEFILE_NAME) + 2)
        stage.expect_live(stage.releases[2])


class ForeignDonefile(Scenario):
    name = "foreign-donefile"
    title = "A donefile with text, a number, bytes or JSON of another tool announces a release."
    loss = "A donefile that another tool writes is taken for damage, and no model arrives."
    claims = (
        _WHOLE,
        judge.each_was_live("release 1", "release 2", "release 3", "release 4"),
        judge.ends_with("release 4"),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1], b"done\n")
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        second = stage.remote.second(DONEFILE_NAME)
        donefiles = (b"20261123\n", b'{"format": 7, "release": "x"}', bytes(range(256)))
        for release, donefile in zip(stage.releases[2:5], donefiles):
            second += 2
            stage.publish(release, donefile, second=second)
            stage.expect_live(release)


class DonefileBeforeModel(Scenario):
    name = "donefile-before-model"
    title = "The monitor tries a donefile again until its tarball is there."
    loss = "A release is lost for good because its parts arrived in the wrong order."
    claims = (_WHOLE, judge.ends_with("release 1"), judge.keeps_running)

    def act(self, stage: Stage) -> None:
        stage.announce(stage.releases[1])
        stage.start_monitor()
        stage.let_polls_pass()
        stage.upload(stage.releases[1])
        stage.expect_live(stage.releases[1], stage.settings.recovery)


class NoDonefileAtStart(Scenario):
    name = "no-donefile-at-start"
    title = "A monitor that starts before anything was published waits for the first release."
    loss = "The monitor has to be started by hand after the first release."
    claims = (_WHOLE, judge.ends_with("release 1"), judge.keeps_running)

    def act(self, stage: Stage) -> None:
        stage.start_monitor()
        stage.let_polls_pass()
        stage.publish(stage.releases[1])
        stage.expect_live(stage.releases[1])


class NoLiveDirectory(Scenario):
    name = "no-live-directory"
    title = "Where there is no live directory yet, the first release makes it, whole at once."
    loss = "A first model has to be put in place by hand, or a server starts on half of one."
    whole_throughout = False
    claims = (judge.whole_once_installed, judge.ends_with("release 1"), judge.keeps_running)

    def prepare(self, stage: Stage) -> None:
        stage.seen(stage.local).mkdir(parents=True)

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        stage.let_polls_pass(1)


class TwoInOneSecond(Scenario):
    name = "two-in-one-second"
    title = "Two releases whose donefiles have the same second are both installed."
    loss = "The second of two releases is never served."
    claims = (
        _WHOLE,
        judge.each_was_live("release 1", "release 2"),
        judge.ends_with("release 2"),
        judge.server_reloads_every_swap,
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        # The scenario sets the second: a monitor must see the first donefile before the next one.
        stage.publish(stage.releases[2], second=stage.remote.second(DONEFILE_NAME))
        stage.expect_live(stage.releases[2])


class SameSizeAndSecond(Scenario):
    name = "same-size-and-second"
    title = "A donefile of the same size and second as before, but other content, is a change."
    loss = "A release is never served because its announcement looks like the one before."
    claims = TwoInOneSecond.claims

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1], _sized(stage.releases[1].donefile()))
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        second = stage.remote.second(DONEFILE_NAME)
        donefile = _sized(stage.releases[2].donefile())
        stage.publish(stage.releases[2], donefile, second=second)
        stage.expect_live(stage.releases[2])


def _sized(donefile: bytes) -> bytes:
    """The same JSON in exactly 4,096 bytes: spaces before the end mean nothing."""
    return donefile.rstrip() + b" " * (4095 - len(donefile.rstrip())) + b"\n"


class TouchedWithoutChange(Scenario):
    name = "touched-without-change"
    title = "A donefile with a manifest that is only touched makes the server reload nothing."
    loss = "Every backup or copy of the remote makes all servers reload, and resets their caches."
    claims = (
        _WHOLE,
        judge.ends_with("release 1"),
        judge.swaps_at_most(1),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        stage.let_polls_pass(2)
        stage.remote.touch(DONEFILE_NAME, stage.remote.second(DONEFILE_NAME) + 120)
        stage.let_polls_pass(3)


class DonefileGoneAndBack(Scenario):
    name = "donefile-gone-and-back"
    title = (
        "While there is no donefile nothing happens; when there is one again, its release arrives."
    )
    loss = "Cleaning up the remote ends hot loading."
    claims = (
        _WHOLE,
        judge.each_was_live("release 1", "release 2"),
        judge.ends_with("release 2"),
        judge.swaps_at_most(2),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        stage.remote.remove(DONEFILE_NAME)
        stage.let_polls_pass(3)
        stage.publish(stage.releases[2], second=_later(stage))
        stage.expect_live(stage.releases[2])
        stage.let_polls_pass(1)


def _later(stage: Stage) -> int:
    """Return a second in a later minute than the tarball's: some listings show only minutes."""
    return stage.remote.second(MODEL_NAME) + 120


class OlderNumber(Scenario):
    name = "older-release-announced"
    title = "An older release that is announced again is installed: the last announcement counts."
    loss = "A rollback at the remote does not reach the servers."
    claims = (
        _WHOLE,
        judge.each_was_live("release 2", "release 1"),
        judge.ends_with("release 1"),
        judge.server_reloads_every_swap,
        judge.second_never_goes_back,
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[2])
        stage.start_monitor()
        stage.expect_live(stage.releases[2])
        stage.publish(stage.releases[1], second=_later(stage))
        stage.expect_live(stage.releases[1])


class FilesGone(Scenario):
    name = "files-of-the-old-release-go"
    title = "Files that the new release does not have are gone after the swap."
    loss = "A new model is served with an old vocabulary."
    claims = (_WHOLE, judge.ends_with("release 2"), judge.keeps_running)

    def act(self, stage: Stage) -> None:
        first = stage.releases[1].with_files({"vocabulary/words.txt": b"old\n"})
        second = stage.releases[2].with_files({"labels.txt": b"new\n"})
        stage.publish(first)
        stage.start_monitor()
        stage.expect_live(first)
        stage.publish(second, second=_later(stage))
        stage.expect_live(second)


class OtherPackers(Scenario):
    name = "tarballs-of-other-packers"
    title = "Tarballs from upstream's example, GNU tar and other packers are installed."
    loss = "Only one producer's tarballs are accepted."
    claims = (
        _WHOLE,
        judge.each_was_live("release 1", "release 2", "release 3", "release 4"),
        judge.ends_with("release 4"),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        second = 0
        packers = (packing.as_upstream, packing.as_gnu_tar, packing.without_folders, packing.plain)
        for release, pack in zip(stage.releases[1:], packers):
            packed = replace(release, tarball=pack(release.members, release.top))
            stage.publish(packed, second=second or None)
            second = (second or stage.remote.second(DONEFILE_NAME)) + 120
            if release.number == 1:
                stage.start_monitor()
            stage.expect_live(packed)


class FoundPackages(Scenario):
    """Tarballs of a Mac, of GNU tar with -S, and of a packer that died before the tar's end.

    The manifest's digest proves that the last one has all its bytes.
    """

    name = "tarballs-that-people-make"
    title = (
        "Members beside the model and those that macOS adds are skipped. Hard links, sparse files "
        "and odd owners are installed. So is a tar without its end, if a digest proves the bytes."
    )
    loss = (
        "The monitor refuses what users have packed, or a server aborts on a file that their tar "
        "added."
    )
    claims = (
        _WHOLE,
        judge.each_was_live("release 1", "release 2", "release 3"),
        judge.ends_with("release 3"),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        words = random.Random(stage.settings.seed).randbytes(3000)
        embedding = words + bytes(1 << 18)
        extra = {"größe/" + "é" * 45: words, "embedding.bin": embedding, "same.bin": embedding}
        packers = (packing.with_company, packing.as_gnu_tar_sparse, packing.as_posix_tar_sparse)
        second = 0
        for release, pack in zip(stage.releases[1:], packers):
            wanted = release.with_files(extra)
            packed = replace(wanted, tarball=pack(wanted.members, wanted.top))
            stage.publish(packed, second=second or None)
            second = (second or stage.remote.second(DONEFILE_NAME)) + 120
            if release.number == 1:
                stage.start_monitor()
            stage.expect_live(packed)


class WithoutTop(Scenario):
    name = "tarball-without-top-folder"
    title = "A tarball whose files have no top folder is installed if the options say so."
    loss = "Tarballs made inside the model's folder cannot be used."
    claims = (
        _WHOLE,
        judge.ends_with("release 1"),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        release = stage.releases[1]
        stage.options["unpacked_filename"] = "."
        packed = replace(release, tarball=packing.without_top(release.members, release.top))
        stage.publish(packed)
        stage.start_monitor()
        stage.expect_live(packed)


class BareServer(Scenario):
    """The files that the place publishes, served once more by a server that tells nothing."""

    name = "server-without-dates-or-tags"
    title = "With an HTTP server that sends no date and no tag the content tells what is new."
    loss = "Every poll makes all servers reload, or a new release is never seen."
    places = frozenset({"http"})
    claims = (
        _WHOLE,
        judge.each_was_live("release 1", "release 2"),
        judge.ends_with("release 2"),
        judge.swaps_at_most(2),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        with bare_server(stage):
            stage.publish(stage.releases[1])
            stage.start_monitor()
            stage.expect_live(stage.releases[1])
            stage.let_time_pass(4 * stage.poll_s)
            stage.publish(stage.releases[2])
            stage.expect_live(stage.releases[2])
            stage.let_time_pass(2 * stage.poll_s)


class LyingServer(Scenario):
    """The files that the place publishes, served once more with validators that say nothing."""

    name = "server-that-lies-about-changes"
    title = (
        "An HTTP server alternates its ETag and changes Last-Modified in every answer. Ten "
        "releases by an empty donefile are installed once each."
    )
    loss = "All servers reload at every poll, or no new model is ever installed."
    places = frozenset({"http"})
    claims = (
        _WHOLE,
        judge.each_was_live(*(f"release {number}" for number in range(1, 11))),
        judge.ends_with("release 10"),
        judge.server_reloads_every_swap,
        judge.swaps_at_most(10),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        if "recheck_interval" in stage.settings.knows:
            stage.options["recheck_interval"] = "2"
        with lying_server(stage):
            for number in range(1, 11):
                model = stage.releases[1 + number % 2].with_files({"number": b"%02d" % number})
                release = model.numbered(number)
                # The last two have the same size, so they differ only in their bytes.
                stage.publish(release.stored() if number > 8 else release, b"")
                if number == 1:
                    stage.start_monitor()
                stage.expect_live(release)
            stage.let_time_pass(10 * stage.poll_s)


class ForeignFtpServer(Scenario):
    """The files that the place publishes, served once more by a server of other habits."""

    name = "ftp-server-of-other-habits"
    title = (
        "From an FTP server with a GBK banner, MS-DOS listings, no MLSD, no EPSV and no NLST, "
        "tarballs and folders arrive."
    )
    loss = "A user whose FTP server is old or from another country gets no models."
    places = frozenset({"ftp"})
    claims = (
        _WHOLE,
        judge.each_was_live("release 1", "release 2", "release 3"),
        judge.ends_with("release 3"),
        judge.swaps_at_most(3),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        with foreign_server(stage):
            stage.start_monitor()
            stage.let_time_pass(2 * stage.poll_s, stage.alive)
            stage.publish(stage.releases[1], b"")
            stage.expect_live(stage.releases[1])
            stage.publish(stage.releases[2], b"", second=_later(stage))
            stage.expect_live(stage.releases[2])
            stage.let_time_pass(2 * stage.poll_s, stage.alive)
            stage.runs.stop()
            stage.options.update(remote_model_name=stage.unpacked)
            stage.left_out.add("unpacked_filename")
            stage.know(stage.releases[3])
            stage.remote.put_folder(stage.unpacked, stage.releases[3].members)
            stage.announce(stage.releases[3], b"", _later(stage) + 120)
            stage.start_monitor()
            stage.expect_live(stage.releases[3])


class FolderRelease(Scenario):
    name = "folder-release"
    title = "A release that is a folder at the remote, not a tarball, arrives."
    loss = "A producer that uploads the model as it is cannot be used."
    claims = (
        _WHOLE,
        judge.each_was_live("release 1", "release 2"),
        judge.ends_with("release 2"),
        judge.server_reloads_every_swap,
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        stage.options.update(remote_model_name=stage.unpacked)
        stage.left_out.add("unpacked_filename")
        for number in (1, 2):
            release = stage.releases[number]
            stage.know(release)
            stage.remote.put_folder(stage.unpacked, release.members)
            second = None
            if number > 1:
                second = stage.remote.second(DONEFILE_NAME) + 120
            stage.announce(release, b"", second)
            if number == 1:
                stage.start_monitor()
            stage.expect_live(release)


class TypeAfs(Scenario):
    name = "type-afs"
    title = "With --type afs, its file system named by --fs_name, releases arrive as with hdfs."
    loss = "A monitor that watches AFS, as upstream's hot-loading page describes, gets no models."
    places = frozenset({"hdfs"})
    claims = (
        _WHOLE,
        judge.each_was_live("release 1", "release 2"),
        judge.ends_with("release 2"),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        assert isinstance(stage.place, HdfsPlace)
        stage.options.update(stage.place.as_afs)
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        stage.publish(stage.releases[2], second=_later(stage))
        stage.expect_live(stage.releases[2])


class HadoopScriptPrints(Scenario):
    name = "hadoop-script-prints"
    title = "The monitor skips the lines that a hadoop command prints before and after its output."
    loss = "A user whose company wraps hadoop in a script gets no models, or torn ones."
    places = frozenset({"hdfs"})
    claims = (
        _WHOLE,
        judge.each_was_live("release 1", "release 2"),
        judge.ends_with("release 2"),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        script = stage.folder / "hadoop"
        script.write_text(
            "#!/bin/sh\n"
            "echo '*** Welcome to the data lake ***'\n"
            "echo '2020-04-02 10:11:12,345 WARN util.NativeCodeLoader: Unable to load'\n"
            f'{shlex.quote(stage.remote.options["hadoop_bin"])} "$@"\n'
            "code=$?\n"
            "echo 'took 3 s'\n"
            "exit $code\n"
        )
        script.chmod(0o755)
        stage.options["hadoop_bin"] = str(script)
        stage.publish(stage.releases[1], b"")
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        stage.publish(stage.releases[2], second=_later(stage))
        stage.expect_live(stage.releases[2])


SCENARIOS: tuple[type[Scenario], ...] = (
    HappyPath,
    EmptyDonefile,
    ForeignDonefile,
    DonefileBeforeModel,
    NoDonefileAtStart,
    NoLiveDirectory,
    TwoInOneSecond,
    SameSizeAndSecond,
    TouchedWithoutChange,
    DonefileGoneAndBack,
    OlderNumber,
    FilesGone,
    OtherPackers,
    FoundPackages,
    WithoutTop,
    BareServer,
    LyingServer,
    ForeignFtpServer,
    FolderRelease,
    TypeAfs,
    HadoopScriptPrints,
)
