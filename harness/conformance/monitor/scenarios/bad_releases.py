"""Releases that must not be installed: the old model serves on, and the next good one arrives."""

from __future__ import annotations

import codecs
import gzip
import os
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Callable, ClassVar

from .. import damage, judge
from ..judge import Check
from ..releases import DONEFILE_NAME, MODEL_NAME, Release
from ..space import LeastFree
from ..stage import Stage
from .base import Scenario
from .in_namespace import InNamespace

_ESCAPED = "escaped.txt"


class BadRelease(Scenario):
    """A good release is live, a bad one is announced, then a good one again.

    ``manifest``: whether the bad release has a manifest that fits its bytes. Then only the content
    of the archive shows that the release is bad.
    """

    manifest: ClassVar[bool] = False
    claims: ClassVar[tuple[Check, ...]] = (
        judge.nothing_outside,
        judge.never_torn_by_a_bad_release,
        judge.ends_with("release 2"),
        judge.swaps_at_most(1),
        judge.keeps_running,
    )

    @abstractmethod
    def spoil(self, release: Release) -> Release:
        """The bad release, made from a good one."""

    def act(self, stage: Stage) -> None:
        # Without a manifest nothing proves that the tarball has all its bytes.
        bad = self.spoil(stage.releases[1])
        donefile = bad.donefile() if self.manifest else b""
        stage.publish(bad, donefile)
        stage.watch_pull(bad)
        stage.start_monitor()
        try:
            stage.expect_pull()
            stage.let_polls_pass(2)
        finally:
            stage.observed.outside += _escaped(stage)
        later = stage.remote.second(MODEL_NAME) + 120
        stage.publish(stage.releases[2], second=later)
        stage.expect_live(stage.releases[2], stage.settings.recovery)


def _escaped(stage: Stage) -> list[str]:
    """Return where the member with the escaping name was written, in the scenario's folder."""
    # Not rglob: it cannot follow a copy of a folder into itself, which is too deep.
    found = [
        Path(folder, name).relative_to(stage.folder)
        for folder, folders, names in os.walk(stage.folder)
        for name in (*folders, *names)
        if name == _ESCAPED
    ]
    inside = (stage.tmp.relative_to(stage.folder), stage.live.relative_to(stage.folder))
    return [str(path) for path in found if not any(folder in path.parents for folder in inside)]


def _large(release: Release) -> Release:
    """Return a larger release, so that a part of it unpacks before the damage shows."""
    return release.padded(1 << 18, release.number)


class Corrupt(BadRelease):
    name = "corrupt-tarball"
    title = "A tarball with a flipped bit is not installed."
    loss = "The server aborts when it loads the damaged weights."

    def spoil(self, release: Release) -> Release:
        return damage.corrupt(_large(release))


class Truncated(BadRelease):
    name = "truncated-tarball"
    title = "A tarball that was cut short is not installed."
    loss = "The server loads half of the weights and answers wrongly, without any error."

    def spoil(self, release: Release) -> Release:
        return damage.truncated(_large(release))


class WithoutTrailer(BadRelease):
    name = "tarball-without-trailer"
    title = "A tarball whose last 8 bytes are missing is not installed."
    loss = "Damage that the checksum at the end would have shown is served."

    def spoil(self, release: Release) -> Release:
        return damage.without_trailer(_large(release))


class Empty(BadRelease):
    name = "empty-tarball"
    title = "An empty file is no release."
    loss = "An upload that failed on the producer's side ends hot loading."

    def spoil(self, release: Release) -> Release:
        return damage.empty(release)


class Html(BadRelease):
    name = "html-instead-of-tarball"
    title = "A web page with status 200 in place of the tarball is no release."
    loss = "One answer of a proxy or a sign-in page ends hot loading."

    def spoil(self, release: Release) -> Release:
        return damage.html(release)


class Bomb(InNamespace, BadRelease):
    """An archive that unpacks to 256 MiB, on a disk of 128 MiB."""

    name = "bomb"
    title = "An archive that unpacks to a thousand times its size is refused before the disk fills."
    loss = "One small file fills the disk of every server."
    manifest = True
    claims = (*BadRelease.claims, judge.disk_stays_free(0.25))
    size = "size=128m"

    def act(self, stage: Stage) -> None:
        with LeastFree(stage.seen(stage.local)) as free:
            try:
                super().act(stage)
            finally:
                stage.observed.figures["least free"] = [free.share]

    def spoil(self, release: Release) -> Release:
        return damage.bomb(release)


class Traversal(BadRelease):
    name = "traversal"
    title = "An archive with a member named ../… is refused; nothing is written outside."
    loss = "Anyone who can write a tarball can overwrite any file of the server's user."
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.beside(release)


class DeepTraversal(BadRelease):
    name = "traversal-within"
    title = "An archive with ../ behind the top folder's name is refused, too."
    loss = Traversal.loss
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.traversal(release)


class SymbolicLink(BadRelease):
    name = "symbolic-link"
    title = "An archive with a symbolic link is refused; nothing is written through the link."
    loss = "Files outside are overwritten, or read out, through a link in a model."
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.symlink_out(release)


class HardLink(BadRelease):
    name = "hard-link"
    title = "An archive with a hard link to anything but one of its files is refused."
    loss = "A file of the host becomes part of the model folder."
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.hard_link(release)


class Device(BadRelease):
    name = "device"
    title = "An archive with a device node is refused."
    loss = "A monitor that runs as root makes devices out of a download."
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.device(release)


class Fifo(BadRelease):
    name = "named-pipe"
    title = "An archive with a named pipe is refused."
    loss = "A server that opens it waits forever."
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.fifo(release)


class WrongTop(BadRelease):
    name = "wrong-top-folder"
    title = "An archive with another top folder than configured is not installed."
    loss = "The model of another service is served, or hot loading ends."
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.wrong_top(release)


class NoParameters(BadRelease):
    name = "missing-parameters"
    title = "A release without the file of its weights is not installed."
    loss = "The server aborts when it loads the release."
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.no_parameters(release)


class EmptyParameters(BadRelease):
    name = "empty-parameters"
    title = "A release whose weights are an empty file is not installed."
    loss = "The server aborts when it loads the release."
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.empty_parameters(release)


class AmbiguousModel(BadRelease):
    name = "ambiguous-model"
    title = "A release with two files that a server may take as its graph is not installed."
    loss = "Some servers load the wrong file and abort: the order of the filesystem decides."
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.two_graphs(release)


class LateRepair(Scenario):
    name = "bytes-do-not-match-manifest"
    title = (
        "While a complete tarball is not what the manifest announces, the monitor pulls it again."
    )
    loss = "A tarball of another release is served as the announced one."
    claims = (
        judge.never_torn_by_a_bad_release,
        judge.ends_with("release 1"),
        judge.swaps_at_most(1),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        good = stage.releases[1].stored()
        # A whole archive of another release, of the same size. A monitor that compares no digest
        # installs it. A monitor that does must pull it first, which the scenario waits for.
        other = replace(stage.releases[2].stored(), label="another release", good=False)
        assert len(other.tarball) == len(good.tarball), "two releases of one model differ in size"
        stage.upload(other)
        stage.announce(good)
        stage.watch_pull(other)
        stage.start_monitor()
        stage.expect_pull()
        stage.let_polls_pass(1)
        stage.upload(good)
        stage.expect_live(good, stage.settings.recovery)


class EncodedManifest(Scenario):
    name = "encoded-manifest"
    title = (
        "A manifest with a byte order mark, in UTF-16 or gzip-compressed still says which tarball "
        "is the release."
    )
    loss = (
        "A tarball is served that is not the announced one, because an editor saved the donefile."
    )
    claims = LateRepair.claims

    def act(self, stage: Stage) -> None:
        good = stage.releases[1].stored()
        # As in LateRepair: only the digest shows that it is another release.
        other = replace(stage.releases[2].stored(), label="another release", good=False)
        stage.upload(other)
        second = None
        for number, encode in enumerate(_ENCODINGS, 1):
            announced = replace(good, number=number)
            stage.announce(announced, encode(announced.donefile()), second)
            # In a later minute, so that a monitor that sees only minutes sees a new donefile.
            second = stage.remote.second(DONEFILE_NAME) + 120
            stage.watch_pull(other)
            if number == 1:
                stage.start_monitor()
            stage.expect_pull()
        stage.let_polls_pass(1)
        stage.upload(good)
        stage.expect_live(good, stage.settings.recovery)


_ENCODINGS: tuple[Callable[[bytes], bytes], ...] = (
    lambda text: codecs.BOM_UTF8 + text,
    lambda text: text.decode().encode("utf-16"),
    gzip.compress,
)

SCENARIOS: tuple[type[Scenario], ...] = (
    Corrupt,
    Truncated,
    WithoutTrailer,
    Empty,
    Html,
    Bomb,
    Traversal,
    DeepTraversal,
    SymbolicLink,
    HardLink,
    Device,
    Fifo,
    WrongTop,
    NoParameters,
    EmptyParameters,
    AmbiguousModel,
    LateRepair,
    EncodedManifest,
)
