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

    ``manifest``: whether the bad one is announced with a manifest that fits its bytes, so that
    only what is in the archive can tell.
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
        # Without a manifest there is no proof that the bytes are all; with one there is.
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
    """Where the member that wanted to leave its folder went, seen from the scenario's folder."""
    # Not rglob: a copy of a folder into itself is deeper than it can follow.
    found = [
        Path(folder, name).relative_to(stage.folder)
        for folder, folders, names in os.walk(stage.folder)
        for name in (*folders, *names)
        if name == _ESCAPED
    ]
    inside = (stage.tmp.relative_to(stage.folder), stage.live.relative_to(stage.folder))
    return [str(path) for path in found if not any(folder in path.parents for folder in inside)]


def _large(release: Release) -> Release:
    """Large enough that a part of it unpacks before the damage shows."""
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
    """Of 256 MiB, on a disk of half of that."""

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
    title = "A member with ../ in its name refuses the archive; nothing is written outside."
    loss = "Anyone who can write a tarball can overwrite any file of the server's user."
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.beside(release)


class DeepTraversal(BadRelease):
    name = "traversal-within"
    title = "A ../ behind the top folder's name is refused just the same."
    loss = Traversal.loss
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.traversal(release)


class SymbolicLink(BadRelease):
    name = "symbolic-link"
    title = "A symbolic link refuses the archive; nothing is written through it."
    loss = "Files outside are overwritten, or read out, through a link in a model."
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.symlink_out(release)


class HardLink(BadRelease):
    name = "hard-link"
    title = "A hard link to anything but a file of the archive refuses it."
    loss = "A file of the host becomes part of the model folder."
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.hard_link(release)


class Device(BadRelease):
    name = "device"
    title = "A device node refuses the archive."
    loss = "A monitor that runs as root makes devices out of a download."
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.device(release)


class Fifo(BadRelease):
    name = "named-pipe"
    title = "A named pipe refuses the archive."
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
    loss = "The server aborts when it loads it."
    manifest = True

    def spoil(self, release: Release) -> Release:
        return damage.no_parameters(release)


class EmptyParameters(BadRelease):
    name = "empty-parameters"
    title = "A release whose weights are an empty file is not installed."
    loss = "The server aborts when it loads it."
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
        "A whole tarball that is not the one the manifest announces is pulled again until it is."
    )
    loss = "A tarball that was pulled before its upload is served as the release that it is not."
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
        # As in LateRepair: only its digest tells that it is another one.
        other = replace(stage.releases[2].stored(), label="another release", good=False)
        stage.upload(other)
        second = None
        for number, encode in enumerate(_ENCODINGS, 1):
            announced = replace(good, number=number)
            stage.announce(announced, encode(announced.donefile()), second)
            # Seen as another donefile by a monitor that knows minutes only, too.
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
