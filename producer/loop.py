"""The producer's work: train a pass, export, pack, publish, wait, again."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Optional

from . import manifest, sign
from .errors import BadInput, ProducerError, RemoteError
from .files import replace
from .notify import Monitors
from .pack import Packed, pack
from .paddle_import import require_paddle
from .publish import Access, Address, Publisher, connect, publish

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from .dataset import Array
    from .export import Exported
    from .train import Trainer

_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 30.0
# The most passes that may leave the probe's prediction as it was.
_PASSES_WITHOUT_CHANGE = 1000


class Settings(NamedTuple):
    """What the command line says; see ``python -m producer --help``."""

    address: Address
    access: Access
    name: str
    unpacked: str
    donefile: str
    manifest: bool
    sign_key: Optional[Path]
    work: Path
    passes: int
    interval: float
    step: bool
    seed: int
    device: str
    table_mb: int
    events: Optional[Path]
    notify: tuple[str, ...]
    notify_token_file: Optional[Path]


class Release(NamedTuple):
    """A release as it lies in the work folder, ready to be published."""

    number: int
    packed: Packed
    donefile: Path
    manifest: dict[str, Any]


def run(settings: Settings) -> None:
    """Publish ``settings.passes`` releases. Raise ``ProducerError``."""
    monitors = Monitors(settings.notify, settings.notify_token_file)
    key = sign.read_key(settings.sign_key) if settings.sign_key else None
    events = _open_events(settings.events)
    try:
        remote = connect(settings.address, settings.access)
        remote.prepare()
        announced = remote.read(settings.donefile)
        first = manifest.next_release(announced)
        _prepare_work(settings.work)

        say(f"publishing to {remote.address}, from release {first} on")
        expected = manifest.expected_of(announced)
        maker: Optional[_Maker] = None
        for number, folder in _turns(settings, first):
            if folder is not None:
                release, how = _ready_made(folder, number, settings), f"from {folder}"
            else:
                # Not earlier: loading Paddle takes seconds, and wrong options must fail at once.
                maker = maker or _maker(settings, first, expected, key)
                release = maker.make(number)
                how = f"pass {maker.passes}, loss {maker.loss:.3f}"
            t_begin = time.monotonic()
            _publish_until_done(remote, release)
            t_end = time.monotonic()
            _record(events, release, t_begin, t_end)
            say(
                f"release {release.number}: {how}, "
                f"{release.packed.size:,} bytes to {remote.where(release.packed.path.name)} "
                f"in {t_end - t_begin:.2f} s"
            )
            for trouble in monitors.tell():
                say(
                    f"release {release.number}: warning: {trouble}; its next poll finds the release"
                )
    finally:
        if events is not None:
            events.close()


def _maker(
    settings: Settings,
    first: int,
    expected: Optional[dict[str, manifest.Numbers]],
    key: Optional[Ed25519PrivateKey],
) -> _Maker:
    """Read the data, load Paddle and return what makes releases from number ``first`` on."""
    from . import dataset

    housing = dataset.load()
    say("loading Paddle …")
    require_paddle()
    from .train import Trainer, give_back_sigterm

    give_back_sigterm()
    # A restarted producer starts with other weights, so that release 31 does not predict the same
    # as release 1. The same remote and seed give the same releases.
    seed = settings.seed + first - 1
    trainer = Trainer(housing.train, seed=seed, device=settings.device, table_mb=settings.table_mb)
    say(f"training on the {settings.device}, work folder {settings.work}")
    return _Maker(trainer, settings, housing.test.x[:1], expected, key)


def _ready_made(folder: Path, number: int, settings: Settings) -> Release:
    """Return the release that lies in ``folder``: a tarball and a donefile, as they are.

    Raises ``BadInput`` if one of them cannot be read.
    """
    tarball, donefile = folder / f"{settings.name}.tar.gz", folder / settings.donefile
    try:
        digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
        content = manifest.decode(donefile.read_bytes()) or {}
    except OSError as error:
        raise BadInput(
            f"{error.filename} cannot be read: {error.strerror}; name a folder that holds "
            f"{tarball.name} and {donefile.name}"
        ) from None
    packed = Packed(tarball, tarball.stat().st_size, digest)
    return Release(content.get("release", number), packed, donefile, content)


class _Maker:
    """Makes release after release, one pass each.

    It adds passes until the prediction for the probe differs from that of the release before.
    ``probe`` is [1, 13] float32. ``before`` is the prediction of the release on the remote, if any.
    ``key`` signs the manifests, if given. ``passes`` and ``loss`` are the training's so far.
    """

    def __init__(
        self,
        trainer: Trainer,
        settings: Settings,
        probe: Array,
        before: Optional[dict[str, manifest.Numbers]],
        key: Optional[Ed25519PrivateKey],
    ) -> None:
        self._trainer = trainer
        self._settings = settings
        self._probe = {"x": probe.tolist()}
        self._before = before
        self._key = key
        self.passes = 0
        self.loss = 0.0

    def make(self, number: int) -> Release:
        """Train, export and pack release ``number``."""
        folder = self._settings.work / "releases" / str(number)
        for _ in range(_PASSES_WITHOUT_CHANGE):
            self.loss = self._trainer.train_pass()
            self.passes += 1
            exported, expected = self._export(folder / self._settings.unpacked)
            if manifest.distinct(expected, self._before):
                break
            say(f"pass {self.passes} predicts what the release before does: training on")
        else:
            raise ProducerError(
                f"{_PASSES_WITHOUT_CHANGE} passes did not change the probe's prediction: the "
                "training has converged, start again with another --seed"
            )
        self._before = expected
        tarball = folder / f"{self._settings.name}.tar.gz"
        packed = pack(exported.folder, self._settings.unpacked, tarball)
        content = manifest.manifest(
            release=number,
            tarball=tarball.name,
            size=packed.size,
            sha256=packed.sha256,
            created=time.time(),
            feeds=exported.feeds,
            fetches=exported.fetches,
            probe=self._probe,
            expected=expected,
        )
        donefile = folder / self._settings.donefile
        text = manifest.encode(content) if self._settings.manifest else b""
        replace(donefile, text if self._key is None else sign.signed(text, self._key))
        return Release(number, packed, donefile, content)

    def _export(self, folder: Path) -> tuple[Exported, dict[str, manifest.Numbers]]:
        import numpy as np

        from .export import FETCH_ALIAS, export
        from .predict import Predictor

        exported = export(self._trainer, folder, self._settings.work / "client")
        # Predict with the exported files, not with the training program: the probe
        # describes the release.
        feed = {
            variable.name: np.array(self._probe[variable.alias], dtype=variable.dtype)
            for variable in exported.feeds
        }
        (price,) = Predictor(folder)(feed).values()
        return exported, {FETCH_ALIAS: price.tolist()}


def say(line: str) -> None:
    """Print a line of progress, visible at once."""
    print(line, flush=True)


def _turns(settings: Settings, first: int) -> Iterator[tuple[int, Optional[Path]]]:
    """Yield each release when it is due: its number, and its folder if it is ready-made."""
    due = time.monotonic()
    for number in range(first, first + settings.passes):
        folder = ""
        if settings.step:
            line = sys.stdin.readline()
            if not line:
                say(f"end of input before release {number}: done")
                return
            folder = line.strip()
        else:
            time.sleep(max(0.0, due - time.monotonic()))
            due = time.monotonic() + settings.interval
        yield number, Path(folder) if folder else None


def _publish_until_done(remote: Publisher, release: Release) -> None:
    """Publish a release. While the remote fails, try again with growing pauses."""
    pause = _FIRST_RETRY_S
    while True:
        try:
            publish(remote, release.packed.path, release.donefile)
            return
        except RemoteError as error:
            say(f"release {release.number}: {error}; again in {pause:g} s")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_RETRY_S)


def _open_events(path: Optional[Path]) -> Optional[IO[str]]:
    if path is None:
        return None
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"--events {path} cannot be written: {error.strerror}; name another file"
        ) from None


def _prepare_work(work: Path) -> None:
    try:
        (work / "releases").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"--work {work} cannot be used: {error.strerror}; give a folder that can be written"
        ) from None


def _record(events: Optional[IO[str]], release: Release, t_begin: float, t_end: float) -> None:
    if events is None:
        return
    event = {
        "event": "published",
        "release": release.number,
        "tarball": str(release.packed.path.resolve()),
        "sha256": release.packed.sha256,
        "size": release.packed.size,
        "manifest": release.manifest,
        "t_begin": t_begin,
        "t_end": t_end,
    }
    events.write(json.dumps(event) + "\n")
    events.flush()
