"""Publishes the releases of one leg with another producer's command.

The contract:

- The harness runs the command once for each release. Exit code 0 says that the release is
  published: tarball and donefile are at the remote. Any other exit code ends the leg.
- Placeholders say where the remote is. ``PLACES`` has the names.
- After the command the harness reads donefile and tarball back from the remote. At least one of
  them must be new.
- If the donefile is our manifest, the manifest has the release's number and the expected
  prediction. Otherwise the harness counts the releases and computes the prediction with Paddle
  Inference.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import time
from pathlib import Path
from typing import Any, Callable, Optional

from harness.checker.history import Event, History
from harness.checker.leg_history import same
from harness.conformance.monitor import command, releases
from harness.remotes.base import Remote
from harness.support.errors import BadInput, Failed
from harness.support.process import Process
from harness.support.waits import tail, wait_for
from monitor.errors import MonitorError
from monitor.manifest import parse
from monitor.options.fields import from_mapping
from monitor.remotes import create
from monitor.stop import Stop

from .leg_settings import LegSettings
from .publisher import Publisher, Say
from .ready_releases import ReadyRelease, complete, unpacked

# Upstream's options that say where a release is published, and what else a producer may need.
PLACES = (
    "type",
    "remote_path",
    "remote_model_name",
    "remote_donefile_name",
    "general_host",
    "hadoop_bin",
    "fs_name",
    "fs_ugi",
    "ftp_host",
    "ftp_port",
    "ftp_username",
    "ftp_password",
    "webhdfs_url",
    "hdfs_user",
    "remote_url",
    "publish_dir",
    "release",
)
OPTION = "--producer-cmd"


class ProducerCommand(Publisher):
    """Another producer's command.

    Args:
        remote: Where the command publishes.
        folder: The leg's folder. The releases that are read back go there.
        history: Receives the events ``publishing`` and ``published``.
        settings: The settings of the leg.
        mark: A text in the environment of the command.
        say: Called with a line for each release.
    """

    def __init__(
        self,
        remote: Remote,
        *,
        folder: Path,
        history: History,
        settings: LegSettings,
        mark: str,
        say: Say,
    ) -> None:
        super().__init__(remote, history, say)
        self._folder = folder / "published"
        self._log = folder / "producer.log"
        self._settings = settings
        self._mark = mark
        self._ready: list[ReadyRelease] = []
        # Donefile and tarball of the last release, to see whether the command published anything.
        self._last: Optional[tuple[bytes, str]] = None

    @property
    def command(self) -> list[str]:
        return shlex.split(self._settings.producer_cmd)

    def start(self) -> None:
        """Do nothing: the command is started for each release."""

    def stop(self) -> None:
        """Do nothing: ``announce`` waits until the command has ended."""

    def check(self) -> None:
        """Do nothing: ``announce`` looks at the command's exit code."""

    def model(self, position: int, release: int) -> Path:
        return self._ready[position].model

    @property
    def client_config(self) -> Path:
        return self._ready[0].client

    def announce(self, bad: str, alive: Callable[[], None]) -> Event:
        if bad:
            raise BadInput(f"a command cannot publish a release that is {bad}; leave out {OPTION}")
        earlier = [int(event["release"]) for event in self.published]
        number = max(earlier, default=0) + 1
        self._begins()
        begin = time.monotonic()
        self._publish(number, alive)
        end = time.monotonic()
        # A manifest may have any number.
        folder = self._folder / str(len(earlier) + 1)
        folder.mkdir(parents=True)
        made = self._read_back(folder)
        donefile = (folder / releases.DONEFILE_NAME).read_bytes()
        sha256 = hashlib.sha256((folder / self._tarball).read_bytes()).hexdigest()
        if self._last == (donefile, sha256):
            raise Failed(
                f"{OPTION} ended with exit code 0, but donefile and tarball at the remote "
                f"{self._remote.name} are as before; let the command publish a new release"
            )
        self._last = donefile, sha256
        manifest = parse(donefile)
        if manifest is not None:
            number = manifest.release
            if number in earlier:
                raise Failed(
                    f"{OPTION} published release {number} a second time with other content; give "
                    "each release a number of its own in the manifest"
                )
            made.content.update(manifest.content)
        made.content["size"] = (folder / self._tarball).stat().st_size
        feed = self._ready[0].content["probe"]["feed"] if self._ready else None
        complete([made], folder, feed)
        self._ready.append(made)
        known = {"release": number, "sha256": sha256, "t_begin": begin, "t_end": end}
        self._record(known, made.content, model=made.model, seconds=end - begin)
        *before, last = (event["expected"] for event in self.published)
        self.ambiguous |= any(same(last, other, self._settings.rtol) for other in before)
        return self.published[-1]

    @property
    def _tarball(self) -> str:
        return f"{self._settings.name}.tar.gz"

    def _publish(self, number: int, alive: Callable[[], None]) -> None:
        """Run the command for one release. Raises ``Failed`` unless its exit code is 0."""
        places = {**self._places(), "release": str(number)}
        process = Process(
            f"{OPTION} for {self._remote.name}",
            command.filled(self._settings.producer_cmd, places, option=OPTION, known=PLACES),
            log=self._log,
            env={**os.environ, **self._remote.producer_environment},
            mark=self._mark,
        )
        with process:
            wait_for(
                lambda: not process.running,
                f"{OPTION} to publish release {number}",
                self._settings.train_deadline_s,
                every_s=0.01,
                alive=alive,
                log=self._log,
            )
            if process.returncode != 0:
                raise Failed(
                    f"{OPTION} did not publish release {number}: it ended with exit code "
                    f"{process.returncode}\n--- last lines of {self._log}\n{tail(self._log)}"
                )

    def _places(self) -> dict[str, str]:
        """Return the values of the placeholders, except ``release``."""
        found: dict[str, str] = {}
        # The usual type is last, so that its values count.
        for kind in (*reversed(self._remote.monitor_kinds), self._settings.monitor_kind):
            found.update(self._options(kind))
        if self._remote.url.startswith("file://"):
            found["publish_dir"] = self._remote.url[len("file://") :]
        return found

    def _options(self, kind: Optional[str]) -> dict[str, str]:
        """Return the monitor's options for the remote, without dashes."""
        options = self._remote.monitor_options(kind)
        named = {name[2:]: value for name, value in zip(options[::2], options[1::2])}
        names = {"remote_model_name": self._tarball, "remote_donefile_name": releases.DONEFILE_NAME}
        return {**named, **names}

    def _read_back(self, folder: Path) -> ReadyRelease:
        """Bring donefile and tarball from the remote into ``folder``, and unpack the release.

        Raises:
            Failed: They are not there, or our monitor would refuse them.
        """
        # The monitor's own reader of remotes. WebHDFS needs no Java, unlike `hadoop fs`.
        kinds = self._remote.monitor_kinds
        options: dict[str, Any] = self._options("webhdfs" if "webhdfs" in kinds else None)
        local = {"local_path": str(folder), "local_model_name": "model"}
        try:
            with create(from_mapping({**options, **local}), Stop()) as reader:
                seen = reader.look(releases.DONEFILE_NAME)
                if seen is None:
                    raise Failed(
                        f"{OPTION} ended with exit code 0, but there is no "
                        f"{releases.DONEFILE_NAME} at the remote {self._remote.name}; let the "
                        "command upload the donefile after the tarball"
                    )
                (folder / releases.DONEFILE_NAME).write_bytes(seen.content)
                download = reader.open(self._tarball)
                try:
                    with (folder / self._tarball).open("wb") as file:
                        for chunk in download.chunks:
                            file.write(chunk)
                finally:
                    download.close()
        except MonitorError as error:
            raise Failed(
                f"{OPTION} ended with exit code 0, but the release cannot be read from the "
                f"remote {self._remote.name}: {error}"
            ) from None
        try:
            return unpacked(folder / self._tarball, folder, proven=parse(seen.content) is not None)
        except BadInput as error:
            raise Failed(f"{OPTION} published a bad release: {error}") from None


def checked(producer_cmd: str, folder: Path) -> str:
    """Return the command with each relative path to a file as seen from ``folder``.

    Raises:
        BadInput: The command is empty or unreadable, or has a placeholder that is not known.
    """
    return command.resolved(producer_cmd, folder, option=OPTION, known=PLACES)
